"""What builds a base from a Dockerfile: which builder, how it is called, and what is said where none can."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from slipway.images import dockerfile, store
from slipway.images.built import Built
from slipway.images.cache import Cache
from slipway.images.layers import TIME
from slipway.images.oci import CONFIG, MANIFEST, Descriptor, ImageReference, Manifest
from slipway.images.recipe import Recipe
from slipway.images.transport import NoSuchHostError, RegistryError
from slipway.problems import Problems

RECIPE = Recipe("scoring", base_dockerfile="FROM a.test/python:3\n", python_version="3.12")
WORKSPACE = "models.azurecr.io"
CONFIG_OF_IMAGE = b'{"architecture":"amd64","os":"linux"}'
BUILT = Built(Manifest(Descriptor.of(CONFIG_OF_IMAGE, CONFIG), ()), CONFIG_OF_IMAGE)
KNOWN = store.Known(BUILT, BUILT.manifest.digest)
OCI_REFUSED = "ERROR: OCI exporter is not supported for the docker driver. Switch to a different driver."


@dataclass(frozen=True)
class Machine:
    """What is on PATH: shell scripts that write down how they are called."""

    folder: Path

    @property
    def cache(self) -> Cache:
        return Cache(self.folder / "cache")

    def has(self, name: str, script: str) -> None:
        program = self.folder / "bin" / name
        program.write_text(f'#!/bin/sh\nfor one; do echo "$one"; done >> {self.folder}/{name}\n{script}\n')
        program.chmod(0o755)

    def called(self, name: str) -> list[str]:
        log = self.folder / name
        return log.read_text().splitlines() if log.exists() else []

    def build(self, workspace: str = WORKSPACE, *, preview: bool = False) -> store.Known:
        return dockerfile.build(RECIPE, None, workspace, self.cache, preview=preview)


@pytest.fixture(name="machine")
def _machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    (tmp_path / "bin").mkdir()
    for name in ("sh", "cp", "tar", "cat"):
        found = shutil.which(name)
        assert found is not None
        (tmp_path / "bin" / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return Machine(tmp_path)


@pytest.fixture(name="layout")
def _layout(tmp_path: Path) -> Path:
    """Make the OCI layout of an image, for a builder to give."""
    layout = tmp_path / "made"
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for content in (CONFIG_OF_IMAGE, BUILT.manifest.serialise()):
        (blobs / Descriptor.of(content, MANIFEST).digest.removeprefix("sha256:")).write_bytes(content)
    index = {
        "schemaVersion": 2,
        "manifests": [Descriptor.of(BUILT.manifest.serialise(), MANIFEST).to_dict()],
    }
    (layout / "index.json").write_text(json.dumps(index))
    return layout


def registry_gives(monkeypatch: pytest.MonkeyPatch, *answers: store.Known | Exception | None) -> None:
    """Let the workspace's registry answer so, one after the other."""
    left = list(answers)

    def fetch(_reference: ImageReference, _architecture: str, _cache: Cache) -> store.Known | None:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(store, "fetch", fetch)


def buildah(layout: Path) -> str:
    return f"""
case $1 in
  build) while [ "$1" != --iidfile ]; do shift; done; echo sha256:1 > "$2";;
  push) cp -r {layout} "${{3#oci:}}";;
esac"""


def docker(layout: Path) -> str:
    return f"""
while [ "$1" != --output ]; do shift; done
tar -cf "${{2#type=oci,dest=}}" -C {layout} ."""


def test_buildah_is_asked_before_docker_and_gives_an_oci_image(machine: Machine, layout: Path) -> None:
    machine.has("buildah", buildah(layout))
    machine.has("docker", docker(layout))
    assert machine.build() == KNOWN
    called = machine.called("buildah")
    assert called[:7] == ["build", "--format", "oci", "--platform", "linux/amd64", "--timestamp", str(TIME)]
    assert called[-2:] == ["rmi", "sha256:1"]
    assert machine.called("docker") == []


def test_docker_is_asked_before_acr_and_gives_an_oci_image(machine: Machine, layout: Path) -> None:
    machine.has("docker", docker(layout))
    machine.has("az", "")
    assert machine.build() == KNOWN
    called = machine.called("docker")
    assert called[:5] == ["buildx", "build", "--platform", "linux/amd64", "--provenance=false"]
    assert called[6].startswith("type=oci,dest=")
    assert machine.called("az") == []


