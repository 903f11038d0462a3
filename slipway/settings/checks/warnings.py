"""What works and should be changed all the same."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import TYPE_CHECKING

from slipway.certificates import read
from slipway.settings import capacity, regions
from slipway.settings.azure import Azure
from slipway.settings.checks.nodes import at
from slipway.settings.checks.room import first_limit, placeable
from slipway.settings.derived import api_server_zone, dns_servers
from slipway.sizing.bins import Fit
from slipway.sizing.vms import AMD, NVIDIA

if TYPE_CHECKING:
    from slipway.settings.stack import Settings

KUBENET_RETIRES = datetime.date(2028, 3, 31)
"""MicrosoftDocs/azure-aks-docs, includes/kubenet-retirement.md (2026-01-14)."""
NPM_RETIRES = datetime.date(2028, 9, 30)
"""The same, includes/azure-network-policy-manager-linux-retirement.md (2026-01-14)."""


START_MS = 10_000
"""A pod takes seconds to start even where its image is there: scheduling, Python, the model, probes."""
PLUGINS = {AMD: "AMD's (use-amd-gpus.md: the AMD GPU Operator, or ROCm/k8s-device-plugin)"}
FPGA = "its maker's device plugin (of FPGAs Xilinx/FPGA_as_a_Service)"


def warnings(settings: Settings, today: datetime.date, *, deploys: bool = False) -> list[str]:
    """Name what works and should be changed all the same, in lines like those of mistakes.

    `deploys` where objects go to a cluster, so that nodes pull what they name.
    """
    azure = settings.azure
    if azure is None:
        found = [*_impatient(settings), *_certificate(settings, today)]
        return [*found, *(_unpullable(settings) if deploys else ())]
    return [
        *_impatient(settings),
        *_certificate(settings, today),
        *_retiring(azure, today),
        *_places(azure),
        *_access(settings, azure),
        *_adopted(azure),
        *_private(azure),
        *_accelerators(azure),
        *_nodes(azure),
        *_room(settings, azure),
    ]


def _certificate(settings: Settings, today: datetime.date) -> Iterator[str]:
    """Say when the certificate of the stack file ends; those in a cluster or key vault are unknown here."""
    tls = settings.router.tls
    if tls is None or tls.certificate is None:
        return
    certificate = read(tls.certificate)
    end, what = certificate.ends.date(), f"router.tls.certificate for {', '.join(certificate.names)}"
    if end <= today:
        yield f"{what}: has expired on {end}; renew it"
    elif certificate.nears.date() <= today:
        yield f"{what}: expires on {end}, in {(end - today).days} days; renew it"


def _impatient(settings: Settings) -> Iterator[str]:
    """Name the services whose first request would not outwait the start of the first replica."""
    for spec in settings.services:
        wait = spec.max_request_wait_time
        if spec.autoscale_enabled and not spec.autoscale_min_replicas and wait < START_MS:
            yield (
                f"{spec.at}.max_request_wait_time = {wait}: with autoscale_min_replicas = 0 a "
                "request waits no longer than this for a replica to start, which takes seconds; raise it to "
                f"{START_MS} or more"
            )


def _unpullable(settings: Settings) -> Iterator[str]:
    """Name the images that are ours to make and go to no registry."""
    if settings.images.registry is not None:
        return
    ours = {"router": settings.router.image} | {spec.at: spec.environment.image for spec in settings.services}
    for name, image in ours.items():
        if image is None:
            field = "router.image" if name == "router" else f"{name}.environment.image"
            yield (
                f"{field} is not given, and no registry: nothing is built, and nodes pull no image of that "
                "name; set slipway:images: {registry: HOST}, or name an image here, unless the nodes have it "
                "(`kind load`)"
            )


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
    taking = [spec.name for spec in settings.webservices if spec.token_auth_enabled]
    if taking and tls is None:
        yield (
            f"webservices[{taking[0]}].token_auth_enabled = true without router.tls: who asks for a token "
            "sends a login to Kubernetes, which could be read on its way; set router.tls"
        )
    created, adopted = azure.cluster.id is None, azure.resource_group.id is not None
    if created and adopted and not azure.cluster.admin_group_ids:
        yield (
            "azure.cluster.admin_group_ids is not given: who deploys is made the cluster's administrator, "
            "which takes Azure up to five minutes; run `pulumi up` again if it ends in Forbidden, or name a "
            "group of yours"
        )
    if tls is not None and not tls.encrypts:
        yield (
            f"router.tls.leaf_domain_label = {tls.leaf_domain_label} without secrets: clients use http, and "
            "keys and rows can be read on the way; docs/tls.md says how to get a certificate by ACME"
        )


def _adopted(azure: Azure) -> Iterator[str]:
    """Name what somebody else must do, or may have done, to what is adopted."""
    network, firewall, registry = azure.network, azure.egress.firewall, azure.workspace.registry
    servers = dns_servers(azure)
    if network.id is not None and servers:
        ours = firewall is not None and firewall.ours
        why = "a firewall of ours knows names as nodes do only if they ask it" if ours else "nobody asks them"
        yield (
            f"azure.network.id = {network.id}: a network that exists keeps its DNS servers, and {why}; "
            f"{'once it exists, ' * ours}run az network vnet update --ids {network.id} --dns-servers "
            f"{' '.join(servers)}"
        )
    if azure.cluster.id is not None and registry.id is not None and not registry.attached:
        yield (
            f"azure.workspace.registry.id = {registry.id}: `pulumi up` gives the cluster's nodes AcrPull, "
            "and ends in RoleAssignmentExists where they have it (`--attach-acr` of az aks gives it); then "
            "set azure.workspace.registry.attached: true"
        )


def _private(azure: Azure) -> Iterator[str]:
    """Say what a private API server asks of DNS servers (private-clusters.md, 2026-08-05)."""
    network, servers, zone = azure.network, azure.dns.servers, api_server_zone(azure)
    if not azure.private or azure.cluster.id is not None:
        return
    if servers and zone not in azure.dns.private_zones:
        yield (
            f"azure.dns.servers = {', '.join(servers)} with azure.private: AKS links the API server's zone "
            "to the cluster's network alone, and servers in another one do not find it; give "
            f"azure.dns.private_zones.{zone} if they stand there"
        )
    if network.id is not None and network.model == "kubenet":
        yield (
            f"azure.network.id = {network.id} with azure.private and model = kubenet: AKS fails to create "
            "the cluster if that network has DNS servers of its own; set model: overlay if it has"
        )


def _accelerators(azure: Azure) -> Iterator[str]:
    for accelerator in sorted(capacity.accelerators(azure) - {NVIDIA}):
        yield (
            f"azure.cluster.pools with {accelerator}: Slipway brings NVIDIA's device plugin alone, and no "
            f"pod gets {accelerator} before you install {PLUGINS.get(accelerator, FPGA)}"
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
        place = next(spec.at for spec in settings.services if spec.name == name)
        yield (
            f"{place}: there is no room for one pod more than its lowest scale, so a new version "
            "never replaces the old one; raise max_count of a pool"
        )
