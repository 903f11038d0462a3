"""Images built without Docker, looked up in real registries, pulled and run by containerd and runc."""

from __future__ import annotations

import subprocess
import tarfile
import urllib.error
import urllib.request
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from pathlib import Path

import pytest

from slipway.images.build import Image, Places, build, cached, kept
from slipway.images.cache import VARIABLE, Cache
from slipway.images.push import ImagePushProvider
from slipway.images.recipe import ENVIRONMENTS, Recipe, router_recipe, webservice_recipe
from slipway.images.registry import Registry
from slipway.problems import Problems
from slipway.spec import WebserviceSpec
from tests.cluster import debian
from tests.cluster.builders import builder, only, with_buildx
from tests.cluster.containers import Containerd, containerd, score, wait_ready
from tests.cluster.registries import RunningRegistry, registry
from tests.ports import free_port

REPOSITORY = "slipway/echo"
SCORE = "def init():\n    pass\n\n\ndef run(data):\n    return {'said': data}\n"
CONDA = """#!/bin/sh -e
case "$1 $2" in
"env create")
    test "$3 $4 $6" = "--quiet --prefix --file"
    python3 -m venv --without-pip "$5"
    cp "$7" "$5/asked.yml";;
"clean --all") ;;
*) exit 2;;
esac
"""
"""In conda's place, which no package registry has: takes the two commands that we give it."""


@dataclass(frozen=True)
class World:
    """A workspace's registry, a global one, one with the base image, and a project with one service."""

    workspace: RunningRegistry
    global_: RunningRegistry
    project: Path
    recipe: Recipe

    @property
    def places(self) -> Places:
        return Places(self.workspace.host, self.global_.host)

    @property
    def repository(self) -> str:
        return f"{self.workspace.host}/{REPOSITORY}"

    def write(self, name: str, text: str) -> None:
        (self.project / "src" / name).write_text(text, encoding="utf-8")


