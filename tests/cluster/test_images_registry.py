"""Images into a real registry and back: whole or not at all, and never a byte more than needed."""

from __future__ import annotations

import random
import subprocess
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from slipway.images.oci import Manifest, digest_of
from slipway.images.registry import Registry
from slipway.images.transfer import Place, push
from slipway.images.transport import RegistryError, Retries
from tests.cluster.blobs import KIB, Blobs, noise, pull
from tests.cluster.proxies import proxy
from tests.cluster.registries import RunningRegistry, registry

HASTY = Retries(attempts=4, first=0.01, longest=0.05)
NAME = "slipway/diabetes"
MIB = 2**20


@pytest.fixture(name="workspace")
def _workspace(tmp_path: Path) -> Generator[RunningRegistry]:
    with registry(tmp_path / "workspace") as running:
        yield running


@pytest.fixture(name="blobs")
def _blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def to(host: str) -> Registry:
    return Registry(host, credentials=(), retries=HASTY)


def there(client: Registry, manifest: Manifest, folder: Path) -> None:
    """Pull an image and see that it is the one, byte by byte."""
    folder.mkdir()
    assert client.manifest(NAME, manifest.digest) == (manifest.digest, manifest)
    pull(client, NAME, manifest, folder)
    for blob in manifest.blobs:
        assert digest_of((folder / blob.digest).read_bytes()) == blob.digest
    assert sorted(path.name for path in folder.iterdir()) == sorted(blob.digest for blob in manifest.blobs)


def test_an_image_that_is_pushed_comes_back_the_same(
    workspace: RunningRegistry, blobs: Blobs, tmp_path: Path
) -> None:
    image = blobs.image(b"", b"small", noise(1, 300 * KIB), noise(2, 40 * MIB))
    moved: dict[str, tuple[int, int]] = {}
    with Registry(
        workspace.host, (), progress=lambda digest, done, total: moved.update({digest: (done, total)})
    ) as client:
        push(Place(client, NAME), image, blobs.path, tags=("v1", "latest"))
        assert client.digest(NAME, "v1") == client.digest(NAME, "latest") == image.digest
        assert client.digest(NAME, "v2") is None
        assert client.manifest("nothing/here", "v1") is None
        assert client.read(NAME, image.config) == blobs.path(image.config.digest).read_bytes()
        there(client, image, tmp_path / "back")
    assert moved == {blob.digest: (blob.size, blob.size) for blob in image.blobs if blob.size}


def test_a_second_push_asks_and_moves_nothing(workspace: RunningRegistry, blobs: Blobs) -> None:
    image = blobs.image(noise(1, 300 * KIB))
    with to(workspace.host) as client:
        push(Place(client, NAME), image, blobs.path, tags=("v1",))
    before = len(workspace.requests())
    with proxy(workspace.host) as counted, to(counted.host) as client:
        push(Place(client, NAME), image, blobs.path, tags=("v1",))
        assert counted.sent < KIB
    assert [method for method, _ in workspace.requests()[before:]] == ["HEAD", "HEAD"]


def test_a_change_of_the_code_moves_the_codes_layer_alone(workspace: RunningRegistry, blobs: Blobs) -> None:
    environment, models = noise(1, 3 * MIB), noise(2, 2 * MIB)
    with to(workspace.host) as client:
        push(Place(client, NAME), blobs.image(environment, b"code", models), blobs.path)
    with proxy(workspace.host) as counted, to(counted.host) as client:
        push(Place(client, NAME), blobs.image(environment, b"changed", models), blobs.path)
        assert counted.sent < 10 * KIB


def test_what_another_repository_has_is_mounted(workspace: RunningRegistry, blobs: Blobs) -> None:
    environment = noise(1, 3 * MIB)
    with to(workspace.host) as client:
        push(Place(client, "slipway/environment"), blobs.image(environment), blobs.path)
    image = blobs.image(environment, b"code")
    with proxy(workspace.host) as counted, to(counted.host) as client:
        sources = (Place(client, "slipway/nothing"), Place(client, "slipway/environment"))
        push(Place(client, NAME), image, blobs.path, sources=sources)
        assert counted.sent < 10 * KIB
        assert client.digest(NAME, image.digest) == image.digest


def test_what_only_the_global_registry_has_comes_from_there(
    workspace: RunningRegistry, blobs: Blobs, tmp_path: Path
) -> None:
    image = blobs.image(noise(1, 300 * KIB), b"code")
    with registry(tmp_path / "g") as elsewhere, to(elsewhere.host) as shared, to(workspace.host) as client:
        push(Place(shared, "environments/a"), image, blobs.path)
        blobs.path(image.layers[0].digest).unlink()
        push(Place(client, NAME), image, blobs.path, sources=(Place(shared, "environments/a"),))
        gets = [path for method, path in elsewhere.requests() if method == "GET"]
        assert gets == [f"/v2/environments/a/blobs/{image.layers[0].digest}"]
        there(client, image, tmp_path / "back")


