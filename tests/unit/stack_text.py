"""The graph of a stack on Azure in lines for people: who stands where, who may do what, what goes where.

Everything that Azure is told is in a line, but for what `DEFAULTS` names and the usual resource group and
region. Of Kubernetes objects there is only what differs with Azure; `golden/variety.yaml` has the rest.
What only Azure can know stands there as what tells it: `<Subnet network-user>` is that subnet's id or name.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, cast

from slipway.engine import Graph, Made, Registration, Value
from slipway.engine.graph import secrets
from slipway.engine.mask import Mask
from slipway.engine.urns import STACK_TYPE, is_provider
from slipway.plan.values import masked
from slipway.roles import Role

PLANTED = "planted-secret-"
"""What every secret of a made stack begins with."""
KUBECONFIG = {
    "clusters": [{"name": "aks", "cluster": {"certificate-authority-data": f"{PLANTED}kubeconfig"}}],
    "users": [{"name": "user", "user": {"exec": {"args": ["--tenant-id", "tenant"]}}}],
}
TOLD = ("name", "principalId", "clientId", "tenantId", "ipAddress")
"""Outputs on which other resources stand."""
DEFAULTS: Mapping[str, Mapping[str, Value]] = {
    "applicationinsights:Component": {
        "flowType": "Bluefield",
        "requestSource": "rest",
        "publicNetworkAccessForIngestion": "Enabled",
        "publicNetworkAccessForQuery": "Enabled",
    },
    "network:Subnet": {
        "privateEndpointNetworkPolicies": "Disabled",
        "privateLinkServiceNetworkPolicies": "Enabled",
    },
    "network:VirtualNetwork": {"enableDdosProtection": False, "enableVmProtection": False},
}
"""What the SDK says by itself."""
Inputs = dict[str, Any]


def make(registration: Registration) -> Made | None:
    """Make a resource whose id and outputs say what they are. Secret outputs are planted ones."""
    if registration.type.startswith("azure-native:"):
        itself = f"{_kind(registration)} {registration.name}"
        outputs: dict[str, Value] = {output: f"<{itself}.{output}>" for output in TOLD}
        outputs |= {"name": f"<{itself}>", "connectionString": f"{PLANTED}connection-string"}
        outputs["oidcIssuerProfile"] = {"enabled": True, "issuerURL": f"<{itself}.issuer>"}
        return Made(f"<{itself}>", outputs)
    if registration.type == "random:index/randomPassword:RandomPassword":
        return Made(registration.name, {"result": f"{PLANTED}{registration.name}"})
    return None


def answer(function: str, _: dict[str, Value]) -> dict[str, Value]:
    """Answer for azure-native."""
    if function.endswith("getClientConfig"):
        return {name: f"<deployer.{name}>" for name in ("clientId", "objectId", "subscriptionId", "tenantId")}
    given = base64.b64encode(json.dumps(KUBECONFIG).encode()).decode()
    return {"kubeconfigs": [{"name": "clusterUser", "value": given}]}


def spelled_out(graph: Graph) -> str:
    """Give all resources of a graph that `make` made, each below its component, and the stack's outputs."""
    mask = Mask(secrets(graph))
    below: dict[str, list[Registration]] = {}
    for one in graph.registrations:
        if one.type != STACK_TYPE and (one.parent or not is_provider(one.type)):
            below.setdefault(one.parent, []).append(one)
    roots = next(one.urn for one in graph.registrations if one.type == STACK_TYPE)
    outputs = cast("Inputs", masked(graph.outputs, mask))
    if "egress_ips" in outputs:
        outputs["egress_ips"] = _ends(outputs["egress_ips"])
    lines = [
        *_branch(graph, below, roots, mask, ""),
        *(f"output {n}: {brief(v)}" for n, v in outputs.items()),
    ]
    return re.sub(r"\b[0-9a-f]{32}\b", "HASH", "\n".join(lines)) + "\n"


def _branch(
    graph: Graph, below: Mapping[str, list[Registration]], parent: str, mask: Mask, indent: str
) -> Iterator[str]:
    nodes = below.get(parent, [])
    shared = _shared(nodes)
    custom = [_resource(graph, one, shared, mask) for one in nodes if one.custom]
    for text in _runs(sorted(custom, key=_natural)):
        yield from (indent + line for line in text.splitlines())
    for one in sorted((one for one in nodes if not one.custom), key=lambda one: (one.type, one.name)):
        after = _shared(below.get(one.urn, []))
        waits = f": all after {', '.join(_names(graph, after))}" if after else ""
        yield f"{indent}{one.type.rpartition(':')[2]} {one.name}{waits}"
        yield from _branch(graph, below, one.urn, mask, indent + "  ")


