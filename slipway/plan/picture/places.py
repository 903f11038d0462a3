"""What stands where: the network with its subnets, the cluster, the workspace, names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from slipway.engine.graph import Registration
from slipway.kube.render import autoscaled
from slipway.plan.picture.flowchart import Arrow, Box
from slipway.plan.picture.lookup import AKS, FIREWALL, NAT_GATEWAY, SUBNET, Lookup
from slipway.spec import SERVING, WEBSERVICE

MANY = 12
"""Web services from which on they are drawn as one."""
API, DEPLOYERS, NETWORK, NODES, SERVICES = "api", "deployers", "network", "nodes", "services"
PARTS = {
    "containerregistry:Registry": ("Microsoft.ContainerRegistry/registries", "Registry"),
    "storage:StorageAccount": ("Microsoft.Storage/storageAccounts", "Storage"),
    "keyvault:Vault": ("Microsoft.KeyVault/vaults", "Key vault"),
    "operationalinsights:Workspace": ("Microsoft.OperationalInsights/workspaces", "Log Analytics"),
}
"""Parts of a workspace by type, as ids and people call them."""
ZONE = "privatedns:PrivateZone"
OUTBOUND = {"loadBalancer": "AKS's outbound\nload balancer", "managedNATGateway": "AKS's NAT gateway"}
_BALANCER = "service.beta.kubernetes.io/azure-load-balancer"


def network(find: Lookup) -> Box:
    """Draw the virtual network with its subnets and what stands in them; without one, the cluster alone."""
    subnets = {found.urn: Box(found.urn, _subnet(find, found)) for found in find.of(SUBNET)}
    cluster = Box(
        "cluster", _cluster(find), {**_control(find), **_workloads(find), NODES: "All nodes and pods"}
    )
    for subnet, key, label in (*_pools(find), *_in_subnets(find), *_balancers(find, subnets)):
        if subnet and subnet not in subnets:
            subnets[subnet] = Box(subnet, f"{subnet.rpartition('/')[2]}, adopted")
        (subnets[subnet] if subnet else cluster).nodes[key] = label
    if not subnets:
        return cluster
    return Box(NETWORK, _network(find, next(iter(subnets))), boxes=(cluster, *subnets.values()))


def workspace(find: Lookup) -> Box:
    """Draw the parts of the workspace: those made, and those that others refer to by id."""
    nodes: dict[str, str] = {}
    for type_, (word, label) in PARTS.items():
        nodes |= {found.urn: f"{label}\n{find.name(found)}" for found in find.of(type_)}
        if not find.of(type_):
            nodes |= {key: f"{label}\n{key.rpartition('/')[2]}, adopted" for key in find.adopted(word)}
    return Box("workspace", "Workspace", nodes)


def names(find: Lookup) -> Box:
    """Draw the private zones, with the addresses that the stack itself puts there."""
    nodes: dict[str, str] = {}
    for zone in find.of(ZONE):
        records = [
            f"{find.at(found, 'relativeRecordSetName')} is {record.get('ipv4Address')}"
            for found in find.of("privatedns:PrivateRecordSet")
            if find.used(found, "privateZoneName", ZONE, "privateDnsZones") == zone.urn
            for record in find.many(found, "aRecords")
        ]
        nodes[zone.urn] = "\n".join([find.name(zone), *records])
    return Box("names", "Private DNS zones", nodes)


def outside(find: Lookup) -> dict[str, str]:
    """Give who reaches the API server, and what traffic leaves the network through if not a subnet's own."""
    nodes = {found.urn: f"NAT gateway\n{find.name(found)}" for found in find.of(NAT_GATEWAY)}
    for found in find.of(AKS):
        if not found.external and not find.at(found, "apiServerAccessProfile.enablePrivateCluster"):
            ranges: list[str] = find.many(found, "apiServerAccessProfile.authorizedIPRanges")
            known = [cidr for cidr in ranges if not cidr.startswith("[")]
            nodes[DEPLOYERS] = f"Deployers\n{', '.join(known) or 'from anywhere'}"
    key = way_out(find)
    made = {found.urn for type_ in (FIREWALL, NAT_GATEWAY) for found in find.of(type_)}
    return nodes if not key or key in made else {**nodes, key: OUTBOUND.get(key, f"Firewall {key}\nadopted")}


def standing(find: Lookup) -> Iterator[Arrow]:
    """Tie web services and agent pools to all nodes and pods, of which they are."""
    yield from ((service, NODES, None) for service in services(find))
    yield from ((NODES, pool, None) for _, pool, _ in _pools(find))


def way_out(find: Lookup) -> str:
    """Give the key of what traffic leaves the network through; empty if the graph does not tell."""
    for found in (*find.of(FIREWALL), *find.of(NAT_GATEWAY)):
        return found.urn
    for found in find.of("network:Route"):
        if find.at(found, "nextHopType") == "VirtualAppliance":
            return str(find.at(found, "nextHopIpAddress"))
    return next((str(find.at(found, "networkProfile.outboundType") or "") for found in find.of(AKS)), "")


