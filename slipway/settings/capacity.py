"""A stack's settings as pools and pods: what fits, what runs out first, at what load."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from slipway.settings.azure import Azure
from slipway.settings.cluster import AgentPool
from slipway.settings.derived import prefixes, router_size, stands_in
from slipway.settings.stack import Settings
from slipway.sizing import system
from slipway.sizing.addresses import (
    DEFAULT_MAX_PODS,
    addresses_needed,
    addresses_per_node,
    surge_nodes,
    usable,
)
from slipway.sizing.bins import Fit
from slipway.sizing.capacity import Placement, place
from slipway.sizing.demands import Demand, Pool, system_demands
from slipway.sizing.nodes import allocatable
from slipway.sizing.replicas import replicas_needed, requests_per_second
from slipway.sizing.report import Report, report, subnet_row
from slipway.sizing.resources import Resources
from slipway.sizing.uploader import UPLOADER
from slipway.sizing.vms import VMS, Vm
from slipway.spec import WebserviceSpec

ROUTER = "(router)"


def agent_pools(azure: Azure) -> list[tuple[str, AgentPool]]:
    """Give every pool with the subnet that its nodes stand in; an attached cluster's are not known."""
    if azure.cluster.id is not None:
        return []
    system, user = stands_in(azure, "system"), stands_in(azure, "user")
    return [(system, azure.cluster.system_pool), *((user, pool) for pool in azure.cluster.pools)]


def vm_of(pool: AgentPool) -> Vm | None:
    """Give a pool's VM: of the table, changed by what the stack file says; None if neither knows it."""
    vm = VMS.get(pool.vm_size)
    if pool.vcpu is not None and pool.memory_gb is not None:
        vm = replace(vm or Vm(pool.vm_size, 0, 0), vcpu=pool.vcpu, memory_gb=pool.memory_gb)
    if vm is None:
        return None
    number = vm.accelerators if pool.accelerators is None else pool.accelerators
    return replace(vm, accelerator=pool.accelerator or vm.accelerator, accelerators=number)


def accelerators(azure: Azure) -> frozenset[str]:
    """Give the accelerators that the pools have, by their extended resources."""
    vms = [vm_of(pool) for _, pool in agent_pools(azure)]
    return frozenset(vm.accelerator for vm in vms if vm is not None and vm.accelerator is not None)


def taint_of(accelerator: str) -> str:
    """Give the taint that keeps other pods from nodes with an accelerator."""
    return f"{accelerator}=present:NoSchedule"


def accelerator_label(accelerator: str) -> dict[str, str]:
    """Give the label of nodes with an accelerator: its extended resource, `/` written as `_`."""
    return {"slipway/accelerator": accelerator.replace("/", "_")}


def max_pods(azure: Azure, pool: AgentPool) -> int:
    """Give the pods that a node of a pool takes."""
    return pool.max_pods or DEFAULT_MAX_PODS[azure.network.model]


def features(azure: Azure) -> set[system.Feature]:
    """Give the parts of AKS that put pods of their own on nodes."""
    cluster, network = azure.cluster, azure.network
    policy: system.Feature = "npm" if network.network_policy == "azure" else network.network_policy
    found: set[system.Feature] = {network.model, policy, "workload_identity"}
    if cluster.monitor:
        found.add("monitor")
    if cluster.defender.sensor:
        found.add("defender")
    if cluster.azure_policy:
        found.add("azure_policy")
    return found


def pools(azure: Azure) -> list[Pool]:
    """Give the pools whose VM is known."""
    found: list[Pool] = []
    for subnet, pool in agent_pools(azure):
        vm = vm_of(pool)
        if vm is None:
            continue
        pods = max_pods(azure, pool)
        taints = {taint for taint in pool.taints if not taint.endswith(":PreferNoSchedule")}
        taints |= {taint_of(vm.accelerator)} if vm.accelerator else set[str]()
        found.append(
            Pool(
                name=pool.name,
                node=allocatable(vm, pods, features(azure)),
                min_nodes=pool.least,
                max_nodes=pool.most,
                accelerator=vm.accelerator,
                taints=frozenset(taints),
                labels=frozenset(pool.labels.items()),
                subnet=subnet,
                addresses=addresses_per_node(azure.network.model, pods),
            )
        )
    return found


