"""What matters about Azure's resources: where they stand, how large they are, who may and what goes where."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import cast

from slipway.plan.details.read import Properties, mappings, properties
from slipway.roles import Role


def _network(inputs: Properties) -> Iterator[str]:
    yield ", ".join(properties(inputs.get("addressSpace")).get("addressPrefixes") or [])
    servers = properties(inputs.get("dhcpOptions")).get("dnsServers")
    yield f"DNS {', '.join(servers)}" if servers else ""


def _subnet(inputs: Properties) -> Iterator[str]:
    yield str(inputs.get("addressPrefix", ""))


def _route(inputs: Properties) -> Iterator[str]:
    hop = inputs.get("nextHopIpAddress")
    yield f"{inputs.get('addressPrefix')} to {inputs.get('nextHopType')}{f' {hop}' if hop else ''}"


def _security_group(inputs: Properties) -> Iterator[str]:
    for rule in mappings(inputs.get("securityRules")):
        yield str(rule.get("name"))


def _rule_groups(inputs: Properties) -> Iterator[str]:
    rules = sum(len(mappings(one.get("rules"))) for one in mappings(inputs.get("ruleCollections")))
    yield f"{rules} rule{'s' * (rules != 1)}"


def _firewall(inputs: Properties) -> Iterator[str]:
    yield str(properties(inputs.get("sku")).get("tier", ""))
    yield f"in zones {', '.join(inputs['zones'])}" if inputs.get("zones") else ""


def _firewall_policy(inputs: Properties) -> Iterator[str]:
    yield "DNS proxy" if properties(inputs.get("dnsSettings")).get("enableProxy") else ""


def _private_endpoint(inputs: Properties) -> Iterator[str]:
    for link in mappings(inputs.get("privateLinkServiceConnections")):
        yield f"to {', '.join(link.get('groupIds') or [])}"


def _federated(inputs: Properties) -> Iterator[str]:
    yield str(inputs.get("subject", ""))


def _cluster(inputs: Properties) -> Iterator[str]:
    version, network = inputs.get("kubernetesVersion"), properties(inputs.get("networkProfile"))
    yield f"Kubernetes {version}" if version else ""
    model = "overlay" if network.get("networkPluginMode") else network.get("networkPlugin")
    yield f"network {model}, policy {network.get('networkPolicy')}, outbound {network.get('outboundType')}"
    access = properties(inputs.get("apiServerAccessProfile"))
    private = access.get("enablePrivateCluster")
    yield "API server private" if private else f"API server for {_ranges(access.get('authorizedIPRanges'))}"
    for pool in mappings(inputs.get("agentPoolProfiles")):
        yield from _pool(pool)


def _ranges(given: object) -> str:
    ranges = cast("list[object]", given) if isinstance(given, list) else []
    known = [str(one) for one in ranges if one != "[unknown]"]
    later = len(ranges) - len(known)
    return ", ".join([*known, *([f"{later} of the nodes' own"] if later else [])]) or "everyone"


def _pool(inputs: Properties) -> Iterator[str]:
    count, most = inputs.get("count"), inputs.get("maxCount")
    nodes = f"{inputs.get('minCount')} to {most}" if most else str(count)
    zones = inputs.get("availabilityZones")
    yield f"{nodes} {inputs.get('vmSize')}" + (f" in zones {', '.join(zones)}" if zones else "")
    yield ", ".join(inputs.get("nodeTaints") or [])


def _role(inputs: Properties) -> Iterator[str]:
    definition = str(inputs.get("roleDefinitionId", "")).rsplit("/", 1)[-1]
    yield next((role.title for role in Role if role.value == definition), definition)


def _sku(inputs: Properties) -> Iterator[str]:
    yield str(properties(inputs.get("sku")).get("name", ""))
    yield "" if inputs.get("publicNetworkAccess") != "Disabled" else "no public access"


def _record(inputs: Properties) -> Iterator[str]:
    for record in mappings(inputs.get("aRecords")):
        yield str(record.get("ipv4Address"))


KINDS: dict[str, Callable[[Properties], Iterable[str]]] = {
    "AgentPool": _pool,
    "AzureFirewall": _firewall,
    "FederatedIdentityCredential": _federated,
    "FirewallPolicy": _firewall_policy,
    "FirewallPolicyRuleCollectionGroup": _rule_groups,
    "ManagedCluster": _cluster,
    "NetworkSecurityGroup": _security_group,
    "PrivateEndpoint": _private_endpoint,
    "PrivateRecordSet": _record,
    "Registry": _sku,
    "RoleAssignment": _role,
    "Route": _route,
    "StorageAccount": _sku,
    "Subnet": _subnet,
    "VirtualNetwork": _network,
}
"""By the last part of the type."""
