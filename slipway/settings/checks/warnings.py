"""What works and should be changed all the same."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import TYPE_CHECKING

from slipway.settings import capacity, regions
from slipway.settings.azure import Azure
from slipway.settings.checks.nodes import at
from slipway.settings.checks.room import first_limit, placeable
from slipway.sizing.bins import Fit

if TYPE_CHECKING:
    from slipway.settings.stack import Settings

KUBENET_RETIRES = datetime.date(2028, 3, 31)
"""MicrosoftDocs/azure-aks-docs, includes/kubenet-retirement.md (2026-01-14)."""
NPM_RETIRES = datetime.date(2028, 9, 30)
"""The same, includes/azure-network-policy-manager-linux-retirement.md (2026-01-14)."""


def warnings(settings: Settings, today: datetime.date) -> list[str]:
    """Name what works and should be changed all the same, in lines like those of mistakes."""
    azure = settings.azure
    if azure is None:
        return []
    return [
        *_retiring(azure, today),
        *_places(azure),
        *_access(settings, azure),
        *_nodes(azure),
        *_room(settings, azure),
    ]


def _retiring(azure: Azure, today: datetime.date) -> Iterator[str]:
    if azure.network.model == "kubenet":
        yield f"azure.network.model = kubenet {_until(KUBENET_RETIRES, today)}; set model: overlay"
    if azure.network.network_policy == "azure":
        yield (
            f"azure.network.network_policy = azure {_until(NPM_RETIRES, today)}; set network_policy: cilium"
        )
    for _, pool in capacity.agent_pools(azure):
        vm = capacity.vm_of(pool)
        if vm is not None and vm.retires is not None:
            yield (
                f"{at(azure, pool)}.vm_size = {pool.vm_size} {_until(vm.retires, today)}; choose a newer one"
            )


def _until(date: datetime.date, today: datetime.date) -> str:
    days = (date - today).days
    return f"retires on {date}, in {days} days" if days > 0 else f"has been retired since {date}"


def _places(azure: Azure) -> Iterator[str]:
    workspace = azure.workspace.location
    if workspace is not None and workspace != azure.location:
        yield (
            f"azure.workspace.location = {workspace} is not azure.location = {azure.location}: images and "
            "models cross regions, which takes longer and costs; v1 advises one region"
        )
    for field, region in (("azure.location", azure.location), ("azure.workspace.location", workspace)):
        if region is not None and regions.has_zones(region) is None:
            yield f"{field} = {region}: is not in Slipway's table, so neither spelling nor zones are checked"


def _access(settings: Settings, azure: Azure) -> Iterator[str]:
    tls, registry = settings.router.tls, azure.workspace.registry
    if azure.private:
        yield "azure.private = true: `pulumi up` works from inside the network only, on a runner there"
    if azure.deployer_ranges and registry.id is None and registry.sku != "Premium":
        yield (
            f"azure.workspace.registry.sku = {registry.sku}: only Premium limits a registry to "
            "deployer_ranges, so whoever has a token reaches it from anywhere; set sku: Premium"
        )
    if tls is not None and tls.leaf_domain_label is not None:
        yield (
            f"router.tls.leaf_domain_label = {tls.leaf_domain_label}: the name is Azure's, but no "
            "certificate comes with it in this version: clients use http"
        )


def _nodes(azure: Azure) -> Iterator[str]:
    cluster = azure.cluster
    if cluster.id is not None:
        return
    system = cluster.system_pool
    if cluster.production and not system.zones and regions.has_zones(azure.location):
        yield (
            f"azure.cluster.system_pool without zones: one zone of {azure.location} that fails may take the "
            'cluster with it; set zones: ["1", "2", "3"]'
        )
    if system.vm_size.startswith("Standard_B"):
        yield (
            f"azure.cluster.system_pool.vm_size = {system.vm_size}: AKS does not support B series in a "
            "system pool (use-system-pools.md); choose a D series"
        )


def _room(settings: Settings, azure: Azure) -> Iterator[str]:
    if not placeable(azure):
        return
    placed = capacity.placement(settings, azure)
    if placed.at_max is not Fit.YES:
        yield f"webservices: their most replicas do not all fit on the nodes: {first_limit(placed)}"
    if (name := capacity.rolls(settings, azure)) is not None:
        yield (
            f"webservices[{name}]: there is no room for one pod more than its lowest scale, so a new version "
            "never replaces the old one; raise max_count of a pool"
        )
