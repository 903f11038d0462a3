"""The one dynamic resource: an image in a repository, moved there from this machine's cache by `pulumi up`.

State refers to this module and `ImagePushProvider` by their names, and to the type's token: renaming one
strands every stack. Inputs are plain; who may push is asked of the machine that pushes, and kept nowhere.
Nothing happens in a preview, and nothing is ever deleted: a rollback needs the image.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider, UpdateResult

from slipway.images.build import kept
from slipway.images.cache import Cache
from slipway.images.oci import ImageReference
from slipway.images.registry import Registry
from slipway.images.transfer import Place, push
from slipway.images.transport import RegistryError

EVERY = 5
"""Seconds between two lines about progress."""
INPUTS = ("repository", "digest", "tags", "environments")


@dataclass(frozen=True)
class ImagePushArgs:
    """Arguments of `ImagePush`; repositories are `host/path`."""

    repository: str
    digest: str
    """the image's, by which the cache knows it"""
    tags: Sequence[str]
    environments: str
    """the repository where its environment is kept by hash, for the next image that needs it"""


class ImagePushProvider(ResourceProvider):
    """Another image or other tags are an update of the repository, another repository is a replacement."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Push, unless the registry has the image. Raises `RegistryError`; then nothing is published."""
        _publish(props)
        return CreateResult(props["repository"], _plain(props))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Look up the image and the tags that still mean it; one that is gone is to be made anew."""
        place, digest = ImageReference.parse(id_), props["digest"]
        with Registry(place.host) as registry:
            if registry.digest(place.repository, digest) is None:
                return ReadResult("", {})
            tags = [tag for tag in props["tags"] if registry.digest(place.repository, tag) == digest]
        return ReadResult(id_, {**_plain(props), "tags": tags})

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Compare what a registry can show; where the environment is kept is no change of the image."""
        changed = [name for name in ("repository", "digest", "tags") if _olds.get(name) != _news.get(name)]
        replaces = [name for name in changed if name == "repository"]
        return DiffResult(changes=bool(changed), replaces=replaces, delete_before_replace=False)

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Push the new image and set the tags; the old image and tags no longer asked for stay."""
        _publish(_news)
        return UpdateResult(_plain(_news))

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Leave the image: what runs may need it, and how long it is kept is the registry's policy."""


class ImagePush(Resource, module="slipway", name="ImagePush"):
    """An image in a repository under its digest and some tags."""

    repository: pulumi.Output[str]
    digest: pulumi.Output[str]
    tags: pulumi.Output[Sequence[str]]

    def __init__(self, name: str, args: ImagePushArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = {
            "repository": args.repository,
            "digest": args.digest,
            "tags": list(args.tags),
            "environments": args.environments,
        }
        super().__init__(ImagePushProvider(), name, inputs, opts)


class _Meter:
    """Says every few seconds how much is over; the engine shows what a provider writes to stderr."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._moved: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()
        self._next = time.monotonic() + EVERY

    def __call__(self, digest: str, done: int, total: int) -> None:
        with self._lock:
            self._moved[digest] = (done, total)
            if time.monotonic() >= self._next:
                self._next = time.monotonic() + EVERY
                done, total = (sum(column) for column in zip(*self._moved.values(), strict=True))
                sys.stderr.write(f"{self._name}: {done / 1e6:.0f} of {total / 1e6:.0f} MB moved\n")
                sys.stderr.flush()


def _publish(props: dict[str, Any]) -> None:
    """Have an image in its repository; its environment goes before it, so that it is there to be mounted."""
    repository, digest, cache = props["repository"], props["digest"], Cache()
    with ExitStack() as stack:
        registries: dict[str, Registry] = {}
        meter = _Meter(repository)

        def at(place: str) -> Place:
            found = ImageReference.parse(place)
            if found.host not in registries:
                registries[found.host] = stack.enter_context(Registry(found.host, progress=meter))
            return Place(registries[found.host], found.repository)

        target = at(repository)
        known = target.registry.manifest(target.repository, digest)
        if known is not None:
            push(target, known[1], cache.path, tags=props["tags"])
            return
        image = kept(digest, cache)
        if image is None:
            text = f"{repository}: this machine has no image {digest} to push"
            raise RegistryError(text, "run `pulumi up` where the program builds it")
        environments, elsewhere = at(props["environments"]), [at(place) for place in image.repositories]
        made = image.environment.manifest
        push(environments, made, cache.path, tags=(image.environment_hash,), sources=elsewhere)
        push(target, image.built.manifest, cache.path, tags=props["tags"], sources=[environments, *elsewhere])


def _plain(props: dict[str, Any]) -> dict[str, Any]:
    return {name: props[name] for name in INPUTS if name in props}
