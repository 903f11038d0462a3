"""What the parts of a stack ask of each other, checked before anything exists.

`mistakes` are refused, `warnings` are said. Both are lines of the form `field = value: rule; remedy`.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import TYPE_CHECKING

from slipway import hosts
from slipway.settings import capacity, regions
from slipway.settings.azure import Azure
from slipway.settings.checks import nodes, ranges

if TYPE_CHECKING:
    from slipway.settings.stack import Settings

KUBENET_RETIRES = datetime.date(2028, 3, 31)
"""Azure's announcement "Kubenet networking for AKS will be retired"."""


def mistakes(settings: Settings) -> list[str]:
    """Name each broken rule between sections, with its values and remedy."""
    lines = [*_stack(settings), *_router(settings), *_webservices(settings)]
    if settings.azure is not None:
        azure = settings.azure
        lines += [*_regions(azure), *ranges.mistakes(azure), *nodes.mistakes(settings, azure)]
    return lines


def warnings(settings: Settings, today: datetime.date) -> list[str]:
    """Name what works and should be changed all the same."""
    azure = settings.azure
    if azure is None:
        return []
    lines: list[str] = []
    if azure.network.model == "kubenet":
        lines.append(
            f"azure.network.model = kubenet: it retires on {KUBENET_RETIRES}, in "
            f"{(KUBENET_RETIRES - today).days} days; set model: overlay"
        )
    workspace = azure.workspace.location
    if workspace is not None and workspace != azure.location:
        lines.append(
            f"azure.workspace.location = {workspace} is not location = {azure.location}: images and models "
            "cross regions, which takes longer and costs; v1 advises one region"
        )
    lines += [
        f"{field} = {region}: is not in Slipway's table of regions, so its zones are not checked"
        for field, region in _regions_of(azure)
        if regions.has_zones(region) is None
    ]
    if azure.private:
        lines.append(
            "azure.private = true: `pulumi up` works from inside the network only, on a runner there"
        )
    if settings.router.tls is not None and settings.router.tls.leaf_domain_label is not None:
        lines.append(
            f"router.tls.leaf_domain_label = {settings.router.tls.leaf_domain_label}: the name is Azure's, "
            "but no certificate comes with it in this version: clients use http"
        )
    return [*lines, *nodes.warnings(settings, azure)]


def _stack(settings: Settings) -> Iterator[str]:
    if (settings.kubernetes is None) == (settings.azure is None):
        which = "one of the two" if settings.azure is None else "only one of the two"
        yield f"kubernetes and azure: a stack stands on one of them; give {which}"
    if settings.layer != "all" and settings.azure is None:
        yield f"layer = {settings.layer} without azure: there is no platform to split off; remove layer"
    if (settings.layer == "services") != (settings.platform_stack is not None):
        remedy = "give platform_stack" if settings.layer == "services" else "remove platform_stack"
        yield f"platform_stack with layer = {settings.layer}: it goes with layer: services; {remedy}"
    for spec in settings.webservices:
        said = spec.auth_enabled or spec.token_auth_enabled or spec.name in settings.unauthenticated
        if settings.azure is not None and not said:
            yield (
                f"webservices[{spec.name}].auth_enabled = false: anyone may call it; say why in "
                f"`slipway:unauthenticated: {{{spec.name}: ...}}`, or remove it"
            )
    known = {spec.name for spec in settings.webservices if not spec.auth_enabled}
    for name in sorted(settings.unauthenticated.keys() - known):
        yield f"unauthenticated.{name}: no web service of this name has auth_enabled: false; remove it"


def _router(settings: Settings) -> Iterator[str]:
    tls, azure = settings.router.tls, settings.azure
    if azure is None:
        if settings.router.internal is not None:
            yield "router.internal without azure: it is about Azure's load balancer; use service_type"
        if tls is not None and (tls.key_vault_certificate or tls.leaf_domain_label):
            yield "router.tls without azure: key vault and leaf label are Azure's; give only domains"
        return
    if tls is not None and tls.leaf_domain_label is not None and settings.internal:
        yield (
            f"router.tls.leaf_domain_label = {tls.leaf_domain_label} with an internal load balancer: Azure's "
            "names are public; give domains and a certificate instead"
        )
    if azure.egress.outbound_type == "userDefinedRouting" and settings.router.internal is False:
        yield (
            "router.internal = false with azure.egress.outbound_type = userDefinedRouting: answers would "
            "leave by the firewall and be lost; remove router.internal"
        )
    if azure.dns.zone is not None:
        domains = tls.domains if tls is not None else ()
        for domain in domains:
            if domain != azure.dns.zone and not domain.endswith(f".{azure.dns.zone}"):
                yield (
                    f"router.tls.domains = {domain} is not in azure.dns.zone = {azure.dns.zone}: "
                    "change one of the two"
                )
        if not domains:
            yield f"azure.dns.zone = {azure.dns.zone} without router.tls.domains: name the router in it"


def _webservices(settings: Settings) -> Iterator[str]:
    for spec in settings.webservices:
        for host in spec.egress:
            for line in hosts.mistakes(host.host, host.port, host.protocol, host.reason):
                yield f"webservices[{spec.name}].egress.{line}"
        needed, most = capacity.wanted(spec), spec.num_replicas or spec.autoscale_max_replicas
        if needed > most:
            field = "num_replicas" if spec.num_replicas else "autoscale_max_replicas"
            yield (
                f"webservices[{spec.name}].{field} = {most}: the expected load needs {needed} replicas; "
                f"raise it to {needed}"
            )


def _regions_of(azure: Azure) -> list[tuple[str, str]]:
    found = [("azure.location", azure.location)]
    if azure.workspace.location is not None:
        found.append(("azure.workspace.location", azure.workspace.location))
    return found


def _regions(azure: Azure) -> Iterator[str]:
    for field, region in _regions_of(azure):
        if (line := regions.mistake(field, region, azure.cloud)) is not None:
            yield line
    zoned = {f"azure.cluster.{pool.name}": pool.zones for _, pool in capacity.agent_pools(azure)}
    if azure.egress.firewall is not None:
        zoned["azure.egress.firewall"] = azure.egress.firewall.zones
    if regions.has_zones(azure.location) is False:
        for field, zones in zoned.items():
            if zones:
                yield (
                    f"{field}.zones = {', '.join(zones)}: {azure.location} has no availability zones; "
                    "remove zones"
                )
