"""How many addresses nodes and pods take, and how many a range has.

Sources: concepts-network-ip-address-planning.md (2026-04-16), configure-kubenet.md (2026-04-16) and
concepts-network-azure-cni-overlay.md (2026-07-31) of MicrosoftDocs/azure-aks-docs.
"""

from __future__ import annotations

import math
from ipaddress import IPv4Network
from typing import Literal

NetworkModel = Literal["kubenet", "azure", "overlay"]
"""`azure` is Azure CNI with pods on the nodes' subnet; with the others pods have a range of their own."""

RESERVED = 5
"""Addresses that Azure keeps of every subnet: the first four and the last."""
DEFAULT_MAX_PODS: dict[NetworkModel, int] = {"kubenet": 110, "azure": 30, "overlay": 250}
MIN_MAX_PODS, MAX_MAX_PODS = 10, 250
MAX_NODES: dict[NetworkModel, int] = {"kubenet": 400, "azure": 5_000, "overlay": 5_000}
"""Nodes of a cluster. A route table has 400 routes; the rest is AKS's limit."""
NODE_POD_PREFIX = 24
"""The range that each node takes of the pods' range, with kubenet and overlay."""
LARGEST_PREFIX, SMALLEST_PREFIX = 8, 29
"""The largest and the smallest subnet that Azure makes."""


def addresses_per_node(model: NetworkModel, max_pods: int) -> int:
    """Give the addresses of its subnet that one node takes; Azure CNI takes those of its pods at once."""
    return 1 + max_pods if model == "azure" else 1


def addresses_needed(model: NetworkModel, nodes: int, surge: int, max_pods: int) -> int:
    """Give the addresses of their subnet that a pool's nodes take while they are upgraded.

    Azure's own five come on top, once a subnet; so do load balancers' frontends and private endpoints.
    """
    return (nodes + surge) * addresses_per_node(model, max_pods)


def usable(subnet: IPv4Network) -> int:
    """Give the addresses of a subnet that are not Azure's own."""
    return max(0, subnet.num_addresses - RESERVED)


def smallest_prefix(addresses: int) -> int:
    """Give the prefix length of the smallest subnet with so many usable addresses.

    Raises ValueError where a /8, the largest there is, is too small.
    """
    length = 32 - math.ceil(math.log2(addresses + RESERVED))
    if length < LARGEST_PREFIX:
        raise ValueError(f"addresses = {addresses}: is more than a /{LARGEST_PREFIX} has")
    return min(length, SMALLEST_PREFIX)


def pod_range_nodes(pods: IPv4Network) -> int:
    """Give the nodes that find their /24 in the pods' range, with kubenet and overlay."""
    return 2 ** (NODE_POD_PREFIX - pods.prefixlen) if pods.prefixlen <= NODE_POD_PREFIX else 0


def surge_nodes(max_surge: int | str, nodes: int) -> int:
    """Give the nodes that an upgrade adds; a percentage is rounded up, and never more than there are.

    Source: upgrade-aks-node-pools-rolling.md, "Customize node surge upgrade". Raises ValueError.
    """
    if isinstance(max_surge, str) and max_surge.endswith("%"):
        return min(nodes, -(-int(max_surge.removesuffix("%")) * nodes // 100))
    return min(nodes, int(max_surge))
