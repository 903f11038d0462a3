"""Manifests, indexes and references: parsed, chosen, written in one form."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.images.oci import (
    CONFIG,
    LAYER_GZIP,
    MANIFEST,
    Descriptor,
    FormatError,
    ImageReference,
    Index,
    Manifest,
    Platform,
    PlatformDescriptor,
    digest_of,
    parse,
)

DOCKER = "application/vnd.docker"
digests = st.binary(max_size=8).map(digest_of)
descriptors = st.builds(Descriptor, st.just(LAYER_GZIP), digests, st.integers(0, 2**40))
configs = st.builds(Descriptor, st.just(CONFIG), digests, st.integers(0, 2**20))
manifests = st.builds(Manifest, configs, st.lists(descriptors, max_size=4).map(tuple))
parts = st.from_regex(r"[a-z0-9]+(?:[._-][a-z0-9]+){0,2}", fullmatch=True)
references = st.builds(
    ImageReference,
    st.sampled_from(["a.azurecr.io", "localhost", "127.0.0.1:5000", "[::1]:5000", "mcr.microsoft.com"]),
    st.lists(parts, min_size=1, max_size=3).map("/".join),
    st.from_regex(r"|[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", fullmatch=True),
    st.just("") | digests,
)


@given(manifests)
def test_a_manifest_read_back_is_the_same(manifest: Manifest) -> None:
    assert parse(manifest.serialise()) == manifest


@given(manifests)
def test_a_manifests_digest_is_that_of_the_bytes_that_are_sent(manifest: Manifest) -> None:
    assert manifest.digest == f"sha256:{hashlib.sha256(manifest.serialise()).hexdigest()}"
    assert json.loads(manifest.serialise())["mediaType"] == MANIFEST


@given(manifests)
def test_blobs_are_each_named_once(manifest: Manifest) -> None:
    assert len(set(manifest.blobs)) == len(manifest.blobs)
    assert set(manifest.blobs) == {manifest.config, *manifest.layers}


@given(manifests)
def test_a_manifest_in_dockers_media_types_is_the_same_image(manifest: Manifest) -> None:
    docker = {
        "schemaVersion": 2,
        "mediaType": f"{DOCKER}.distribution.manifest.v2+json",
        "config": manifest.config.to_dict() | {"mediaType": f"{DOCKER}.container.image.v1+json"},
        "layers": [
            layer.to_dict() | {"mediaType": f"{DOCKER}.image.rootfs.diff.tar.gzip"}
            for layer in manifest.layers
        ],
    }
    assert parse(json.dumps(docker, indent=3).encode()) == manifest


def index(*platforms: Platform | None) -> Index:
    entries = (
        PlatformDescriptor(MANIFEST, digest_of(bytes([number])), number, platform)
        for number, platform in enumerate(platforms)
    )
    return Index(tuple(entries))


def test_an_index_is_read_with_its_platforms() -> None:
    digest = digest_of(b"")
    entries = [
        {"mediaType": f"{DOCKER}.distribution.manifest.v2+json", "digest": digest, "size": 3}
        | {"platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
        {"mediaType": MANIFEST, "digest": digest, "size": 4, "annotations": {"a": "b"}},
    ]
    found = parse(json.dumps({"schemaVersion": 2, "manifests": entries}).encode())
    assert found == Index(
        (
            PlatformDescriptor(MANIFEST, digest, 3, Platform("linux", "arm64", "v8")),
            PlatformDescriptor(MANIFEST, digest, 4),
        )
    )


def test_an_index_gives_the_manifest_of_the_platform() -> None:
    arm, amd = Platform("linux", "arm64", "v8"), Platform("linux", "amd64")
    found = index(None, Platform("unknown", "unknown"), arm, amd)
    assert found.choose(amd).size == 3
    assert found.choose(Platform("linux", "arm64")).size == 2
    assert found.choose(arm).size == 2


def test_an_index_without_the_platform_names_those_that_it_has() -> None:
    with pytest.raises(FormatError, match="not made for linux/amd64, only for linux/arm64/v8"):
        index(None, Platform("linux", "arm64", "v8")).choose(Platform("linux", "amd64"))
    with pytest.raises(FormatError, match="only for linux/arm/v7"):
        index(Platform("linux", "arm", "v7")).choose(Platform("linux", "arm", "v6"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"schemaVersion": 1, "layers": []}',
        b'{"schemaVersion": 2, "layers": []}',
        b'{"schemaVersion": 2, "config": {"mediaType": "x", "digest": "md5:1", "size": 1}, "layers": []}',
        b'{"schemaVersion": 2, "manifests": [{"mediaType": ["x"], "digest": "", "size": -1}]}',
    ],
)
def test_what_is_no_manifest_is_refused(content: bytes) -> None:
    with pytest.raises(FormatError, match="is no "):
        parse(content)


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with pytest.raises(FormatError):
        parse(content)


@given(references)
def test_a_reference_read_back_is_the_same(reference: ImageReference) -> None:
    assert ImageReference.parse(str(reference)) == reference


@given(st.text(max_size=40))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        found = ImageReference.parse(text)
    except FormatError:
        return
    assert ImageReference.parse(str(found)) == found


@pytest.mark.parametrize(
    ("text", "host", "repository", "wanted"),
    [
        ("python", "docker.io", "library/python", "latest"),
        ("slipway/diabetes:02f1", "docker.io", "slipway/diabetes", "02f1"),
        ("mcr.microsoft.com/a/b:3.11", "mcr.microsoft.com", "a/b", "3.11"),
        ("localhost/a", "localhost", "a", "latest"),
        ("127.0.0.1:5000/a:x@" + digest_of(b""), "127.0.0.1:5000", "a", digest_of(b"")),
    ],
)
def test_a_reference_is_read_as_everywhere(text: str, host: str, repository: str, wanted: str) -> None:
    found = ImageReference.parse(text)
    assert (found.host, found.repository, found.wanted) == (host, repository, wanted)


@pytest.mark.parametrize("text", ["", "A", "a/", "/a", "a:", "a@sha256:12", "a.io/B", "a b", "a//b", "a:b:c"])
def test_what_is_no_reference_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(FormatError, match="write host/repository:tag"):
        ImageReference.parse(text)
