"""One mistake anywhere in a stack file is one line; what follows from settings holds for all of them."""

import contextlib
import copy
from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Any, cast

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from slipway.settings import Settings
from slipway.settings.derived import LENGTHS, firewall_ip, prefixes, roles, router_ip
from tests.unit.azure_stacks import (
    ROUTED,
    SERVICE,
    STACKS,
    VNET,
    azure_of,
    lines,
    merged,
    mistakes,
    net,
    pool,
    pools,
    read,
    stack,
    system,
)

Place = tuple[str | int, ...]


def places(value: object, place: Place = ()) -> Iterator[Place]:
    """Give every place in a stack file, of mappings and lists."""
    if isinstance(value, dict):
        for name, item in cast("dict[str, object]", value).items():
            yield (*place, name)
            yield from places(item, (*place, name))
    elif isinstance(value, list):
        for index, item in enumerate(cast("list[object]", value)):
            yield (*place, index)
            yield from places(item, (*place, index))


def owner_of(config: Any, place: Place) -> Any:
    for step in place[:-1]:
        config = config[step]
    return config


@pytest.mark.parametrize("path", STACKS)
def test_a_misspelt_setting_at_any_depth_is_one_line_and_nothing_follows_from_it(path: str) -> None:
    original = stack(path)
    for place in places(original):
        name = place[-1]
        if isinstance(name, str):
            config = copy.deepcopy(original)
            owner = owner_of(config, place)
            owner[f"{name}x"] = owner.pop(name)
            found = mistakes(config)
            assert len(found) == 1, (place, found)
            assert f"{name}x" in found[0]
            assert f"did you mean `{name.removeprefix('slipway:')}`?" in found[0]


@pytest.mark.parametrize("wrong", [1.5, [[]], "~", {"x": {}}], ids=str)
@pytest.mark.parametrize("path", STACKS)
def test_a_value_of_another_type_at_any_depth_is_one_line(path: str, wrong: object) -> None:
    original = stack(path)
    for place in places(original):
        config = copy.deepcopy(original)
        owner = owner_of(config, place)
        right = owner[place[-1]]
        if isinstance(right, dict | type(wrong)) or (isinstance(right, int) and isinstance(wrong, float)):
            continue  # its own shape, and then what is inside counts
        owner[place[-1]] = wrong
        found = mistakes(config)
        assert len(found) == 1, (place, found)
        assert found[0].startswith("slipway:")


def test_a_wrong_field_hides_no_mistake_beside_it() -> None:
    found = lines({}, webservices=[SERVICE | {"num_replicas": "2", "namespace": "default"}])
    assert [line.removeprefix("slipway:webservices[abc]")[:25] for line in found] == [
        '.num_replicas = "2": must',
        ": namespace = default is ",
    ]


ROLES = st.sets(st.sampled_from(["user", "firewall", "private_endpoints"]))


@st.composite
def stacks(draw: st.DrawFn) -> dict[str, Any]:
    """Draw stacks on Azure, most of which are right."""
    length = draw(st.integers(12, 18))
    change: dict[str, Any] = net(
        address_space=str(IPv4Network((draw(st.integers(40, 99)) << 24, length))),
        model=draw(st.sampled_from(["kubenet", "azure", "overlay"])),
    )
    wanted = draw(ROLES)
    if "firewall" in wanted:
        change = merged(change, ROUTED)
    if "private_endpoints" in wanted:
        change = merged(change, {"workspace": {"storage": {"private_endpoint": True}}})
    count = draw(st.integers(3, 6))
    most = draw(st.none() | st.integers(count, count + 5))
    nodes = system(count=count, max_count=most, zones=draw(st.sampled_from([[], ["1"], ["3", "1"]])))
    extra = [pool(f"p{n}", vm_size=draw(VM_SIZES), count=draw(st.integers(0, 3))) for n in range(2)]
    return merged(merged(change, nodes), pools(*extra) if "user" in wanted else {})


VM_SIZES = st.sampled_from(["Standard_D4s_v5", "Standard_NC4as_T4_v3", "Standard_E8s_v5"])


@given(change=stacks())
def test_subnets_are_inside_apart_and_aligned(change: dict[str, Any]) -> None:
    found = lines(change)
    assume(not found)
    azure = azure_of(change)
    given_ranges = prefixes(azure)
    assert list(given_ranges) == roles(azure)
    space = IPv4Network(azure.network.address_space)
    for role, range_ in given_ranges.items():
        assert range_.subnet_of(space)
        assert range_.prefixlen == LENGTHS[role]
        assert IPv4Network(str(range_)) == range_
        assert not any(range_.overlaps(other) for name, other in given_ranges.items() if name != role)
    address = router_ip(azure)
    assert address is not None
    assert address in given_ranges["router"]
    firewall = firewall_ip(azure)
    assert (firewall is not None) == ("firewall" in given_ranges)
    assert firewall is None or firewall in given_ranges["firewall"]


@given(before=ROLES, more=ROLES)
def test_no_subnet_moves_when_another_joins(before: set[str], more: set[str]) -> None:
    def ranges(wanted: set[str]) -> dict[str, IPv4Network]:
        change = ROUTED if "firewall" in wanted else {}
        change = merged(change, pools(pool()) if "user" in wanted else {})
        if "private_endpoints" in wanted:
            change = merged(change, {"workspace": {"key_vault": {"private_endpoint": True}}})
        return prefixes(azure_of(change))

    assert ranges(before).items() <= ranges(before | more).items()


@settings(max_examples=50)
@given(change=stacks(), replicas=st.integers(1, 3), label=st.booleans())
def test_settings_survive_json(change: dict[str, Any], replicas: int, label: bool) -> None:
    named = {"tls": {"leaf_domain_label": "models", "http": "serve"}}
    router = named if label and "egress" not in change else {}
    keys: dict[str, Any] = {"router": router, "webservices": [SERVICE | {"num_replicas": replicas}]}
    assume(not lines(change, **keys))
    original = read(change, **keys)
    again = Settings.model_validate_json(original.model_dump_json())
    assert again == original


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["kubenet", "userDefinedRouting", "0.0.0.0/0", "10.224.0.0/29", VNET, "1", "system"])
)
JUNK = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.sampled_from(["id", "name", "count"]), inner, max_size=3)
    ),
    max_leaves=8,
)
PROD = {key.removeprefix("slipway:"): value for key, value in stack(STACKS[1]).items()}


@settings(max_examples=300)
@given(
    changes=st.lists(st.tuples(st.sampled_from(sorted(places(PROD), key=str)), JUNK), min_size=1, max_size=4)
)
@example(changes=[(("webservices", 0, "models", 0), "")])
def test_no_junk_breaks_the_parser(changes: list[tuple[Place, Any]]) -> None:
    fields = copy.deepcopy(PROD)
    for place, junk in changes:
        with contextlib.suppress(LookupError, TypeError):  # an earlier change took the place away
            owner_of(fields, place)[place[-1]] = junk
    with contextlib.suppress(ValidationError):
        Settings.model_validate(fields)
    found = mistakes({f"slipway:{name}": value for name, value in fields.items()})
    assert all(line.startswith("slipway:") for line in found)
    assert "value error" not in "\n".join(found)
