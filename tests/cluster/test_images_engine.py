"""The dynamic resource on Pulumi's own engine, where that is on PATH: what it does, what its state holds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import yaml

from slipway.images.cache import VARIABLE, Cache
from slipway.images.credentials import Login
from slipway.images.oci import CONFIG, Manifest
from slipway.images.registry import Registry
from slipway.images.transfer import Place, push
from tests.cluster.registries import PAIR, PASSWORD, USER, RunningRegistry, docker_login, guarded
from tests.cluster.test_images_push import image
from tests.engine.real import CommandError, Real, Step

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("pulumi", "pulumi-language-python", "pulumi-resource-pulumi-python"))),
    reason="pulumi is not on PATH: the dynamic resource ran through its provider class alone",
)
PROGRAM = """
import pulumi

from slipway.images.push import ImagePush, ImagePushArgs

config = pulumi.Config()
place = config.require("place")
tags, environments = [config.require("tag")], f"{place}/environments"
args = ImagePushArgs(f"{place}/diabetes", config.require("digest"), tags, environments)
pushed = ImagePush("diabetes", args)
pulumi.export("digest", pushed.digest)
"""
STACK = "dev"


@pytest.fixture(name="workspace")
def _workspace(tmp_path: Path) -> Generator[RunningRegistry]:
    with guarded(tmp_path / "workspace") as running:
        docker_login(tmp_path, running.host)
        yield running


@pytest.fixture(name="cache")
def _cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture(name="stack")
def _stack(tmp_path: Path, workspace: RunningRegistry, cache: Cache) -> Real:
    project = tmp_path / "pushing"
    project.mkdir()
    (project / "__main__.py").write_text(PROGRAM)
    (project / "Pulumi.yaml").write_text(yaml.safe_dump({"name": "pushing", "runtime": "python"}))
    values = {"place": f"{workspace.host}/slipway", "digest": image(cache, b"code"), "tag": "v1"}
    config = {f"pushing:{name}": value for name, value in values.items()}
    (project / f"Pulumi.{STACK}.yaml").write_text(yaml.safe_dump({"config": config}))
    environment = {VARIABLE: str(cache.root), "DOCKER_CONFIG": str(tmp_path)}
    stack = Real(project, tmp_path / "engine", environment)
    stack.create(STACK)
    return stack


def setting(stack: Real, **values: str) -> None:
    with stack.config(STACK) as config:
        config.update({f"pushing:{name}": value for name, value in values.items()})


def done(steps: list[Step]) -> list[str]:
    return [step.op for step in steps if step.name == "diabetes"]


def up(stack: Real) -> list[str]:
    return done(stack.steps("up", "--yes", "--skip-preview", "--stack", STACK))


def refreshed(stack: Real) -> list[str]:
    return done(stack.steps("refresh", "--yes", "--skip-preview", "--stack", STACK))


def tags(workspace: RunningRegistry, repository: str = "slipway/diabetes") -> dict[str, str | None]:
    with Registry(workspace.host, [Login(USER, PASSWORD)]) as client:
        return {tag: client.digest(repository, tag) for tag in ("v1", "v2")}


def state(stack: Real) -> dict[str, Any]:
    return json.loads(stack.run("stack", "export", "--stack", STACK))


def test_nothing_is_pushed_or_asked_in_a_preview(stack: Real, workspace: RunningRegistry) -> None:
    stack.run("preview", "--stack", STACK)
    assert workspace.requests() == []


def test_an_image_is_created_updated_and_stays_when_it_is_deleted(
    stack: Real, workspace: RunningRegistry, cache: Cache
) -> None:
    first, second = image(cache, b"code"), image(cache, b"changed")
    assert up(stack) == ["create"]
    assert tags(workspace) == {"v1": first, "v2": None}
    assert up(stack) == []
    assert refreshed(stack) == []
    setting(stack, digest=second, tag="v2")
    assert up(stack) == ["update"]
    assert tags(workspace) == {"v1": first, "v2": second}
    stack.run("destroy", "--yes", "--skip-preview", "--stack", STACK)
    assert tags(workspace) == {"v1": first, "v2": second}


def test_another_repository_is_a_replacement_that_leaves_the_old_image(
    stack: Real, workspace: RunningRegistry, cache: Cache
) -> None:
    up(stack)
    setting(stack, place=f"{workspace.host}/other")
    assert up(stack) == ["create-replacement", "replace", "delete-replaced"]
    assert tags(workspace)["v1"] == tags(workspace, "other/diabetes")["v1"] == image(cache, b"code")


def test_an_image_that_is_gone_is_forgotten_by_a_refresh_and_made_anew(
    stack: Real, workspace: RunningRegistry, cache: Cache
) -> None:
    up(stack)
    shutil.rmtree(workspace.store)
    assert refreshed(stack) == ["delete"]
    assert tags(workspace) == {"v1": None, "v2": None}
    assert up(stack) == ["create"]
    assert tags(workspace)["v1"] == image(cache, b"code")


def test_a_tag_that_somebody_moved_is_set_again_after_a_refresh(
    stack: Real, workspace: RunningRegistry, cache: Cache
) -> None:
    up(stack)
    other = Manifest(cache.put(b"another image", CONFIG), ())
    with Registry(workspace.host, [Login(USER, PASSWORD)]) as client:
        push(Place(client, "slipway/diabetes"), other, cache.path, tags=("v1",))
    assert tags(workspace)["v1"] == other.digest
    assert refreshed(stack) == ["update"]
    assert up(stack) == ["update"]
    assert tags(workspace)["v1"] == image(cache, b"code")


def test_a_rollback_moves_the_tag_and_nothing_else(
    stack: Real, workspace: RunningRegistry, cache: Cache
) -> None:
    first = image(cache, b"code")
    up(stack)
    setting(stack, digest=image(cache, b"changed"))
    up(stack)
    shutil.rmtree(cache.root)
    setting(stack, digest=first)
    assert up(stack) == ["update"]
    assert tags(workspace)["v1"] == first


def test_the_state_holds_plain_inputs_and_no_credential(
    stack: Real, workspace: RunningRegistry, cache: Cache
) -> None:
    up(stack)
    text = json.dumps(state(stack))
    assert PAIR not in text
    assert PASSWORD not in text
    (found,) = [one for one in state(stack)["deployment"]["resources"] if one["urn"].endswith("::diabetes")]
    assert found["id"] == f"{workspace.host}/slipway/diabetes"
    secret = found["inputs"].pop("__provider")
    assert "ciphertext" in secret
    assert found["inputs"] == {
        "repository": f"{workspace.host}/slipway/diabetes",
        "digest": image(cache, b"code"),
        "tags": ["v1"],
        "environments": f"{workspace.host}/slipway/environments",
    }


def test_a_refused_login_fails_the_update_with_what_to_do(
    stack: Real, workspace: RunningRegistry, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CommandError, match=f"asks for a login.*; run `docker login {workspace.host}`"):
        up(stack)
    assert tags(workspace) == {"v1": None, "v2": None}
