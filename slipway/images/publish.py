"""An image from this machine's cache into its repository, after its environment.

The order lets whoever needs the same environment find it: v1's rule looks it up by hash before it is built.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Final

from slipway.images.build import kept
from slipway.images.cache import Cache
from slipway.images.oci import ImageReference
from slipway.images.registry import Registry
from slipway.images.transfer import Place, push
from slipway.images.transport import JUST_MADE, RegistryError

EVERY: Final = 5
"""Seconds between two lines about progress."""
Say = Callable[[str], None]
_ENVIRONMENT: Final = threading.Lock()
"""Services that are deployed together often share an environment: it is moved once."""


class _Meter:
    """Says every few seconds how much is over."""

    def __init__(self, name: str, say: Say) -> None:
        self._name = name
        self._say = say
        self._moved: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()
        self._next = time.monotonic() + EVERY

    def __call__(self, digest: str, done: int, total: int) -> None:
        with self._lock:
            self._moved[digest] = (done, total)
            if time.monotonic() >= self._next:
                self._next = time.monotonic() + EVERY
                done, total = (sum(column) for column in zip(*self._moved.values(), strict=True))
                self._say(f"{self._name}: {done / 1e6:.0f} of {total / 1e6:.0f} MB moved")


def publish(
    repository: str,
    digest: str,
    cache: Cache,
    *,
    environments: str,
    tags: Sequence[str] = (),
    say: Say = lambda _: None,
) -> None:
    """Have an image of the cache in a repository under its digest and some tags.

    What is there already is not moved, nor needed in the cache. The environment goes first, into the
    repository `environments` under its hash unless there is one, so that the next image finds it there;
    both are `host/path`.
    Raises `RegistryError`.
    """
    with ExitStack() as stack:
        registries: dict[str, Registry] = {}
        meter = _Meter(repository, say)

        def at(place: str) -> Place:
            found = ImageReference.parse(place)
            if found.host not in registries:
                registries[found.host] = stack.enter_context(
                    Registry(found.host, retries=JUST_MADE, progress=meter)
                )
            return Place(registries[found.host], found.repository)

        target = at(repository)
        known = target.registry.manifest(target.repository, digest)
        if known is not None:
            push(target, known[1], cache.path, tags=tags)
            return
        image = kept(digest, cache)
        if image is None:
            text = f"{repository}: this machine has no image {digest} to push"
            raise RegistryError(text, "run `pulumi up` where the program builds it")
        shared, elsewhere = at(environments), [at(place) for place in image.repositories]
        made = image.environment.manifest
        with _ENVIRONMENT:
            # The first one stays: another one's bytes would give every image above it another digest.
            if shared.registry.digest(shared.repository, image.environment_hash) is None:
                push(shared, made, cache.path, tags=(image.environment_hash,), sources=elsewhere)
        push(target, image.built.manifest, cache.path, tags=tags, sources=[shared, *elsewhere])
