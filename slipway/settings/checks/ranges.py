"""Address ranges: none overlaps another, AKS's own or its limits, and every subnet lies inside."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from slipway.settings.azure import Azure
from slipway.settings.derived import LENGTHS, prefixes, roles, router_ip
from slipway.sizing.ranges import (
    FIREWALL_PREFIX,
    dns_address_fits,
    forbidden,
    overlaps,
    service_range_fits,
)

AT = "azure.network"


def mistakes(azure: Azure) -> Iterator[str]:
    """Name each range that cannot be."""
    network = azure.network
    inner = {f"subnets.{role}": net for role, net in prefixes(azure).items()}
    outer = {
        "address_space": IPv4Network(network.address_space),
        "service_cidr": IPv4Network(network.service_cidr),
    }
    if network.model != "azure":
        outer["pod_cidr"] = IPv4Network(network.pod_cidr)
    both = outer | inner
    for first, second in [*overlaps(outer), *overlaps(inner)]:
        yield f"{AT}.{first} = {both[first]} overlaps {second} = {both[second]}: move one of the two"
    for name, net in outer.items():
        for taken in forbidden(net):
            yield f"{AT}.{name} = {net} overlaps {taken}, which AKS keeps for itself: choose another range"
    yield from _services(azure)
    yield from _subnets(azure)


def _services(azure: Azure) -> Iterator[str]:
    services = IPv4Network(azure.network.service_cidr)
    if not service_range_fits(services):
        yield f"{AT}.service_cidr = {services} is too large: AKS takes less than a /12; choose a /16"
    if not dns_address_fits(services, IPv4Address(azure.network.dns_service_ip)):
        yield (
            f"{AT}.dns_service_ip = {azure.network.dns_service_ip} is not free in service_cidr = {services}: "
            f"give one inside that is not the first, such as {services[min(10, services.num_addresses - 2)]}"
        )


def _subnets(azure: Azure) -> Iterator[str]:
    space, found = IPv4Network(azure.network.address_space), prefixes(azure)
    for role, net in found.items():
        if not net.subnet_of(space):
            yield f"{AT}.subnets.{role} = {net} is outside address_space = {space}: choose a range inside"
    for role in roles(azure):
        if role not in found and azure.network.id is None:
            yield f"{AT}.address_space = {space} has no room for subnet {role} (/{LENGTHS[role]}): enlarge it"
    firewall = found.get("firewall")
    if firewall is not None and firewall.prefixlen > FIREWALL_PREFIX:
        yield f"{AT}.subnets.firewall = {firewall} is too small for a firewall: give a /{FIREWALL_PREFIX}"
    if found.get("router") is not None and router_ip(azure) is None:
        yield f"{AT}.subnets.router = {found['router']} is too small for the router: give a /28 or larger"
