"""The router: its load balancer, its name and certificate, and the zone of its name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from slipway.settings.derived import roles, router_ip, subnet

if TYPE_CHECKING:
    from slipway.settings.stack import Settings


def _without_azure(settings: Settings) -> Iterator[str]:
    if settings.azure is not None or settings.kubernetes is None:
        return  # without either, that is said
    if settings.router.internal is not None:
        given = str(settings.router.internal).lower()
        yield f"router.internal = {given} without azure: it is about Azure's load balancer; remove it"
    tls = settings.router.tls
    if tls is not None:
        for name in ("key_vault_certificate", "leaf_domain_label"):
            if getattr(tls, name) is not None:
                yield (
                    f"router.tls.{name} = {getattr(tls, name)} without azure: it is Azure's; give domains, "
                    "and certificate or secrets"
                )


def _certificate(settings: Settings) -> Iterator[str]:
    tls = settings.router.tls
    if tls is None or tls.leaf_domain_label is not None:
        return
    if settings.layer == "platform":  # there the router is the other stack's
        return
    if tls.domains and not (tls.certificate or tls.key_vault_certificate or tls.secrets):
        yield (
            f"router.tls.domains = {', '.join(tls.domains)} without a certificate: give certificate and its "
            "key, secrets, or key_vault_certificate"
        )


def _balancer(settings: Settings) -> Iterator[str]:
    """Ask for a load balancer where something is said of it."""
    kind, tls = settings.router.service_type, settings.router.tls
    if settings.azure is None or kind == "LoadBalancer":
        return
    if settings.internal:
        yield (
            f"router.service_type = {kind} with an internal load balancer (router.internal or "
            "userDefinedRouting): there is none; set service_type: LoadBalancer"
        )
    elif tls is not None and tls.leaf_domain_label is not None:
        yield (
            f"router.service_type = {kind} with router.tls.leaf_domain_label = {tls.leaf_domain_label}: the "
            "name is a load balancer's; set service_type: LoadBalancer"
        )


def _leaf_label(settings: Settings) -> Iterator[str]:
    tls = settings.router.tls
    if settings.azure is not None and tls is not None and tls.leaf_domain_label and settings.internal:
        yield (
            f"router.tls.leaf_domain_label = {tls.leaf_domain_label} with an internal load balancer: Azure's "
            "names are public; give domains and a certificate instead"
        )


def _behind_firewall(settings: Settings) -> Iterator[str]:
    azure = settings.azure
    if azure is None or settings.router.internal is not False:
        return
    if azure.egress.outbound_type == "userDefinedRouting":
        yield (
            "router.internal = false with azure.egress.outbound_type = userDefinedRouting: answers would "
            "leave by the firewall and be lost; remove router.internal"
        )


def _address(settings: Settings) -> Iterator[str]:
    """Ask for what the fixed address of an internal load balancer is chosen from."""
    azure = settings.azure
    if azure is None or not settings.internal:
        return
    said = subnet(azure, "router")
    if "router" not in roles(azure):
        yield (
            "azure.network.subnets.router is not given, and the router's load balancer is internal: give "
            "prefix, or id and size"
        )
    elif said.id is not None and said.size is None:
        yield (
            f"azure.network.subnets.router.id = {said.id} without size: the router's address is one of its "
            "range; give size"
        )
    elif router_ip(azure) is None and (range_ := said.size or said.prefix) is not None:
        yield f"azure.network.subnets.router = {range_} is too small for the router: give a /28 or larger"


def _zone(settings: Settings) -> Iterator[str]:
    azure, tls = settings.azure, settings.router.tls
    if azure is None or azure.dns.zone is None:
        return
    zone, domains = azure.dns.zone, tls.domains if tls is not None else ()
    for domain in domains:
        if domain != zone and not domain.endswith(f".{zone}"):
            yield f"router.tls.domains = {domain} is not in azure.dns.zone = {zone}: change one of the two"
    if not domains:
        yield f"azure.dns.zone = {zone} without router.tls.domains: name the router in it, or remove zone"
    if not settings.internal:
        yield (
            f"azure.dns.zone = {zone} with a public router: it is a private zone, for an internal address; "
            "set router.internal: true, or remove zone"
        )


RULES = (_without_azure, _certificate, _balancer, _leaf_label, _behind_firewall, _address, _zone)
