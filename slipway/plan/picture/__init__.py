"""A graph as a picture for a review: what stands in the network, who comes in, what goes out, where data is.

Everything is read from what is registered, by type and by reference; what is adopted is known by its id.
Left out: the order of creation, identities and rights.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from slipway.engine.graph import Graph
from slipway.plan.picture import places
from slipway.plan.picture.flowchart import Arrow, flowchart
from slipway.plan.picture.lookup import AKS, FIREWALL, Lookup
from slipway.plan.picture.places import API, DEPLOYERS, NETWORK, NODES, PARTS

CLIENTS, INTERNET = "clients", "internet"
OUT = ("targetFqdns", "fqdnTags", "destinationFqdns", "destinationAddresses", "destinationIpGroups")
"""What a rule may let out to."""


def mermaid(graph: Graph) -> str:
    """Draw a graph as a Mermaid flowchart."""
    find = Lookup(graph)
    names = places.names(find)
    arrows = [*_in(find), *_routing(find), *places.standing(find), *_out(find), *_data(find)]
    if find.of("privatedns:VirtualNetworkLink"):
        arrows.append((names.key, NETWORK, "answers"))
    outside = {CLIENTS: "Clients", **places.outside(find), INTERNET: "Internet"}
    return flowchart(outside, [places.network(find), names, places.workspace(find)], arrows)


def _in(find: Lookup) -> Iterator[Arrow]:
    """Lead clients to load balancers, through the firewall where that translates addresses."""
    ports = sorted(
        {str(port) for rule in _rules(find, nat=True) for port in rule.get("destinationPorts", [])}
    )
    for found in find.of("Service"):
        if find.at(found, "spec.type") != "LoadBalancer":
            continue
        firewalls = find.of(FIREWALL) if ports else []
        for firewall in firewalls:
            yield CLIENTS, firewall.urn, ", ".join(ports)
            yield firewall.urn, found.urn, "DNAT"
        if not firewalls:
            yield (
                CLIENTS,
                found.urn,
                ", ".join(str(port.get("port")) for port in find.many(found, "spec.ports")),
            )
    yield DEPLOYERS, API, ""


def _routing(find: Lookup) -> Iterator[Arrow]:
    """Lead from a load balancer to the pods behind it, and from there to every web service."""
    for balancer in find.of("Service"):
        selector = find.words(balancer, "spec.selector")
        for found in find.of("Deployment"):
            labels = find.words(found, "spec.template.metadata.labels")
            if find.at(balancer, "spec.type") == "LoadBalancer" and selector.items() <= labels.items():
                yield balancer.urn, found.urn, ""
                yield from ((found.urn, service, "") for service in places.services(find))


def _out(find: Lookup) -> Iterator[Arrow]:
    """Lead from nodes and pods to the Internet, and count what a firewall of ours lets pass."""
    hop = places.way_out(find)
    count = sum(len(rule.get(name) or []) for rule in _rules(find, nat=False) for name in OUT)
    if hop:
        yield NODES, hop, "0.0.0.0/0" if find.of("network:Route") else ""
    yield hop or NODES, INTERNET, f"{count} allowed destinations" if count else ""


def _rules(find: Lookup, *, nat: bool) -> Iterator[dict[str, Any]]:
    for group in find.of("network:FirewallPolicyRuleCollectionGroup"):
        for collection in find.many(group, "ruleCollections"):
            rules: list[dict[str, Any]] = collection.get("rules") or []
            yield from (rule for rule in rules if (rule.get("ruleType") == "NatRule") == nat)


def _data(find: Lookup) -> Iterator[Arrow]:
    """Lead to the parts of the workspace that are used: by private endpoint, else by the way out."""
    used = {"containerregistry:Registry": "images", "storage:StorageAccount": "models, data"}
    if find.of("SecretProviderClass"):
        used["keyvault:Vault"] = "certificate"
    if any(find.words(found, "addonProfiles").get("omsagent") for found in find.of(AKS)):
        used["operationalinsights:Workspace"] = "logs, metrics"
    for type_, what in used.items():
        word, _ = PARTS[type_]
        endpoints = {
            find.used(found, "privateLinkServiceConnections", type_, word): found.urn
            for found in find.of("network:PrivateEndpoint")
        }
        for key in [found.urn for found in find.of(type_)] or find.adopted(word):
            if key in endpoints:
                yield NODES, endpoints[key], what
                yield endpoints[key], key, ""
            else:
                yield places.way_out(find) or NODES, key, what