@pytest.mark.parametrize(
    "said",
    [
        OCI_REFUSED,
        "error: oci exporter feature is currently not supported for docker driver. Please switch",
        "docker: 'buildx' is not a docker command.\nSee 'docker --help'",
        "docker: unknown command: docker buildx",
        "unknown flag: --platform\nSee 'docker --help'.\n" + "  run  Run a command\n" * 90,
        "ERROR: Cannot connect to the Docker daemon at unix:///var/run/docker.sock.",
    ],
)
def test_where_docker_cannot_build_the_remedy_is_said_and_the_dockerfile_not_blamed(
    machine: Machine, said: str
) -> None:
    machine.has("docker", f'cat >&2 <<"END"\n{said}\nEND\nexit 1')
    with pytest.raises(Problems, match="docker buildx create --use --driver docker-container") as caught:
        machine.build()
    assert "correct the Dockerfile" not in str(caught.value)


def test_where_docker_cannot_build_acr_does(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.has("docker", f'echo "{OCI_REFUSED}" >&2; exit 1')
    machine.has("az", "")
    with pytest.raises(dockerfile.OnlyWhenDeploying):
        machine.build(preview=True)
    assert machine.called("az") == []
    registry_gives(monkeypatch, None, KNOWN)
    assert machine.build() == KNOWN
    called = machine.called("az")
    assert called[:5] == ["acr", "build", "--registry", "models", "--image"]
    assert called[5].startswith("slipway/bases:")
    assert called[6:9] == ["--platform", "linux/amd64", "--only-show-errors"]


@pytest.mark.parametrize(
    ("program", "script", "name"),
    [
        ("docker", "echo '#7 unknown flag: --x' >&2", "docker buildx"),
        ("buildah", "echo '#7 unknown flag: --x' >&2", "buildah build"),
        ("az", "echo '#7 unknown flag: --x'; echo 'ERROR: Run failed' >&2", "az acr build"),
    ],
)
def test_a_dockerfile_that_fails_is_told_with_the_builders_last_words(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, program: str, script: str, name: str
) -> None:
    machine.has(program, f"{script}; exit 3")
    registry_gives(monkeypatch, None)
    with pytest.raises(Problems, match=rf"^{name} failed; correct the Dockerfile or conda file\n#7 unknown"):
        machine.build()


@pytest.mark.parametrize(
    "said",
    [
        "ERROR: Please run 'az login' to setup account.",
        "ERROR: (AuthorizationFailed) The client 'a@b.test' does not have authorization to perform action\n"
        "'Microsoft.ContainerRegistry/registries/scheduleRun/action'",
    ],
)
def test_where_acr_does_not_let_this_machine_build_the_login_is_named_and_the_dockerfile_not_blamed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    machine.has("az", f'cat >&2 <<"END"\n{said}\nEND\nexit 1')
    registry_gives(monkeypatch, None)
    with pytest.raises(Problems) as caught:
        machine.build()
    remedy = "run `az login`, or ask for the role Container Registry Tasks Contributor on models"
    assert caught.value.lines == (f"az acr build did not run; {remedy}\n{said}",)


def test_what_acr_has_built_is_not_built_again(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.has("az", "")
    registry_gives(monkeypatch, KNOWN)
    assert machine.build() == KNOWN
    assert machine.called("az") == []


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            NoSuchHostError(f"{WORKSPACE}: no such host", "correct the name"),
            f"{WORKSPACE}: does not exist yet, so it cannot build the base_dockerfile; deploy once without "
            "this service, or install buildah, podman or docker with buildx",
        ),
        (
            RegistryError(f"{WORKSPACE}: asks for a login", "run `az login`"),
            f"environment.base_dockerfile: {WORKSPACE}: asks for a login; run `az login`",
        ),
    ],
)
def test_a_registry_that_cannot_be_asked_is_a_problem_with_what_to_do(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, error: Exception, line: str
) -> None:
    machine.has("az", "")
    registry_gives(monkeypatch, error)
    with pytest.raises(Problems) as caught:
        machine.build()
    assert caught.value.lines == (line,)
    assert machine.called("az") == []


def test_without_a_builder_the_ways_to_one_are_named(machine: Machine) -> None:
    machine.has("az", "")
    with pytest.raises(Problems, match="nothing here builds images; install buildah, podman or docker"):
        machine.build("registry.example.com")


@pytest.mark.parametrize(
    ("error", "passed"),
    [
        (NoSuchHostError("a.test: no such host"), True),
        (RegistryError("a.test: answers 429", "try again later"), False),
        (RegistryError("a.test: this machine's login has expired", "run `az login`"), False),
    ],
)
def test_only_a_registry_that_does_not_exist_has_no_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, passed: bool
) -> None:
    said: list[str] = []

    def look() -> store.Known | None:
        references = ["a.test/slipway/environments:1", "b.test/slipway/environments:1"]
        return store.first(references, "amd64", Cache(tmp_path), said.append)

    registry_gives(monkeypatch, error, KNOWN)
    if passed:
        assert look() == KNOWN
        assert said == [f"no environment was looked up: {error}"]
    else:
        with pytest.raises(Problems, match=r"^environment a.test/slipway/environments:1: a.test: "):
            look()
