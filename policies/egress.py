"""How traffic may leave: as the stack file says, and past no firewall that it names."""

from __future__ import annotations

from collections.abc import Iterator

from policies.cluster import CLUSTER, POOL, PUBLIC_IP
from policies.graph import Resource, Stack, at, known, many
from policies.rule import resource_rule, stack_rule
from slipway.problems import problem
from slipway.settings import Azure
from slipway.settings.derived import firewall_ip

FIREWALL = "azure-native:network:AzureFirewall"
NAT_GATEWAY = "azure-native:network:NatGateway"
PREFIX = "azure-native:network:PublicIPPrefix"
ROUTE = "azure-native:network:Route"
SUBNET = "azure-native:network:Subnet"
DEFAULT = "0.0.0.0/0"


@resource_rule(
    "egress-as-said",
    "A cluster's traffic leaves as the stack file says: a reviewer of the file must not be misled.",
    CLUSTER,
)
def egress_as_said(cluster: Resource, stack: Stack) -> Iterator[str]:
    if stack.azure is None:
        return
    said = stack.azure.egress.outbound_type
    given = at(cluster.inputs, "networkProfile", "outboundType") or "loadBalancer"
    if given != said:
        yield problem("networkProfile.outboundType", given, f"the stack says {said}", "change one of the two")


@stack_rule(
    "egress-default-route",
    "Behind a firewall every node subnet routes 0.0.0.0/0 to it: one without the route goes around it.",
    SUBNET,
)
def egress_default_route(subnet: Resource, stack: Stack) -> Iterator[str]:
    azure = behind_firewall(stack)
    if azure is None or not any(user.type in {CLUSTER, POOL} for user in stack.users(subnet)):
        return
    tables = [table for table in stack.used(subnet, "routeTable") if table.type.endswith(":RouteTable")]
    if not tables:
        yield "routeTable: nodes stand here and no route table of this stack is associated; associate one"
        return
    routes = [route for table in tables for route in stack.of(ROUTE) if _is_in(route, table, stack)]
    if not any(_to_firewall(route, azure) for route in routes):
        hop = firewall_ip(azure)
        yield f"routeTable: has no route {DEFAULT} to the firewall {hop} (VirtualAppliance); add it"


@stack_rule(
    "egress-no-bypass",
    "Behind a firewall nothing else leads outside: no public address, NAT gateway or route of another way.",
    CLUSTER,
    POOL,
    NAT_GATEWAY,
    PREFIX,
    PUBLIC_IP,
    ROUTE,
)
def egress_no_bypass(resource: Resource, stack: Stack) -> Iterator[str]:
    azure = behind_firewall(stack)
    if azure is None:
        return
    match resource.type:
        case str(type_) if type_ in {PUBLIC_IP, PREFIX}:
            if not _is_firewalls(resource, stack):
                yield "a public address that is not the firewall's: traffic could pass beside it; remove it"
        case str(type_) if type_ == NAT_GATEWAY:
            yield "a NAT gateway beside the firewall: its subnets would go past it; remove it"
        case str(type_) if type_ == ROUTE:
            yield from _route(resource, stack, azure)
        case str(type_) if type_ == POOL:
            yield from _nodes(resource.inputs)
        case _:
            for pool in many(resource.inputs, "agentPoolProfiles"):
                yield from _nodes(pool)


def behind_firewall(stack: Stack) -> Azure | None:
    """Give the settings of a stack whose traffic goes through a firewall."""
    azure = stack.azure
    return azure if azure is not None and azure.egress.outbound_type == "userDefinedRouting" else None


def _is_in(route: Resource, table: Resource, stack: Stack) -> bool:
    if table in stack.used(route, "routeTableName"):
        return True
    name = known(table.inputs, "routeTableName")
    return name is not None and known(route.inputs, "routeTableName") == name


def _to_firewall(route: Resource, azure: Azure) -> bool:
    return (
        known(route.inputs, "addressPrefix") == DEFAULT
        and known(route.inputs, "nextHopType") == "VirtualAppliance"
        and known(route.inputs, "nextHopIpAddress") == str(firewall_ip(azure))
    )


def _is_firewalls(address: Resource, stack: Stack) -> bool:
    """Tell whether an address, or an address of a range, is given to a firewall."""
    return any(
        user.type == FIREWALL or (user.type == PUBLIC_IP and _is_firewalls(user, stack))
        for user in stack.users(address)
    )


def _route(route: Resource, stack: Stack, azure: Azure) -> Iterator[str]:
    hop = at(route.inputs, "nextHopType")
    if hop == "VirtualAppliance":
        given, wanted = at(route.inputs, "nextHopIpAddress"), str(firewall_ip(azure))
        if given != wanted:
            yield problem(
                "nextHopIpAddress", given, f"the firewall is {wanted}", "lead to it, or remove the route"
            )
    elif hop in {"Internet", "VirtualNetworkGateway"} and not _leads_to_firewall(route, stack, azure):
        rule = "leads past the firewall; only the firewall's own address may be reached directly"
        yield problem("nextHopType", hop, rule, "remove the route")


def _leads_to_firewall(route: Resource, stack: Stack, azure: Azure) -> bool:
    """Tell whether a route is for the firewall's own address, which may be known by what it is made from."""
    of = stack.used(route, "addressPrefix")
    if of:
        return all(address.type == PUBLIC_IP and _is_firewalls(address, stack) for address in of)
    firewall = azure.egress.firewall
    own = f"{firewall.public_ip}/32" if firewall is not None and firewall.public_ip else None
    return own is not None and at(route.inputs, "addressPrefix") == own


def _nodes(pool: object) -> Iterator[str]:
    if at(pool, "enableNodePublicIP") is True:
        yield problem("enableNodePublicIP", True, "nodes would go past the firewall", "leave it out")
