"""How traffic leaves, where it does not leave by AKS's own load balancer or NAT gateway.

A NAT gateway stands before the network, whose subnets take its id. A firewall stands in the network: what
may pass it follows from the hosts that the stack needs, and what does not is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_azure_native as az

from components.firewall import collection, grouped, node_ranges
from components.pods import children
from slipway.hosts import Needs, Required, required
from slipway.hosts.formats import table
from slipway.settings import Azure
from slipway.settings.capacity import agent_pools
from slipway.settings.derived import firewall_ip
from slipway.settings.needs import fqdn_tag
from slipway.sizing.addresses import surge_nodes
from slipway.sizing.snat import (
    CONNECTIONS_PER_NODE,
    FIREWALL_MAX_IPS,
    NAT_GATEWAY_MAX_IPS,
    firewall_ips,
    nat_gateway_ips,
)


@dataclass(frozen=True)
class NatGatewayArgs:
    """Arguments of `NatGateway`; `base` is part of every name."""

    base: str
    resource_group: pulumi.Input[str]
    azure: Azure


class NatGateway(pulumi.ComponentResource):
    """A NAT gateway with the public addresses that the nodes' connections need."""

    id: pulumi.Output[str]
    public_ips: list[pulumi.Output[str]]
    """the addresses from which nodes come"""

    def __init__(self, name: str, args: NatGatewayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:NatGateway", name, {}, opts)
        child = children(self, opts)
        addresses = _addresses(name, "nat", args, child)
        gateway = az.network.NatGateway(
            name,
            nat_gateway_name=f"ng-{args.base}",
            resource_group_name=args.resource_group,
            location=args.azure.location,
            sku=az.network.NatGatewaySkuArgs(name=az.network.NatGatewaySkuName.STANDARD),
            public_ip_addresses=[az.network.SubResourceArgs(id=address.id) for address in addresses],
            opts=child,
        )
        self.id = gateway.id
        self.public_ips = list(map(_text, addresses))
        self.register_outputs({"id": self.id, "public_ips": self.public_ips})


@dataclass(frozen=True)
class FirewallArgs:
    """Arguments of `Firewall`.

    `base` is part of every name. `subnet_id` is asked for by a firewall of ours. The routes go into the
    table `route_table`; without one (adopted subnets) they are its owner's.
    """

    base: str
    resource_group: pulumi.Input[str]
    azure: Azure
    needs: Needs
    subnet_id: pulumi.Input[str] | None = None
    route_table: pulumi.Input[str] | None = None


class Firewall(pulumi.ComponentResource):
    """Routes to a firewall, and the firewall with its policy where it is ours.

    An adopted one stays as it is: `rules` is what it must let pass, and the network's DNS servers are not
    set to it.
    """

    public_ips: list[pulumi.Output[str]]
    """the addresses from which nodes come, as far as they are known"""
    ready: list[pulumi.Resource]
    """what a cluster must wait for"""
    rules: str | None = None
    """a table of hosts, to hand over to whom the firewall belongs"""

    def __init__(self, name: str, args: FirewallArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:Firewall", name, {}, opts)
        self._name, self._args = name, args
        self._child = children(self, opts)
        settings, address = args.azure.egress.firewall, firewall_ip(args.azure)
        assert settings is not None, "a firewall goes with userDefinedRouting"
        assert address is not None, "routes lead to the firewall's address"
        hosts = required(args.needs, fqdn_tag=fqdn_tag(args.azure))
        checked: pulumi.Output[str] | None = None
        if settings.ours:
            addresses = _addresses(name, "firewall", args, self._child)
            self.public_ips = list(map(_text, addresses))
            firewall = self._firewall(hosts, addresses)
            self.ready = [firewall]
            checked = firewall.ip_configurations.apply(lambda found: _checked(str(address), found or []))
        else:
            self.rules = table(hosts)
            self.public_ips = [pulumi.Output.from_input(settings.public_ip)] if settings.public_ip else []
            self.ready = []
        self.ready += self._routes(str(address))
        self.register_outputs({"private_ip": checked, "public_ips": self.public_ips, "rules": self.rules})

    def _firewall(
        self, hosts: Sequence[Required], addresses: Sequence[az.network.PublicIPAddress]
    ) -> az.network.AzureFirewall:
        args, settings = self._args, self._args.azure.egress.firewall
        assert settings is not None
        assert args.subnet_id is not None, "a firewall of ours stands in a subnet"
        policy = az.network.FirewallPolicy(
            f"{self._name}-policy",
            firewall_policy_name=f"afwp-{args.base}",
            resource_group_name=args.resource_group,
            location=args.azure.location,
            sku=az.network.FirewallPolicySkuArgs(tier=az.network.FirewallPolicySkuTier(settings.sku)),
            dns_settings=az.network.DnsSettingsArgs(
                enable_proxy=True, servers=list(args.azure.dns.servers) or None
            ),
            opts=self._child,
        )
        groups = self._groups(policy, hosts, self.public_ips[0])
        return az.network.AzureFirewall(
            self._name,
            azure_firewall_name=f"afw-{args.base}",
            resource_group_name=args.resource_group,
            location=args.azure.location,
            sku=az.network.AzureFirewallSkuArgs(
                name=az.network.AzureFirewallSkuName.AZF_W_V_NET,
                tier=az.network.AzureFirewallSkuTier(settings.sku),
            ),
            firewall_policy=az.network.SubResourceArgs(id=policy.id),
            ip_configurations=[
                az.network.AzureFirewallIPConfigurationArgs(
                    name=f"public-{number}",
                    public_ip_address=az.network.SubResourceArgs(id=address.id),
                    # the first says where the firewall stands, the others are only addresses
                    subnet=az.network.SubResourceArgs(id=args.subnet_id) if number == 1 else None,
                )
                for number, address in enumerate(addresses, 1)
            ],
            zones=list(settings.zones) or None,
            # a policy that is still being written makes the firewall's own change fail
            opts=pulumi.ResourceOptions.merge(self._child, pulumi.ResourceOptions(depends_on=groups)),
        )

    def _groups(
        self, policy: az.network.FirewallPolicy, hosts: Sequence[Required], public_ip: pulumi.Input[str]
    ) -> list[pulumi.Resource]:
        """Write the rules, a group after the one before: Azure takes one change of a policy at a time."""
        made: list[pulumi.Resource] = []
        sources = node_ranges(self._args.azure)
        for group, of_group in grouped(hosts).items():
            after = pulumi.ResourceOptions(depends_on=made[-1:])
            made.append(
                az.network.FirewallPolicyRuleCollectionGroup(
                    f"{self._name}-{group.name.lower()}",
                    rule_collection_group_name=group.name.lower(),
                    firewall_policy_name=policy.name,
                    resource_group_name=self._args.resource_group,
                    priority=group,
                    rule_collections=[collection(group, of_group, sources, public_ip)],
                    opts=pulumi.ResourceOptions.merge(self._child, after),
                )
            )
        return made

    def _routes(self, address: str) -> list[pulumi.Resource]:
        """Lead everything to the firewall, but what is for its own public address, or it would come twice.

        Source: limit-egress-traffic.md of MicrosoftDocs/azure-aks-docs (2023-12-05).
        """
        args = self._args
        if args.route_table is None:
            return []
        hop = az.network.RouteNextHopType
        default = az.network.Route(
            f"{self._name}-default",
            route_name="default",
            route_table_name=args.route_table,
            resource_group_name=args.resource_group,
            address_prefix="0.0.0.0/0",
            next_hop_type=hop.VIRTUAL_APPLIANCE,
            next_hop_ip_address=address,
            opts=self._child,
        )
        own = [
            az.network.Route(
                f"{self._name}-itself",
                route_name="firewall",
                route_table_name=args.route_table,
                resource_group_name=args.resource_group,
                address_prefix=pulumi.Output.concat(public_ip, "/32"),
                next_hop_type=hop.INTERNET,
                opts=pulumi.ResourceOptions.merge(self._child, pulumi.ResourceOptions(depends_on=default)),
            )
            for public_ip in self.public_ips[:1]
        ]
        return [default, *own]


def public_ips(azure: Azure) -> int:
    """Give the public addresses of the firewall or NAT gateway: as written, or what the nodes need."""
    egress = azure.egress
    given = egress.public_ips if egress.firewall is None else egress.firewall.public_ips
    if given is not None:
        return given
    nodes = sum(pool.most + surge_nodes(pool.max_surge, pool.most) for _, pool in agent_pools(azure))
    connections = nodes * CONNECTIONS_PER_NODE
    if egress.firewall is None:
        return min(nat_gateway_ips(connections), NAT_GATEWAY_MAX_IPS)
    return min(firewall_ips(connections, production=azure.cluster.production), FIREWALL_MAX_IPS)


def _addresses(
    name: str, use: str, args: NatGatewayArgs | FirewallArgs, opts: pulumi.ResourceOptions
) -> list[az.network.PublicIPAddress]:
    firewall = args.azure.egress.firewall
    zoned = firewall is not None and firewall.zones
    return [
        az.network.PublicIPAddress(
            f"{name}-{number}",
            public_ip_address_name=f"pip-{args.base}-{use}-{number}",
            resource_group_name=args.resource_group,
            location=args.azure.location,
            sku=az.network.PublicIPAddressSkuArgs(name=az.network.PublicIPAddressSkuName.STANDARD),
            public_ip_allocation_method=az.network.IPAllocationMethod.STATIC,
            zones=["1", "2", "3"] if zoned else None,  # an address is of one zone or of all
            opts=opts,
        )
        for number in range(1, public_ips(args.azure) + 1)
    ]


def _text(address: az.network.PublicIPAddress) -> pulumi.Output[str]:
    return address.ip_address.apply(str)  # a static one is there at once


def _checked(planned: str, found: Sequence[az.network.outputs.AzureFirewallIPConfigurationResponse]) -> str:
    """Give the firewall's address, if Azure gave it the one that routes and DNS servers name already."""
    address = found[0].private_ip_address if found else None
    if address != planned:
        raise pulumi.RunError(
            f"azure.network.subnets.firewall: Azure gave the firewall {address}, and routes lead to "
            f"{planned}: remove what else stands in AzureFirewallSubnet, or give another prefix"
        )
    return planned
