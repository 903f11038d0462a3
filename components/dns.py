"""Names inside the network: private zones with their links and records, and what others' DNS must answer.

A public router with a leaf domain label needs no record: Azure makes its name. One behind an internal load
balancer is found by its own domain, in a private zone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import pulumi
import pulumi_azure_native as az

from components.pods import children
from slipway.hosts import Destination, Direction, Needs, Required, required, suffixes
from slipway.settings import Settings
from slipway.settings.derived import router_ip

AZURE_DNS = "168.63.129.16"
"""Azure's own resolver, the same in every network; it knows the private zones that are linked there."""
RECORD_SECONDS = 300


@dataclass(frozen=True)
class Entry:
    """A name that somebody else's DNS must answer: a server of one's own, or the owner of a zone."""

    host: str
    answer: str
    """an address, or whom to ask"""
    why: str


@dataclass(frozen=True)
class DnsArgs:
    """Arguments of `Dns`.

    `base` is part of every name. `endpoints` are private endpoints in `resource_group` by what they lead
    to: registry, blob, vault.
    """

    base: str
    resource_group: pulumi.Input[str]
    settings: Settings
    vnet_id: pulumi.Input[str]
    endpoints: Mapping[str, az.network.PrivateEndpoint]
    needs: Needs


class Dns(pulumi.ComponentResource):
    """Private zones of private endpoints and of the router's domain, each made and linked, or adopted.

    An adopted zone is linked by its owner. Private endpoints write their records into it; the router's
    records are its owner's too, and stand in `entries`.
    """

    entries: list[dict[str, str]]
    """of `Entry`: what somebody else's DNS must answer"""
    ready: list[pulumi.Resource]
    """what a cluster must wait for: without it nodes find public addresses"""

    def __init__(self, name: str, args: DnsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:Dns", name, {}, opts)
        assert args.settings.azure is not None
        self._name, self._args, self._azure = name, args, args.settings.azure
        self._child = children(self, opts)
        self.ready = []
        zones = zone_names(self._azure.cloud)
        for what, endpoint in args.endpoints.items():
            self._group(what, endpoint, zones[what])
        if (own := own_zone(args.settings)) is not None:
            self._router_zone(own)
        self.entries = [asdict(entry) for entry in entries(args.settings, required(args.needs))]
        self.register_outputs({"entries": self.entries})

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

    def _group(self, what: str, endpoint: az.network.PrivateEndpoint, zone: str) -> None:
        """Let a private endpoint keep its own records."""
        identity = self._azure.dns.private_zones.get(zone) or self._zone(what, zone).id
        group = az.network.PrivateDnsZoneGroup(
            f"{self._name}-{what}",
            private_dns_zone_group_name="default",
            private_endpoint_name=endpoint.name,
            resource_group_name=self._args.resource_group,
            private_dns_zone_configs=[
                az.network.PrivateDnsZoneConfigArgs(name=zone.replace(".", "-"), private_dns_zone_id=identity)
            ],
            opts=self._child,
        )
        self.ready.append(group)

    def _router_zone(self, zone: str) -> None:
        made = self._zone("router", zone)
        for domain, address in router_records(self._args.settings).items():
            az.privatedns.PrivateRecordSet(
                f"{self._name}-{domain}",
                relative_record_set_name=relative(domain, zone),
                private_zone_name=made.name,
                resource_group_name=self._args.resource_group,
                record_type="A",
                ttl=RECORD_SECONDS,
                a_records=[az.privatedns.ARecordArgs(ipv4_address=address)],
                opts=self._child,
            )


def zone_names(cloud: str) -> dict[str, str]:
    """Name the private zones of a cloud by what a private endpoint leads to."""
    ends = suffixes(cloud)
    return {"registry": ends.registry_zone, "blob": ends.blob_zone, "vault": ends.key_vault_zone}


def relative(domain: str, zone: str) -> str:
    """Name a record inside its zone; `@` is the zone itself."""
    return "@" if domain == zone else domain.removesuffix(f".{zone}")


def router_records(settings: Settings) -> dict[str, str]:
    """Give the router's domains with its address; none where its load balancer is public."""
    address = router_ip(settings.azure) if settings.azure is not None and settings.internal else None
    domains = settings.router.tls.domains if settings.router.tls is not None else ()
    return dict.fromkeys(domains, str(address)) if address is not None else {}


def own_zone(settings: Settings) -> str | None:
    """Give the router's zone, if it is to be made: it is nobody else's and has records."""
    dns = settings.azure.dns if settings.azure is not None else None
    if dns is None or dns.zone in dns.private_zones or not router_records(settings):
        return None
    return dns.zone


def entries(settings: Settings, hosts: Iterable[Required]) -> list[Entry]:
    """Give the names that somebody else's DNS must answer: with servers of one's own, all of them."""
    assert settings.azure is not None
    servers, found = settings.azure.dns.servers, list[Entry]()
    if servers:
        named = [one for one in hosts if one.destination is Destination.FQDN]
        found += [Entry(one.host, _answer(one), one.why) for one in named]
    if servers or own_zone(settings) is None:
        why = "clients find the router by its own domain"
        found += [Entry(domain, address, why) for domain, address in router_records(settings).items()]
    return found


def _answer(one: Required) -> str:
    return f"forward {one.zone} to {AZURE_DNS}" if one.direction is Direction.INTERNAL else "public DNS"
