"""Address ranges: none overlaps another, AKS's own or Azure's, and every subnet lies inside and is there."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from slipway.problems import lines_of
from slipway.settings.azure import Azure, Subnet
from slipway.settings.derived import LENGTHS, prefixes, roles, stands_in, subnet
from slipway.settings.kinds import name_of
from slipway.sizing.addresses import usable
from slipway.sizing.ranges import (
    FIREWALL_PREFIX,
    FIREWALL_SUBNET,
    dns_address_fits,
    forbidden,
    overlaps,
    service_range_fits,
)

if TYPE_CHECKING:
    from slipway.settings.stack import Settings

AT = "azure.network"
NO_NETWORK = tuple(map(IPv4Network, ("127.0.0.0/8", "168.63.129.16/32", "224.0.0.0/4", "255.255.255.255/32")))
"""What no virtual network can have (MicrosoftDocs/azure-docs, virtual-networks-faq.md)."""
SERVICES_OF_AKS = 16
"""Kubernetes services that AKS, its add-ons and the router have at most, a few to spare."""
UNUSED = {
    "system": "an attached cluster has its own",
    "user": "there are no pools",
    "firewall": "there is no firewall of ours",
    "private_endpoints": "no private_endpoint is on",
}


def _overlaps(_: Settings, azure: Azure) -> Iterator[str]:
    outer = _outer(azure)
    for first, second in overlaps(outer):
        yield f"{AT}.{first} = {outer[first]} overlaps {second} = {outer[second]}: move one of the two"
    inner = {
        f"subnets.{role}": net for role, net in prefixes(azure).items() if stands_in(azure, role) == role
    }
    for first, second in overlaps(inner):
        yield f"{AT}.{first} = {inner[first]} overlaps {second} = {inner[second]}: move one of the two"


def _forbidden(_: Settings, azure: Azure) -> Iterator[str]:
    for name, net in _outer(azure).items():
        if taken := forbidden(net):
            yield (
                f"{AT}.{name} = {net} overlaps {' and '.join(map(str, taken))}, which AKS keeps for itself: "
                "choose another range"
            )
    space = IPv4Network(azure.network.address_space)
    if taken := [net for net in NO_NETWORK if net.overlaps(space)]:
        yield (
            f"{AT}.address_space = {space} overlaps {' and '.join(map(str, taken))}, which no network can "
            "have: choose another range"
        )


def _outer(azure: Azure) -> dict[str, IPv4Network]:
    """Give the ranges that must be apart; an attached cluster has those of its services and pods."""
    network = azure.network
    found = {"address_space": IPv4Network(network.address_space)}
    if azure.cluster.id is None:
        found["service_cidr"] = IPv4Network(network.service_cidr)
        if network.model != "azure":
            found["pod_cidr"] = IPv4Network(network.pod_cidr)
    return found


def _services(settings: Settings, azure: Azure) -> Iterator[str]:
    if azure.cluster.id is not None:
        return
    services = IPv4Network(azure.network.service_cidr)
    needed = SERVICES_OF_AKS + len(settings.services)
    if not service_range_fits(services):
        yield f"{AT}.service_cidr = {services} is too large: AKS takes less than a /12; choose a /16"
    elif services.num_addresses < needed:
        yield (
            f"{AT}.service_cidr = {services} has {services.num_addresses} addresses, and AKS and the web "
            f"services have up to {needed} services: choose a /24 or larger"
        )
    elif not dns_address_fits(services, IPv4Address(azure.network.dns_service_ip)):
        yield (
            f"{AT}.dns_service_ip = {azure.network.dns_service_ip} is not free in service_cidr = {services}: "
            f"give one inside that is not the first, such as {services[10]}"
        )


def _subnets(settings: Settings, azure: Azure) -> Iterator[str]:
    for role in LENGTHS:
        yield from lines_of(_subnet, settings, azure, role)


def _subnet(settings: Settings, azure: Azure, role: str) -> Iterator[str]:
    said, wanted, adopted = subnet(azure, role), role in roles(azure), azure.network.id is not None
    field, space = f"{AT}.subnets.{role}", IPv4Network(azure.network.address_space)
    range_ = prefixes(azure).get(role)
    if not wanted:
        if said != Subnet() and role in UNUSED:
            yield f"{field} is given, and {UNUSED[role]}: remove it"
    elif range_ is not None:
        if not range_.subnet_of(space):
            remedy = "say the network's own range in address_space" if adopted else "choose a range inside"
            yield f"{field} = {range_} is outside address_space = {space}: {remedy}"
    elif adopted and said.id is None:
        yield f"{field} is not given, and {AT}.id is: give prefix (a free range of that network), or id"


def _room(settings: Settings, azure: Azure) -> Iterator[str]:
    found = prefixes(azure)
    missing = [f"{role} (/{LENGTHS[role]})" for role in roles(azure) if role not in found]
    if missing and azure.network.id is None:
        yield (
            f"{AT}.address_space = {azure.network.address_space} has no room for the subnets of "
            f"{' and '.join(missing)}: enlarge it"
        )


def _adopted(settings: Settings, azure: Azure) -> Iterator[str]:
    network, attached = azure.network, azure.cluster.id is not None
    if network.id is not None and not attached and "address_space" not in network.model_fields_set:
        yield (
            f"{AT}.address_space is not given, and {AT}.id is: give the range of that network, against which "
            "the others are checked"
        )
    if network.id is None and attached and (needed := roles(azure)):
        yield (
            f"{AT}.id is not given, and azure.cluster.id is: {' and '.join(needed)} would stand in a network "
            "that the cluster does not reach; give the id of the cluster's network"
        )


def _firewall(settings: Settings, azure: Azure) -> Iterator[str]:
    if "firewall" not in roles(azure):
        return
    said, range_ = azure.network.subnets.firewall, prefixes(azure).get("firewall")
    if range_ is not None and range_.prefixlen > FIREWALL_PREFIX:
        yield f"{AT}.subnets.firewall = {range_} is too small for a firewall: give a /{FIREWALL_PREFIX}"
    if said.id is not None and name_of(said.id).lower() != FIREWALL_SUBNET.lower():
        yield f"{AT}.subnets.firewall.id = {said.id}: a firewall stands in {FIREWALL_SUBNET}; give its id"
    if said.id is not None and said.size is None:
        yield (
            f"{AT}.subnets.firewall.id = {said.id} without size: the firewall's address, to which routes "
            "lead, is one of its range; give size"
        )


def _private_endpoints(settings: Settings, azure: Azure) -> Iterator[str]:
    workspace, range_ = azure.workspace, prefixes(azure).get("private_endpoints")
    if range_ is None or stands_in(azure, "private_endpoints") != "private_endpoints":
        return
    needed = sum(
        number
        for number, part in ((2, workspace.registry), (1, workspace.storage), (1, workspace.key_vault))
        if part.private_endpoint
    )  # a registry has an address for its layers, too
    if usable(range_) < needed:
        yield (
            f"{AT}.subnets.private_endpoints = {range_} has {usable(range_)} addresses, and private "
            f"endpoints need {needed}: give a /28 or larger"
        )


RULES = (_overlaps, _forbidden, _services, _subnets, _room, _adopted, _firewall, _private_endpoints)