def _shared(nodes: Iterable[Registration]) -> set[str]:
    """Give what all resources of a component wait for without using it."""
    waits = [_waits(one) for one in nodes if one.custom]
    return waits[0].intersection(*waits) if len(waits) > 1 else set()


def _waits(one: Registration) -> set[str]:
    used = {urn for urns in one.property_dependencies.values() for urn in urns}
    return set(one.dependencies) - used


def _names(graph: Graph, urns: Iterable[str]) -> list[str]:
    return sorted((f"{_kind(graph[urn])} {graph[urn].name}" for urn in urns), key=_natural)


def _runs(texts: Iterable[str]) -> Iterator[str]:
    """Take resources that differ by a number for one."""

    def unnumbered(text: str) -> str:
        number = re.match(r"\S+ \S+-(\d+):", text)
        return re.sub(rf"-{number[1]}\b", "-N", text) if number else text

    for text, group in groupby(texts, key=unnumbered):
        same = list(group)
        yield text.replace("-N:", f"-1 to {len(same)}:", 1) if len(same) > 1 else same[0]


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(part or 0), rest) for part, rest in re.findall(r"(\d*)(\D*)", text)]


def _kind(one: Registration) -> str:
    return one.type.rpartition(":")[2]


def _resource(graph: Graph, one: Registration, shared: set[str], mask: Mask) -> str:
    inputs = cast("Inputs", masked(one.inputs, mask))
    flags = ["read only"] if one.external else []
    flags += ["protected"] if one.protect else []
    flags += ["kept when deleted"] if one.options.get("retainOnDelete") else []
    flags += [f"ignores {', '.join(one.ignore_changes)}"] if one.ignore_changes else []
    secret = cast("list[str]", one.options.get("additionalSecretOutputs") or [])
    flags += [f"secret {', '.join(secret)}"] if secret else []
    waits = _names(graph, _waits(one) - shared)
    flags += [f"after {', '.join(waits)}"] if waits else []
    azure = one.type.startswith("azure-native:")
    kind = one.type.removeprefix("azure-native:") if azure else _kind(one)
    first, *more = _azure(kind, inputs) if azure else KUBERNETES.get(kind, _nothing)(inputs)
    head = ": ".join(filter(None, [f"{kind} {one.name}", "; ".join(filter(None, [first, *flags]))]))
    return "\n".join([head, *(f"    {line}" for line in more)])


def _azure(kind: str, inputs: Inputs) -> list[str]:
    """Give a first line of what is plain, then a line for each part."""
    given = {name: value for name, value in inputs.items() if DEFAULTS.get(kind, {}).get(name) != value}
    if given.get("resourceGroupName") == "<ResourceGroup group>":
        del given["resourceGroupName"]
    if given.get("location") == "westeurope":
        del given["location"]
    first, more = AZURE.get(kind, lambda _: ("", []))(given)
    plain = {name: value for name, value in given.items() if not isinstance(value, dict | list)}
    parts = {name: value for name, value in given.items() if name not in plain}
    said = [first, *(f"{name}={brief(value)}" for name, value in plain.items())]
    return [
        ", ".join(filter(None, said)),
        *more,
        *(f"{name}: {brief(value)}" for name, value in parts.items()),
    ]


def brief(value: Any) -> str:
    """Write a value in a line."""
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return ", ".join(
                f"{name}={brief(inner)}" if not isinstance(inner, dict) else f"{name}({brief(inner)})"
                for name, inner in cast("Inputs", value).items()
            )
        case list():
            items = cast("list[Any]", value)
            return (
                f"[{', '.join(f'({brief(one)})' if isinstance(one, dict) else brief(one) for one in items)}]"
            )
        case _:
            return str(value)


def _ends(texts: list[str]) -> list[str]:
    """Write what only Azure can know, among others, as the first and the last of it."""
    later = [one for one in texts if one.startswith("<")]
    between = [f"{later[0]} to {later[-1]}"] if len(later) > 1 else later
    return [*(one for one in texts if one not in later), *between]


