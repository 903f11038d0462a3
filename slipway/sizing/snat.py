"""Public addresses that outbound connections need: each gives so many ports and no more.

Sources, of MicrosoftDocs: azure-aks-docs limit-egress-traffic.md (production: at least 20 frontend
addresses), nat-gateway.md (64,512 ports an address, 16 addresses) and configure-load-balancer-standard.md
(2024-01-23: 64,000 ports an address, examples); azure-docs nat-gateway/tutorial-hub-spoke-nat-firewall.md
(2,496 ports an address and firewall instance, two instances at least, 250 addresses);
load-balancer-outbound-connections.md (ports by size of the backend pool).
"""

from __future__ import annotations

FIREWALL_PORTS = 2_496
FIREWALL_INSTANCES = 2
FIREWALL_PRODUCTION_IPS = 20
FIREWALL_MAX_IPS = 250
NAT_GATEWAY_PORTS = 64_512
NAT_GATEWAY_MAX_IPS = 16
LOAD_BALANCER_PORTS = 64_000
PORTS_BY_NODES = ((50, 1_024), (100, 512), (200, 256), (400, 128), (800, 64), (1_000, 32))
"""(nodes, ports of each) that a load balancer gives by itself."""
CONNECTIONS_PER_NODE = 1_024
"""Connections to one destination that a node is reckoned with: what a load balancer gives a small pool."""


def firewall_ips(connections: int, *, production: bool) -> int:
    """Give the public addresses that Azure Firewall needs for connections to one destination."""
    ports = FIREWALL_PORTS * FIREWALL_INSTANCES
    return max(FIREWALL_PRODUCTION_IPS if production else 1, -(-connections // ports))


def nat_gateway_ips(connections: int) -> int:
    """Give the public addresses that a NAT gateway needs for connections to one destination."""
    return max(1, -(-connections // NAT_GATEWAY_PORTS))


def load_balancer_ports(nodes: int) -> int:
    """Give the ports of each node that a load balancer gives by itself. Raises ValueError above 1,000."""
    for most, ports in PORTS_BY_NODES:
        if nodes <= most:
            return ports
    raise ValueError(f"nodes = {nodes}: a load balancer gives ports by itself to at most 1000; set the ports")


def load_balancer_ips(nodes: int, ports: int | None = None) -> int:
    """Give the public addresses that a load balancer needs for its nodes, the surge included.

    `ports` are those of each node (`allocatedOutboundPorts`, a multiple of 8); as Azure gives them
    without it. Raises ValueError.
    """
    each = load_balancer_ports(nodes) if ports is None else ports
    if each % 8 or not 0 < each <= LOAD_BALANCER_PORTS:
        raise ValueError(f"ports = {each}: is no multiple of 8 up to {LOAD_BALANCER_PORTS}")
    return max(1, -(-nodes // (LOAD_BALANCER_PORTS // each)))