def test_when_nobody_has_a_layer_then_the_error_says_so_and_nothing_is_published(
    workspace: RunningRegistry, blobs: Blobs
) -> None:
    image = blobs.image(b"code")
    blobs.path(image.layers[0].digest).unlink()
    with to(workspace.host) as client:
        with pytest.raises(RegistryError, match=f"lacks {image.layers[0].digest}.*; build the image again"):
            push(Place(client, NAME), image, blobs.path, tags=("v1",))
        assert client.digest(NAME, "v1") is None


@pytest.mark.parametrize("seed", range(5))
def test_when_connections_are_cut_at_random_bytes_then_the_push_completes(
    workspace: RunningRegistry, blobs: Blobs, tmp_path: Path, seed: int
) -> None:
    """This registry forgets an upload that was cut, so each blob must pass whole at some time."""
    image = blobs.image(*(noise(number, 700 * KIB) for number in range(8)), noise(9, 3 * MIB))
    chance = random.Random(seed)
    with proxy(workspace.host, lambda: chance.randrange(5 * MIB)) as cutting:
        with Registry(cutting.host, (), retries=replace(HASTY, attempts=20)) as client:
            push(Place(client, NAME), image, blobs.path, tags=("v1",))
            there(client, image, tmp_path / "back")
        assert cutting.cuts > 2


def test_when_every_connection_is_cut_then_nothing_is_published_and_a_later_push_completes(
    workspace: RunningRegistry, blobs: Blobs, tmp_path: Path
) -> None:
    image = blobs.image(noise(1, MIB), noise(2, MIB))
    with (
        proxy(workspace.host, lambda: 700) as cutting,
        to(cutting.host) as client,
        pytest.raises(RegistryError, match=rf"{cutting.host}: the connection failed: .*; try again"),
    ):
        push(Place(client, NAME), image, blobs.path, tags=("v1",))
    with to(workspace.host) as client:
        assert client.digest(NAME, "v1") is None
        assert client.digest(NAME, image.digest) is None
        push(Place(client, NAME), image, blobs.path, tags=("v1",))
        there(client, image, tmp_path / "back")


def test_a_registry_that_is_not_there_is_named(blobs: Blobs) -> None:
    with to("127.0.0.1:1") as client, pytest.raises(RegistryError, match=r"127\.0\.0\.1:1: the connection"):
        push(Place(client, NAME), blobs.image(b"code"), blobs.path)


@contextmanager
def small_disk(folder: Path) -> Generator[None]:
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_when_the_registrys_disk_is_full_then_nothing_is_published(tmp_path: Path, blobs: Blobs) -> None:
    image = blobs.image(b"small", noise(1, 3 * MIB))
    with small_disk(tmp_path / "full/store"), registry(tmp_path / "full") as full, to(full.host) as client:
        with pytest.raises(RegistryError, match=rf"{full.host}.*answers 500.*try again later"):
            push(Place(client, NAME), image, blobs.path, tags=("v1",))
        assert client.digest(NAME, "v1") is None


def test_a_blob_that_is_corrupt_in_the_registry_is_refused_and_not_kept(
    workspace: RunningRegistry, blobs: Blobs, tmp_path: Path
) -> None:
    image = blobs.image(noise(1, MIB))
    layer = image.layers[0]
    folder = tmp_path / "back"
    folder.mkdir()
    with to(workspace.host) as client:
        push(Place(client, NAME), image, blobs.path)
        for content, text in ((noise(2, MIB), "other bytes"), (noise(1, MIB + 1), "too long")):
            workspace.blob(layer.digest).write_bytes(content)
            with pytest.raises(RegistryError, match=f"{workspace.host}/{NAME}: {layer.digest} .*{text}"):
                client.download(NAME, layer, folder / "blob")
            assert list(folder.iterdir()) == []


@pytest.mark.parametrize("content", [noise(2, MIB), noise(1, MIB - 1)], ids=["other", "short"])
def test_a_blob_that_is_corrupt_on_this_machine_is_named_and_nothing_is_published(
    workspace: RunningRegistry, blobs: Blobs, content: bytes
) -> None:
    image = blobs.image(noise(1, MIB))
    path = blobs.path(image.layers[0].digest)
    path.write_bytes(content)
    with to(workspace.host) as client:
        with pytest.raises(RegistryError, match=f"{path}: is not the blob .*; remove it"):
            push(Place(client, NAME), image, blobs.path, tags=("v1",))
        assert client.digest(NAME, "v1") is None


def test_two_pushers_at_once_both_succeed(workspace: RunningRegistry, blobs: Blobs, tmp_path: Path) -> None:
    image = blobs.image(noise(1, 5 * MIB), noise(2, 20 * MIB))
    begin = threading.Barrier(2)

    def one(tag: str) -> None:
        with to(workspace.host) as client:
            begin.wait()
            push(Place(client, NAME), image, blobs.path, tags=(tag,))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, ("a", "b")))
    with to(workspace.host) as client:
        assert client.digest(NAME, "a") == client.digest(NAME, "b") == image.digest
        there(client, image, tmp_path / "back")
