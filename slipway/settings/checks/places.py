"""Where things stand: regions and their cloud, availability zones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from slipway.problems import lines_of
from slipway.settings import regions
from slipway.settings.azure import Azure
from slipway.settings.capacity import agent_pools
from slipway.settings.checks.nodes import at
from slipway.settings.cluster import AgentPool

if TYPE_CHECKING:
    from slipway.settings.stack import Settings


def _location(_: Settings, azure: Azure) -> Iterator[str]:
    if (line := regions.mistake("azure.location", azure.location, azure.cloud)) is not None:
        yield line


def _workspace_location(_: Settings, azure: Azure) -> Iterator[str]:
    region = azure.workspace.location
    if region is not None:
        line = regions.mistake("azure.workspace.location", region, azure.cloud)
        if line is not None:
            yield line


def _pools(_: Settings, azure: Azure) -> Iterator[str]:
    for _subnet, pool in agent_pools(azure):
        yield from lines_of(_pool, azure, pool)


def _pool(azure: Azure, pool: AgentPool) -> Iterator[str]:
    yield from _zones(at(azure, pool), pool.zones, azure.location)


def _firewall(_: Settings, azure: Azure) -> Iterator[str]:
    if azure.egress.firewall is not None:
        yield from _zones("azure.egress.firewall", azure.egress.firewall.zones, azure.location)


def _zones(field: str, zones: tuple[str, ...], region: str) -> Iterator[str]:
    if zones and regions.has_zones(region) is False:
        yield f"{field}.zones = {', '.join(zones)}: {region} has no availability zones; remove zones"


def _redundancy(_: Settings, azure: Azure) -> Iterator[str]:
    storage, region = azure.workspace.storage, azure.workspace.location or azure.location
    if storage.id is None and "ZRS" in storage.redundancy and regions.has_zones(region) is False:
        yield (
            f"azure.workspace.storage.redundancy = {storage.redundancy}: {region} has no availability zones; "
            f"set {'GRS' if storage.redundancy == 'GZRS' else 'LRS'}"
        )


def _defender(_: Settings, azure: Azure) -> Iterator[str]:
    if azure.cluster.defender.sensor and azure.cloud == "China":
        yield "azure.cluster.defender.sensor = true with azure.cloud = China: it is not there; remove it"


def _attached(_: Settings, azure: Azure) -> Iterator[str]:
    missing = [
        name
        for name, section in (("cluster", azure.cluster), ("workspace.registry", azure.workspace.registry))
        if section.id is None
    ]
    if azure.workspace.registry.attached and missing:
        yield (
            f"azure.workspace.registry.attached = true without azure.{missing[0]}.id: what is made here has "
            "no rights yet; remove it"
        )


RULES = (_location, _workspace_location, _pools, _firewall, _redundancy, _defender, _attached)