def demands(settings: Settings, azure: Azure) -> list[Demand]:
    """Give everything that asks for room: AKS's own pods, the router, web services."""
    known = [(pool, vm) for _, pool in agent_pools(azure) if (vm := vm_of(pool)) is not None]
    nodes = sum(pool.least for pool, _ in known), sum(pool.most for pool, _ in known)
    cores = sum(pool.least * vm.vcpu for pool, vm in known), sum(pool.most * vm.vcpu for pool, vm in known)
    size = router_size(settings)
    router = Demand(ROUTER, size.pod, size.replicas, size.replicas)
    aks = system_demands(nodes, cores, features(azure)) if all(nodes) else []
    return [*aks, router, *map(_demand, settings.services)]


def _demand(spec: WebserviceSpec) -> Demand:
    fixed, own = spec.num_replicas, Resources.of(spec.cpu_cores, spec.memory_gb, spec.gpu_cores)
    return Demand(
        name=spec.name,
        pod=own + UPLOADER if spec.uploads else own,
        min_replicas=fixed or spec.autoscale_min_replicas,
        max_replicas=fixed or spec.autoscale_max_replicas,
        accelerator=spec.accelerator if spec.gpu_cores else None,
        tolerates=frozenset({taint_of(spec.accelerator)} if spec.gpu_cores else ()),
        load=float(load_of(spec, 1)) if spec.expected_load else None,
    )


def load_of(spec: WebserviceSpec, replicas: int) -> Fraction:
    """Give the requests a second that replicas of a service carry at its target."""
    assert spec.expected_load is not None
    target = Fraction(spec.autoscale_target_utilization, 100)
    seconds = spec.expected_load.seconds_per_request
    return requests_per_second(replicas, seconds, target, spec.replica_max_concurrent_requests)


def wanted(spec: WebserviceSpec) -> int:
    """Give the replicas that a service's expected load asks for, by v1's formula; 0 without one."""
    if spec.expected_load is None:
        return 0
    return replicas_needed(
        spec.expected_load.requests_per_second,
        spec.expected_load.seconds_per_request,
        Fraction(spec.autoscale_target_utilization, 100),
        spec.replica_max_concurrent_requests,
    )


def addresses(azure: Azure, *, surge_only: bool = False) -> dict[str, int]:
    """Give the addresses that each subnet's nodes take, all of them and the surge of every pool."""
    found: dict[str, int] = {}
    for subnet, pool in agent_pools(azure):
        nodes, surge = 0 if surge_only else pool.most, surge_nodes(pool.max_surge, pool.most)
        taken = addresses_needed(azure.network.model, nodes, surge, max_pods(azure, pool))
        found[subnet] = found.get(subnet, 0) + taken
    return found


def placement(settings: Settings, azure: Azure) -> Placement:
    """Place everything on the pools."""
    return place(pools(azure), demands(settings, azure), _room(azure))


def placement_at_expected_load(settings: Settings, azure: Azure) -> Placement:
    """Place everything on the pools, web services with no more replicas than their expected load needs."""
    needed = {spec.name: wanted(spec) for spec in settings.services}
    least = [
        replace(one, max_replicas=max(one.min_replicas, min(one.max_replicas, needed[one.name])))
        if one.name in needed
        else one
        for one in demands(settings, azure)
    ]
    return place(pools(azure), least, _room(azure))


def rolls(settings: Settings, azure: Azure) -> str | None:
    """Name a web service whose lowest scale fits, but without room for one pod more; None if all have it.

    A new version takes one pod more until an old one goes. Of services that need the same accelerator the
    one with the largest pods is tried.
    """
    given, room = demands(settings, azure), _room(azure)
    services = sorted(map(_demand, settings.services), key=lambda one: one.pod.vector[2::-1])
    for one in {service.accelerator: service for service in services}.values():
        lowest = [replace(other, max_replicas=other.min_replicas + (other == one)) for other in given]
        if place(pools(azure), lowest, room).at_max is Fit.NO:
            return one.name
    return None


def _room(azure: Azure) -> dict[str, int]:
    """Give the addresses of each subnet that are left for nodes when all pools surge."""
    surge, found = addresses(azure, surge_only=True), prefixes(azure)
    return {role: usable(found[role]) - surge[role] for role in surge if role in found}


def sizes(settings: Settings, azure: Azure) -> Report:
    """Give the arithmetic of a stack as rows of a table."""
    vms: dict[str, str] = {pool.name: pool.vm_size for _, pool in agent_pools(azure)}
    needed = addresses(azure)
    rows = [subnet_row(role, net, needed[role]) for role, net in prefixes(azure).items() if role in needed]
    return report(pools(azure), vms, demands(settings, azure), placement(settings, azure), rows)
