"""Nodes: their sizes, how many there may be, their addresses, and whether everything finds room on them."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network

from slipway.settings import capacity
from slipway.settings.azure import Azure
from slipway.settings.derived import prefixes
from slipway.settings.stack import Settings
from slipway.sizing.addresses import MAX_NODES, pod_range_nodes, smallest_prefix, usable
from slipway.sizing.bins import Fit
from slipway.sizing.capacity import Placement
from slipway.sizing.router import cluster_minimum

AT = "azure.cluster"


def mistakes(settings: Settings, azure: Azure) -> Iterator[str]:
    """Name what the pools cannot be, and what does not fit on them."""
    yield from _vm_sizes(azure)
    yield from _numbers(azure)
    yield from _addresses(azure)
    yield from _fit(settings, azure)


def warnings(settings: Settings, azure: Azure) -> Iterator[str]:
    """Say which VM sizes retire, and what ends growth before the most replicas are reached."""
    for _, pool in capacity.agent_pools(azure):
        vm = capacity.vm_of(pool)
        if vm is not None and vm.retires is not None:
            yield f"{AT}: {pool.name}.vm_size = {pool.vm_size} retires on {vm.retires}; choose a newer one"
    placed = _placed(settings, azure)
    if placed is not None and placed.at_min is Fit.YES and placed.at_max is not Fit.YES:
        yield f"webservices: their most replicas do not all fit on the nodes: {_limit(placed)}"


def _vm_sizes(azure: Azure) -> Iterator[str]:
    for _, pool in capacity.agent_pools(azure):
        vm, size = capacity.vm_of(pool), f"{AT}: {pool.name}.vm_size = {pool.vm_size}"
        if vm is None:
            yield f"{size} is not in Slipway's table; give vcpu and memory_gb too"
        elif vm.accelerators and vm.accelerator is None:
            yield f"{size}: the device plugin names its FPGAs; give accelerator, as xilinx.com/fpga-..."


def _numbers(azure: Azure) -> Iterator[str]:
    network, pools = azure.network, capacity.agent_pools(azure)
    if not pools:
        return
    nodes, limit = sum(pool.most + pool.max_surge for _, pool in pools), MAX_NODES[network.model]
    if nodes > limit:
        yield f"{AT}: {nodes} nodes with their surge, and {network.model} takes {limit}: lower max_count"
    if network.model != "azure" and (room := pod_range_nodes(IPv4Network(network.pod_cidr))) < nodes:
        yield (
            f"azure.network.pod_cidr = {network.pod_cidr} has a /24 for {room} nodes, and there are up to "
            f"{nodes} with their surge: enlarge it"
        )
    purpose = azure.cluster.cluster_purpose
    least, count = cluster_minimum(purpose), sum(pool.least for _, pool in pools)
    vms = [(pool.least, capacity.vm_of(pool)) for _, pool in pools]
    cores = sum(number * vm.vcpu for number, vm in vms if vm is not None)
    known = all(vm is not None for _, vm in vms)
    if count < least.nodes or (known and cores < least.vcpu):
        yield (
            f"{AT}.cluster_purpose = {purpose}: it takes {least.nodes} nodes and {least.vcpu} cores, "
            f"and the pools have {count} and {cores} at least; raise count, or use DevTest"
        )


def _addresses(azure: Azure) -> Iterator[str]:
    found = prefixes(azure)
    for role, needed in capacity.addresses(azure).items():
        if role in found and needed > usable(found[role]):
            yield (
                f"azure.network.subnets.{role} = {found[role]} has {usable(found[role])} addresses, and its "
                f"nodes need {needed} with their surge: give a /{smallest_prefix(needed)}"
            )


def _placed(settings: Settings, azure: Azure) -> Placement | None:
    pools = capacity.pools(azure)
    if not pools or len(pools) < len(capacity.agent_pools(azure)):
        return None
    return capacity.placement(settings, azure)


def _fit(settings: Settings, azure: Azure) -> Iterator[str]:
    placed = _placed(settings, azure)
    if placed is None:
        return
    if placed.at_min is Fit.NO:
        yield f"webservices: not even the lowest scale fits on the nodes: {_limit(placed)}"
    for spec in settings.webservices:
        needed, fit = capacity.wanted(spec), placed.replicas[spec.name]
        if fit < needed <= (spec.num_replicas or spec.autoscale_max_replicas):
            yield (
                f"webservices[{spec.name}].expected_load needs {needed} replicas, and {fit} fit on the "
                f"nodes: {_limit(placed)}"
            )


def _limit(placed: Placement) -> str:
    """Say what runs out first, and what to do."""
    if not placed.limits:
        return "raise max_count of a pool"
    limit = placed.limits[0]
    load = f" ({limit.load:g} requests/s)" if limit.load is not None else ""
    return (
        f"{limit.demand} stops at {limit.replicas} replicas{load}, because there is no {limit.resource} left "
        f"on {' and '.join(limit.pools) or 'any pool'}; raise max_count or choose a larger vm_size"
    )
