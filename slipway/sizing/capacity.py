"""Whether the pods of an environment fit on its nodes, and what runs out first (types first)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from slipway.sizing.resources import Resources


class Fit(StrEnum):
    """Whether pods can stand on nodes; existence is what counts, not what a scheduler happens to choose."""

    YES = "fits"
    NO = "does not fit"
    MAYBE = "may not fit: fragmentation"


@dataclass(frozen=True)
class Pool:
    """Equal nodes, `node` being what one offers to pods; `max_nodes` is where its autoscaler ends.

    `subnet` and `addresses` (of one node, with its pods where they have the VNet's): see `addresses.py`.
    """

    name: str
    node: Resources
    min_nodes: int
    max_nodes: int
    accelerator: str | None = None
    taints: frozenset[str] = frozenset()
    labels: frozenset[tuple[str, str]] = frozenset()
    subnet: str | None = None
    addresses: int = 0


@dataclass(frozen=True)
class Demand:
    """Equal pods: from `min_replicas` (must fit now) to `max_replicas` (full scale).

    `load` is what one replica carries at the service's target, in requests/s, where that is known.
    """

    name: str
    pod: Resources
    min_replicas: int
    max_replicas: int
    accelerator: str | None = None
    tolerates: frozenset[str] = frozenset()
    node_selector: frozenset[tuple[str, str]] = frozenset()
    load: float | None = None


@dataclass(frozen=True)
class Limit:
    """What ends growth: of `demand`, no more than `replicas`, because `pools` have no `resource` left.

    `resource` is cpu, memory, pods, nodes, addresses, the accelerator's name, or fragmentation.
    """

    demand: str
    replicas: int
    resource: str
    pools: tuple[str, ...]
    load: float | None


@dataclass(frozen=True)
class Placement:
    """What fits at the lowest and at full scale, how many replicas fit, and what ran out, first first."""

    at_min: Fit
    at_max: Fit
    replicas: Mapping[str, int]
    limits: tuple[Limit, ...]


def place(pools: Sequence[Pool], demands: Sequence[Demand], subnets: Mapping[str, int]) -> Placement:
    """Decide; `subnets` gives the addresses that nodes may use in each subnet."""
    raise NotImplementedError
