"""From a stack file to a scored request: our own program on Pulumi's engine, a registry, containerd and runc.

The cluster alone is missing: what it would be given is written as files, and the container that they ask for
is run from there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

from slipway.images.cache import VARIABLE
from slipway.images.credentials import Login
from slipway.images.oci import ImageReference, Manifest
from slipway.images.registry import Registry
from tests.cluster import debian
from tests.cluster.containers import containerd, score, wait_ready
from tests.cluster.proxies import Proxy, proxy
from tests.cluster.registries import PAIR, PASSWORD, USER, RunningRegistry, docker_login, guarded
from tests.engine import real
from tests.engine.real import Json, Real, Step
from tests.ports import free_port

pytestmark = pytest.mark.skipif(
    not real.available() or shutil.which("pulumi-resource-pulumi-python") is None,
    reason="pulumi and its plugins are not on PATH: images went from build to container without the engine",
)
ROOT = Path(__file__).parents[2]
STACK = "local"
KIB = 2**10
WEIGHTS = bytes(2**20)
UP = ("up", "--yes", "--skip-preview", "--stack", STACK)


@dataclass(frozen=True)
class Chain:
    """A stack whose images go to a registry with a password, through a proxy that counts what is sent."""

    stack: Real
    workspace: RunningRegistry
    way: Proxy
    rendered: Path

    def up(self) -> list[Step]:
        return self.stack.steps(*UP)

    @property
    def container(self) -> Json:
        """Give what the web service's Deployment asks to be run."""
        texts = [file.read_text() for file in self.rendered.rglob("*.yaml")]
        objects: list[Json] = [obj for text in texts for obj in yaml.safe_load_all(text)]
        named = {(obj["kind"], obj["metadata"]["name"]): obj for obj in objects}
        (container,) = named["Deployment", "echo"]["spec"]["template"]["spec"]["containers"]
        return container

    def image(self) -> Manifest:
        """Give the image of the Deployment as the registry has it."""
        reference = ImageReference.parse(self.container["image"])
        assert reference.digest
        with Registry(reference.host, [Login(USER, PASSWORD)]) as client:
            found = client.manifest(reference.repository, reference.digest)
        assert found is not None
        return found[1]

    def written(self, since: int = 0) -> set[str]:
        """Give the digests of the blobs that the registry took, and the paths of all else that changed it."""
        asked = self.workspace.requests()[since:]
        paths = [unquote(path) for method, path in asked if method not in {"GET", "HEAD"}]
        return {path.rpartition("digest=")[2] for path in paths}


@pytest.fixture(name="chain")
def _chain(tmp_path: Path) -> Generator[Chain]:
    with (
        debian.served(tmp_path / "base") as base,
        guarded(tmp_path / "workspace") as workspace,
        proxy(workspace.host) as way,
    ):
        docker_login(tmp_path, way.host)
        environment = {VARIABLE: str(tmp_path / "cache"), "DOCKER_CONFIG": str(tmp_path)}
        stack = Real(ROOT, tmp_path / "engine", environment)
        (stack.project / "weights.bin").write_bytes(WEIGHTS)
        with stack.config(STACK) as config:
            config["slipway:images"] = {"registry": way.host}
            config["slipway:router"]["image"] = f"{way.host}/slipway/router:1"
            service: dict[str, Any] = {"name": "echo", "source_directory": "examples/echo"}
            service |= {"entry_script": "score.py", "models": ["weights.bin"], "num_replicas": 1}
            config["slipway:webservices"] = [{**service, "environment": {"base_image": base}}]
        stack.create(STACK)
        yield Chain(stack, workspace, way, stack.into_files())


def test_an_image_goes_from_the_stack_file_into_a_container_and_only_what_changed_moves_again(
    chain: Chain, tmp_path: Path
) -> None:
    planned, _ = chain.stack.preview(STACK)
    assert "echo@sha256:" in json.dumps(planned), "the digest is known before anything is deployed"
    assert chain.written() == set()

    chain.up()
    first, container = chain.image(), chain.container
    assert {blob.digest for blob in first.blobs} <= chain.written()
    state = chain.stack.run("stack", "export", "--show-secrets", "--stack", STACK)
    assert not [secret for secret in (PAIR, PASSWORD) if secret in state + json.dumps(planned)]

    since, sent = len(chain.workspace.requests()), chain.way.sent
    assert chain.up() == []
    assert chain.written(since) == set()
    assert chain.container == container

    script = chain.stack.project / "examples/echo/score.py"
    script.write_text(script.read_text().replace('"running": running', '"running": "changed"'))
    changes = [step for step in chain.up() if not step.type.startswith("slipway:")]
    assert {(step.op, step.name) for step in changes} == {("update", "echo")}
    second = chain.image()
    new = {blob.digest for blob in second.blobs} - {blob.digest for blob in first.blobs}
    code = new - {second.config.digest}
    assert len(code) == 1
    assert new == {name for name in chain.written(since) if name.startswith("sha256:")}
    assert chain.way.sent - sent < 64 * KIB

    chain.stack.run("destroy", "--yes", "--skip-preview", "--stack", STACK)
    assert not list(chain.rendered.rglob("*.yaml"))
    reference = container["image"]
    port, log = free_port(), tmp_path / "log"
    given = {one["name"]: one["value"] for one in container["env"] if "value" in one}
    with containerd(tmp_path / "c") as runtime:
        runtime.pull(reference, login=f"{USER}:{PASSWORD}")
        env = given | {"POD_IP": "127.0.0.1", "PORT": str(port)}
        with runtime.container(reference, "echo", env, log) as process:
            wait_ready(port, process, log)
            answer = score(port, '{"a": 1}')
            assert isinstance(answer, dict)
            assert answer["echo"] == {"a": 1}
