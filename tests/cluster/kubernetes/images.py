"""The image of the container that holds a pod's namespaces; Kubernetes' own is in no package registry."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from slipway.images.built import Built
from slipway.images.cache import Cache
from slipway.images.layers import Entry
from slipway.images.oci import CONFIG, Descriptor, Manifest
from slipway.images.registry import Registry
from slipway.images.transfer import Place, push
from tests.cluster.debian import layer_of

PROGRAM = "catatonit"
"""Debian's, which needs no library, and waits for nothing and takes in orphans with `-P`."""


def push_pause(host: str, cache: Cache) -> str:
    """Make the image and push it to a registry; give its reference."""
    program = shutil.which(PROGRAM)
    assert program is not None
    layer = layer_of([(PROGRAM, Entry(Path(program), executable=True))], cache)
    empty = json.dumps({"architecture": "amd64", "os": "linux"}).encode()
    settings = {"Entrypoint": [f"/{PROGRAM}", "-P"], "User": "65535"}
    built = Built(Manifest(Descriptor.of(empty, CONFIG), ()), empty).append([("pause", layer)], settings)
    cache.put(built.config, CONFIG)
    with Registry(host, ()) as registry:
        push(Place(registry, "pause"), built.manifest, cache.path, tags=("1",))
    return f"{host}/pause:1"
