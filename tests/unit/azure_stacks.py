"""Stacks on Azure for tests of their settings: the smallest one, and what a test changes of it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from slipway.problems import Problems
from slipway.settings import Azure, Settings, parse

GROUP = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/ml"
VNET = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/hub"
CLUSTER = f"{GROUP}/providers/Microsoft.ContainerService/managedClusters/ml"
SMALLEST: dict[str, Any] = {
    "location": "westeurope",
    "resource_group": {"name": "ml"},
    "workspace": {"name": "mlworkspace"},
}
"""Three nodes with four cores each."""
SERVICE: dict[str, Any] = {"name": "abc", "entry_script": "score.py"}
DEV_TEST: dict[str, Any] = {
    "cluster": {"cluster_purpose": "DevTest", "system_pool": {"name": "system", "count": 1}}
}
ROUTED: dict[str, Any] = {"egress": {"outbound_type": "userDefinedRouting"}}
PREMIUM = {"private_endpoint": True}


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Change a mapping at any depth."""
    both = dict(base)
    for name, value in change.items():
        old = both.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            both[name] = merged(cast("dict[str, Any]", old), cast("dict[str, Any]", value))
        else:
            both[name] = value
    return both


def net(**fields: Any) -> dict[str, Any]:
    return {"network": fields}


def pool(name: str = "extra", **fields: Any) -> dict[str, Any]:
    return {"name": name, **fields}


def pools(*given: dict[str, Any]) -> dict[str, Any]:
    return {"cluster": {"pools": list(given)}}


def system(**fields: Any) -> dict[str, Any]:
    return {"cluster": {"system_pool": {"name": "system", "count": 3, **fields}}}


def subnet(role: str, prefix: str) -> dict[str, Any]:
    return {"network": {"subnets": {role: {"prefix": prefix}}}}


def subnet_id(name: str, network: str = VNET) -> str:
    return f"{network}/subnets/{name}"


def read(azure: Mapping[str, Any], secret: tuple[str, ...] = (), **keys: Any) -> Settings:
    """Read the smallest stack with changes."""
    fields = {"azure": merged(SMALLEST, azure)} | keys
    texts = {f"slipway:{key}": json.dumps(value) for key, value in fields.items()}
    return parse(texts | dict.fromkeys(secret, "[unknown]"), secret)


def azure_of(change: Mapping[str, Any]) -> Azure:
    found = read(change).azure
    assert found is not None
    return found


def lines(azure: Mapping[str, Any], secret: tuple[str, ...] = (), **keys: Any) -> list[str]:
    """Give the mistakes of the smallest stack with changes; none if it is accepted."""
    try:
        read(azure, secret, **keys)
    except Problems as problems:
        return list(problems.lines)
    return []


def check(inside: dict[str, Any], outside: dict[str, Any], start: str, remedy: str, **keys: Any) -> None:
    """Expect no mistake inside, and one line outside."""
    assert lines(inside, **keys) == []
    found = lines(outside, **keys)
    assert len(found) == 1, found
    assert found[0].startswith(f"slipway:{start}"), found[0]
    assert found[0].endswith(remedy), found[0]


PROJECT = Path(__file__).parents[2]
STACKS = (
    "stacks/Pulumi.dev.yaml",
    "stacks/Pulumi.prod.yaml",
    "examples/existing/Pulumi.existing.yaml",
)


def stack(path: str) -> dict[str, Any]:
    return yaml.safe_load((PROJECT / path).read_text(encoding="utf-8"))["config"]


def mistakes(config: dict[str, Any]) -> list[str]:
    try:
        parse({key: json.dumps(value) for key, value in config.items()})
    except Problems as problems:
        return list(problems.lines)
    return []
