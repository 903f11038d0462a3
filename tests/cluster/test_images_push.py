"""The dynamic resource through its provider class, with a cache on this machine and a real registry."""

from __future__ import annotations

import socket
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from slipway.images import store
from slipway.images.build import Image, keep
from slipway.images.built import Built
from slipway.images.cache import VARIABLE, Cache
from slipway.images.oci import CONFIG, LAYER, Descriptor, Manifest
from slipway.images.push import ImagePushProvider
from slipway.images.registry import Registry
from slipway.images.transport import RegistryError
from tests.cluster.blobs import KIB, noise
from tests.cluster.proxies import proxy
from tests.cluster.registries import RunningRegistry, registry

PROVIDER = ImagePushProvider()
MIB = 2**20


@pytest.fixture(name="workspace")
def _workspace(tmp_path: Path) -> Generator[RunningRegistry]:
    with registry(tmp_path / "workspace") as running:
        yield running


@pytest.fixture(name="cache")
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return Cache()


def built(cache: Cache, *layers: bytes) -> Built:
    config = repr([len(layer) for layer in layers]).encode()
    parts = tuple(cache.put(layer, LAYER) for layer in layers)
    return Built(Manifest(cache.put(config, CONFIG), parts), config)


def image(cache: Cache, code: bytes) -> str:
    """Make an image as the program does before it registers the resource; give its digest."""
    environment = noise(1, MIB)
    made = Image(built(cache, environment, code), built(cache, environment), "0123", ())
    store.put(made.environment, cache)
    keep(made, cache)
    return made.digest


def inputs(host: str, digest: str, *tags: str) -> dict[str, Any]:
    place = {"repository": f"{host}/slipway/diabetes", "environments": f"{host}/slipway/environments"}
    return {**place, "digest": digest, "tags": list(tags)}


def test_create_pushes_the_image_and_its_environment_once(workspace: RunningRegistry, cache: Cache) -> None:
    given = inputs(workspace.host, image(cache, b"code"), "v1")
    with proxy(workspace.host) as counted:
        through = inputs(counted.host, given["digest"], "v1")
        made = PROVIDER.create({**through, "__provider": "pickled"})
        assert counted.sent < MIB + 20 * KIB  # the environment's layer was mounted, not sent again
    assert (made.id, made.outs) == (through["repository"], through)
    with Registry(workspace.host, ()) as client:
        assert client.digest("slipway/diabetes", "v1") == given["digest"]
        assert client.digest("slipway/environments", "0123") is not None


def test_create_looks_first_and_needs_no_cache_for_what_is_there(
    workspace: RunningRegistry, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = inputs(workspace.host, image(cache, b"code"), "v1")
    PROVIDER.create(given)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "empty"))
    before = len(workspace.requests())
    PROVIDER.create({**given, "tags": ["v1", "v2"]})
    assert {method for method, _ in workspace.requests()[before:]} == {"HEAD", "GET", "PUT"}
    with Registry(workspace.host, ()) as client:
        assert client.digest("slipway/diabetes", "v2") == given["digest"]


def test_create_without_the_image_in_cache_or_registry_says_what_to_do(
    workspace: RunningRegistry, cache: Cache
) -> None:
    digest = Descriptor.of(b"", LAYER).digest
    with pytest.raises(RegistryError, match=f"no image {digest} to push; run `pulumi up`"):
        PROVIDER.create(inputs(workspace.host, digest, "v1"))


def test_services_that_are_deployed_together_move_their_common_environment_once(
    workspace: RunningRegistry, cache: Cache
) -> None:
    digests = [image(cache, b"one"), image(cache, b"two"), image(cache, b"three")]
    with proxy(workspace.host) as counted, ThreadPoolExecutor(3) as pool:
        given = [inputs(counted.host, digest) for digest in digests]
        for number, one in enumerate(given):
            one["repository"] += str(number)
        list(pool.map(PROVIDER.create, given))
        assert counted.sent < MIB + 60 * KIB


def test_an_environment_that_is_there_stays_though_this_machine_made_another(
    workspace: RunningRegistry, cache: Cache
) -> None:
    PROVIDER.create(inputs(workspace.host, image(cache, b"code"), "v1"))
    with Registry(workspace.host, ()) as client:
        first = client.digest("slipway/environments", "0123")
        other = Image(built(cache, noise(2, KIB), b"c"), built(cache, noise(2, KIB)), "0123", ())
        store.put(other.environment, cache)
        keep(other, cache)
        PROVIDER.create(inputs(workspace.host, other.digest, "v2"))
        assert client.digest("slipway/environments", "0123") == first
        assert client.digest("slipway/diabetes", "v2") == other.digest


def test_create_waits_for_a_host_whose_name_is_not_known_yet(
    workspace: RunningRegistry, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = socket.getaddrinfo, iter([socket.gaierror(socket.EAI_NONAME, "unknown")])

    def look(*arguments: Any, **named: Any) -> Any:
        for failure in failures:
            raise failure
        return real(*arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look)
    given = inputs(workspace.host, image(cache, b"code"), "v1")
    assert PROVIDER.create(given).outs == given


def test_update_pushes_the_new_image_and_keeps_the_old(workspace: RunningRegistry, cache: Cache) -> None:
    olds = inputs(workspace.host, image(cache, b"code"), "v1")
    news = inputs(workspace.host, image(cache, b"changed"), "v2")
    made = PROVIDER.create(olds)
    assert PROVIDER.update(made.id, olds, news).outs == news
    with Registry(workspace.host, ()) as client:
        assert client.digest("slipway/diabetes", "v1") == olds["digest"]
        assert client.digest("slipway/diabetes", "v2") == news["digest"]


def test_read_gives_what_is_there_and_nothing_for_an_image_that_is_gone(
    workspace: RunningRegistry, cache: Cache
) -> None:
    given = inputs(workspace.host, image(cache, b"code"), "v1", "v2")
    other = inputs(workspace.host, image(cache, b"changed"), "v2")
    made = PROVIDER.create(given)
    found = PROVIDER.read(made.id, given)
    assert (found.id, found.outs) == (made.id, given)
    PROVIDER.create(other)  # takes the tag `v2` away
    assert (PROVIDER.read(made.id, given).outs or {})["tags"] == ["v1"]
    gone = {**given, "digest": Descriptor.of(b"", LAYER).digest}
    assert (PROVIDER.read(made.id, gone).id, PROVIDER.read(made.id, gone).outs) == ("", {})


def test_delete_leaves_the_image(workspace: RunningRegistry, cache: Cache) -> None:
    given = inputs(workspace.host, image(cache, b"code"), "v1")
    made = PROVIDER.create(given)
    before = workspace.requests()
    PROVIDER.delete(made.id, given)
    assert workspace.requests() == before


@pytest.mark.parametrize(
    ("change", "changes", "replaces"),
    [
        ({}, False, []),
        ({"environments": "b.test/e"}, False, []),
        ({"digest": "sha256:1"}, True, []),
        ({"tags": ["v2"]}, True, []),
        ({"repository": "b.test/a"}, True, ["repository"]),
    ],
)
def test_diff_updates_for_another_image_and_replaces_for_another_repository(
    change: dict[str, Any], changes: bool, replaces: list[str]
) -> None:
    olds = inputs("a.test", "sha256:0", "v1")
    found = PROVIDER.diff("id", olds, {**olds, **change})
    assert (found.changes, found.replaces, found.delete_before_replace) == (changes, replaces, False)
