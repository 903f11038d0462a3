"""Names inside the network: private zones with their links and records, and what others' DNS must answer.

A public router with a leaf domain label needs no record: Azure makes its name. One behind an internal load
balancer is found by its own domain, in a private zone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

import pulumi
import pulumi_azure_native as az

from components.pods import children
from slipway.hosts import Cloud, Destination, Direction, Needs, Required, required, suffixes
from slipway.settings import Azure

Part = Literal["registry", "blob", "vault"]
"""What a private endpoint leads to."""
AZURE_DNS = "168.63.129.16"
"""Azure's own resolver, the same in every network; it knows the private zones that are linked there."""
RECORD_SECONDS = 300


@dataclass(frozen=True)
class Entry:
    """A name that a DNS server of one's own, or the owner of an adopted zone, must answer."""

    host: str
    answer: str
    """an address, or whom to ask"""
    why: str


@dataclass(frozen=True)
class DnsArgs:
    """Arguments of `Dns`.

    `base` is part of every name. `endpoints` are the names of the private endpoints in `resource_group`.
    `domains` are the router's own, which lead to `router_ip`; None is a router with a public address.
    """

    base: str
    resource_group: pulumi.Input[str]
    azure: Azure
    needs: Needs
    vnet_id: pulumi.Input[str]
    endpoints: Mapping[Part, pulumi.Input[str]] = field(default_factory=dict["Part", pulumi.Input[str]])
    domains: tuple[str, ...] = ()
    router_ip: str | None = None


class Dns(pulumi.ComponentResource):
    """Private zones of private endpoints and of the router's domain, each made and linked, or adopted.

    An adopted zone is linked by its owner. Private endpoints write their records into it; the router's
    records are its owner's too, and stand in `entries`.
    """

    entries: list[Entry]
    """what DNS servers of one's own must answer, and owners of adopted zones"""
    ready: list[pulumi.Resource]
    """what a cluster must wait for: without it nodes find public addresses"""

    def __init__(self, name: str, args: DnsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:Dns", name, {}, opts)
        self._name, self._args = name, args
        self._child = children(self, opts)
        self.ready = []
        zones = zone_names(args.azure.cloud)
        for part, endpoint in args.endpoints.items():
            self._group(part, endpoint, zones[part])
        own, adopted = args.azure.dns.zone, args.azure.dns.private_zones
        if own is not None and own not in adopted:
            self._router_zone(own)
        self.entries = entries(args.azure, required(args.needs), args.domains, args.router_ip)
        self.register_outputs({"entries": [asdict(entry) for entry in self.entries]})

    def _zone(self, role: str, zone: str) -> az.privatedns.PrivateZone:
        """Make a zone and let the network ask it."""
        args = self._args
        made = az.privatedns.PrivateZone(
            f"{self._name}-{role}",
            private_zone_name=zone,
            resource_group_name=args.resource_group,
            location="global",
            opts=self._child,
        )
        link = az.privatedns.VirtualNetworkLink(
            f"{self._name}-{role}",
            virtual_network_link_name=f"vnet-{args.base}",
            private_zone_name=made.name,
            resource_group_name=args.resource_group,
            location="global",
            registration_enabled=False,
            virtual_network=az.privatedns.SubResourceArgs(id=args.vnet_id),
            opts=self._child,
        )
        self.ready.append(link)
        return made

    def _group(self, part: Part, endpoint: pulumi.Input[str], zone: str) -> None:
        """Let a private endpoint keep its own records."""
        identity = self._args.azure.dns.private_zones.get(zone) or self._zone(part, zone).id
        self.ready.append(
            az.network.PrivateDnsZoneGroup(
                f"{self._name}-{part}",
                private_dns_zone_group_name="default",
                private_endpoint_name=endpoint,
                resource_group_name=self._args.resource_group,
                private_dns_zone_configs=[
                    az.network.PrivateDnsZoneConfigArgs(
                        name=zone.replace(".", "-"), private_dns_zone_id=identity
                    )
                ],
                opts=self._child,
            )
        )

    def _router_zone(self, zone: str) -> None:
        args = self._args
        if args.router_ip is None:
            return
        made = self._zone("router", zone)
        for domain in args.domains:
            az.privatedns.PrivateRecordSet(
                f"{self._name}-{domain}",
                relative_record_set_name=relative(domain, zone),
                private_zone_name=made.name,
                resource_group_name=args.resource_group,
                record_type="A",
                ttl=RECORD_SECONDS,
                a_records=[az.privatedns.ARecordArgs(ipv4_address=args.router_ip)],
                opts=self._child,
            )


def zone_names(cloud: Cloud | str) -> dict[Part, str]:
    """Name the private zones of a cloud's private endpoints."""
    ends = suffixes(cloud)
    return {"registry": ends.registry_zone, "blob": ends.blob_zone, "vault": ends.key_vault_zone}


def relative(domain: str, zone: str) -> str:
    """Name a record inside its zone; `@` is the zone itself."""
    return "@" if domain == zone else domain.removesuffix(f".{zone}")


def entries(
    azure: Azure, hosts: Iterable[Required], domains: Sequence[str], router_ip: str | None
) -> list[Entry]:
    """Give the names that others must answer: all of them with DNS servers of one's own."""
    found: list[Entry] = []
    if azure.dns.servers:
        found += [
            Entry(one.host, _asked(one), one.why) for one in hosts if one.destination is Destination.FQDN
        ]
    elsewhere = azure.dns.zone is None or azure.dns.zone in azure.dns.private_zones
    if router_ip is not None and (elsewhere or azure.dns.servers):
        found += [Entry(domain, router_ip, "clients find the router") for domain in domains]
    return found


def _asked(one: Required) -> str:
    if one.direction is Direction.INTERNAL:
        return f"forward {one.zone} to {AZURE_DNS}"
    return "public DNS"
