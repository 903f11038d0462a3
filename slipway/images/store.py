"""Images that are known to this machine: fetched from a registry, or made here, by what they are made from.

Only manifest and configuration are kept of what a registry has; its layers are moved when an image is pushed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from slipway.images.built import Built
from slipway.images.cache import Cache
from slipway.images.oci import MANIFEST, Descriptor, FormatError, ImageReference, Manifest, Platform, parse
from slipway.images.registry import Registry
from slipway.images.transport import NoSuchHostError, RegistryError
from slipway.problems import Problems

Say = Callable[[str], None]


@dataclass(frozen=True)
class Known:
    """An image and where its layers are: in the cache, or in the repository that was asked."""

    built: Built
    digest: str
    """as its registry names it: a manifest of Docker's has other bytes there"""
    repositories: tuple[str, ...] = ()
    """such as `mcr.microsoft.com/azurelinux/base/python`"""


def fetch(reference: ImageReference, architecture: str, cache: Cache) -> Known | None:
    """Ask a registry for an image; None if it has none. Raises `RegistryError`."""
    name = key(str(reference), architecture)
    if reference.digest and (found := recall("bases", name, cache)) is not None:
        return found
    with Registry(reference.host) as registry:
        answer = registry.manifest(reference.repository, reference.wanted, Platform("linux", architecture))
        if answer is None:
            return None
        digest, manifest = answer
        config = cache.read(manifest.config.digest) or registry.read(reference.repository, manifest.config)
    known = Known(Built(manifest, config), digest, (f"{reference.host}/{reference.repository}",))
    remember("bases", name, known, cache)
    return known


def known_base(reference: str, architecture: str, cache: Cache) -> Known | None:
    """Give what `base` gave last, without asking."""
    return recall("bases", key(reference, architecture), cache)


def put(built: Built, cache: Cache) -> Descriptor:
    """Keep manifest and configuration of an image; gives the manifest's descriptor."""
    cache.put(built.config, built.manifest.config.media_type)
    return cache.put(built.manifest.serialise(), MANIFEST)


def remember(kind: str, key: str, known: Known, cache: Cache) -> None:
    """Keep what is known of an image."""
    told = {
        "manifest": put(known.built, cache).digest,
        "digest": known.digest,
        "repositories": known.repositories,
    }
    cache.remember(kind, key, told)


def recall(kind: str, key: str, cache: Cache) -> Known | None:
    """Give what was remembered, None if nothing was or part of it is lost."""
    told = cache.recall(kind, key)
    if told is None or (built := read(told["manifest"], cache)) is None:
        return None
    return Known(built, told["digest"], tuple(told["repositories"]))


def read(digest: str, cache: Cache) -> Built | None:
    """Give the image of a manifest in the cache, None if that or its configuration is not there."""
    content = cache.read(digest)
    manifest = parse(content) if content is not None else None
    config = cache.read(manifest.config.digest) if isinstance(manifest, Manifest) else None
    return Built(manifest, config) if isinstance(manifest, Manifest) and config is not None else None


def base(reference: str, architecture: str, cache: Cache) -> Known:
    """Give a base image. Raises `Problems` where the registry has none or does not answer."""
    parsed = _parsed(reference)
    try:
        known = fetch(parsed, architecture, cache)
    except RegistryError as error:
        raise Problems([f"base image {reference}: {error}"]) from None
    if known is None:
        raise Problems([f"base image {reference}: {parsed.host} has no such image; correct the reference"])
    return known


def first(references: Iterable[str], architecture: str, cache: Cache, say: Say) -> Known | None:
    """Look for an image in one registry after the other; one that does not exist yet has none.

    Raises `Problems` for any other failure: another environment would take that one's place.
    """
    for reference in references:
        try:
            known = fetch(ImageReference.parse(reference), architecture, cache)
        except NoSuchHostError as error:  # on Azure it may be made with this very stack
            say(f"no environment was looked up: {error}")
            continue
        except RegistryError as error:
            raise Problems([f"environment {reference}: {error}"]) from None
        if known is not None:
            return known
    return None


def key(reference: str, architecture: str) -> str:
    """Name what is known of an image by reference, for one architecture."""
    return hashlib.sha256(f"{_parsed(reference)} {architecture}".encode()).hexdigest()


def _parsed(reference: str) -> ImageReference:
    try:
        return ImageReference.parse(reference)
    except FormatError as error:
        raise Problems([f"environment.base_image: {error}"]) from None
