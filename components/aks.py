"""What AKS is told of a cluster, as its settings say it: network, access, nodes, upgrades. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pulumi
import pulumi_azure_native as az

from slipway.settings import capacity, derived
from slipway.settings.azure import Azure
from slipway.settings.cluster import AgentPool, Cluster, ClusterPurpose, Day, Maintenance
from slipway.sizing.addresses import surge_nodes
from slipway.sizing.router import cluster_minimum
from slipway.sizing.snat import CONNECTIONS_PER_NODE, load_balancer_ips, nat_gateway_ips
from slipway.sizing.vms import VMS

DAYS: Sequence[Day] = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def dns_prefix(base: str) -> str:
    """Give the beginning of the API server's name: 1 to 54 letters, digits and hyphens, none at the ends."""
    return re.sub(r"[^A-Za-z0-9-]", "-", base)[:54].strip("-")


def api_server_zone(azure: Azure) -> str | None:
    """Give the id of the adopted private zone of API servers, as a hub network has it."""
    return azure.dns.private_zones.get(derived.api_server_zone(azure)) if azure.private else None


def links_network(azure: Azure) -> bool:
    """Tell whether AKS needs a right on the network, to link its zone of the private API server.

    It does where a network may have DNS servers of its own (MicrosoftDocs/azure-aks-docs,
    private-clusters.md, 2026-08-05: hub and spoke with custom DNS).
    """
    return azure.private and (azure.network.id is not None or bool(derived.dns_servers(azure)))


def access(
    azure: Azure, egress_ips: Iterable[pulumi.Input[str]]
) -> az.containerservice.ManagedClusterAPIServerAccessProfileArgs:
    """Say who reaches the API server: the private network, or deployers and the nodes' own addresses.

    Without `deployer_ranges` everyone reaches it. AKS adds a load balancer's addresses by itself.
    """
    if azure.private:
        return az.containerservice.ManagedClusterAPIServerAccessProfileArgs(
            enable_private_cluster=True,
            enable_private_cluster_public_fqdn=False,
            private_dns_zone=api_server_zone(azure) or "system",
        )
    own = [pulumi.Output.concat(ip, "/32") for ip in egress_ips]
    return az.containerservice.ManagedClusterAPIServerAccessProfileArgs(
        enable_private_cluster=False,
        authorized_ip_ranges=[*azure.deployer_ranges, *own] if azure.deployer_ranges else None,
    )


def network(azure: Azure) -> az.containerservice.ContainerServiceNetworkProfileArgs:
    """Say how pods stand in the network, what enforces their policies and how they reach the outside."""
    settings, outbound = azure.network, azure.egress.outbound_type
    count = _outbound_ips(azure)
    balancer = az.containerservice.ManagedClusterLoadBalancerProfileArgs(
        managed_outbound_ips=az.containerservice.ManagedClusterLoadBalancerProfileManagedOutboundIPsArgs(
            count=count
        )
    )
    gateway = az.containerservice.ManagedClusterNATGatewayProfileArgs(
        managed_outbound_ip_profile=az.containerservice.ManagedClusterManagedOutboundIPProfileArgs(
            count=count
        )
    )
    profile = az.containerservice.ContainerServiceNetworkProfileArgs(
        network_plugin="kubenet" if settings.model == "kubenet" else "azure",
        network_plugin_mode="overlay" if settings.model == "overlay" else None,
        network_policy=settings.network_policy,
        network_dataplane="cilium" if settings.network_policy == "cilium" else None,
        pod_cidr=settings.pod_cidr,
        service_cidr=settings.service_cidr,
        dns_service_ip=settings.dns_service_ip,
        load_balancer_sku="standard",
        outbound_type=outbound,
        load_balancer_profile=balancer if outbound == "loadBalancer" else None,
        nat_gateway_profile=gateway if outbound == "managedNATGateway" else None,
    )
    if settings.model == "azure":
        profile.pod_cidr = None  # the SDK sets a default, which AKS does not keep
    return profile


def _outbound_ips(azure: Azure) -> int:
    """Give the public addresses that AKS makes: as written, else what the most nodes need."""
    if azure.egress.public_ips is not None:
        return azure.egress.public_ips
    pools = [pool for _, pool in capacity.agent_pools(azure)]
    nodes = sum(pool.most + surge_nodes(pool.max_surge, pool.most) for pool in pools)
    if azure.egress.outbound_type == "managedNATGateway":
        return nat_gateway_ips(nodes * CONNECTIONS_PER_NODE)
    return load_balancer_ips(min(nodes, 1000))  # above, Azure gives no fewer ports


def pool(azure: Azure, settings: AgentPool, subnet: pulumi.Input[str] | None) -> Mapping[str, Any]:
    """Give what an inline pool and an `AgentPool` are told alike. Accelerators keep other pods away."""
    vm = capacity.vm_of(settings)
    accelerator = vm.accelerator if vm is not None else settings.accelerator
    labels, taints = dict(settings.labels), list(settings.taints)
    if accelerator is not None:
        labels |= capacity.accelerator_label(accelerator)
        taints.append(capacity.taint_of(accelerator))
    scaled = settings.max_count is not None
    return {
        "type": "VirtualMachineScaleSets",
        "os_type": "Linux",
        # nodes do not follow the control plane by themselves (github.com/Azure/AKS/issues/3087)
        "orchestrator_version": azure.cluster.kubernetes_version,
        "vm_size": settings.vm_size,
        "os_disk_size_gb": settings.os_disk_gb,
        "count": settings.count,
        "enable_auto_scaling": scaled,
        "min_count": settings.least if scaled else None,
        "max_count": settings.max_count,
        "max_pods": capacity.max_pods(azure, settings),
        "availability_zones": list(settings.zones) or None,
        "node_labels": labels or None,
        "node_taints": taints or None,
        "upgrade_settings": az.containerservice.AgentPoolUpgradeSettingsArgs(
            max_surge=str(settings.max_surge)
        ),
        "vnet_subnet_id": subnet,
    }


