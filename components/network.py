"""The virtual network: its subnets, who may enter those of nodes, and the table of their routes.

Subnets and routes are resources of their own, never lists inside a network or a table: AKS writes routes
there (kubenet), and a list would delete them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import UNIQUE, IntEnum, verify

import pulumi
import pulumi_azure_native as az

from components.pods import children
from slipway.settings import Azure
from slipway.settings.azure import Subnet
from slipway.settings.derived import prefixes, roles
from slipway.settings.kinds import group_of, name_of
from slipway.sizing.ranges import FIREWALL_SUBNET

NODES = ("system", "user")
"""The subnets in which nodes stand."""


@verify(UNIQUE)
class Inbound(IntEnum):
    """Priorities of security rules; Azure's own come after, from 65000 on, and end in a denial."""

    PODS = 100
    ROUTER = 200


@dataclass(frozen=True)
class InboundRule:
    """Whom a node subnet lets in beyond Azure's own rules: its network and load balancers' probes.

    An address is a range or a service tag; a tag stands alone. `ports` are of TCP; none is all of every
    protocol.
    """

    name: str
    priority: Inbound
    why: str
    sources: tuple[str, ...]
    destinations: tuple[str, ...] = ("*",)
    ports: tuple[int, ...] = ()


@dataclass(frozen=True)
class NetworkArgs:
    """Arguments of `Network`.

    `base` is part of every name. `dns_servers` are the network's, in place of Azure's. `nat_gateway_id` is
    given to the subnets of nodes. `public_ports` are the router's that the internet may reach.
    """

    base: str
    resource_group: pulumi.Input[str]
    azure: Azure
    dns_servers: tuple[str, ...] = ()
    nat_gateway_id: pulumi.Input[str] | None = None
    public_ports: tuple[int, ...] = ()


class Network(pulumi.ComponentResource):
    """Virtual network, subnets, security groups and route table, each made or adopted.

    A subnet with an id is taken as it is: security group, route table and NAT gateway are its owner's. With
    kubenet or userDefinedRouting a route table must be on it, the same for all node subnets of a kubenet
    cluster, and the cluster's identity must have rights there. A subnet with a range is made, in an adopted
    network too.
    """

    vnet_id: pulumi.Output[str]
    subnet_ids: dict[str, pulumi.Output[str]]
    """by role: system, user, router, firewall, private_endpoints, as far as the stack has them"""
    route_table: az.network.RouteTable | None
    """of all node subnets that are made here; None where nothing needs one"""

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:Network", name, {}, opts)
        self._name, self._args = name, args
        self._child = children(self, opts)
        adopted = args.azure.network.id
        if adopted is None:
            vnet = self._vnet()
            self._place = (args.resource_group, vnet.name)
            self.vnet_id = vnet.id
        else:
            self._place = (group_of(adopted), name_of(adopted))
            self.vnet_id = pulumi.Output.from_input(adopted)
        given: dict[str, Subnet] = dict(args.azure.network.subnets)
        nodes_made = any(given[role].id is None for role in roles(args.azure) if role in NODES)
        self.route_table = self._route_table() if nodes_made and needs_route_table(args.azure) else None
        self.subnet_ids = {}
        before: list[az.network.Subnet] = []
        for role in roles(args.azure):
            identity = given[role].id
            if identity is None:
                subnet = self._subnet(role, before)
                identity, before = subnet.id, [subnet]
            self.subnet_ids[role] = pulumi.Output.from_input(identity)
        self.register_outputs({"vnet_id": self.vnet_id, "subnet_ids": self.subnet_ids})

    def _vnet(self) -> az.network.VirtualNetwork:
        args, servers = self._args, self._args.dns_servers
        return az.network.VirtualNetwork(
            self._name,
            virtual_network_name=f"vnet-{args.base}",
            resource_group_name=args.resource_group,
            location=args.azure.location,
            address_space=az.network.AddressSpaceArgs(address_prefixes=[args.azure.network.address_space]),
            dhcp_options=az.network.DhcpOptionsArgs(dns_servers=list(servers)) if servers else None,
            opts=self._child,
        )

    def _route_table(self) -> az.network.RouteTable:
        return az.network.RouteTable(
            f"{self._name}-nodes",
            route_table_name=f"rt-{self._args.base}-nodes",
            resource_group_name=self._args.resource_group,
            location=self._args.azure.location,
            opts=self._child,
        )

    def _subnet(self, role: str, before: list[az.network.Subnet]) -> az.network.Subnet:
        """Make a subnet, after the one before: Azure takes one change of a network at a time."""
        args, (group, network) = self._args, self._place
        of_nodes = role in NODES
        table, gateway = self.route_table, args.nat_gateway_id
        return az.network.Subnet(
            f"{self._name}-{role}",
            subnet_name=FIREWALL_SUBNET if role == "firewall" else f"snet-{role.replace('_', '-')}",
            resource_group_name=group,
            virtual_network_name=network,
            address_prefix=str(prefixes(args.azure)[role]),
            network_security_group=self._security_group(role) if of_nodes else None,
            route_table=az.network.RouteTableArgs(id=table.id) if of_nodes and table is not None else None,
            nat_gateway=az.network.SubResourceArgs(id=gateway) if of_nodes and gateway is not None else None,
            opts=pulumi.ResourceOptions.merge(self._child, pulumi.ResourceOptions(depends_on=before)),
        )

    def _security_group(self, role: str) -> az.network.NetworkSecurityGroupArgs:
        args = self._args
        group = az.network.NetworkSecurityGroup(
            f"{self._name}-{role}",
            network_security_group_name=f"nsg-{args.base}-{role}",
            resource_group_name=args.resource_group,
            location=args.azure.location,
            security_rules=[_written(rule) for rule in inbound(args.azure, args.public_ports)],
            opts=self._child,
        )
        return az.network.NetworkSecurityGroupArgs(id=group.id)