@pytest.fixture(name="base", scope="module")
def _base(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    with debian.served(tmp_path_factory.mktemp("base")) as reference:
        yield reference


@pytest.fixture(name="world")
def _world(tmp_path: Path, base: str) -> Generator[World]:
    source = tmp_path / "project" / "src"
    source.mkdir(parents=True)
    (source / "score.py").write_text(SCORE, encoding="utf-8")
    (tmp_path / "project" / "model.bin").write_bytes(b"weights" * 1000)
    spec = WebserviceSpec.model_validate(
        {
            "name": "echo",
            "source_directory": "src",
            "entry_script": "score.py",
            "models": ["model.bin"],
            "environment": {"base_image": base},
        }
    )
    with registry(tmp_path / "workspace") as workspace, registry(tmp_path / "global") as global_:
        project = tmp_path / "project"
        yield World(workspace, global_, project, webservice_recipe(spec, project))


def make(world: World, cache: Cache, said: list[str] | None = None) -> Image:
    return build(
        world.recipe, world.project, world.places, cache, say=said.append if said is not None else print
    )


def publish(repository: str, image: Image, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Push as `pulumi up` does."""
    monkeypatch.setenv(VARIABLE, str(cache.root))
    host = repository.partition("/")[0]
    inputs = {"repository": repository, "digest": image.digest, "tags": ["content"]}
    ImagePushProvider().create({**inputs, "environments": f"{host}/{ENVIRONMENTS}"})


def layers(image: Image) -> list[str]:
    return [layer.digest for layer in image.built.manifest.layers]


def moved(running: RunningRegistry, since: int) -> list[str]:
    """Give the uploads that a registry took."""
    return [path for method, path in running.requests()[since:] if method in {"PATCH", "PUT"}]


@pytest.fixture(name="runtime", scope="module")
def _runtime(tmp_path_factory: pytest.TempPathFactory) -> Generator[Containerd]:
    with containerd(tmp_path_factory.mktemp("c")) as running:
        yield running


def test_a_web_service_that_was_built_is_pulled_runs_and_scores(
    world: World, runtime: Containerd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path / "cache")
    assert cached(world.recipe, world.project, cache) is None
    image = make(world, cache)
    assert cached(world.recipe, world.project, cache) == image.digest
    assert world.workspace.requests()[-1][0] != "PUT", "building pushes nothing"
    publish(world.repository, image, cache, monkeypatch)
    reference = f"{world.repository}@{image.digest}"
    runtime.pull(reference)
    port, log = free_port(), tmp_path / "log"
    env = {"POD_IP": "127.0.0.1", "PORT": str(port)}
    with runtime.container(reference, "echo", env, log) as process:
        wait_ready(port, process, log)
        assert score(port, '"hello"') == {"said": '"hello"'}


def test_a_code_change_moves_the_code_alone_and_no_change_moves_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path / "cache")
    first = make(world, cache)
    publish(world.repository, first, cache, monkeypatch)
    since = len(world.workspace.requests())
    again = make(world, cache)
    publish(world.repository, again, cache, monkeypatch)
    assert again.digest == first.digest
    assert moved(world.workspace, since) == []
    world.write("score.py", SCORE + "# changed\n")
    changed = make(world, cache)
    publish(world.repository, changed, cache, monkeypatch)
    new = set(layers(changed)) - set(layers(first))
    assert len(new) == 1
    uploads = [path for path in moved(world.workspace, since) if "/blobs/" in path]
    assert {path.rpartition("digest=")[2].replace("%3A", ":") for path in uploads if "digest=" in path} == {
        *new,
        changed.built.manifest.config.digest,
    }


def test_an_environment_is_found_in_the_workspace_then_in_the_global_registry(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make(world, Cache(tmp_path / "first"))
    publish(world.repository, image, Cache(tmp_path / "first"), monkeypatch)
    said: list[str] = []
    other = Cache(tmp_path / "second")
    assert make(world, other, said).digest == image.digest
    assert said == []
    publish(
        f"{world.workspace.host}/slipway/other", image, other, monkeypatch
    )  # by mounts: it holds no such layer

    elsewhere = replace(world, workspace=world.global_, global_=world.workspace)
    third = Cache(tmp_path / "third")
    assert make(elsewhere, third, said).digest == image.digest
    assert said == []
    publish(elsewhere.repository, image, third, monkeypatch)
    with Registry(world.global_.host, ()) as client:
        assert client.digest(ENVIRONMENTS, image.environment_hash) == image.environment.manifest.digest
        assert client.digest(REPOSITORY, image.digest) == image.digest


def test_two_builders_at_once_make_the_same_image(world: World, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    with ThreadPoolExecutor() as pool:
        digests = {image.digest for image in pool.map(partial(make, world), [cache, cache])}
    assert len(digests) == 1
    assert not list(cache.root.rglob(".new-*"))


def test_a_corrupt_layer_is_made_again(world: World, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    image = make(world, cache)
    ours = image.built.manifest.layers[1:]
    for layer in ours:
        content = bytearray(cache.path(layer.digest).read_bytes())
        content[-1] ^= 1
        cache.path(layer.digest).write_bytes(content)
    assert make(world, cache).digest == image.digest
    assert all(cache.has(layer, verify=True) for layer in ours)


def test_a_full_disk_is_said_and_leaves_nothing_half_made(world: World, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=True)
    try:
        with pytest.raises(Problems, match="No space left on device; make room there, or name another"):
            make(world, Cache(small / "cache"))
        blobs = [path for path in (small / "cache/blobs/sha256").iterdir() if path.name.startswith(".new-")]
        assert blobs == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_base_image_that_does_not_exist_is_named(world: World, tmp_path: Path) -> None:
    recipe = replace(world.recipe, base_image=f"{world.workspace.host}/no/such:1")
    with pytest.raises(Problems, match=r"no/such:1: .* has no such image; correct the reference"):
        build(recipe, world.project, world.places, Cache(tmp_path / "cache"))


def test_slipways_own_image_runs_the_router(
    world: World, base: str, runtime: Containerd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, repository = Cache(tmp_path / "cache"), f"{world.workspace.host}/slipway/router"
    image = build(replace(router_recipe(), base_image=base), world.project, world.places, cache)
    publish(repository, image, cache, monkeypatch)
    runtime.pull(reference := f"{repository}@{image.digest}")
    port, admin, log = free_port(), free_port(), tmp_path / "log"
    env = {"POD_IP": "127.0.0.1", "POD_NAME": "router", "PORT": str(port), "ADMIN_PORT": str(admin)}
    env |= {"SLIPWAY_RUN_DIR": "/tmp/run", "SLIPWAY_OBJECTS": "/tmp/objects"}
    with runtime.container(reference, "router", env, log) as process:
        wait_ready(admin, process, log)
        with pytest.raises(urllib.error.HTTPError) as answer:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/service/none/score", timeout=5)
        assert answer.value.code == HTTPStatus.NOT_FOUND
        answer.value.close()


@pytest.mark.parametrize("name", ["buildah", "podman", "docker"])
def test_a_dockerfile_makes_the_base_with_each_builder_and_goes_to_the_registry(
    world: World, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    text = f"FROM {base}\nENV MODE=test\nRUN python3 -c \"open('/made', 'w').write('here')\"\n"
    recipe = replace(world.recipe, base_image="", base_dockerfile=text)
    cache = Cache(tmp_path / "cache")
    with builder(name, tmp_path / "builder", base.partition("/")[0]) as environment:
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        image = build(recipe, world.project, world.places, cache)
    assert image.built.variables["MODE"] == "test"
    assert image.built.settings["Entrypoint"][-1] == "slipway.scoring"
    made = cache.path(image.built.manifest.layers[1].digest)
    with tarfile.open(made) as layer:
        content = layer.extractfile("made")
        assert content is not None
        assert content.read() == b"here"
    assert build(recipe, world.project, world.places, cache).digest == image.digest
    assert kept(image.digest, cache) == image
    assert cached(recipe, world.project, cache) == image.digest
    publish(world.repository, image, cache, monkeypatch)
    with Registry(world.workspace.host, ()) as client:
        assert client.manifest(REPOSITORY, image.digest) == (image.digest, image.built.manifest)


def test_a_conda_file_makes_the_base_with_the_conda_of_its_image(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = "dependencies:\n- python=3.11\n- numpy\n"
    with (
        debian.served(tmp_path / "base", {"conda": CONDA}) as base,
        builder("buildah", tmp_path / "builder", base.partition("/")[0]) as environment,
    ):
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        recipe = replace(world.recipe, base_image=base, conda_file=file)
        image = build(recipe, world.project, world.places, cache := Cache(tmp_path / "cache"))
    assert image.built.variables["PATH"].startswith("/opt/slipway/bin:/azureml-envs/slipway/bin:")
    assert image.built.settings["User"] == "1000:1000"
    found: dict[str, bytes] = {}
    for layer in image.built.manifest.layers:
        with tarfile.open(cache.path(layer.digest)) as content:
            asked = [one for one in content if one.name.startswith("azureml-envs/slipway/") and one.isfile()]
            found |= {one.name: reader.read() for one in asked if (reader := content.extractfile(one))}
    assert found["azureml-envs/slipway/asked.yml"] == file.encode()


@pytest.mark.parametrize("plugin", [True, False], ids=["no daemon", "no buildx"])
def test_docker_that_cannot_build_is_told_what_to_do(
    world: World, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugin: bool
) -> None:
    monkeypatch.setenv("PATH", str(only("docker", tmp_path / "bin")))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody")
    if plugin:
        with_buildx(tmp_path)
    recipe = replace(world.recipe, base_image="", base_dockerfile=f"FROM {base}\n")
    with pytest.raises(Problems, match="start Docker, and run `docker buildx create --use"):
        build(recipe, world.project, world.places, Cache(tmp_path / "cache"))