def upgrades(version: str | None) -> az.containerservice.ManagedClusterAutoUpgradeProfileArgs:
    """Say what AKS upgrades by itself: nodes' images, and patches unless the stack names its patch."""
    pinned = version is not None and version.count(".") == 2
    return az.containerservice.ManagedClusterAutoUpgradeProfileArgs(
        upgrade_channel="none" if pinned else "patch", node_os_upgrade_channel="NodeImage"
    )


def security(
    settings: Cluster, logs_id: pulumi.Input[str] | None
) -> az.containerservice.ManagedClusterSecurityProfileArgs:
    """Say that pods may act as identities, and whether Defender watches the nodes."""
    defender = az.containerservice.ManagedClusterSecurityProfileDefenderArgs(
        log_analytics_workspace_resource_id=logs_id,
        security_monitoring=az.containerservice.ManagedClusterSecurityProfileDefenderSecurityMonitoringArgs(
            enabled=True
        ),
    )
    return az.containerservice.ManagedClusterSecurityProfileArgs(
        workload_identity=az.containerservice.ManagedClusterSecurityProfileWorkloadIdentityArgs(enabled=True),
        defender=defender if settings.defender.sensor else None,
    )


def addons(
    settings: Cluster, logs_id: pulumi.Input[str] | None, *, certificate: bool
) -> dict[str, pulumi.Input[az.containerservice.ManagedClusterAddonProfileArgs]]:
    """Give the add-ons that are on, by AKS's names for them."""
    addon = az.containerservice.ManagedClusterAddonProfileArgs
    found: dict[str, pulumi.Input[az.containerservice.ManagedClusterAddonProfileArgs]] = {}
    if certificate:
        rotation = {"enableSecretRotation": "true", "rotationPollInterval": "2m"}
        found["azureKeyvaultSecretsProvider"] = addon(enabled=True, config=rotation)
    if settings.azure_policy:
        found["azurepolicy"] = addon(enabled=True)
    if settings.monitor:
        assert logs_id is not None, "Container insights writes into a Log Analytics workspace"
        insights = {"logAnalyticsWorkspaceResourceID": logs_id, "useAADAuth": "true"}
        found["omsagent"] = addon(enabled=True, config=insights)
    return found


def windows(maintenance: Maintenance) -> dict[str, dict[str, Any]]:
    """Give the inputs of AKS's three maintenance configurations by their fixed names.

    `default` is for AKS's own weekly releases, the others for upgrades of Kubernetes and of nodes' images.
    """
    weekly = {"maintenance_window": _window(maintenance)}
    releases = [
        az.containerservice.TimeInWeekArgs(day=day, hour_slots=list(hours))
        for day, hours in slots(maintenance).items()
    ]
    return {
        "default": {"time_in_week": releases},
        "aksManagedAutoUpgradeSchedule": weekly,
        "aksManagedNodeOSUpgradeSchedule": weekly,
    }


def _window(maintenance: Maintenance) -> az.containerservice.MaintenanceWindowArgs:
    return az.containerservice.MaintenanceWindowArgs(
        schedule=az.containerservice.ScheduleArgs(
            weekly=az.containerservice.WeeklyScheduleArgs(day_of_week=maintenance.day, interval_weeks=1)
        ),
        start_time=maintenance.start_time,
        utc_offset="+00:00",
        duration_hours=maintenance.duration_hours,
    )


def slots(maintenance: Maintenance) -> dict[Day, list[int]]:
    """Give the whole hours of a window by day, UTC, as AKS's own releases want them.

    They begin with the hour in which the window does, and go on into the next day.
    """
    first = DAYS.index(maintenance.day) * 24 + int(maintenance.start_time[:2])
    found: dict[Day, list[int]] = {}
    for hour in range(first, first + maintenance.duration_hours):
        found.setdefault(DAYS[hour // 24 % 7], []).append(hour % 24)
    return found


def attach_mistakes(cluster_id: str, purpose: ClusterPurpose, pools: Iterable[tuple[str, int]]) -> list[str]:
    """Check v1's rules for an attached cluster, given the VM size and number of nodes of each pool.

    Source: how-to-deploy-azure-kubernetes-service.md of Azure ML v1: production takes 3 nodes and 12
    cores, dev-test one node. Cores are not counted when a VM size is not known here.
    """
    given, least = list(pools), cluster_minimum(purpose)
    nodes = sum(count for _, count in given)
    vms = [(VMS.get(size), count) for size, count in given]
    cores = sum(vm.vcpu * count for vm, count in vms if vm is not None)
    counted = all(vm is not None for vm, _ in vms)
    if nodes >= least.nodes and (cores >= least.vcpu or not counted):
        return []
    has = f"{nodes} nodes and {cores} cores" if counted else f"{nodes} nodes"
    remedy = "add nodes" if purpose == "DevTest" else "add nodes, or set cluster_purpose: DevTest"
    return [
        f"azure.cluster.id = {cluster_id}: cluster_purpose = {purpose} takes {least.nodes} nodes and "
        f"{least.vcpu} cores at least, and the cluster has {has}; {remedy}"
    ]
