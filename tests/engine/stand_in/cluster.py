"""What AKS refuses of clusters and node pools, with its kind of message.

Sources: learn.microsoft.com, AKS: configure-kubenet, egress-outboundtype, azure-cni-overview,
use-system-pools, manage-local-accounts-managed-azure-ad, private-clusters; codes as people report them (see
`rules.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address

from tests.engine.stand_in.identities import CLUSTER, control_plane, may
from tests.engine.stand_in.world import (
    Json,
    Resource,
    World,
    at,
    azure,
    maps,
    network,
    parent,
    prefix_of,
    texts,
)

POOL = "containerservice:AgentPool"
SUBNET = "network:Subnet"
KUBENET_NODES = 400
OWNERS = {"Contributor", "Owner"}
FIXED = (
    "availabilityZones", "kubeletDiskType", "maxPods", "osDiskSizeGB", "osDiskType", "osType", "vmSize",
    "vnetSubnetID",
)  # fmt: skip
"""Inputs of a pool that AKS never changes."""


def refuse_cluster(resource: Resource, before: Resource | None, world: World) -> Iterator[str]:
    """Give what AKS refuses of a cluster; its own pools are checked with it."""
    given, pools = resource.given, _inline(resource)
    if not before and not any(pool.get("mode") == "System" for pool in pools):
        yield _invalid("Must define at least one system pool.")
    if not before and not at(given, "dnsPrefix") and not at(given, "fqdnSubdomain"):
        yield _invalid("Required parameter dnsPrefix is missing (null or empty).")
    old = {pool.get("name"): pool for pool in _inline(before)} if before else {}
    for pool in pools:
        yield from _pool(pool, old.get(pool.get("name")))
    yield from _access(given)
    yield from _ranges(resource, world)
    yield from _sizes(resource, _pools(resource, world), world)
    if not before:
        yield from _outbound(resource, world)
        yield from _kubenet(resource, world)
        yield from _rights(resource, world)
        yield from _private(resource, world)


def refuse_pool(resource: Resource, before: Resource | None, world: World) -> Iterator[str]:
    """Give what AKS refuses of a node pool that is a resource of its own."""
    cluster = world.find(parent(resource.id), CLUSTER)
    assert cluster is not None
    inline = _inline(cluster)
    if resource.name in [pool.get("name") for pool in inline]:
        yield azure("OperationNotAllowed", f"{cluster.name} has an agent pool {resource.name} already.", 409)
    yield from _pool(resource.given, before.given if before else None)
    nets = {parent(subnet).lower() for subnet in _subnets([*inline, resource.given])}
    if len(nets) > 1 or len({pool.get("vnetSubnetID") is None for pool in [*inline, resource.given]}) > 1:
        yield _invalid(f"All agent pools of {cluster.name} must be in one virtual network.")
    yield from _sizes(cluster, _pools(cluster, world, resource), world)


def _invalid(message: str) -> str:
    return azure("InvalidParameter", message)


def _inline(cluster: Resource) -> list[Json]:
    return maps(cluster.given, "agentPoolProfiles")


def _pools(cluster: Resource, world: World, changed: Resource | None = None) -> list[Json]:
    """Give all pools of a cluster, one of them perhaps as it shall be."""
    apart = {found.id.lower(): found for found in world.under(cluster.id) if found.type == POOL}
    if changed is not None:
        apart[changed.id.lower()] = changed
    return [*_inline(cluster), *(found.given for found in apart.values())]


def _subnets(pools: Iterable[Json]) -> list[str]:
    return list(dict.fromkeys(pool["vnetSubnetID"] for pool in pools if pool.get("vnetSubnetID")))


def _nodes(pool: Json) -> int:
    return pool.get("maxCount") or pool.get("count") or 1


def _pool(pool: Json, before: Json | None) -> Iterator[str]:
    name = pool.get("name") or pool.get("agentPoolName")
    low, high, scaled = pool.get("minCount"), pool.get("maxCount"), pool.get("enableAutoScaling")
    if scaled and (low is None or high is None or low > high):
        yield _invalid(f"Agent pool {name}: minCount {low} and maxCount {high} are no range.")
    if not scaled and (low is not None or high is not None):
        yield _invalid(f"Agent pool {name}: minCount and maxCount need enableAutoScaling.")
    if pool.get("mode") == "System" and 0 in {low, pool.get("count")}:
        yield _invalid(f"System node pool {name} must have at least one node.")
    for field in FIXED if before else ():
        if before and pool.get(field) != before.get(field):
            yield azure("PropertyChangeNotAllowed", f"Changing property '{field}' of {name} is not allowed.")


def _access(given: Json) -> Iterator[str]:
    server = "apiServerAccessProfile"
    if at(given, f"{server}.enablePrivateCluster") and at(given, f"{server}.authorizedIPRanges"):
        yield _invalid("authorizedIPRanges is not supported for a private cluster.")
    if at(given, "disableLocalAccounts") and not at(given, "aadProfile.managed"):
        yield azure("BadRequest", "disableLocalAccounts can only be set on a cluster with managed AAD.")
    workload = at(given, "securityProfile.workloadIdentity.enabled")
    if workload and not at(given, "oidcIssuerProfile.enabled"):
        yield _invalid("Workload identity needs the OIDC issuer to be enabled.")


def _ranges(resource: Resource, world: World) -> Iterator[str]:
    """Check the ranges that the cluster takes against the subnets of its network."""
    service = at(resource.given, "networkProfile.serviceCidr", "10.0.0.0/16")
    ranges = {"Service": service, "Pod": at(resource.given, "networkProfile.podCidr", "")}
    nets = dict.fromkeys(parent(subnet) for subnet in _subnets(_inline(resource)))
    for subnet in (found for net in nets for found in world.under(net) if found.type == SUBNET):
        taken = network(prefix_of(subnet.given))
        for kind, cidr in ranges.items():
            own = network(cidr)
            if own is not None and taken is not None and own.overlaps(taken):
                yield azure(
                    f"{kind}CidrOverlapExistingSubnetsCidr",
                    f"The specified {kind.lower()} CIDR {own} is conflicted with an existing subnet CIDR "
                    f"{taken}.",
                )
    dns, whole = at(resource.given, "networkProfile.dnsServiceIP"), network(service)
    if dns and (whole is None or ip_address(dns) not in whole or ip_address(dns) == whole[1]):
        yield _invalid(f"dnsServiceIP {dns} must be inside {service} and not its first address.")


def _sizes(cluster: Resource, pools: list[Json], world: World) -> Iterator[str]:
    """Check nodes and addresses of all pools: a node, its pods if they live in the subnet, five kept."""
    plugin = at(cluster.given, "networkProfile.networkPlugin", "azure")
    nodes = sum(map(_nodes, pools))
    if plugin == "kubenet" and nodes > KUBENET_NODES:
        yield _invalid(f"kubenet supports at most {KUBENET_NODES} nodes; {cluster.name} may have {nodes}.")
    inside = plugin == "azure" and at(cluster.given, "networkProfile.networkPluginMode") != "overlay"
    for identifier in _subnets(pools):
        subnet = world.find(identifier, SUBNET)
        whole = network(prefix_of(subnet.given)) if subnet else None
        own = [pool for pool in pools if pool.get("vnetSubnetID") == identifier]
        needed = sum(_nodes(pool) * (1 + (pool.get("maxPods", 30) if inside else 0)) for pool in own)
        if whole is not None and needed > whole.num_addresses - 5:
            yield azure(
                "InsufficientSubnetSize",
                f"Pre-allocated IPs {needed} exceeds IPs available {whole.num_addresses - 5} "
                f"in Subnet Cidr {whole}, Subnet Name {subnet.name if subnet else ''}.",
            )


def _table(subnet: str, world: World) -> Resource | None:
    found = world.find(subnet, SUBNET)
    return world.find(at(found.given, "routeTable.id", "")) if found else None


def _no_table(subnet: str) -> str:
    message = f"An existing route table has not been associated with subnet {subnet}."
    return azure("ExistingRouteTableNotAssociatedWithSubnet", message)


def _outbound(resource: Resource, world: World) -> Iterator[str]:
    kind = at(resource.given, "networkProfile.outboundType", "loadBalancer")
    subnets = _subnets(_inline(resource))
    if kind in {"userDefinedRouting", "userAssignedNATGateway"} and not subnets:
        yield _invalid(f"outboundType {kind} needs a subnet of one's own.")
    if kind == "managedNATGateway" and subnets:
        yield _invalid("outboundType managedNATGateway is not supported with a subnet of one's own.")
    for subnet in subnets:
        found, table = world.find(subnet, SUBNET), _table(subnet, world)
        if kind == "userAssignedNATGateway" and not (found and at(found.given, "natGateway.id")):
            yield _invalid(f"Subnet {subnet} has no NAT gateway.")
        if kind == "userDefinedRouting":
            yield from _default_route(table, world) if table else [_no_table(subnet)]


def _default_route(table: Resource, world: World) -> Iterator[str]:
    apart = [found.given for found in world.under(table.id) if found.type == "network:Route"]
    routes = [*maps(table.given, "routes"), *apart]
    hops = [route["nextHopType"] for route in routes if route.get("addressPrefix") == "0.0.0.0/0"]
    if not hops:
        message = f"Default route 0.0.0.0/0 missing from route table {table.id}."
        yield azure("RouteTableMissingDefaultRouteError", message)
    for hop in hops:
        if hop not in {"VirtualAppliance", "VirtualNetworkGateway"}:
            yield azure(
                "RouteTableInvalidNextHop",
                f"Default route 0.0.0.0/0 has a next hop of {hop} but only next hops of VirtualAppliance or "
                "VirtualNetworkGateway are allowed.",
            )


def _kubenet(resource: Resource, world: World) -> Iterator[str]:
    """Check what kubenet in a subnet of one's own needs before the cluster: AKS writes its routes there."""
    if not _is_kubenet(resource):
        return
    policy = at(resource.given, "networkProfile.networkPolicy", "none")
    if policy not in {"none", "calico"}:
        yield _invalid(f"networkPolicy {policy} is not supported with kubenet.")
    others = [found for found in world.of(CLUSTER) if found.id != resource.id and _is_kubenet(found)]
    for subnet in _subnets(_inline(resource)):
        table = _table(subnet, world)
        if table is None:
            yield _no_table(subnet)
            continue
        if at(resource.given, "identity.type") == "SystemAssigned":
            yield azure(
                "CustomRouteTableWithUnsupportedMSIType",
                "Clusters using managed identity type SystemAssigned do not support bringing your own route "
                "table.",
            )
        for needed, code in ((table.id, "CustomRouteTable"), (subnet, "CustomSubnet")):
            if not may(control_plane(resource), needed, {"Network Contributor", *OWNERS}, world):
                yield azure(
                    f"{code}MissingPermission",
                    "Managed identity or service principal must be given permission to read and write to "
                    f"{needed}.",
                )
        for other in others:
            if table in [_table(used, world) for used in _subnets(_pools(other, world))]:
                yield azure("BadRequest", f"Route table {table.id} is already used by cluster {other.id}.")


