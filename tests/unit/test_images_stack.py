"""How a stack with a registry knows its images: by digest once they were built here, and as what they are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from slipway.engine import UNKNOWN, Graph, run
from slipway.images import store
from slipway.images.build import cached
from slipway.images.built import Built
from slipway.images.cache import VARIABLE, Cache
from slipway.images.oci import CONFIG, Descriptor, Manifest
from slipway.images.recipe import Recipe, environment_hash, router_recipe
from slipway.kube.resolve import IMAGE_PUSH, resolve
from slipway.plan import tree
from slipway.problems import Problems
from slipway.spec import IMAGE

PROJECT = Path(__file__).parents[2]
CONFIG_OF_STACK: dict[str, Any] = {
    "slipway:kubernetes": {"context": "test"},
    "slipway:images": {"registry": "registry.example.com/team", "architecture": "arm64"},
    "slipway:webservices": [
        {"name": "echo", "source_directory": "examples/echo", "entry_script": "score.py"}
    ],
}


@pytest.fixture(name="project")
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    project = tmp_path / "project"
    (project / "stacks").mkdir(parents=True)
    for name in ("__main__.py", "Pulumi.yaml"):
        shutil.copy(PROJECT / name, project / name)
    for name in ("components", "examples"):
        (project / name).symlink_to(PROJECT / name)
    (project / "stacks/Pulumi.test.yaml").write_text(yaml.safe_dump({"config": CONFIG_OF_STACK}))
    return project


def recipes(graph: Graph) -> dict[str, Recipe]:
    found = {one.name: one.inputs["recipe"] for one in graph.registrations if one.type == IMAGE}
    return {name: Recipe.from_dict(json.loads(json.dumps(recipe))) for name, recipe in found.items()}


def remember(recipe: Recipe, cache: Cache) -> None:
    """Let the base and the environment of a recipe be known, as after a build."""
    config = json.dumps({"architecture": recipe.architecture, "os": "linux"}).encode()
    built = Built(Manifest(Descriptor.of(config, CONFIG), ()), config)
    known = store.Known(built, built.manifest.digest)
    store.remember("bases", store.key(recipe.base_image, recipe.architecture), known, cache)
    store.remember("environments", environment_hash(recipe, known.digest), known, cache)


def test_where_nothing_was_built_the_plan_says_so_and_no_object_is_rendered(project: Path) -> None:
    graph = run(project, "test")
    pushes = [one for one in graph.registrations if one.type == IMAGE_PUSH]
    assert [one.inputs["digest"] for one in pushes] == [UNKNOWN, UNKNOWN]
    assert "registry.example.com/team/slipway/echo  digest: after build" in tree(graph)
    with pytest.raises(Problems) as caught:
        resolve(project, "test")
    assert any("Deployment slipway-services/echo" in line for line in caught.value.lines)


def test_what_was_built_is_known_by_digest_and_pushed_before_it_is_used(
    project: Path, tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "cache")
    made = recipes(run(project, "test"))
    assert {recipe.architecture for recipe in made.values()} == {"arm64"}
    for recipe in made.values():
        remember(recipe, cache)
    digest = cached(made["echo"], project, cache)
    assert digest is not None
    graph = run(project, "test")
    (deployment,) = (one for one in graph.registrations if ":Deployment" in one.type and one.name == "echo")
    reference = f"registry.example.com/team/slipway/echo@{digest}"
    assert reference in json.dumps(resolve(project, "test").objects)
    (push,) = (one for one in graph.registrations if one.type == IMAGE_PUSH and one.name == "echo")
    assert push.inputs["environments"] == "registry.example.com/team/slipway/environments"
    assert push.urn in deployment.dependencies


def test_on_this_machine_images_are_what_they_are_made_from(project: Path) -> None:
    resolved = resolve(project, "test", local=True)
    assert {reference.rpartition(":")[0].rpartition("/")[2] for reference in resolved.recipes} == {
        "echo",
        "router",
    }
    assert resolved.recipes.keys() >= {
        one["spec"]["template"]["spec"]["containers"][0]["image"]
        for one in resolved.objects
        if one["kind"] == "Deployment"
    }


def test_slipways_own_image_is_made_of_what_it_was_released_with() -> None:
    assert router_recipe("arm64") == Recipe(
        "router", base_image="mcr.microsoft.com/azurelinux/base/python:3.12", architecture="arm64"
    )
