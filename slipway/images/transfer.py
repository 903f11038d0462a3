"""Whole images between a registry and this machine: blobs in parallel, the manifest last.

So an image is in a registry whole or not at all: the manifest names what must be there before it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from slipway.images.oci import Descriptor, Manifest
from slipway.images.registry import Registry
from slipway.images.transport import RegistryError

PARALLEL: Final = 4
"""Blobs under way at once."""


@dataclass(frozen=True)
class Place:
    """A repository of a registry."""

    registry: Registry
    repository: str


def push(
    target: Place,
    manifest: Manifest,
    path: Callable[[str], Path],
    *,
    tags: Sequence[str] = (),
    sources: Iterable[Place] = (),
) -> None:
    """Have an image at `target` under its digest and under `tags`; move only what is not there.

    `path` says where a blob lies on this machine if it is there. What the registry has in another repository
    is mounted; what neither has comes from the other registries of `sources`. Raises `RegistryError`.
    """
    registry, repository = target.registry, target.repository
    if registry.digest(repository, manifest.digest) is None:
        bring = partial(_bring, target, tuple(sources))
        _each(partial(bring, blob, path(blob.digest)) for blob in manifest.blobs)
        registry.put(repository, manifest, manifest.digest)
    for tag in tags:
        if registry.digest(repository, tag) != manifest.digest:
            registry.put(repository, manifest, tag)


def _bring(target: Place, sources: Sequence[Place], blob: Descriptor, path: Path) -> None:
    """Have a blob in a repository, in the cheapest way that there is."""
    registry, repository = target.registry, target.repository
    if registry.has_blob(repository, blob.digest):
        return
    for source in sources:
        near = source.registry.host == registry.host and registry.has_blob(source.repository, blob.digest)
        if near and registry.mount(repository, blob, source.repository):
            return
    if path.exists():
        registry.upload(repository, blob, path)
        return
    for source in sources:
        if source.registry.has_blob(source.repository, blob.digest):
            with tempfile.TemporaryDirectory() as folder:
                fetched = Path(folder, "blob")
                source.registry.download(source.repository, blob, fetched)
                registry.upload(repository, blob, fetched)
            return
    text = f"{registry.host}/{repository}: lacks {blob.digest}, and so does this machine"
    raise RegistryError(text, "build the image again")


def _each(tasks: Iterable[Callable[[], None]]) -> None:
    """Run all in parallel; after the first failure nothing new begins, and it is raised."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        running = [pool.submit(task) for task in tasks]
        done, _ = wait(running, return_when=FIRST_EXCEPTION)
        pool.shutdown(cancel_futures=True)
        for task in done:
            task.result()
