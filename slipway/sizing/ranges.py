"""Address ranges against each other: what overlaps, what AKS forbids, what is still free.

Sources: concepts-network-cni-overview.md (2026-07-10) and concepts-network-ip-address-planning.md
(2026-04-16) of MicrosoftDocs/azure-aks-docs; Azure Firewall FAQ, "Why does Azure Firewall need a /26
subnet size?".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network

FORBIDDEN = tuple(map(IPv4Network, ("169.254.0.0/16", "172.30.0.0/16", "172.31.0.0/16", "192.0.2.0/24")))
"""AKS takes these for itself: neither services nor pods nor the virtual network may overlap them."""
SERVICE_PREFIX = 12
"""The range of services must be smaller than this."""
FIREWALL_SUBNET = "AzureFirewallSubnet"
FIREWALL_PREFIX = 26
"""The firewall's subnet has that name and is no smaller, and need not be larger."""


def overlaps(ranges: Mapping[str, IPv4Network]) -> list[tuple[str, str]]:
    """Give each pair of names whose ranges share an address, in the order of the names given."""
    order = {name: place for place, name in enumerate(ranges)}
    found: list[tuple[str, str]] = []
    reaching: list[str] = []
    for name in sorted(ranges, key=lambda name: (ranges[name].network_address, order[name])):
        start = ranges[name].network_address
        reaching = [other for other in reaching if ranges[other].broadcast_address >= start]
        found += [(other, name) if order[other] < order[name] else (name, other) for other in reaching]
        reaching.append(name)
    return sorted(found, key=lambda pair: (order[pair[0]], order[pair[1]]))


def forbidden(network: IPv4Network) -> list[IPv4Network]:
    """Give the ranges of AKS's own that a range overlaps; 172.16.0.0/12 overlaps two."""
    return [taken for taken in FORBIDDEN if taken.overlaps(network)]


def service_range_fits(services: IPv4Network) -> bool:
    """Tell whether AKS takes a range of services of this size."""
    return services.prefixlen > SERVICE_PREFIX


def dns_address_fits(services: IPv4Network, address: IPv4Address) -> bool:
    """Tell whether cluster DNS can have this address: inside, and none that is taken.

    The first after the range's own address is `kubernetes.default`'s; the last is the broadcast address.
    """
    taken = {services.network_address, services.network_address + 1, services.broadcast_address}
    return address in services and address not in taken


def subnets(
    space: IPv4Network, wanted: Mapping[str, int], taken: Iterable[IPv4Network] = ()
) -> dict[str, IPv4Network]:
    """Split an address space: a free range for each name of `wanted`, by prefix length.

    The largest are laid out first, so that a name is left out only if the ranges cannot all have room;
    `taken` are ranges that stand already. The order of the result is that of `wanted`.
    """
    occupied = list(taken)
    found: dict[str, IPv4Network] = {}
    for name in sorted(wanted, key=wanted.__getitem__):
        if (network := _free(space, wanted[name], occupied)) is not None:
            found[name] = network
            occupied.append(network)
    return {name: found[name] for name in wanted if name in found}


def _free(space: IPv4Network, length: int, occupied: list[IPv4Network]) -> IPv4Network | None:
    """Find the lowest range of a length that nothing occupies."""
    size = 2 ** (32 - length)
    start, end = int(space.network_address), int(space.broadcast_address)
    for other in sorted(occupied):
        if start + size - 1 < int(other.network_address):
            break
        if start <= int(other.broadcast_address):
            start = -(-(int(other.broadcast_address) + 1) // size) * size
    return IPv4Network((start, length)) if size <= space.num_addresses and start + size - 1 <= end else None
