"""What the cluster stands on and the cluster itself: the Azure half of a stack, wired."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi
import pulumi_azure_native as az

from components.cluster import Cluster, ClusterArgs
from components.dns import Dns, DnsArgs
from components.egress import Firewall, FirewallArgs, NatGateway, NatGatewayArgs
from components.network import Network, NetworkArgs
from components.workspace import Workspace, WorkspaceArgs
from slipway.settings import Azure, Settings
from slipway.settings.derived import dns_servers, public_ports, storage_namespaces
from slipway.settings.kinds import name_of
from slipway.settings.layers import PLATFORM_GIVES, asked
from slipway.settings.needs import needs


class AzurePlatform(pulumi.ComponentResource):
    """Resource group, network, egress, workspace, DNS and cluster of a stack."""

    outputs: dict[str, pulumi.Input[Any]]
    ready: list[pulumi.Resource]
    """what everything in the cluster must wait for"""
    registry: list[pulumi.Resource]
    """what must be there before an image is pushed"""

    def __init__(self, name: str, settings: Settings, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:AzurePlatform", name, {}, opts)
        assert settings.azure is not None
        azure, base = settings.azure, settings.azure.cluster.name
        child = pulumi.ResourceOptions(parent=self)
        group = self._resource_group(azure)
        hosts = needs(settings, azure)

        gateway: NatGateway | None = None
        if azure.egress.outbound_type == "userAssignedNATGateway" and azure.cluster.id is None:
            gateway = NatGateway("nat", NatGatewayArgs(base, group, azure), child)
        network = Network(
            "network",
            NetworkArgs(
                base=base,
                resource_group=group,
                azure=azure,
                dns_servers=dns_servers(azure),
                nat_gateway_id=gateway.id if gateway is not None else None,
                public_ports=public_ports(settings),
            ),
            child,
        )
        firewall: Firewall | None = None
        if azure.egress.firewall is not None:
            routes = network.route_table
            firewall = Firewall(
                "firewall",
                FirewallArgs(
                    base=base,
                    resource_group=group,
                    azure=azure,
                    needs=hosts,
                    subnet_id=network.subnet_ids.get("firewall"),
                    route_table=routes.name if routes is not None else None,
                ),
                child,
            )
        endpoints = network.subnet_ids.get("private_endpoints")
        workspace = Workspace("workspace", WorkspaceArgs(base, group, azure, endpoints), child)
        dns = Dns(
            "dns", DnsArgs(base, group, settings, network.vnet_id, workspace.private_endpoints, hosts), child
        )
        ready = dns.ready + (firewall.ready if firewall is not None else [])
        from_nodes = firewall.public_ips if firewall is not None else gateway.public_ips if gateway else []
        self.outputs = self._cluster(
            settings,
            group=group,
            network=network,
            workspace=workspace,
            from_nodes=from_nodes,
            ready=ready,
        )
        self.outputs["registry"] = workspace.login_server
        self.registry = [workspace, *dns.ready]
        if settings.layer == "platform" or any(spec.exports_to_workspace() for spec in settings.services):
            self.outputs["insights_connection_string"] = workspace.insights_connection_string
        if settings.layer == "platform":
            self.outputs[PLATFORM_GIVES] = asked(settings)
        if from_nodes:  # the first one of a firewall of ours is the router's public address
            self.outputs["egress_ips"] = from_nodes
        if firewall is not None and firewall.rules is not None:
            self.outputs["egress_rules"] = firewall.rules
        if dns.entries:
            self.outputs["dns_entries"] = dns.entries
        self.register_outputs(self.outputs)

    def _resource_group(self, azure: Azure) -> pulumi.Output[str]:
        """Make the group or name the adopted one. It stays with the data: Azure deletes what is in one."""
        if azure.resource_group.id is not None:
            return pulumi.Output.from_input(name_of(azure.resource_group.id))
        return az.resources.ResourceGroup(
            "group",
            resource_group_name=azure.resource_group.name,
            location=azure.location,
            opts=pulumi.ResourceOptions(parent=self, protect=True, retain_on_delete=True),
        ).name

    def _cluster(
        self,
        settings: Settings,
        *,
        group: pulumi.Output[str],
        network: Network,
        workspace: Workspace,
        from_nodes: Sequence[pulumi.Output[str]],
        ready: list[pulumi.Resource],
    ) -> dict[str, pulumi.Input[Any]]:
        assert settings.azure is not None
        azure, tls, routes = settings.azure, settings.router.tls, network.route_table
        nodes = {
            role: subnet
            for role, subnet in network.subnet_ids.items()
            if role in ("system", "user", "router")
        }
        cluster = Cluster(
            "cluster",
            ClusterArgs(
                base=azure.cluster.name,
                resource_group=group,
                azure=azure,
                registry_id=workspace.registry_id,
                subnets=nodes,
                route_table_id=routes.id if routes is not None else None,
                network_id=network.vnet_id,
                egress_ips=from_nodes,
                logs_id=workspace.logs_id,
                vault_id=workspace.vault_id if tls is not None and tls.key_vault_certificate else None,
                storage_id=workspace.storage_id,
                storage_namespaces=storage_namespaces(settings),
                uploads=any(spec.uploads for spec in settings.services),
            ),
            pulumi.ResourceOptions(parent=self, depends_on=ready),
        )
        # one that is attached waited for nothing
        self.ready = cluster.ready if azure.cluster.id is None else ready + cluster.ready
        found = {
            "kubeconfig": cluster.kubeconfig,
            "cluster_id": cluster.id,
            "tenant_id": cluster.tenant_id,
            "router_client_id": cluster.router_client_id,
            "webservices_client_id": cluster.webservices_client_id,
        }
        return {name: value for name, value in found.items() if value is not None}
