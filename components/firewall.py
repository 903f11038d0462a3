"""A firewall's rules: which required host goes where, and how azure-native wants it written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import UNIQUE, IntEnum, verify

import pulumi
import pulumi_azure_native as az

from components.network import NODES
from slipway.hosts import Destination, Protocol, Required, RuleKind
from slipway.settings import Azure
from slipway.settings.derived import prefixes


@verify(UNIQUE)
class Group(IntEnum):
    """The rule collection groups with their priorities; each has one collection, of the same priority.

    Azure Firewall looks at DNAT rules first, then at network and last at application rules, whatever the
    priorities say: they say the same.
    """

    DNAT = 100
    NETWORK = 200
    APPLICATION = 300


def node_ranges(azure: Azure) -> list[str]:
    """Give the addresses from which nodes come to the firewall, and pods too: AKS hides theirs behind nodes'.

    The whole network stands for an adopted subnet whose range is not told.
    """
    found = prefixes(azure)
    wanted = [role for role in NODES if role == "system" or azure.cluster.pools]
    if not all(role in found for role in wanted):
        return [azure.network.address_space]
    return list(dict.fromkeys(str(found[role]) for role in wanted))


def grouped(hosts: Iterable[Required]) -> dict[Group, list[Required]]:
    """Sort hosts into groups, in the groups' order; a group without hosts is left out."""
    found = list(hosts)
    of_group = {group: [one for one in found if one.kind is RuleKind[group.name]] for group in Group}
    return {group: members for group, members in of_group.items() if members}


def collection(
    group: Group, hosts: Sequence[Required], sources: list[str], public_ip: pulumi.Input[str]
) -> az.network.FirewallPolicyFilterRuleCollectionArgs | az.network.FirewallPolicyNatRuleCollectionArgs:
    """Write the rules of a group, a rule for each host; `public_ip` is the firewall's, for DNAT."""
    name = group.name.lower()
    if group is Group.DNAT:
        return az.network.FirewallPolicyNatRuleCollectionArgs(
            rule_collection_type="FirewallPolicyNatRuleCollection",
            name=name,
            priority=group,
            action=az.network.FirewallPolicyNatRuleCollectionActionArgs(
                type=az.network.FirewallPolicyNatRuleCollectionActionType.DNAT
            ),
            rules=[_nat_rule(one, public_ip) for one in hosts],
        )
    rule = _application_rule if group is Group.APPLICATION else _network_rule
    return az.network.FirewallPolicyFilterRuleCollectionArgs(
        rule_collection_type="FirewallPolicyFilterRuleCollection",
        name=name,
        priority=group,
        action=az.network.FirewallPolicyFilterRuleCollectionActionArgs(
            type=az.network.FirewallPolicyFilterRuleCollectionActionType.ALLOW
        ),
        rules=[rule(one, sources) for one in hosts],
    )


def _said(one: Required) -> str:
    return f"{one.why} [{one.source}]"


def _application_rule(one: Required, sources: list[str]) -> az.network.ApplicationRuleArgs:
    tag = one.destination is Destination.FQDN_TAG
    kinds = az.network.FirewallPolicyRuleApplicationProtocolType
    kind = kinds.HTTP if one.protocol is Protocol.HTTP else kinds.HTTPS
    return az.network.ApplicationRuleArgs(
        rule_type="ApplicationRule",
        name=one.name,
        description=_said(one),
        source_addresses=sources,
        protocols=[az.network.FirewallPolicyRuleApplicationProtocolArgs(protocol_type=kind, port=one.port)],
        fqdn_tags=[one.host] if tag else None,
        target_fqdns=None if tag else [one.host],
    )


def _network_rule(one: Required, sources: list[str]) -> az.network.NetworkRuleArgs:
    named = one.destination is Destination.FQDN
    return az.network.NetworkRuleArgs(
        rule_type="NetworkRule",
        name=one.name,
        description=_said(one),
        source_addresses=sources,
        ip_protocols=[az.network.FirewallPolicyRuleNetworkProtocol(one.protocol.transport)],
        destination_fqdns=[one.host] if named else None,
        destination_addresses=None if named else [one.host],
        destination_ports=[str(one.port)],
    )


def _nat_rule(one: Required, public_ip: pulumi.Input[str]) -> az.network.NatRuleArgs:
    return az.network.NatRuleArgs(
        rule_type="NatRule",
        name=one.name,
        description=_said(one),
        source_addresses=["*"],  # clients may be anywhere
        ip_protocols=[az.network.FirewallPolicyRuleNetworkProtocol(one.protocol.transport)],
        destination_addresses=[public_ip],
        destination_ports=[str(one.port)],
        translated_address=one.host,
        translated_port=str(one.port),
    )
