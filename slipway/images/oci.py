"""What an image is to a registry: descriptors, manifests, indexes, and the references that name them.

After the OCI image specification 1.1 and the reference grammar of the distribution project. Docker's own
media types (image manifest 2, schema 2) are read too and become OCI's, which mean the same bytes; so what we
write is always OCI. Left out: sending any of it (`registry`), making it (`build`).
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self, cast

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP: Final = f"{LAYER}+gzip"
_DOCKER: Final = "application/vnd.docker"
_AS_OCI: Final = {
    f"{_DOCKER}.distribution.manifest.v2+json": MANIFEST,
    f"{_DOCKER}.distribution.manifest.list.v2+json": INDEX,
    f"{_DOCKER}.container.image.v1+json": CONFIG,
    f"{_DOCKER}.image.rootfs.diff.tar": LAYER,
    f"{_DOCKER}.image.rootfs.diff.tar.gzip": LAYER_GZIP,
}
ACCEPTED: Final = (MANIFEST, INDEX, *list(_AS_OCI)[:2])
"""The media types that `parse` reads: what a client asks a registry for."""
DOCKER_HUB: Final = "docker.io"

_HOST = r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_DIGEST = r"sha256:[0-9a-f]{64}"
_REFERENCE = re.compile(
    rf"(?:(?P<host>{_HOST})/)?(?P<repository>{_PART}(?:/{_PART})*)(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?"
)

Digest = Annotated[str, Field(pattern=f"^{_DIGEST}$")]
MediaType = Annotated[str, AfterValidator(lambda given: _AS_OCI.get(given, given))]
_CHECKED = ConfigDict(alias_generator=to_camel, extra="ignore")


class FormatError(ValueError):
    """What a registry or a person gave is no manifest, index or reference."""


def digest_of(content: bytes) -> str:
    """Give the digest that names these bytes: `sha256:` and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True)
class Descriptor:
    """A blob or manifest by its content: `size` in bytes, `digest` over them."""

    __pydantic_config__ = _CHECKED
    media_type: MediaType
    digest: Digest
    size: Annotated[int, Field(ge=0)]

    @classmethod
    def of(cls, content: bytes, media_type: str) -> Self:
        """Describe these bytes."""
        return cls(media_type, digest_of(content), len(content))

    def to_dict(self) -> dict[str, object]:
        """Give the descriptor as JSON holds it."""
        return {"digest": self.digest, "mediaType": self.media_type, "size": self.size}


@dataclass(frozen=True)
class Manifest:
    """One image for one platform: its configuration and its layers, the base's first."""

    __pydantic_config__ = _CHECKED
    config: Descriptor
    layers: tuple[Descriptor, ...]

    def serialise(self) -> bytes:
        """Give the one form in which this manifest is sent: equal manifests give equal bytes."""
        content = {
            "config": self.config.to_dict(),
            "layers": [layer.to_dict() for layer in self.layers],
            "mediaType": MANIFEST,
            "schemaVersion": 2,
        }
        return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()

    @property
    def digest(self) -> str:
        """The digest of what `serialise` gives; a parsed manifest of somebody else had another form."""
        return digest_of(self.serialise())

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """What must be in a repository before the manifest: each blob once, layers first."""
        return tuple(dict.fromkeys((*self.layers, self.config)))


@dataclass(frozen=True)
class Platform:
    """Where an image runs, in Go's names: `linux`, `amd64`."""

    __pydantic_config__ = _CHECKED
    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        """Give the platform as `docker --platform` takes it."""
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True)
class PlatformDescriptor(Descriptor):
    """An entry of an index; attestations and the like have no platform or an unknown one."""

    platform: Platform | None = None


@dataclass(frozen=True)
class Index:
    """One image for several platforms."""

    __pydantic_config__ = _CHECKED
    manifests: tuple[PlatformDescriptor, ...]

    def choose(self, platform: Platform) -> Descriptor:
        """Give the first entry for a platform; without a variant in it, any will do.

        Raises `FormatError`, which names the platforms that are there.
        """
        for entry in self.manifests:
            if entry.platform is not None and _runs_on(entry.platform, platform):
                return Descriptor(entry.media_type, entry.digest, entry.size)
        there = dict.fromkeys(str(entry.platform) for entry in self.manifests if entry.platform)
        raise FormatError(f"the image is not made for {platform}, only for {', '.join(there) or 'nothing'}")


def _runs_on(made_for: Platform, platform: Platform) -> bool:
    same = (made_for.os, made_for.architecture) == (platform.os, platform.architecture)
    return same and (not platform.variant or made_for.variant in {"", platform.variant})


def parse(content: bytes) -> Manifest | Index:
    """Read a manifest or an index, OCI's or Docker's. Raises `FormatError` for anything else."""
    try:
        value: Any = json.loads(content)
    except ValueError as error:
        raise FormatError(f"is no JSON: {error}") from None
    if not isinstance(value, dict) or cast("dict[str, object]", value).get("schemaVersion") != 2:
        raise FormatError("is no manifest of schema version 2")
    try:
        return (_INDEX if "manifests" in value else _MANIFEST).validate_python(value)
    except ValidationError as error:
        lines = (f"{'.'.join(map(str, line['loc']))}: {line['msg']}" for line in error.errors())
        raise FormatError(f"is no manifest: {'; '.join(lines)}") from None


@dataclass(frozen=True)
class ImageReference:
    """`host/repository:tag@digest`; tag or digest or both may be missing, which means the tag `latest`."""

    host: str
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a reference; without a host it means Docker Hub, as everywhere. Raises `FormatError`."""
        host, slash, _ = text.partition("/")
        named = slash and ("." in host or ":" in host or host == "localhost")
        found = _REFERENCE.fullmatch(text if named else f"{DOCKER_HUB}/{text}")
        if found is None:
            raise FormatError(f"`{text}` is no image reference; write host/repository:tag or @sha256:digest")
        host, repository = found["host"], found["repository"]
        if host == DOCKER_HUB and "/" not in repository:
            repository = f"library/{repository}"
        return cls(host, repository, found["tag"] or "", found["digest"] or "")

    @property
    def wanted(self) -> str:
        """What to ask the registry for: the digest if there is one, else the tag."""
        return self.digest or self.tag or "latest"

    def __str__(self) -> str:
        """Give the reference in full."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.host}/{self.repository}{tag}{digest}"


_MANIFEST: Final = TypeAdapter(Manifest)
_INDEX: Final = TypeAdapter(Index)
