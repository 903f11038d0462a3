"""Providers as the engine names and configures them: references, and the default one of each package."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from slipway.engine import urns
from slipway.engine.graph import Value


def urn_of(reference: str) -> str:
    """Give the URN of a reference, which is a URN and an id."""
    return reference.rpartition("::")[0]


def serves(reference: str, type_: str) -> bool:
    """Tell whether a provider is one for the package of a type."""
    return bool(reference) and urns.type_of(urn_of(reference)) == urns.PROVIDERS + urns.package(type_)


def default_name(version: str, url: str) -> str:
    """Name the provider of resources that name none; each version that an SDK asks for has its own."""
    parts = ["default"]
    if version:
        parts += re.split(r"[.+-]", version)
    if url:
        parts.append(re.sub(r"[^A-Za-z0-9_.-]", "_", url))
    return "_".join(parts)


def denied(package: str, config: Mapping[str, str]) -> bool:
    """Tell whether the stack forbids the default provider of a package, or all of them."""
    names: list[str] = json.loads(config.get("pulumi:disable-default-providers") or "[]")
    return package != "pulumi" and bool({"*", package} & {name.strip() for name in names})


def default_inputs(package: str, config: Mapping[str, str], version: str, url: str) -> dict[str, Value]:
    """Give a default provider what the stack configures for its package."""
    prefix = f"{package}:"
    own: dict[str, Value] = {
        key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)
    }
    return with_version(own, version, url)


def with_version(inputs: dict[str, Value], version: str, url: str) -> dict[str, Value]:
    """Add where the provider's plugin comes from, as the engine keeps it among the inputs."""
    if not version and not url:
        return inputs
    internal: dict[str, Value] = {"pluginDownloadURL": url} if url else {}
    return {**inputs, "__internal": internal, **({"version": version} if version else {})}
