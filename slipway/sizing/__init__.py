"""What an environment needs, before it exists: replicas, nodes, addresses, ports. Pure arithmetic.

`replicas` has v1's formula, `vms`, `nodes` and `system` say what a node offers, `addresses`, `ranges` and
`snat` what a network has room for, `router` what the router asks for, `capacity` what stands where and what
runs out first, `report` shows all of it as a table. Every number that is not ours names its source.
"""

from slipway.sizing.bins import Fit
from slipway.sizing.capacity import Placement, place
from slipway.sizing.demands import Demand, Pool, system_demands
from slipway.sizing.growth import Limit
from slipway.sizing.nodes import allocatable
from slipway.sizing.replicas import replicas_needed, requests_per_second
from slipway.sizing.resources import Resources
from slipway.sizing.router import RouterSize, cluster_minimum, router_size
from slipway.sizing.stage import PoolUse
from slipway.sizing.vms import VMS, Vm

__all__ = [
    "VMS",
    "Demand",
    "Fit",
    "Limit",
    "Placement",
    "Pool",
    "PoolUse",
    "Resources",
    "RouterSize",
    "Vm",
    "allocatable",
    "cluster_minimum",
    "place",
    "replicas_needed",
    "requests_per_second",
    "router_size",
    "system_demands",
]
