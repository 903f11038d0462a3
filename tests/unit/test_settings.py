"""A stack file's settings: what is accepted, and what is said of each mistake."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from slipway.problems import Problems
from slipway.schema import reference, schema
from slipway.settings import Settings, parse

PROJECT = Path(__file__).parents[2]
KUBERNETES: dict[str, Any] = {"slipway:kubernetes": {"context": "kind"}}
SERVICE: dict[str, Any] = {"name": "abc", "entry_script": "score.py"}


def read(config: dict[str, Any], secret: tuple[str, ...] = ()) -> Settings:
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    return parse(texts, secret)


def lines_of(config: dict[str, Any], secret: tuple[str, ...] = ()) -> tuple[str, ...]:
    with pytest.raises(Problems) as caught:
        read(KUBERNETES | config, secret)
    return caught.value.lines


def test_only_the_context_is_required() -> None:
    settings = read(KUBERNETES)
    assert settings.router.port == 8080
    assert settings.webservices == ()


def test_keys_of_others_are_left_alone() -> None:
    assert read(KUBERNETES | {"kubernetes:context": "x", "aws:region": "y"}) == read(KUBERNETES)


def test_a_stack_file_with_ten_mistakes_reports_ten() -> None:
    with pytest.raises(Problems) as caught:
        read(
            {
                "slipway:ruoter": {},
                "slipway:router": {"port": 80, "service_type": "LB"},
                "slipway:webservices": [
                    {"name": "abc", "entry_script": "score.py", "gpu_cores": 1.5, "cpu": 1},
                    {"name": "abd", "scoring_timeout_ms": 0},
                    "text",
                ],
                "slipway:abc.secondary_key": "plain",
            },
        )
    lines = caught.value.lines
    assert len(lines) == 10, "\n".join(lines)
    for start in (
        "slipway:kubernetes and azure: a stack stands on one of them",
        "slipway:ruoter = {}: no such setting; did you mean `router`?",
        "slipway:router.port = 80: must be greater than or equal to 1024; give a port from 1024",
        "slipway:webservices[abc].gpu_cores = 1.5",
        "slipway:webservices[abd]: entry_script is required",
        'slipway:webservices[2] = "text"',
        "slipway:abc.secondary_key: is a secret",
    ):
        assert any(line.startswith(start) for line in lines), start


def test_a_plain_key_is_refused_with_the_command_that_sets_it_and_not_repeated() -> None:
    for lines in (
        lines_of({"slipway:webservices": [SERVICE | {"primary_key": "tops3cret"}]}),
        lines_of({"slipway:webservices": [SERVICE], "slipway:abc.primary_key": "tops3cret"}),
    ):
        assert len(lines) == 1
        assert "pulumi config set --secret 'slipway:abc.primary_key'" in lines[0]
        assert "tops3cret" not in lines[0]


def test_secret_keys_are_taken_for_services_that_exist() -> None:
    secret = ("slipway:abc.primary_key", "slipway:abc.secondary_key")
    services = {"slipway:webservices": [SERVICE]}
    assert (
        read(KUBERNETES | services | dict.fromkeys(secret, "[unknown]"), secret).webservices[0].name == "abc"
    )
    assert "did you mean `abc`?" in lines_of(services, ("slipway:abd.primary_key",))[0]
    assert "needs a primary one" in lines_of(services, ("slipway:abc.secondary_key",))[0]
    assert "only keys are secret here" in lines_of(services, ("slipway:ruoter",))[0]
    assert "nothing can be encrypted here or inside" in lines_of(services, ("slipway:router",))[0]


@pytest.mark.parametrize(
    "config",
    [
        {"slipway:webservices": [SERVICE | {"primry_key": "tops3cret"}]},
        {"slipway:webservices": [SERVICE | {"primary_kye": ["tops3cret"]}]},
        {"slipway:webservices": [SERVICE | {"environment": {"api-key": "tops3cret"}}]},
        {"slipway:webservices": [SERVICE | {"environment": [{"password": "tops3cret"}]}]},
        {"slipway:webservices": SERVICE | {"primary_key": "tops3cret"}},
        {"slipway:abc.primary-key": "tops3cret"},
        {"slipway:abcsecret": {"a": ["tops3cret"]}},
    ],
    ids=["misspelt", "letters-swapped", "elsewhere", "in-a-list", "no-list", "other-mark", "inside"],
)
def test_what_may_be_a_secret_is_not_repeated_where_it_does_not_belong(config: dict[str, Any]) -> None:
    assert "tops3cret" not in "\n".join(lines_of(config))


def test_names_are_unique_in_a_cluster() -> None:
    (line,) = lines_of({"slipway:webservices": [SERVICE, SERVICE]})
    assert line.startswith("slipway:webservices: 2 are named `abc`")
    wrong = lines_of({"slipway:webservices": [SERVICE, SERVICE | {"gpu_cores": -1}]})
    assert [line.partition(":")[2].partition(" ")[0] for line in wrong] == [
        "webservices[abc].gpu_cores",
        "webservices:",
    ]


@pytest.mark.parametrize("value", ["text", [], 1, None])
def test_a_setting_of_another_shape_is_one_line(value: Any) -> None:
    (line,) = lines_of({"slipway:router": value})
    assert line.startswith("slipway:router")


@pytest.mark.parametrize("value", ["text", {}, 1])
def test_web_services_are_a_list(value: Any) -> None:
    (line,) = lines_of({"slipway:webservices": value})
    assert line.startswith("slipway:webservices")


def test_the_schema_for_editors_is_the_generated_one() -> None:
    stored = json.loads((PROJECT / "stacks" / "schema.json").read_text(encoding="utf-8"))
    assert stored == schema(), "run `make schema`"


def test_the_reference_for_people_is_the_generated_one() -> None:
    stored = (PROJECT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert stored == reference(), "run `make schema`"


@pytest.mark.parametrize(
    "path", sorted((PROJECT / "stacks").glob("Pulumi.*.yaml")), ids=lambda path: path.name
)
def test_each_stack_file_passes_the_schema_and_the_parser(path: Path) -> None:
    stack = yaml.safe_load(path.read_text(encoding="utf-8"))
    jsonschema.validate(stack, schema())
    read(stack["config"])


def test_the_schema_refuses_what_the_parser_refuses() -> None:
    for config in (
        {"slipway:kubernetes": {"context": "x"}, "slipway:ruoter": {}},
        {"slipway:kubernetes": {"context": "x"}, "slipway:webservices": [SERVICE | {"cpu": 1}]},
        {"slipway:kubernetes": {"context": "x"}, "slipway:abc.primary_key": "plain"},
        {},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"config": config}, schema())


def test_telemetry_without_a_workspace_needs_a_collector() -> None:
    exporting = SERVICE | {"enable_app_insights": True}
    (line,) = lines_of({"slipway:webservices": [exporting]})
    assert line.startswith("slipway:webservices[abc].enable_app_insights = true without azure: ")
    collector = {"environment_variables": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}}
    named = exporting | {"environment": collector}
    assert read(KUBERNETES | {"slipway:webservices": [named]}).webservices[0].enable_app_insights
