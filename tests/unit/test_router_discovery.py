"""Objects become a state; a bad one breaks its own service only, and says why."""

import base64
import copy
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.router.discovery import discover
from slipway.router.feed import Objects
from slipway.router.state import Limits, Replica, hashed
from slipway.spec import Serving

Json = dict[str, Any]
SERVING = Serving(max_request_wait_time=700, scoring_timeout_ms=9000, replica_max_concurrent_requests=3)


def metadata(name: str, service: str = "echo", namespace: str = "slipway-services", created: int = 1) -> Json:
    return {
        "name": name,
        "namespace": namespace,
        "labels": {"slipway/webservice": service, "app": "x"},
        "creationTimestamp": f"2026-11-0{created}T00:00:00Z",
    }


def deployment(serving: str = SERVING.model_dump_json(), **where: Any) -> Json:
    where = {"name": "echo", **where}
    return {
        "kind": "Deployment",
        "metadata": {**metadata(**where), "annotations": {"slipway/serving": serving}},
    }


def endpoint_slice(*addresses: str, ready: object = True, port: object = 5001, **where: Any) -> Json:
    where = {"name": "echo-1", **where}
    return {
        "kind": "EndpointSlice",
        "metadata": metadata(**where),
        "addressType": "IPv4",
        "ports": [{"name": "metrics", "port": 9}, {"name": "http", "port": port}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": ready}} for address in addresses],
    }


def secret(primary: object = "p", secondary: object = "s", service: str = "echo") -> Json:
    def encoded(key: object) -> object:
        return base64.b64encode(key.encode()).decode() if isinstance(key, str) else key

    data = {"primary": encoded(primary), "secondary": encoded(secondary)}
    return {"kind": "Secret", "metadata": metadata(f"{service}-keys", service, "slipway"), "data": data}


def test_when_a_service_is_whole_then_all_of_it_is_found() -> None:
    state = discover(Objects([deployment()], [endpoint_slice("10.0.0.1", "10.0.0.2")], [secret()]))
    echo = state.services["echo"]
    assert echo.limits == Limits(concurrency=3, wait_ms=700, timeout_ms=9000, auth="key")
    assert echo.replicas == {Replica("10.0.0.1", 5001), Replica("10.0.0.2", 5001)}
    assert echo.keys == {hashed("p"), hashed("s")}
    assert (state.errors, state.ignored) == ({}, ())


@pytest.mark.parametrize(
    ("ready", "count"),
    [(True, 1), (False, 0), (None, 1)],
    ids=["ready", "not ready", "unknown counts as ready"],
)
def test_when_an_endpoint_has_a_condition_then_it_counts_as_kubernetes_says(
    ready: object, count: int
) -> None:
    state = discover(Objects([deployment()], [endpoint_slice("10.0.0.1", ready=ready)], [secret()]))
    assert len(state.services["echo"].replicas) == count


@pytest.mark.parametrize(
    ("conditions", "count"),
    [
        ({"ready": True, "serving": True, "terminating": False}, 1),
        ({"ready": False, "serving": True, "terminating": True}, 0),
        ({"ready": False, "serving": False, "terminating": True}, 0),
        ({"ready": True, "serving": True, "terminating": True}, 0),  # publishNotReadyAddresses
        ({"serving": True}, 1),
        ({}, 1),
        (None, 1),
    ],
)
def test_when_an_endpoint_terminates_then_it_takes_no_request_ready_or_not(
    conditions: object, count: int
) -> None:
    found = endpoint_slice()
    found["endpoints"] = [{"addresses": ["10.0.0.1"], "conditions": conditions}]
    state = discover(Objects([deployment()], [found], [secret()]))
    assert (len(state.services["echo"].replicas), state.errors) == (count, {})


def unready(containers: str = "True") -> tuple[Json, Json]:
    """Give a slice with an endpoint that is not ready, and its pod."""
    found = endpoint_slice("10.0.0.1", ready=False)
    found["endpoints"][0]["targetRef"] = {"kind": "Pod", "name": "echo-1"}
    conditions = [{"type": "Ready", "status": "False"}, {"type": "ContainersReady", "status": containers}]
    return found, {"kind": "Pod", "metadata": metadata("echo-1"), "status": {"conditions": conditions}}


def test_when_a_node_is_not_heard_of_then_its_pods_are_kept_for_haproxy_to_check() -> None:
    found, pod = unready()
    state = discover(Objects([deployment()], [found], [secret()], [pod]))
    assert state.services["echo"].replicas == {Replica("10.0.0.1", 5001)}


def test_when_a_pod_is_not_ready_terminates_or_is_unknown_then_it_gets_no_requests() -> None:
    found, pod = unready(containers="False")
    strange = pod | {"status": {"conditions": [7]}}
    elsewhere = pod | {"metadata": metadata("echo-1", namespace="elsewhere")}
    gone, whole = unready()
    gone["endpoints"][0]["conditions"]["terminating"] = True
    for one, pods in ((found, [pod]), (found, [strange]), (found, [elsewhere]), (found, []), (gone, [whole])):
        state = discover(Objects([deployment()], [one], [secret()], pods))
        assert state.services["echo"].replicas == frozenset()


@pytest.mark.parametrize("field", ["endpoints", "ports"])
def test_when_a_slice_is_empty_then_there_is_no_replica_and_no_error(field: str) -> None:
    state = discover(Objects([deployment()], [endpoint_slice("10.0.0.1") | {field: None}], [secret()]))
    assert (state.services["echo"].replicas, state.errors) == (frozenset(), {})


def test_when_a_slice_is_of_another_namespace_then_it_is_none_of_the_services() -> None:
    foreign = endpoint_slice("10.6.6.6", namespace="elsewhere")
    state = discover(Objects([deployment()], [foreign, foreign | {"ports": 6}], [secret()]))
    assert (state.services["echo"].replicas, state.errors) == (frozenset(), {})


def test_when_two_deployments_have_one_name_then_the_older_wins_and_the_other_is_told() -> None:
    younger = deployment(created=2, namespace="another")
    slices = [endpoint_slice("10.0.0.1"), endpoint_slice("10.0.0.2", namespace="another")]
    state = discover(Objects([younger, deployment(created=1)], slices, [secret()]))
    assert state.services["echo"].replicas == {Replica("10.0.0.1", 5001)}
    assert state.errors == {}
    assert list(map(str, state.ignored)) == [
        "Deployment another/echo: the service echo is Deployment slipway-services/echo, which is older"
    ]
    assert state.ignored[0].reason == "NameTaken"


@pytest.mark.parametrize(
    ("serving", "said"),
    [
        ("{", "slipway/serving"),
        ("[]", "slipway/serving"),
        ('{"scoring_timeout_ms": 0}', "scoring_timeout_ms = 0: must be greater than 0"),
        ('{"max_request_wait_time": "1; quit"}', "max_request_wait_time"),
        ('{"num_replicas": 1, "spam": 2}', "spam = 2: no such setting"),
    ],
)
def test_when_an_annotation_is_bad_then_only_its_own_service_breaks(serving: str, said: str) -> None:
    fine = deployment(name="fine", service="fine")
    keys = [secret(), secret(service="fine")]
    state = discover(Objects([deployment(serving), fine], [endpoint_slice("10.0.0.1")], keys))
    assert list(state.services) == ["fine"]
    assert list(state.errors) == ["echo"]
    assert said in state.errors["echo"]


def test_when_there_is_no_annotation_then_the_service_says_so() -> None:
    bare = deployment()
    del bare["metadata"]["annotations"]
    state = discover(Objects([bare]))
    assert state.errors == {"echo": "Deployment slipway-services/echo has no annotation slipway/serving"}


@pytest.mark.parametrize("name", ["Echo", "a b", "x\nserver evil", "_hold", ""])
def test_when_a_label_is_no_name_then_the_deployment_is_ignored(name: str) -> None:
    state = discover(Objects([deployment(service=name)]))
    assert (state.services, state.errors) == ({}, {})
    assert "is no name of a service" in str(state.ignored[0])
    assert "\n" not in str(state.ignored[0])


@pytest.mark.parametrize(
    ("primary", "secondary", "keys", "said"),
    [
        ("p", None, {"p"}, "Secret echo-keys cannot be read"),
        ("p", "", {"p"}, "Secret echo-keys has no usable secondary key"),
        ("", "", set[str](), "no usable primary key"),
        ("p", "kéy", {"p"}, "no usable secondary key"),
        ("p", "s\n", {"p"}, "no usable secondary key"),
        (7, "s", set[str](), "cannot be read"),
    ],
)
def test_when_a_secret_is_bad_then_what_is_usable_of_it_is_used(
    primary: object, secondary: object, keys: set[str], said: str
) -> None:
    state = discover(Objects([deployment()], [], [secret(primary, secondary)]))
    expected = set[str]() if "cannot be read" in said else {hashed(key) for key in keys}
    assert state.services["echo"].keys == expected
    assert said in state.errors["echo"]


@pytest.mark.parametrize("data", ["=", "p!", "YQ"])
def test_when_a_key_is_not_base64_then_it_is_not_used_and_not_repeated(data: str) -> None:
    bad = secret()
    bad["data"]["primary"] = data
    state = discover(Objects([deployment()], [], [bad]))
    assert state.services["echo"].keys == {hashed("s")}
    assert state.errors["echo"] == "Secret echo-keys has no usable primary key"


def test_when_the_secret_is_missing_then_the_service_is_closed_and_says_why() -> None:
    state = discover(Objects([deployment()]))
    assert state.services["echo"].keys == frozenset()
    assert state.errors["echo"] == "Secret echo-keys is missing: nobody can call the service"


def test_when_a_service_is_open_then_it_needs_no_secret() -> None:
    serving = Serving(auth_enabled=False).model_dump_json()
    state = discover(Objects([deployment(serving)]))
    assert state.services["echo"].limits.auth == "none"
    assert state.errors == {}


def test_when_an_address_is_none_then_the_replica_is_left_out_with_an_error() -> None:
    bad = endpoint_slice("10.0.0.9", "fe80::1%x y", name="bad")
    state = discover(Objects([deployment()], [bad, endpoint_slice("10.0.0.1")], [secret()]))
    assert Replica("10.0.0.1", 5001) in state.services["echo"].replicas
    assert "EndpointSlice slipway-services/bad" in state.errors["echo"]


WHOLE = [deployment(), unready()[0], secret(), unready()[1]]
scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


def places(value: object, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the way to everything inside a JSON value."""
    match value:
        case dict():
            inner = list(cast("Json", value).items())
        case list():
            inner = list(enumerate(cast("list[Any]", value)))
        case _:
            inner = list[tuple[Any, Any]]()
    return [way for key, found in inner for way in ((*at, key), *places(found, (*at, key)))]


@given(st.sampled_from([(which, *way) for which, obj in enumerate(WHOLE) for way in places(obj)]), values)
def test_when_any_part_of_an_object_is_anything_then_the_other_service_is_served(
    way: tuple[Any, ...], value: object
) -> None:
    broken = copy.deepcopy(WHOLE)
    inside: Any = broken
    for step in way[:-1]:
        inside = inside[step]
    inside[way[-1]] = value
    fine = [
        deployment(name="fine", service="fine"),
        endpoint_slice("10.0.0.7", service="fine"),
        secret(service="fine"),
        unready()[1],
    ]
    state = discover(Objects(*zip(broken, fine, strict=True)))
    assert state.services["fine"].replicas == {Replica("10.0.0.7", 5001)}
    assert len(state.services["fine"].keys) == 2
    assert "fine" not in state.errors
