"""Images of any bytes in a folder, for what moves images and never looks into them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from slipway.images.oci import CONFIG, LAYER_GZIP, Descriptor, Manifest
from slipway.images.registry import Registry

KIB = 2**10


@dataclass(frozen=True)
class Blobs:
    """A folder of blobs named by digest."""

    folder: Path

    def path(self, digest: str) -> Path:
        return self.folder / digest

    def add(self, content: bytes, media_type: str = LAYER_GZIP) -> Descriptor:
        self.folder.mkdir(exist_ok=True)
        blob = Descriptor.of(content, media_type)
        self.path(blob.digest).write_bytes(content)
        return blob

    def image(self, *layers: bytes) -> Manifest:
        """Make an image of these layers; its configuration follows from them."""
        made = tuple(self.add(layer) for layer in layers)
        return Manifest(self.add(repr(made).encode(), CONFIG), made)


def pull(client: Registry, repository: str, manifest: Manifest, folder: Path) -> None:
    """Fetch the blobs of an image into files named by digest."""
    for blob in manifest.blobs:
        client.download(repository, blob, folder / blob.digest)


def noise(seed: int, size: int) -> bytes:
    """Give bytes that no compression makes smaller, the same ones for the same seed."""
    return random.Random(seed).randbytes(size)