Told = tuple[str, list[str]]
"""What a type's own words are; they take out of the inputs what they have said."""


def _id(reference: Any) -> str:
    return str(cast("Inputs", reference)["id"])


def _subnet(given: Inputs) -> Told:
    words = {"networkSecurityGroup": "guarded by", "routeTable": "routed by", "natGateway": "leaves by"}
    used = [f"{word} {_id(given.pop(name))}" for name, word in words.items() if name in given]
    return " ".join([given.pop("addressPrefix"), "in", given.pop("virtualNetworkName"), *used]), []


def _route(given: Inputs) -> Told:
    hop = [given.pop("nextHopType"), given.pop("nextHopIpAddress", "")]
    return (
        f"{given.pop('addressPrefix')} to {' '.join(filter(None, hop))} in {given.pop('routeTableName')}",
        [],
    )


def _role(given: Inputs) -> Told:
    definition = given.pop("roleDefinitionId").rpartition("/")[2]
    title = next(role.title for role in Role if role.value == definition)
    kind = given.pop("principalType", "of any type")
    return f"{title} on {given.pop('scope')} for {given.pop('principalId')} ({kind})", []


def _security_group(given: Inputs) -> Told:
    return "", [_security_rule(rule) for rule in sorted(given.pop("securityRules"), key=_priority)] or [
        "no rules"
    ]


def _priority(rule: Inputs) -> int:
    return rule["priority"]


def _security_rule(rule: Inputs) -> str:
    source = rule.get("sourceAddressPrefix") or brief(rule["sourceAddressPrefixes"])
    target = rule.get("destinationAddressPrefix") or brief(rule["destinationAddressPrefixes"])
    ports = rule.get("destinationPortRange") or brief(rule["destinationPortRanges"])
    ends = f"from {source} port {rule['sourcePortRange']} to {target} port {ports}"
    head = f"{rule['priority']} {rule['direction']} {rule['access']} {rule['protocol']}"
    return f"{head} {ends}: {rule['name']}, {rule['description']}"


def _rule_group(given: Inputs) -> Told:
    (one,) = given.pop("ruleCollections")
    what = f"{one['action']['type']}, priority {given.pop('priority')} and {one['priority']}"
    return what, [_rule(rule) for rule in one["rules"]]


def _rule(rule: Inputs) -> str:
    protocols = [f"{one['protocolType']}:{one['port']}" for one in rule.get("protocols", ())]
    network = [f"{one}:{port}" for one in rule.get("ipProtocols", ()) for port in rule["destinationPorts"]]
    kinds = ("targetFqdns", "fqdnTags", "destinationFqdns", "destinationAddresses")
    target = next(f"{kind} {brief(rule[kind])}" for kind in kinds if kind in rule)
    inside = (
        f" and on to {rule['translatedAddress']}:{rule['translatedPort']}"
        if "translatedAddress" in rule
        else ""
    )
    why = ", ".join(dict.fromkeys(re.findall(r"(?:^|; )([^:;]+):", rule["description"])))
    ends = f"from {brief(rule['sourceAddresses'])} to {target}"
    return f"{rule['ruleType']} {brief([*protocols, *network])} {ends}{inside}: for {why}"


def _firewall(given: Inputs) -> Told:
    ips = given.pop("ipConfigurations")
    for number, one in enumerate(ips, 1):
        assert _id(one["publicIPAddress"]) == f"<PublicIPAddress firewall-{number}>"
    (stands,) = [_id(one["subnet"]) for one in ips if "subnet" in one]
    return "", [f"{len(ips)} public addresses, {_id(ips[0]['publicIPAddress'])} first, stands in {stands}"]


def _private_endpoint(given: Inputs) -> Told:
    (to,) = given.pop("privateLinkServiceConnections")
    return f"to {to['privateLinkServiceId']} {brief(to['groupIds'])} in {_id(given.pop('subnet'))}", []


def _zone_group(given: Inputs) -> Told:
    (one,) = given.pop("privateDnsZoneConfigs")
    return f"{given.pop('privateEndpointName')} writes into {one['privateDnsZoneId']}, {one['name']}", []


def _link(given: Inputs) -> Told:
    return f"{_id(given.pop('virtualNetwork'))} asks {given.pop('privateZoneName')}", []


