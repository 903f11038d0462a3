"""Keys of the local stack: in its Secrets, and nowhere else that is shown, kept or applied."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from slipway.engine import EngineError, Graph, Made, Registration, Secret, run
from slipway.kube.random import PASSWORD
from slipway.kube.render import render, render_secrets
from slipway.kube.resolve import Resolver, from_graph, resolve
from slipway.plan import to_json, tree
from slipway.problems import Problems

ROOT = Path(__file__).parents[2]
KEYS = {"primary": "planted-primary-key-aaaaaaaaaaaa", "secondary": "planted-secondary-key-bbbbbbbbbb"}


def plant(registration: Registration) -> Made | None:
    """Resolve as ever, but with passwords that can be looked for."""
    if registration.type != PASSWORD:
        return Resolver()(registration)
    (key,) = (key for word, key in KEYS.items() if word in registration.name)
    return Made("none", {**registration.inputs, "result": Secret(key)})


@pytest.fixture(scope="module")
def graph() -> Graph:
    return run(ROOT, "local", resolve=plant)


def holds_a_key(text: str) -> bool:
    encoded = [base64.b64encode(key.encode()).decode() for key in KEYS.values()]
    return any(key in text for key in [*KEYS.values(), *encoded])


def test_when_keys_are_planted_then_the_plan_shows_none(graph: Graph) -> None:
    assert not holds_a_key(tree(graph))
    assert not holds_a_key(json.dumps(to_json(graph)))


def test_when_keys_are_planted_then_rendered_files_and_annotations_hold_none(graph: Graph) -> None:
    objects = from_graph(graph).objects
    assert not holds_a_key(render(objects))
    for obj in objects:
        assert not holds_a_key(json.dumps(obj["metadata"]))


def test_when_secrets_are_asked_for_then_they_alone_hold_the_keys(graph: Graph) -> None:
    secrets = list(yaml.safe_load_all(render_secrets(from_graph(graph).objects)))
    assert secrets
    assert all((secret["kind"], secret["stringData"]) == ("Secret", KEYS) for secret in secrets)


def test_when_the_stack_is_resolved_twice_then_keys_are_made_anew() -> None:
    first, second = (keys_of(resolve(ROOT, "local").objects) for _ in range(2))
    assert first.keys() == second.keys() == {"primary", "secondary"}
    assert not set(first.values()) & set(second.values())


def test_when_a_key_is_encrypted_config_then_plan_and_render_go_on_and_resolve_refuses(
    tmp_path: Path,
) -> None:
    project = copy_with(tmp_path, {"slipway:diabetes.primary_key": {"secure": "AAAA"}})
    assert "encrypted, so unknown here: slipway:diabetes.primary_key" in tree(run(project, "local"))
    assert "kind: Deployment" in render(resolve(project, "local", secrets=False).objects)
    with pytest.raises(Problems) as caught:
        resolve(project, "local")
    (line,) = caught.value.lines
    assert "Secret slipway/diabetes-keys, stringData" in line
    assert "`slipway:diabetes.primary_key`" in line
    assert "pulumi up" in line


def test_when_a_key_is_plain_config_then_the_stack_is_refused_without_repeating_it(tmp_path: Path) -> None:
    project = copy_with(tmp_path, {"slipway:diabetes.primary_key": KEYS["primary"]})
    with pytest.raises(EngineError, match="never plain text") as caught:
        run(project, "local")
    assert not holds_a_key(str(caught.value))


def keys_of(objects: list[dict[str, Mapping[str, str]]]) -> Mapping[str, str]:
    return next(obj["stringData"] for obj in objects if obj["metadata"]["name"] == "diabetes-keys")


def copy_with(folder: Path, config: Mapping[str, object]) -> Path:
    """Give a project folder of its own to the repository's program and examples, with more configuration."""
    for name in ("__main__.py", "components", "examples"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "Pulumi.yaml").write_text("name: slipway\nruntime: python\n")
    stack = yaml.safe_load((ROOT / "stacks" / "Pulumi.local.yaml").read_text())
    stack["config"].update(config)
    (folder / "Pulumi.local.yaml").write_text(yaml.safe_dump(stack))
    return folder
