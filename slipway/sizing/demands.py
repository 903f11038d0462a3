"""Pools of nodes, and the pods that ask for room on them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from slipway.sizing.resources import Resources
from slipway.sizing.system import SYSTEM_TAINT, Feature, deployments


@dataclass(frozen=True)
class Pool:
    """Equal nodes, `node` being what one offers to pods; `max_nodes` is where its autoscaler ends.

    `subnet` is where the nodes stand, `addresses` what one takes there, its pods' included.
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


def may_stand(demand: Demand, pool: Pool) -> bool:
    """Tell whether taints, labels and accelerators let a demand's pods stand on a pool's nodes."""
    return (
        pool.taints <= demand.tolerates
        and demand.node_selector <= pool.labels
        and demand.accelerator in (None, pool.accelerator)
    )


def system_demands(
    nodes: tuple[int, int], vcpus: tuple[int, int], features: Collection[Feature]
) -> list[Demand]:
    """Give AKS's own pods that stand once in a cluster, by its least and most nodes, and their cores."""
    least = {pod.name: pod.replicas for pod in deployments(nodes[0], vcpus[0], features)}
    return [
        Demand(pod.name, pod.pod, least[pod.name], pod.replicas, tolerates=frozenset({SYSTEM_TAINT}))
        for pod in deployments(nodes[1], vcpus[1], features)
    ]
