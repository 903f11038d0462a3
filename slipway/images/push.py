"""The one dynamic resource: an image in a repository, moved there from this machine's cache by `pulumi up`.

State refers to this module and `ImagePushProvider` by their names, and to the type's token: renaming one
strands every stack. Inputs are plain; who may push is asked of the machine that pushes, and kept nowhere.
Nothing happens in a preview, and nothing is ever deleted: a rollback needs the image.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider, UpdateResult

from slipway.images.cache import Cache
from slipway.images.oci import ImageReference
from slipway.images.publish import publish
from slipway.images.registry import Registry

INPUTS = ("repository", "digest", "tags", "environments")


@dataclass(frozen=True)
class ImagePushArgs:
    """Arguments of `ImagePush`; repositories are `host/path`."""

    repository: pulumi.Input[str]
    digest: pulumi.Input[str]
    """by which the cache knows the image"""
    tags: Sequence[pulumi.Input[str]]
    """without one, a registry may take the image for garbage"""
    environments: str
    """where its environment is kept by hash, for the next image that needs it"""


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
        """Compare with what was pushed or found; where the environment is kept is no change of the image."""
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


def _publish(props: dict[str, Any]) -> None:
    repository, digest, tags, environments = (props[name] for name in INPUTS)
    publish(repository, digest, Cache(), environments=environments, tags=tags, say=_say)


def _say(line: str) -> None:
    """Write where the engine looks for what a provider has to say."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _plain(props: dict[str, Any]) -> dict[str, Any]:
    return {name: props[name] for name in INPUTS if name in props}
