"""Versions of a web service: what may be written, what each has, who gets which part, what a name means."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.local.state import LocalError
from slipway.problems import Problems
from slipway.router.discovery import discover
from slipway.router.feed import Objects
from slipway.running.backend import called, versions
from slipway.settings import Settings, parse
from slipway.settings.readable import readable
from slipway.spec import SERVING, Served
from slipway.versions import WHOLE, Traffic, VersionOf, shares

Json = dict[str, Any]
SERVICE: Json = {"name": "iris", "entry_script": "score.py"}
TWO: Json = {"blue": {"traffic_percentile": 90, "is_default": True}, "green": {"traffic_percentile": 10}}


def config(*services: Json) -> dict[str, str]:
    return {"slipway:kubernetes": '{"context": "kind"}', "slipway:webservices": json.dumps(services)}


def read(*services: Json) -> Settings:
    return parse(config(*services))


def mistakes(*services: Json) -> list[str]:
    with pytest.raises(Problems) as refused:
        read(*services)
    return list(refused.value.lines)


def test_a_version_has_what_it_does_not_say_from_its_web_service() -> None:
    common = SERVICE | {"num_replicas": 2, "cpu_cores": 0.5, "namespace": "team"}
    own = {"num_replicas": None, "autoscale_max_replicas": 4, "models": ["model.bin"]}
    settings = read(common | {"versions": {"blue": {"is_default": True}, "green": own}})
    blue, green = settings.services
    assert (blue.name, blue.endpoint, blue.num_replicas, blue.autoscale_enabled) == (
        "iris-blue",
        "iris",
        2,
        False,
    )
    assert (green.name, green.endpoint, green.num_replicas, green.autoscale_enabled) == (
        "iris-green",
        "iris",
        None,
        True,
    )
    for one in settings.services:
        assert (one.cpu_cores, one.namespace, one.entry_script) == (0.5, "team", "score.py")
    assert (blue.models, green.models, green.autoscale_max_replicas) == ((), ("model.bin",), 4)
    annotation = Served.model_validate_json(green.serving().model_dump_json())
    assert annotation.version == VersionOf(endpoint="iris", name="green")
    assert "version" not in read(SERVICE).services[0].serving().model_dump()


def test_one_version_alone_is_the_default() -> None:
    (one,) = read(SERVICE | {"versions": {"blue": {}}}).services
    version = Served.model_validate_json(one.serving().model_dump_json()).version
    assert version is not None
    assert version.is_default


WRONG: list[tuple[Json, str]] = [
    ({"green": {"traffic_percentile": 10.5}}, "versions: traffic_percentile sums up to 100.5 (blue 90"),
    (
        {"green": {"is_default": True}},
        "versions: blue and green are default, which gets what is left of 100",
    ),
    ({"blue": {}}, "versions: none is the default"),
    ({f"v{number}": {} for number in range(5)}, "versions: there are 7, and at most 6 are possible"),
    (
        {"red": {"is_control_version_type": True}, "pink": {"is_control_version_type": True}},
        "versions: red and pink have is_control_version_type, which one may have",
    ),
    ({"green": {"auth_enabled": False}}, "versions.green: auth_enabled is the web service's"),
    (
        {"green": {"traffic_percentile": 1, "autoscale_min_replicas": 0}},
        "versions.green: autoscale_min_replicas = 0 with traffic",
    ),
    (
        {"green": {"cpu_cores": 2, "cpu_cores_limit": 1}},
        "versions.green: cpu_cores_limit = 1 is below cpu_cores",
    ),
]


@pytest.mark.parametrize(("change", "line"), WRONG)
def test_what_versions_may_not_be_is_said_with_its_remedy(change: Json, line: str) -> None:
    (found,) = mistakes(SERVICE | {"versions": TWO | change})
    assert found.startswith(f"slipway:webservices[iris]: {line}")


@pytest.mark.parametrize(
    ("versions", "place"),
    [
        ({"Blue": {}}, "webservices[iris].versions.Blue"),
        ({"b" * 31: {}}, f"webservices[iris].versions.{'b' * 31}"),
        ({"blue": {"traffic_percentile": 101}}, "webservices[iris].versions.blue.traffic_percentile = 101"),
        ({"blue": {"namespace": "other"}}, "webservices[iris].versions.blue.namespace"),
        ({"blue": {"primary_key": "secret!"}}, 'webservices[iris].versions.blue.primary_key = "[secret]"'),
    ],
)
def test_a_wrong_field_of_a_version_is_named_with_its_place(versions: Json, place: str) -> None:
    (found,) = mistakes(SERVICE | {"versions": versions})
    assert found.startswith(f"slipway:{place}")
    assert "secret!" not in found


def test_mistakes_of_all_versions_come_at_once_and_those_of_all_once() -> None:
    wrong = {"blue": {"is_default": True, "cpu_cores": -1}, "green": {"memory_gb": 2, "memory_gb_limit": 1}}
    found = mistakes({"name": "iris", "versions": wrong})
    assert [line.split(" = ")[0] for line in found] == [
        "slipway:webservices[iris].versions.blue.cpu_cores",
        "slipway:webservices[iris]: entry_script is required: name the Python file with `init` and `run`",
        "slipway:webservices[iris]: versions.green: memory_gb_limit",
    ]


def test_a_version_and_a_web_service_cannot_be_one_deployment() -> None:
    (line,) = mistakes(SERVICE | {"versions": {"blue": {}}}, SERVICE | {"name": "iris-blue"})
    assert line == (
        "slipway:webservices[iris].versions.blue: its Deployment iris-blue is that of another too; "
        "rename one of them"
    )


def test_files_of_versions_are_looked_for_also_where_settings_are_refused() -> None:
    wrong = SERVICE | {
        "cpu_cores": -1,
        "versions": TWO | {"green": {"models": ["none.bin"], "memory_gb": -1}},
    }
    assert [(spec.at, spec.models) for spec in readable(config(wrong))] == [
        ("webservices[iris].versions.blue", ()),
        ("webservices[iris].versions.green", ("none.bin",)),
    ]


@given(
    st.dictionaries(
        st.sampled_from("abcdef"), st.builds(Traffic, traffic_percentile=st.floats(0, 100)), min_size=1
    )
)
def test_shares_are_in_proportion_and_what_is_left_of_100_is_the_first_ones(
    traffic: dict[str, Traffic],
) -> None:
    found = shares(traffic)
    assert sum(found.values()) == pytest.approx(WHOLE, abs=len(traffic))
    total = max(100, sum(one.traffic_percentile for one in traffic.values()))
    default, *others = found
    assert default == next(iter(traffic))
    for name in others:
        assert found[name] == pytest.approx(WHOLE * traffic[name].traffic_percentile / total, abs=1)
    assert found[default] >= WHOLE * traffic[default].traffic_percentile / total - len(traffic)


def test_the_default_gets_what_is_left_wherever_it_stands() -> None:
    traffic = {"a": Traffic(traffic_percentile=5), "b": Traffic(is_default=True, traffic_percentile=20)}
    assert list(shares(traffic).items()) == [("b", 950_000), ("a", 50_000)]


def deployment(service: str, created: int, namespace: str = "team", **version: object) -> Json:
    serving = Served.model_validate({"auth_enabled": False, "version": version or None})
    metadata = {
        "name": service,
        "namespace": namespace,
        "labels": {"slipway/webservice": service},
        "annotations": {SERVING: serving.model_dump_json()},
        "creationTimestamp": f"2026-11-0{created}T00:00:00Z",
    }
    return {"kind": "Deployment", "metadata": metadata}


PLAIN, BLUE, GREEN = (
    deployment("iris", 2),
    deployment("iris-blue", 3, endpoint="iris", name="blue", is_default=True),
    deployment("iris-green", 4, endpoint="iris", name="green"),
)


@pytest.mark.parametrize(
    ("deployments", "routed"),
    [
        ([BLUE, GREEN], {"iris-blue", "iris-green"}),
        ([PLAIN, BLUE, GREEN], {"iris"}),
        ([deployment("iris", 5), BLUE, GREEN], {"iris-blue", "iris-green"}),
        ([BLUE, deployment("iris-red", 1, "thieves", endpoint="iris", name="red")], {"iris-red"}),
        ([BLUE, deployment("iris-red", 5, "thieves", endpoint="iris", name="red")], {"iris-blue"}),
    ],
)
def test_requests_go_to_what_had_the_name_first_and_to_versions_of_its_namespace(
    deployments: list[Json], routed: set[str]
) -> None:
    state = discover(Objects(deployments))
    assert {name for name, one in state.services.items() if one.routed} == routed
    assert len(state.services) == len(deployments)
    assert {one.reason for one in state.ignored} == (
        {"NameTaken"} if len(routed) < len(deployments) else set()
    )


@pytest.mark.parametrize(
    "version",
    [
        {"endpoint": "iris", "name": "red"},
        {"endpoint": "iris", "name": "blue\n http-request deny"},
        {"endpoint": "a b", "name": "blue"},
        {"endpoint": "iris", "name": "blue", "traffic_percentile": 101},
    ],
)
def test_an_annotation_that_is_not_of_this_deployment_or_is_wrong_is_an_error_of_it_alone(
    version: Json,
) -> None:
    obj = deployment("iris-blue", 3)
    serving = Served(auth_enabled=False).model_dump() | {"version": version}
    obj["metadata"]["annotations"][SERVING] = json.dumps(serving)
    state = discover(Objects([obj, GREEN]))
    assert state.services.keys() == {"iris-green"}
    assert state.errors.keys() == {"iris-blue"}


def test_a_name_means_a_web_service_or_one_of_its_versions() -> None:
    found = [BLUE, GREEN, deployment("plain", 1)]
    assert called(found, "iris") == ("iris", None, BLUE)
    assert called(found, "iris", "green") == ("iris", "green", GREEN)
    assert called(found, "iris-green") == ("iris", "green", GREEN)
    assert called(found, "plain")[:2] == ("plain", None)
    assert versions(found, "iris") == {"blue": BLUE, "green": GREEN}
    for name, version in (("iris", "red"), ("plain", "blue"), ("iris-blue", "green"), ("none", None)):
        with pytest.raises(LocalError):
            called(found, name, version)
