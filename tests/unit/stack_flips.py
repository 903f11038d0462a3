"""The graph of stack prod with one resource flipped, so that one rule of the policy pack is broken."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from slipway.engine import UNKNOWN, Graph, Registration, Value

AZURE = "azure-native"
CLUSTER = f"{AZURE}:containerservice:ManagedCluster"
POOL = f"{AZURE}:containerservice:AgentPool"
FIREWALL = f"{AZURE}:network:AzureFirewall"
GROUP = f"{AZURE}:network:FirewallPolicyRuleCollectionGroup"
ROUTE = f"{AZURE}:network:Route"
REGISTRY = f"{AZURE}:containerregistry:Registry"
STORAGE = f"{AZURE}:storage:StorageAccount"
CONTAINER = f"{AZURE}:storage:BlobContainer"
VAULT = f"{AZURE}:keyvault:Vault"
DAEMON_SET = "kubernetes:apps/v1:DaemonSet"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
NAMESPACE = "kubernetes:core/v1:Namespace"
SERVICE = "kubernetes:core/v1:Service"
POD = ("spec", "template", "spec")
FIRST = (*POD, "containers", 0)
SERVING = ("metadata", "annotations", "slipway/serving")
INTERNAL = ("metadata", "annotations", "service.beta.kubernetes.io/azure-load-balancer-internal")
ENFORCE = ("metadata", "labels", "pod-security.kubernetes.io/enforce")
DIGEST = f"sha256:{'a' * 64}"

Path = tuple[str | int, ...]
RULES: Path = ("ruleCollections",)


@dataclass(frozen=True)
class Flip:
    """One input of one resource, or of the first of its type, as it may not be."""

    rule: str
    type: str
    path: Path
    value: Value
    name: str = ""

    def __str__(self) -> str:
        return f"{self.rule}: {'.'.join(map(str, self.path))} = {self.value}"[:100]

    def __call__(self, graph: Graph) -> Graph:
        return changed(graph, self.type, lambda found: with_input(found, self.path, self.value), self.name)


def fields(text: str) -> Path:
    return tuple(text.split("."))


def rule_of(**given: Value) -> Value:
    """Give rule collections with one application rule, of a host that every cluster needs."""
    rule: dict[str, Value] = {
        "name": "one",
        "ruleType": "ApplicationRule",
        "description": "a reason",
        "sourceAddresses": ["10.224.0.0/16"],
        "targetFqdns": ["mcr.microsoft.com"],
        "protocols": [{"protocolType": "Https", "port": 443}],
    }
    return [{"name": "all", "action": {"type": "Allow"}, "rules": [rule | given]}]


def network_rule(**given: Value) -> Value:
    rule: dict[str, Value] = {"ruleType": "NetworkRule", "targetFqdns": None, "protocols": None}
    rule |= {"ipProtocols": ["TCP"], "destinationPorts": ["443"]}
    return rule_of(**(rule | given))


FLIPS: Sequence[Flip] = (
    Flip("egress-as-said", CLUSTER, fields("networkProfile.outboundType"), "loadBalancer"),
    Flip("egress-as-said", CLUSTER, fields("networkProfile.outboundType"), None),
    Flip("egress-no-bypass", POOL, fields("enableNodePublicIP"), True),
    Flip("egress-no-bypass", CLUSTER, ("agentPoolProfiles", 0, "enableNodePublicIP"), True),
    Flip("firewall-known-hosts", GROUP, RULES, rule_of(targetFqdns=["example.org"])),
    Flip("firewall-known-hosts", GROUP, RULES, rule_of(targetFqdns=["*"])),
    Flip("firewall-known-hosts", GROUP, RULES, rule_of(targetFqdns=["*.microsoft.com"])),
    Flip("firewall-known-hosts", GROUP, RULES, rule_of(fqdnTags=["WindowsUpdate"])),
    Flip("firewall-known-hosts", GROUP, RULES, rule_of(webCategories=["Business"])),
    Flip(
        "firewall-known-hosts",
        GROUP,
        RULES,
        rule_of(protocols=[{"protocolType": "Http", "port": 8080}]),
    ),
    Flip("firewall-known-hosts", GROUP, RULES, network_rule(destinationAddresses=["*"])),
    Flip("firewall-known-hosts", GROUP, RULES, network_rule(destinationAddresses=["0.0.0.0/1"])),
    Flip(
        "firewall-known-hosts",
        GROUP,
        RULES,
        network_rule(destinationFqdns=["mcr.microsoft.com"], ipProtocols=["Any"], destinationPorts=["*"]),
    ),
    Flip(
        "firewall-known-hosts",
        GROUP,
        RULES,
        rule_of(ruleType="NatRule", translatedAddress="10.224.0.9", translatedPort="22"),
    ),
    Flip("firewall-known-hosts", FIREWALL, ("networkRuleCollections",), [{"name": "classic"}]),
    Flip(
        "firewall-wildcard-reason",
        GROUP,
        RULES,
        rule_of(targetFqdns=["*.hcp.westeurope.azmk8s.io"], description=" "),
    ),
    Flip(
        "firewall-wildcard-reason",
        GROUP,
        RULES,
        rule_of(sourceAddresses=["*"], description=None),
    ),
    Flip("api-server-closed", CLUSTER, fields("apiServerAccessProfile.authorizedIPRanges"), None),
    Flip("api-server-closed", CLUSTER, fields("apiServerAccessProfile.authorizedIPRanges"), ["0.0.0.0/0"]),
    Flip("api-server-closed", CLUSTER, fields("apiServerAccessProfile.authorizedIPRanges"), ["128.0.0.0/1"]),
    Flip("local-accounts-off", CLUSTER, fields("disableLocalAccounts"), False),
    Flip("local-accounts-off", CLUSTER, fields("disableLocalAccounts"), None),
    Flip("entra-rbac-on", CLUSTER, fields("aadProfile"), None),
    Flip("entra-rbac-on", CLUSTER, fields("aadProfile.enableAzureRBAC"), False),
    Flip("entra-rbac-on", CLUSTER, fields("enableRBAC"), False),
    Flip("network-policy-enforced", CLUSTER, fields("networkProfile.networkPolicy"), "none"),
    Flip("kubenet-retiring", CLUSTER, fields("networkProfile.networkPlugin"), "kubenet"),
    Flip("storage-closed", STORAGE, fields("allowSharedKeyAccess"), None),
    Flip("storage-closed", STORAGE, fields("allowBlobPublicAccess"), True),
    Flip("storage-closed", STORAGE, fields("enableHttpsTrafficOnly"), False),
    Flip("storage-closed", STORAGE, fields("minimumTlsVersion"), "TLS1_1"),
    Flip("storage-closed", CONTAINER, fields("publicAccess"), "Blob"),
    Flip("registry-closed", REGISTRY, fields("adminUserEnabled"), True),
    Flip("registry-closed", REGISTRY, fields("anonymousPullEnabled"), True),
    Flip("key-vault-closed", VAULT, fields("properties.enableRbacAuthorization"), False),
    Flip("key-vault-closed", VAULT, fields("properties.enablePurgeProtection"), None),
    Flip("key-vault-closed", VAULT, fields("properties.enableSoftDelete"), False),
    Flip("router-internal", SERVICE, INTERNAL, None, "router"),
    Flip("router-tls", SERVICE, fields("spec.ports"), [{"name": "http", "port": 80}], "router"),
    Flip("router-tls", DEPLOYMENT, (*FIRST, "ports"), [], "router"),
    Flip("authentication-said", DEPLOYMENT, SERVING, '{"auth_enabled": false}', "diabetes"),
    Flip("authentication-said", DEPLOYMENT, SERVING, "{", "diabetes"),
    Flip("image-from-registry", DEPLOYMENT, (*FIRST, "image"), f"mcr.microsoft.com/a@{DIGEST}", "diabetes"),
    Flip("image-from-registry", DEPLOYMENT, (*POD, "initContainers"), [
        {"name": "a", "image": f"a@{DIGEST}", "resources": {
            "requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"memory": "1Mi"}}}], "diabetes"),
    Flip("image-by-digest", DEPLOYMENT, (*FIRST, "image"), "slipwayprod.azurecr.io/a:latest", "diabetes"),
    Flip("resources-set", DEPLOYMENT, (*FIRST, "resources", "limits"), None, "diabetes"),
    Flip("resources-set", DEPLOYMENT, (*FIRST, "resources", "requests", "cpu"), None, "router"),
    Flip("pod-security-restricted", NAMESPACE, ENFORCE, "baseline", "slipway-services"),
    Flip("pod-security-restricted", NAMESPACE, ENFORCE, None, "slipway"),
    Flip("pod-security-restricted", DEPLOYMENT, fields("metadata.namespace"), "gpu-resources", "diabetes"),
    Flip("resources-set", DAEMON_SET, (*FIRST, "resources", "limits"), None),
    Flip("no-service-account-token", DEPLOYMENT, (*POD, "automountServiceAccountToken"), None, "diabetes"),
)  # fmt: skip
"""Of stack prod. Each breaks its rule and no other."""


def changed(
    graph: Graph, type_: str, change: Callable[[Registration], Registration], name: str = ""
) -> Graph:
    """Change the first resource of a type, or the one with a name."""
    first = next(
        found for found in graph.registrations if found.type == type_ and found.name in {name or found.name}
    )
    every = tuple(change(found) if found is first else found for found in graph.registrations)
    return replace(graph, registrations=every)


def with_input(found: Registration, path: Path, value: Value) -> Registration:
    inputs = copy.deepcopy(found.inputs)
    owner: Any = inputs
    for step in path[:-1]:
        owner = owner[step] if isinstance(step, int) else owner.setdefault(step, {})
    owner[path[-1]] = value
    return replace(found, inputs=inputs)


def without(graph: Graph, type_: str, **inputs: Value) -> Graph:
    """Leave out the resources of a type with these inputs."""
    gone = [
        found
        for found in graph.registrations
        if found.type == type_ and all(found.inputs.get(name) == value for name, value in inputs.items())
    ]
    assert gone
    return replace(graph, registrations=tuple(found for found in graph.registrations if found not in gone))


def beside(graph: Graph, type_: str, name: str, inputs: dict[str, Value]) -> Graph:
    """Add a resource that the program does not have."""
    urn = f"urn:pulumi:{graph.stack}::{graph.project}::{type_}::{name}"
    added = Registration(urn, type_, name, custom=True, inputs=inputs, outputs=inputs)
    return replace(graph, registrations=(*graph.registrations, added))


def copied(graph: Graph, type_: str, name: str) -> Graph:
    """Add a second one of a resource."""
    found = next(found for found in graph.registrations if (found.type, found.name) == (type_, name))
    return replace(graph, registrations=(*graph.registrations, replace(found, urn=f"{found.urn}-2")))


def unknown(flip: Flip) -> Flip:
    return replace(flip, value=UNKNOWN)
