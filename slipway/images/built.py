"""An image as a value: its manifest and its configuration, and what becomes of them when layers are added.

After the OCI image specification 1.1. Pure; `build` makes the layers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from slipway.images.layers import TIME, Layer
from slipway.images.oci import CONFIG, Descriptor, Manifest

_CREATED = datetime.fromtimestamp(TIME, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Built:
    """An image whose manifest and configuration are known."""

    manifest: Manifest
    config: bytes

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the configuration says to a container runtime: Env, Entrypoint, User and the like."""
        return json.loads(self.config).get("config") or {}

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that a container gets of the image."""
        return dict(line.partition("=")[::2] for line in self.settings.get("Env") or ())

    def append(self, layers: Sequence[tuple[str, Layer]], settings: Mapping[str, Any]) -> Self:
        """Add layers, each with a word of what it is, and settings that replace those of the same name."""
        config: dict[str, Any] = json.loads(self.config)
        root = config.setdefault("rootfs", {"type": "layers", "diff_ids": []})
        root["diff_ids"] = [*root["diff_ids"], *(layer.diff_id for _, layer in layers)]
        if config.get("history") or not self.manifest.layers:  # it counts every layer or none
            made = [{"created": _CREATED, "created_by": f"slipway: {what}"} for what, _ in layers]
            config["history"] = [*(config.get("history") or ()), *made]
        config["created"] = _CREATED
        config["config"] = {**(config.get("config") or {}), **settings}
        content = json.dumps(config, sort_keys=True, separators=(",", ":")).encode()
        descriptors = (*self.manifest.layers, *(layer.descriptor for _, layer in layers))
        return type(self)(Manifest(Descriptor.of(content, CONFIG), descriptors), content)