def _record(given: Inputs) -> Told:
    addresses = [one["ipv4Address"] for one in given.pop("aRecords")]
    name = f"{given.pop('relativeRecordSetName')} in {given.pop('privateZoneName')}"
    return f"{given.pop('recordType')} {name} is {brief(addresses)}", []


def pool(given: Inputs) -> str:
    """Write a pool's nodes in a line; takes what it writes out of its inputs."""
    count, scaled = given.pop("count"), given.pop("enableAutoScaling")
    nodes = f"{given.pop('minCount')} to {given.pop('maxCount')}, {count} at first" if scaled else str(count)
    words = [f"{given.pop('mode')} pool of {nodes} {given.pop('vmSize')} {given.pop('osType')}"]
    for name, word in (("availabilityZones", "zones"), ("nodeLabels", "labels"), ("nodeTaints", "taints")):
        words += [f"{word} {brief(given.pop(name))}"] if name in given else ["no " + word]
    words += [f"{given.pop('maxPods')} pods a node", f"surge {given.pop('upgradeSettings')['maxSurge']}"]
    return ", ".join([*words, f"in {given.pop('vnetSubnetID')}"])


def _agent_pool(given: Inputs) -> Told:
    return pool(given), []


def _cluster(given: Inputs) -> Told:
    pools = given.pop("agentPoolProfiles", [])
    access = given.get("apiServerAccessProfile", {})
    if "authorizedIPRanges" in access:
        access["authorizedIPRanges"] = _ends(access["authorizedIPRanges"])
    return "", [f"{pool(one)}, {brief(one)}" for one in pools]


AZURE: Mapping[str, Callable[[Inputs], Told]] = {
    "authorization:RoleAssignment": _role,
    "containerservice:AgentPool": _agent_pool,
    "containerservice:ManagedCluster": _cluster,
    "network:AzureFirewall": _firewall,
    "network:FirewallPolicyRuleCollectionGroup": _rule_group,
    "network:NetworkSecurityGroup": _security_group,
    "network:PrivateDnsZoneGroup": _zone_group,
    "network:PrivateEndpoint": _private_endpoint,
    "network:Route": _route,
    "network:Subnet": _subnet,
    "privatedns:PrivateRecordSet": _record,
    "privatedns:VirtualNetworkLink": _link,
}


def _nothing(_: Inputs) -> list[str]:
    return [""]


def _deployment(inputs: Inputs) -> list[str]:
    pod = inputs["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    lines = [f"replicas {inputs['spec']['replicas']}, image {container['image']}"]
    lines += [f"ports {brief([port['containerPort'] for port in container['ports']])}"]
    lines += [f"resources {brief(container['resources'])}"]
    annotations = inputs["spec"]["template"]["metadata"].get("annotations", {})
    found = {"annotations": annotations, "tolerations": pod.get("tolerations", []), "volumes": pod["volumes"]}
    return [*lines, *(f"{name} {brief(value)}" for name, value in found.items() if value)]


def _daemon_set(inputs: Inputs) -> list[str]:
    pod = inputs["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    found = {
        "on nodes with": pod["nodeSelector"],
        "tolerations": pod["tolerations"],
        "volumes": pod["volumes"],
    }
    return [
        f"image {container['image']}",
        f"resources {brief(container['resources'])}",
        *(f"{name} {brief(value)}" for name, value in found.items()),
    ]


def _service(inputs: Inputs) -> list[str]:
    spec = inputs["spec"]
    ports = [f"{port['port']} to {port['targetPort']}" for port in spec["ports"]]
    annotations = inputs["metadata"].get("annotations", {})
    return [f"{spec.get('type', 'headless')} {brief(ports)}", *(f"{n}={v}" for n, v in annotations.items())]


def _secret_provider_class(inputs: Inputs) -> list[str]:
    return ["", *(f"{name}={value}" for name, value in inputs["spec"]["parameters"].items())]


def _namespace(inputs: Inputs) -> list[str]:
    return [brief(inputs["metadata"]["labels"])]


def _provider(inputs: Inputs) -> list[str]:
    said = ("clusterIdentifier", "context", "kubeconfig")
    return [brief({name: inputs[name] for name in said if name in inputs})]


KUBERNETES: Mapping[str, Callable[[Inputs], list[str]]] = {
    "DaemonSet": _daemon_set,
    "Deployment": _deployment,
    "Namespace": _namespace,
    "SecretProviderClass": _secret_provider_class,
    "Service": _service,
    "kubernetes": _provider,
}