def services(find: Lookup) -> list[str]:
    """Give the keys of the web services: one for all where they are many."""
    found = [found.urn for found in find.of("Deployment") if _is_service(find, found)]
    return [SERVICES] if len(found) > MANY else found


def _network(find: Lookup, subnet: str) -> str:
    for found in find.of("network:VirtualNetwork"):
        ranges, servers = (
            find.many(found, path) for path in ("addressSpace.addressPrefixes", "dhcpOptions.dnsServers")
        )
        dns = f", DNS {' '.join(servers)}" if servers else ""
        return f"{find.name(found)} {' '.join(ranges)}{dns}"
    return f"{subnet.split('/')[-3]}, adopted"


def _subnet(find: Lookup, found: Registration) -> str:
    return f"{find.name(found)} {find.at(found, 'addressPrefix')}"


def _cluster(find: Lookup) -> str:
    for found in find.of(AKS):
        if found.external:
            return f"AKS {found.known_id.rpartition('/')[2]}, attached"
        names = ("networkPlugin", "networkPluginMode", "networkPolicy")
        words = [find.at(found, f"networkProfile.{name}") for name in names]
        return f"AKS {find.name(found)}: {', '.join(word for word in words if word)}"
    return "Kubernetes"


def _control(find: Lookup) -> dict[str, str]:
    """Give the API server of a cluster that is made here."""
    made = [found for found in find.of(AKS) if not found.external]
    private = any(find.at(found, "apiServerAccessProfile.enablePrivateCluster") for found in made)
    return {API: "Private API server" if private else "API server"} if made else {}


def _pools(find: Lookup) -> Iterator[tuple[str, str, str]]:
    for found in find.of(AKS):
        subnet = find.used(found, "agentPoolProfiles", SUBNET, "subnets")
        for pool in find.many(found, "agentPoolProfiles"):
            yield subnet, f"{found.urn}/{pool['name']}", _pool(pool, pool["name"])
    for found in find.of("containerservice:AgentPool"):
        subnet = find.used(found, "vnetSubnetID", SUBNET, "subnets")
        yield subnet, found.urn, _pool(find.inputs(found), find.name(found))


def _pool(pool: Mapping[str, Any], name: str) -> str:
    scaled = pool.get("enableAutoScaling") is True
    count = f"{pool.get('minCount')} to {pool.get('maxCount')}" if scaled else pool.get("count")
    return "\n".join([f"Pool {name}", f"{count} x {pool.get('vmSize')}", *(pool.get("nodeTaints") or [])])


def _in_subnets(find: Lookup) -> Iterator[tuple[str, str, str]]:
    for found in find.of(FIREWALL):
        label = f"Azure Firewall {find.at(found, 'sku.tier') or ''}\n{find.name(found)}"
        yield find.used(found, "ipConfigurations", SUBNET, "subnets"), found.urn, label
    for found in find.of("network:PrivateEndpoint"):
        label = f"Private endpoint\n{find.name(found)}"
        yield find.used(found, "subnet", SUBNET, "subnets"), found.urn, label


def _balancers(find: Lookup, subnets: Mapping[str, Box]) -> Iterator[tuple[str, str, str]]:
    """Place the load balancers of Services; an internal one in the subnet that it names."""
    for found in find.of("Service"):
        annotations = find.words(found, "metadata.annotations")
        name, ip = (annotations.get(f"{_BALANCER}-{what}", "") for what in ("internal-subnet", "ipv4"))
        if find.at(found, "spec.type") == "LoadBalancer":
            home = [key for key, box in subnets.items() if name and box.title.split()[0].rstrip(",") == name]
            kind = "Internal" if annotations.get(f"{_BALANCER}-internal") == "true" else "Public"
            yield (*home, "")[0], found.urn, f"{kind} load balancer\n{ip}".rstrip()


def _workloads(find: Lookup) -> dict[str, str]:
    every = find.of("Deployment")
    shown = services(find)
    nodes = {found.urn: _deployment(find, found) for found in every if not _is_service(find, found)}
    if shown == [SERVICES]:
        return {**nodes, SERVICES: f"{sum(_is_service(find, found) for found in every)} web services"}
    return nodes | {found.urn: _deployment(find, found) for found in every if found.urn in shown}


def _deployment(find: Lookup, found: Registration) -> str:
    pods = find.at(found, "spec.replicas")
    if autoscaled(find.inputs(found)):
        serving = json.loads(find.words(found, "metadata.annotations")[SERVING])
        pods = f"{serving['autoscale_min_replicas']} to {serving['autoscale_max_replicas']}"
    name = find.at(found, "metadata.name") or found.name
    return (
        f"{'Web service ' if _is_service(find, found) else ''}{name}\n{pods} {'pod' if pods == 1 else 'pods'}"
    )


def _is_service(find: Lookup, found: Registration) -> bool:
    return WEBSERVICE in find.words(found, "metadata.labels")
