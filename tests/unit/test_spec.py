"""A web service's type: v1's parameters, defaults and rules, and every mistake in one report."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from slipway.problems import explain
from slipway.spec import Serving, WebserviceSpec, is_key

V1_DEFAULTS: dict[str, object] = {
    "autoscale_enabled": True,
    "autoscale_min_replicas": 1,
    "autoscale_max_replicas": 10,
    "autoscale_refresh_seconds": 1,
    "autoscale_target_utilization": 70,
    "collect_model_data": False,
    "auth_enabled": True,
    "cpu_cores": 0.1,
    "memory_gb": 0.5,
    "enable_app_insights": False,
    "scoring_timeout_ms": 60000,
    "replica_max_concurrent_requests": 1,
    "max_request_wait_time": 500,
    "num_replicas": None,
    "primary_key": None,
    "secondary_key": None,
    "tags": {},
    "properties": {},
    "description": None,
    "gpu_cores": 0,
    "period_seconds": 10,
    "initial_delay_seconds": 310,
    "timeout_seconds": 2,
    "success_threshold": 1,
    "failure_threshold": 3,
    "namespace": "slipway-services",
    "token_auth_enabled": False,
    "compute_target_name": None,
    "cpu_cores_limit": None,
    "memory_gb_limit": None,
    "blobfuse_enabled": True,
}


def spec(**fields: Any) -> WebserviceSpec:
    return WebserviceSpec.model_validate({"name": "abc", "entry_script": "score.py"} | fields)


def mistakes(**fields: Any) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        spec(**fields)
    return explain(caught.value, WebserviceSpec, lambda location: ".".join(map(str, location)))


def test_all_31_parameters_of_v1_have_v1s_server_defaults() -> None:
    assert len(V1_DEFAULTS) == 31
    given = spec().model_dump()
    assert {name: given[name] for name in V1_DEFAULTS} == V1_DEFAULTS


@pytest.mark.parametrize(
    ("field", "inside", "outside"),
    [
        ("autoscale_target_utilization", [1, 100], [0, 101, 150]),
        ("autoscale_min_replicas", [0, 1, 10], [-1, 1.0]),
        ("autoscale_refresh_seconds", [1], [0, 0.5]),
        ("num_replicas", [1, 1000, 2**31 - 1], [0, -1, 1.0, True, 2**31]),
        ("gpu_cores", [0, 8], [-1, 1.5]),
        ("scoring_timeout_ms", [1, 300_000], [0, 300_001]),
        ("max_request_wait_time", [1, 300_000], [0, 300_001]),
        ("replica_max_concurrent_requests", [1], [0, "1"]),
        ("cpu_cores", [0.001, 0.1, 2], [0, -0.1, 0.0004, "1"]),
        ("memory_gb", [0.001, 0.5], [0, 0.0004]),
        ("success_threshold", [1], [0, 2]),
        ("period_seconds", [1], [0]),
        ("name", ["abc", "a" * 32, "a-1"], ["ab", "a" * 33, "1bc", "abc-", "Abc", "a_c", "a.c", "abc\n"]),
        ("namespace", ["a", "0-a", "a" * 63], ["", "-a", "a-", "A", "a" * 64, "a.b"]),
        ("compute_target_name", ["aks", "a" * 24], ["ak", "a" * 25]),
        ("environment", [{"python_version": "3.11"}, {"python_version": ">=3.10,<3.13"}],
         [{"python_version": "three"}, {"environment_variables": {"A-B": "1"}}, {"imgae": "x"}]),
        ("models", [["m"] * 0, ["a/b.pkl"], [f"azureml:m:{i}" for i in range(1, 1001)]],
         ["a.pkl", [1], [str(i) for i in range(1001)]]),
    ],
)  # fmt: skip
def test_values_just_inside_pass_and_just_outside_are_refused(
    field: str, inside: list[Any], outside: list[Any]
) -> None:
    for value in inside:
        spec(**{field: value})
    for value in outside:
        lines = mistakes(**{field: value})
        assert len(lines) == 1
        assert lines[0].startswith(field)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"autoscale_enabled": True, "num_replicas": 2}, "remove one of the two"),
        ({"autoscale_enabled": False}, "set num_replicas"),
        ({"autoscale_min_replicas": 5, "autoscale_max_replicas": 4}, "lower the first or raise the second"),
        ({"num_replicas": 2, "autoscale_max_replicas": 4}, "autoscale_max_replicas = 4 without autoscaling"),
        ({"auth_enabled": True, "token_auth_enabled": True}, "keys or tokens, not both"),
        ({"cpu_cores": 2.0, "cpu_cores_limit": 1.0}, "raise cpu_cores_limit to 2"),
        ({"memory_gb": 2.0, "memory_gb_limit": 1.5}, "raise memory_gb_limit to 2"),
        ({"secondary_key": "s" * 32}, "give primary_key too"),
        ({"entry_script": None}, "entry_script is required"),
        ({"models": ["a/m.pkl", "b/m.pkl"]}, "two models are named `m.pkl`"),
        ({"models": ["a/m odel"]}, "`m odel` is no model name"),
        ({"models": ["azureml:m"]}, "`azureml:m` names no version"),
        ({"models": ["azureml:m:1", "azureml:m:1"]}, "azureml:m:1 is there twice; remove one"),
        ({"models": ["azureml:m:1", "a/n.pkl"]}, "register it too: slipway models register n.pkl a/n.pkl"),
        ({"name": "router"}, "name = router is the router's own"),
        ({"namespace": "slipway"}, "the router's own"),
        ({"namespace": "gpu-resources"}, "namespace = gpu-resources is the device plugin's own"),
        ({"namespace": "default"}, "namespace = default is Kubernetes' own"),
        ({"namespace": "kube-system"}, "namespace = kube-system is Kubernetes' own"),
        ({"primary_key": ""}, "primary_key: a key is one or more visible ASCII characters"),
        ({"primary_key": "k", "secondary_key": "schlüssel"}, "secondary_key: a key is one or more"),
        (
            {"data_collector": {"sampling_rate": 0.5}},
            "data_collector without collect_model_data has no effect",
        ),
        ({"environment": {"environment_variables": {"PORT": "1"}}}, "rename yours"),
        ({"environment": {"environment_variables": {"PYTHONPATH": "lib"}}}, "or use sys.path"),
        ({"environment": {"environment_variables": {"PYTHONUSERBASE": "/x"}}}, "environment.requirements"),
        ({"environment": {"environment_variables": {"AML_APP_ROOT": "/x"}}}, "`source_directory`; remove it"),
        ({"environment": {"environment_variables": {"AZUREML_ENTRY_SCRIPT": "a.py"}}}, "set entry_script"),
        ({"environment": {"environment_variables": {"AZUREML_MODEL_DIR": "/x"}}}, "set models instead"),
        (
            {
                "environment": {"image": "a/b:1", "environment_variables": {"AZUREML_MODEL_DIR": "/x"}},
                "models": ["azureml:m:1"],
            },
            "AZUREML_MODEL_DIR: Slipway sets this variable itself; set models instead",
        ),
        ({"environment": {"environment_variables": {"WORKER_COUNT": "many"}}}, "WORKER_COUNT = many is no"),
        (
            {
                "environment": {"environment_variables": {"WORKER_COUNT": "2"}},
                "max_batch_size": 3,
                "replica_max_concurrent_requests": 5,
            },
            "is above replica_max_concurrent_requests = 5: raise that to 6, or lower one of the two",
        ),
        ({"batch_wait_ms": 9}, "batch_wait_ms = 9 without batches has no effect: set max_batch_size"),
    ],
)
def test_rules_across_fields_name_the_remedy(fields: dict[str, Any], line: str) -> None:
    lines = mistakes(**fields)
    assert any(line in found for found in lines), lines


def test_variables_of_images_that_slipway_builds_are_free_in_others() -> None:
    own = {"PYTHONPATH": "lib", "AZUREML_ENTRY_SCRIPT": "a.py", "AZUREML_MODEL_DIR": "/models"}
    image = {"image": "registry.example.com/mine:1", "environment_variables": own}
    assert spec(environment=image).environment.environment_variables == own
    kept = {"PATH": "/opt/bin", "LD_LIBRARY_PATH": "/opt/lib", "PYTHONHASHSEED": "0", "WORKER_COUNT": "1"}
    assert spec(environment={"environment_variables": kept}).environment.environment_variables == kept


def test_all_mistakes_come_at_once() -> None:
    lines = mistakes(
        name="Bad",
        gpu_cores=1.5,
        cpu=1,
        scoring_timeout_ms=300_001,
        cpu_cores=2.0,
        cpu_cores_limit=1.0,
        autoscale_min_replicas=11,
        environment={"pyhton_version": "3.11"},
    )
    assert len(lines) == 7, lines
    assert "cpu = 1: no such setting; did you mean `cpu_cores`?" in lines
    assert "environment.pyhton_version" in "\n".join(lines)


def test_a_secret_never_shows_in_a_mistake() -> None:
    lines = mistakes(primary_key=["tops3cret"], secondary_key={"x": "tops3cret"}, cpu_cores=0)
    assert len(lines) >= 3
    assert "tops3cret" not in "\n".join(lines)
    assert "tops3cret" not in repr(spec(primary_key="tops3cret"))


@pytest.mark.parametrize("text", ["", " ", "k ", "\tk", "a\nb", "schlüssel", "\x7f"])
def test_what_a_header_cannot_carry_is_no_key(text: str) -> None:
    assert not is_key(text)
    assert all(map(is_key, ["k", "with space", "a+/="]))


def test_token_auth_turns_key_auth_off_unless_both_are_asked_for() -> None:
    serving = Serving.model_validate({"token_auth_enabled": True})
    assert not serving.auth_enabled


servings = st.one_of(
    st.fixed_dictionaries({"num_replicas": st.integers(1, 500)}),
    st.fixed_dictionaries(
        {"autoscale_min_replicas": st.integers(1, 9), "autoscale_max_replicas": st.integers(9, 99)}
    ),
).flatmap(
    lambda scaling: st.fixed_dictionaries(
        {
            "replica_max_concurrent_requests": st.integers(1, 1000),
            "scoring_timeout_ms": st.integers(1, 300_000),
            "max_request_wait_time": st.integers(1, 300_000),
            "auth_enabled": st.booleans(),
        }
    ).map(lambda rest: scaling | rest)
)


@given(servings)
def test_serving_comes_back_from_json(fields: dict[str, Any]) -> None:
    serving = spec(**fields).serving()
    assert type(serving) is Serving
    assert Serving.model_validate_json(serving.model_dump_json()) == serving
    assert serving.model_dump() == {name: getattr(spec(**fields), name) for name in Serving.model_fields}


def test_serving_holds_no_key_path_or_model() -> None:
    text = spec(primary_key="k3y", models=["m/x.pkl"], source_directory="src").serving().model_dump_json()
    assert not any(word in text for word in ("k3y", "x.pkl", "src", "score.py"))
