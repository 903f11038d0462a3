"""What follows from a stack's settings before anything exists: ranges, fixed addresses, sizes, a name."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from slipway.hosts.clouds import suffixes
from slipway.settings.azure import Azure, Subnet
from slipway.settings.kinds import name_of
from slipway.settings.stack import Settings
from slipway.sizing.ranges import subnets
from slipway.sizing.resources import MIB_PER_GB, Resources
from slipway.sizing.router import RouterSize
from slipway.sizing.router import router_size as by_purpose

LENGTHS = {"system": 22, "user": 18, "router": 24, "firewall": 26, "private_endpoints": 24}
"""Prefix lengths of subnets that a stack file leaves open; Azure Firewall asks for /26."""
FIREWALL_HOST = 4
"""Azure gives a firewall the first address of its subnet that it does not keep for itself."""
ROUTER_HOST = 10
"""The router's internal load balancer asks for this address of its subnet."""
WITHOUT_AZURE = RouterSize(
    replicas=3, pod=Resources(500, 512), limit=Resources(0, 512), scales_itself="never"
)
"""The router's size on a cluster whose purpose is not known; no limit of CPU."""


def router_size(settings: Settings) -> RouterSize:
    """Give the router's size: by the cluster's purpose, but for what the stack file says itself."""
    given, azure = settings.router, settings.azure
    size = WITHOUT_AZURE if azure is None else by_purpose(azure.cluster.cluster_purpose)
    cpu = size.pod.cpu if given.cpu_cores is None else round(given.cpu_cores * 1000)
    memory = size.pod.memory if given.memory_gb is None else round(given.memory_gb * MIB_PER_GB)
    return replace(
        size,
        replicas=given.replicas or size.replicas,
        pod=Resources(cpu, memory),
        limit=Resources(
            max(size.limit.cpu, cpu) if size.limit.cpu else 0,
            size.limit.memory if given.memory_gb is None else memory,
        ),
    )


def roles(azure: Azure) -> list[str]:
    """Give the subnets that a stack has, in the order in which they are laid out.

    The router's is there for its address: in a network of ours always, in one that exists where it is named.
    """
    firewall, workspace, ours = azure.egress.firewall, azure.workspace, azure.cluster.id is None
    there = {
        "system": ours,
        "user": ours and bool(azure.cluster.pools),
        "router": (ours and azure.network.id is None) or azure.network.subnets.router != Subnet(),
        "firewall": firewall is not None and firewall.ours,
        "private_endpoints": any(
            part.private_endpoint for part in (workspace.registry, workspace.storage, workspace.key_vault)
        ),
    }
    return [role for role in LENGTHS if there[role]]


def subnet(azure: Azure, role: str) -> Subnet:
    """Give what a stack file says of a subnet."""
    return getattr(azure.network.subnets, role)


def stands_in(azure: Azure, role: str) -> str:
    """Give the subnet of a role: the first that has the same id, as roles may share an adopted one."""
    id_ = subnet(azure, role).id
    if id_ is None:
        return role
    return next(other for other in LENGTHS if (subnet(azure, other).id or "").lower() == id_.lower())


def prefixes(azure: Azure) -> dict[str, IPv4Network]:
    """Give each subnet's range: as written, else the next free one of its usual size.

    Every subnet has its place before another joins, so that none moves later: a subnet in use cannot. Only
    where a place is missing for all of them do those that a stack has come first. An adopted subnet without
    `size`, one that finds no free range, and one without a range in an adopted network is left out.
    """
    wanted = roles(azure)
    written = {role: subnet(azure, role).prefix or subnet(azure, role).size for role in LENGTHS}
    found = {role: IPv4Network(text) for role, text in written.items() if text}
    if azure.network.id is None:
        space, taken = IPv4Network(azure.network.address_space), list(found.values())
        open_ = {role: length for role, length in LENGTHS.items() if role not in found}
        free = subnets(space, open_, taken)
        if any(role in open_ and role not in free for role in wanted):
            free = subnets(space, {role: open_[role] for role in wanted if role in open_}, taken)
        found |= free
    return {role: found[role] for role in wanted if role in found}


def firewall_ip(azure: Azure) -> IPv4Address | None:
    """Give the private address of the firewall, ours or adopted: the next hop of every route."""
    firewall = azure.egress.firewall
    if firewall is None:
        return None
    if not firewall.ours:
        return IPv4Address(firewall.private_ip) if firewall.private_ip else None
    range_ = prefixes(azure).get("firewall")
    return range_[FIREWALL_HOST] if range_ is not None and range_.num_addresses > FIREWALL_HOST else None


def api_server_zone(azure: Azure) -> str:
    """Name the private zone of API servers in the cluster's region."""
    return f"privatelink.{azure.location}.{suffixes(azure.cloud).api_server}"


def dns_servers(azure: Azure) -> tuple[str, ...]:
    """Give the network's DNS servers: a firewall of ours, so that it resolves names as the nodes do."""
    firewall, address = azure.egress.firewall, firewall_ip(azure)
    return (str(address),) if firewall is not None and firewall.ours else azure.dns.servers


def router_ip(azure: Azure) -> IPv4Address | None:
    """Give the address of the router's internal load balancer, which DNAT rules and records name."""
    range_ = prefixes(azure).get("router")
    return range_[ROUTER_HOST] if range_ is not None and range_.num_addresses > ROUTER_HOST else None


def router_host(settings: Settings) -> str | None:
    """Give the name under which clients know the router, if the stack file says one."""
    tls, azure = settings.router.tls, settings.azure
    if tls is None:
        return None
    if tls.leaf_domain_label is None or azure is None:
        return tls.domains[0]
    return f"{tls.leaf_domain_label}.{azure.location}.{suffixes(azure.cloud).public_name}"


def router_url(settings: Settings) -> str | None:
    """Give the router's address by that name."""
    host, tls = router_host(settings), settings.router.tls
    return None if host is None or tls is None else f"{'https' if tls.encrypts else 'http'}://{host}"


def public_ports(settings: Settings) -> tuple[int, ...]:
    """Give the ports on which the internet reaches the router; none behind an internal load balancer."""
    router = settings.router
    if settings.internal or router.service_type != "LoadBalancer":
        return ()
    return (80, 443) if router.tls is not None and router.tls.encrypts else (80,)


def blob_endpoint(azure: Azure) -> str:
    """Give the address of the workspace's blobs, which is known before the storage exists."""
    name = name_of(azure.workspace.storage.id or azure.workspace.name)
    return f"https://{name}.blob.{suffixes(azure.cloud).storage}/"


def storage_namespaces(settings: Settings) -> list[str]:
    """Give the namespaces of web services that fetch models from the storage or upload to it."""
    return sorted({spec.namespace for spec in settings.services if spec.uses_storage})


def registry(settings: Settings) -> str:
    """Give where a stack's images go: host, port and path; empty where it has no registry."""
    return login_server(settings.azure) if settings.azure is not None else settings.images.registry or ""


def login_server(azure: Azure) -> str:
    """Give the host of the workspace's registry, which is known before the registry exists."""
    name = name_of(azure.workspace.registry.id or azure.workspace.name)
    return f"{name.lower()}.{suffixes(azure.cloud).registry}"