def _is_kubenet(cluster: Resource) -> bool:
    return at(cluster.given, "networkProfile.networkPlugin") == "kubenet"


def _rights(resource: Resource, world: World) -> Iterator[str]:
    """Check the rights that the control plane needs on a kubelet identity and a private zone of one's own."""
    zone = str(at(resource.given, "apiServerAccessProfile.privateDNSZone", ""))
    needs: list[tuple[str, set[str], str]] = [
        (
            at(resource.given, "identityProfile.kubeletidentity.resourceId", ""),
            {"Managed Identity Operator"},
            "CustomKubeletIdentity",
        ),
        (
            zone if zone.startswith("/") else "",
            {"Private DNS Zone Contributor", *OWNERS},
            "CustomPrivateDNSZone",
        ),
    ]
    for needed, roles, code in needs:
        if needed and not may(control_plane(resource), needed, roles, world):
            message = f"The cluster's identity must be given permission on {needed}."
            yield azure(f"{code}MissingPermissionError", message)


def _private(resource: Resource, world: World) -> Iterator[str]:
    """Check what a private API server asks for in a network with DNS servers of its own."""
    given, server = resource.given, "apiServerAccessProfile"
    zone = str(at(given, f"{server}.privateDNSZone", "system"))
    for identifier in {parent(subnet) for subnet in _subnets(_inline(resource))}:
        net = world.find(identifier)
        own = net is not None and texts(net.given, "dhcpOptions.dnsServers")
        if not own or not at(given, f"{server}.enablePrivateCluster"):
            continue
        if _is_kubenet(resource):
            yield azure(
                "BadRequest", "Kubenet with a route table and DNS servers of one's own is not private."
            )
        if zone == "system" and not may(
            control_plane(resource), identifier, {"Network Contributor", *OWNERS}, world
        ):
            yield azure("LinkedAuthorizationFailed", f"The cluster's zone cannot be linked to {identifier}.")
