"""The shipped stacks on Azure, every input of every resource spelled out, and what a setting changes."""

import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from slipway.engine import Graph, Registration, check
from slipway.engine.graph import secrets
from slipway.engine.mask import Mask
from slipway.plan.values import masked
from slipway.roles import Role
from tests.unit.azure_stacks import merged

PROJECT = Path(__file__).parents[2]
LONG = ("rules", "securityRules")
"""Lists whose items take a line each."""


def spelled_out(graph: Graph) -> list[str]:
    """Give a line for each input of Azure's resources, and for each rule of a firewall or security group."""
    mask = Mask(secrets(graph))
    azure = [found for found in graph.registrations if found.type.startswith("azure-native:")]
    return [
        line for found in sorted(azure, key=lambda one: (one.type, one.name)) for line in _lines(found, mask)
    ]


def _lines(found: Registration, mask: Mask) -> Iterator[str]:
    head = f"{found.type.rsplit(':', 1)[-1]} {found.name}"
    options = ["protected"] * found.protect + [f"ignores {name}" for name in found.ignore_changes]
    yield f"{head}: {', '.join(options)}".removesuffix(": ")
    for path, value in _leaves(masked(found.inputs, mask), ""):
        role = next((role.title for role in Role if role.definition == value), None)
        yield f"{head} {path} = {role or json.dumps(value)}"


def _leaves(value: object, path: str) -> Iterator[tuple[str, object]]:
    match value:
        case dict() if value:
            for name, inner in cast("dict[str, object]", value).items():
                yield from _leaves(inner, f"{path}.{name}".removeprefix("."))
        case list() if any(isinstance(item, dict) for item in cast("list[object]", value)):
            for index, item in enumerate(cast("list[object]", value)):
                place = f"{path}[{_key(item, index)}]"
                if path.endswith(LONG):
                    yield place, item
                else:
                    yield from _leaves(item, place)
        case _:
            yield path, value


def _key(item: object, index: int) -> object:
    """Name an item of a list, so that one more changes no other line."""
    return cast("dict[str, object]", item).get("name", index) if isinstance(item, dict) else index


def planned(folder: Path, stack: str, change: Mapping[str, Any]) -> list[str]:
    """Plan a shipped stack with settings changed; what is planned has no mistake of types or policies."""
    for name in ("__main__.py", "Pulumi.yaml", "components", "policies", "examples"):
        (folder / name).symlink_to(PROJECT / name)
    given = yaml.safe_load((PROJECT / "stacks" / f"Pulumi.{stack}.yaml").read_text(encoding="utf-8"))
    (folder / "stacks").mkdir()
    config = {"config": merged(given["config"], change)}
    (folder / "stacks" / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    graph, mistakes = check(folder, stack)
    assert mistakes == ()
    return spelled_out(graph)


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_a_shipped_stack_is_spelled_out(
    stack: str, tmp_path: Path, golden: Callable[[str, str], None]
) -> None:
    golden(f"{stack}.txt", "\n".join(planned(tmp_path, stack, {})) + "\n")


GPU = {"pools": [{"name": "gpu", "vm_size": "Standard_NC8as_T4_v3", "count": 1}]}
DEFENDER = {"defender": {"sensor": True}}


@pytest.mark.parametrize(
    ("stack", "cluster"),
    [("dev", GPU), ("dev", DEFENDER), ("prod", {"defender": {"sensor": False}})],
    ids=["gpu", "defender", "no-defender"],
)
def test_a_setting_changes_exactly_the_listed_lines(
    stack: str,
    cluster: dict[str, Any],
    tmp_path: Path,
    golden: Callable[[str, str], None],
    request: pytest.FixtureRequest,
) -> None:
    before = (PROJECT / "tests/unit/golden" / f"{stack}.txt").read_text(encoding="utf-8").splitlines()
    after = planned(tmp_path, stack, {"slipway:azure": {"cluster": cluster}})
    changes = [line for line in difflib.ndiff(before, after) if line[0] in "+-"]
    assert changes
    golden(f"{stack}-{request.node.callspec.id}.diff", "\n".join(changes) + "\n")