def needs_route_table(azure: Azure) -> bool:
    """Tell whether a route table must be on the subnets of nodes before the cluster exists.

    With kubenet it is one for all of them, and no other cluster's (MicrosoftDocs/azure-aks-docs,
    configure-kubenet.md, 2026-04-16); where routes lead to a firewall one is enough too.
    """
    return azure.network.model == "kubenet" or azure.egress.outbound_type == "userDefinedRouting"


def inbound(azure: Azure, public_ports: tuple[int, ...]) -> list[InboundRule]:
    """Give the rules of a node subnet.

    Pods with a range of their own are no part of Azure's tag VirtualNetwork (MicrosoftDocs/azure-aks-docs,
    concepts-network-azure-cni-overlay.md, 2026-07-31: nodes and pods among each other).
    """
    rules: list[InboundRule] = []
    if azure.network.model != "azure":
        both = (azure.network.address_space, azure.network.pod_cidr)
        rules.append(InboundRule("AllowPods", Inbound.PODS, "nodes and pods talk to each other", both, both))
    if public_ports:
        why = "clients reach the router through its public load balancer"
        rules.append(InboundRule("AllowRouter", Inbound.ROUTER, why, ("Internet",), ports=public_ports))
    return rules


def _written(rule: InboundRule) -> az.network.SecurityRuleArgs:
    one_source, one_destination = len(rule.sources) == 1, len(rule.destinations) == 1
    protocols = az.network.SecurityRuleProtocol
    return az.network.SecurityRuleArgs(
        name=rule.name,
        description=rule.why,
        priority=rule.priority,
        direction=az.network.SecurityRuleDirection.INBOUND,
        access=az.network.SecurityRuleAccess.ALLOW,
        protocol=protocols.TCP if rule.ports else protocols.ASTERISK,
        source_port_range="*",
        source_address_prefix=rule.sources[0] if one_source else None,
        source_address_prefixes=None if one_source else list(rule.sources),
        destination_address_prefix=rule.destinations[0] if one_destination else None,
        destination_address_prefixes=None if one_destination else list(rule.destinations),
        destination_port_range=None if rule.ports else "*",
        destination_port_ranges=list(map(str, rule.ports)) or None,
    )
