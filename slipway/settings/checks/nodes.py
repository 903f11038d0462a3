"""Pools of nodes one by one, and how many nodes there may be."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from slipway.problems import lines_of
from slipway.settings import capacity
from slipway.settings.azure import Azure
from slipway.settings.cluster import AgentPool
from slipway.settings.derived import dns_servers
from slipway.sizing.addresses import MAX_NODES, pod_range_nodes, surge_nodes
from slipway.sizing.router import cluster_minimum

if TYPE_CHECKING:
    from slipway.settings.stack import Settings

SYSTEM_VCPU, SYSTEM_MEMORY_GB = 2, 4
"""The least VM of a system pool (MicrosoftDocs/azure-aks-docs, quotas-skus-regions.md)."""
LEAST_PODS = 30
"""What every new pool must have room for (concepts-network-ip-address-planning.md, 2026-04-16)."""
SIDECARS_MINOR = 29
"""The first 1.x with sidecar containers on (kubernetes.io, "Sidecar Containers")."""
BALANCER_NODES = 1_000
"""The most nodes that a load balancer gives ports to (load-balancer-outbound-connections.md)."""


def at(azure: Azure, pool: AgentPool) -> str:
    """Name the place of a pool."""
    system = pool is azure.cluster.system_pool
    return "azure.cluster.system_pool" if system else f"azure.cluster.pools[{pool.name}]"


def _pools(_: Settings, azure: Azure) -> Iterator[str]:
    for _subnet, pool in capacity.agent_pools(azure):
        for rule in (_vm_size, _accelerator, _pods):
            yield from lines_of(rule, azure, pool)


def _vm_size(azure: Azure, pool: AgentPool) -> Iterator[str]:
    field, vm = at(azure, pool), capacity.vm_of(pool)
    if vm is None:
        yield f"{field}.vm_size = {pool.vm_size} is not in Slipway's table: give vcpu and memory_gb too"
    elif pool is azure.cluster.system_pool and (vm.vcpu < SYSTEM_VCPU or vm.memory_gb < SYSTEM_MEMORY_GB):
        yield (
            f"{field}.vm_size = {pool.vm_size} is too small for a system pool: choose one with "
            f"{SYSTEM_VCPU} cores and {SYSTEM_MEMORY_GB} GB or more"
        )


def _accelerator(azure: Azure, pool: AgentPool) -> Iterator[str]:
    field, vm = at(azure, pool), capacity.vm_of(pool)
    if vm is None:
        return
    if vm.accelerators and vm.accelerator is None:
        yield (
            f"{field}.vm_size = {pool.vm_size} has accelerators, and their name is the device plugin's: give "
            "accelerator, such as xilinx.com/fpga-... of an FPGA"
        )
    if vm.accelerator is not None and not vm.accelerators:
        yield (
            f"{field}.accelerator = {vm.accelerator}, and vm_size = {pool.vm_size} has none: give "
            "accelerators, or remove it"
        )


def _pods(azure: Azure, pool: AgentPool) -> Iterator[str]:
    pods, nodes = capacity.max_pods(azure, pool), max(1, pool.count)
    if pods * nodes < LEAST_PODS:
        yield (
            f"{at(azure, pool)}.max_pods = {pods} with count = {pool.count}: AKS asks for room for "
            f"{LEAST_PODS} pods; raise max_pods to {-(-LEAST_PODS // nodes)}, or count"
        )


def _nodes(azure: Azure) -> int:
    """Give the most nodes, with the surge of every pool."""
    pools = [pool for _, pool in capacity.agent_pools(azure)]
    return sum(pool.most + surge_nodes(pool.max_surge, pool.most) for pool in pools)


def _most(_: Settings, azure: Azure) -> Iterator[str]:
    nodes, model, outbound = _nodes(azure), azure.network.model, azure.egress.outbound_type
    if nodes > MAX_NODES[model]:
        yield (
            f"azure.network.model = {model} takes {MAX_NODES[model]} nodes, and there are up to {nodes} with "
            f"their surge: lower max_count{'' if model == 'overlay' else ', or set model: overlay'}"
        )
    elif outbound == "loadBalancer" and nodes > BALANCER_NODES:
        yield (
            f"azure.egress.outbound_type = loadBalancer gives ports to {BALANCER_NODES} nodes, and there are "
            f"up to {nodes} with their surge: lower max_count, or set userAssignedNATGateway"
        )


def _pod_range(_: Settings, azure: Azure) -> Iterator[str]:
    if azure.network.model == "azure":
        return
    nodes, room = _nodes(azure), pod_range_nodes(IPv4Network(azure.network.pod_cidr))
    if room < nodes:
        yield (
            f"azure.network.pod_cidr = {azure.network.pod_cidr} has a /24 for {room} nodes, and there are up "
            f"to {nodes} with their surge: give a /{24 - (nodes - 1).bit_length()} or larger"
        )


def _purpose(_: Settings, azure: Azure) -> Iterator[str]:
    pools, purpose = capacity.agent_pools(azure), azure.cluster.cluster_purpose
    least, count = cluster_minimum(purpose), sum(pool.least for _, pool in pools)
    vms = [(pool.least, vm) for _, pool in pools if (vm := capacity.vm_of(pool)) is not None]
    cores, known = sum(number * vm.vcpu for number, vm in vms), len(vms) == len(pools)
    if azure.cluster.system_pool.least < 1:
        return  # said already
    if pools and (count < least.nodes or (known and cores < least.vcpu)):
        yield (
            f"azure.cluster.cluster_purpose = {purpose} takes {least.nodes} nodes and {least.vcpu} cores, "
            f"and the pools have {count} and {cores if known else 'more'} at least: raise count, or set "
            "DevTest"
        )


def _outbound(_: Settings, azure: Azure) -> Iterator[str]:
    """Refuse what AKS does (MicrosoftDocs/azure-aks-docs, nat-gateway.md): our nodes stand in our network."""
    if azure.egress.outbound_type == "managedNATGateway" and azure.cluster.id is None:
        yield (
            "azure.egress.outbound_type = managedNATGateway: AKS makes its gateway only in a network of "
            "its own; set userAssignedNATGateway"
        )


def _private_kubenet(_: Settings, azure: Azure) -> Iterator[str]:
    """Refuse what AKS does (the same, private-clusters.md, 2026-08-05): kubenet's table and one's own DNS."""
    servers = dns_servers(azure)
    if azure.private and azure.network.model == "kubenet" and servers and azure.cluster.id is None:
        ours = "" if azure.dns.servers else " (the firewall's)"
        yield (
            f"azure.private = true with azure.network.model = kubenet and DNS servers {', '.join(servers)}"
            f"{ours}: AKS fails to create such a cluster; set model: overlay"
        )


def _sidecars(settings: Settings, azure: Azure) -> Iterator[str]:
    """Refuse versions whose init containers cannot stay, as the one that uploads does."""
    version = azure.cluster.kubernetes_version
    places = [one.at for one in settings.services if one.uploads]
    if version is not None and places and int(version.split(".")[1]) < SIDECARS_MINOR:
        yield (
            f"azure.cluster.kubernetes_version = {version}, and {places[0]} uploads: "
            f"that takes 1.{SIDECARS_MINOR}; raise it"
        )


RULES = (_pools, _most, _pod_range, _purpose, _outbound, _private_kubenet, _sidecars)
