"""The required hosts as an ARM template for an Azure Firewall policy, to hand to who owns the firewall.

One rule collection group holds all collections: groups of one policy that are written in parallel conflict,
and an empty collection or rule fails the whole group, so neither is made.
"""

from __future__ import annotations

from collections.abc import Iterable

from slipway.hosts.entry import Destination
from slipway.hosts.rules import Required, RuleKind

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
API_VERSION = "2024-05-01"
GROUP_PRIORITY = 200

Json = dict[str, object]


def template(hosts: Iterable[Required]) -> Json:
    """Give the template; its parameters are what a stack cannot know of another's firewall."""
    found = tuple(hosts)
    collections = [
        collection
        for place, kind in enumerate((RuleKind.DNAT, RuleKind.NETWORK, RuleKind.APPLICATION))
        if (collection := _collection(kind, 100 * (place + 1), [one for one in found if one.kind is kind]))
    ]
    parameters: Json = {
        "firewallPolicy": _parameter("string", "the name of the firewall policy"),
        "sourceAddresses": _parameter("array", "the address ranges of the cluster's nodes and pods"),
    }
    if any(one.kind is RuleKind.DNAT for one in found):
        parameters["publicAddress"] = _parameter("string", "the firewall's public address")
    name = "[concat(parameters('firewallPolicy'), '/slipway')]"
    group: Json = {
        "type": "Microsoft.Network/firewallPolicies/ruleCollectionGroups",
        "apiVersion": API_VERSION,
        "name": name,
        "properties": {"priority": GROUP_PRIORITY, "ruleCollections": collections},
    }
    return {
        "$schema": SCHEMA,
        "contentVersion": "1.0.0.0",
        "metadata": {"dnsProxy": _dns_proxy(found)},
        "parameters": parameters,
        "resources": [group] if collections else [],
    }


def _parameter(type_: str, description: str) -> Json:
    return {"type": type_, "metadata": {"description": description}}


def _dns_proxy(hosts: Iterable[Required]) -> str:
    names = [one.host for one in hosts if one.needs_dns_proxy]
    return f"must be on, for {', '.join(names)}" if names else "not needed by these rules"


def _collection(kind: RuleKind, priority: int, hosts: list[Required]) -> Json | None:
    if not hosts:
        return None
    nat = kind is RuleKind.DNAT
    return {
        "ruleCollectionType": f"FirewallPolicy{'Nat' if nat else 'Filter'}RuleCollection",
        "name": f"slipway-{kind}",
        "priority": priority,
        "action": {"type": "DNAT" if nat else "Allow"},
        "rules": [_rule(one) for one in hosts],
    }


def _rule(one: Required) -> Json:
    rule: Json = {
        "name": one.name,
        "description": f"{one.why} [{one.source}]",
        "sourceAddresses": "[parameters('sourceAddresses')]",
    }
    network: Json = {"ipProtocols": [one.protocol.transport], "destinationPorts": [str(one.port)]}
    match one.kind:
        case RuleKind.APPLICATION:
            target = "fqdnTags" if one.destination is Destination.FQDN_TAG else "targetFqdns"
            protocol = {"protocolType": one.protocol.capitalize(), "port": one.port}
            return rule | {"ruleType": "ApplicationRule", "protocols": [protocol], target: [one.host]}
        case RuleKind.DNAT:
            translated: Json = {
                "sourceAddresses": ["*"],
                "destinationAddresses": ["[parameters('publicAddress')]"],
                "translatedAddress": one.host,
                "translatedPort": str(one.port),
            }
            return rule | network | translated | {"ruleType": "NatRule"}
        case _:
            target = "destinationFqdns" if one.destination is Destination.FQDN else "destinationAddresses"
            return rule | network | {"ruleType": "NetworkRule", target: [one.host]}
