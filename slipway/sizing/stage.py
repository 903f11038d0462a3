"""Pools and demands as kinds and bins, with the questions that `capacity` asks again and again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from slipway.sizing.bins import Bin, Fit, Kind, Run, Vector, per_node
from slipway.sizing.demands import Demand, Pool, may_stand
from slipway.sizing.packing import Packing, pack
from slipway.sizing.resources import Resources

ENDLESS = 10**12


@dataclass(frozen=True)
class PoolUse:
    """The nodes of a pool that hold pods or are always there, all that pods ask of them, and which."""

    nodes: int
    used: Resources
    pods: Mapping[str, int]


class Stage:
    """What stands where, for any number of replicas of each demand."""

    def __init__(self, pools: Sequence[Pool], demands: Sequence[Demand], subnets: Mapping[str, int]) -> None:
        self.pools, self.demands = pools, demands
        self.standing = [
            frozenset(b for b, pool in enumerate(pools) if may_stand(demand, pool)) for demand in demands
        ]
        self._bins = [
            Bin(
                size=pool.node.vector,
                least=pool.min_nodes,
                most=pool.max_nodes,
                budget=pool.subnet if pool.subnet in subnets else None,
                cost=pool.addresses,
            )
            for pool in pools
        ]
        self._budgets = dict(subnets)
        places: dict[Kind, int] = {}
        self._kind_of = [
            places.setdefault(Kind(demand.pod.vector, bins), len(places))
            for demand, bins in zip(demands, self.standing, strict=True)
        ]
        self._kinds = list(places)

    def fit(self, replicas: Sequence[int]) -> Fit:
        """Tell whether so many replicas of each demand find room together."""
        return self._pack(replicas, self._bins, self._budgets).fit

    def too_large(self, d: int) -> bool:
        """Tell whether a demand's pod finds no room on any node that it may stand on, though empty."""
        size = self.demands[d].pod.vector
        return not any(per_node(self._bins[b].size, size) for b in self.standing[d])

    def use(self, replicas: Sequence[int]) -> dict[str, PoolUse]:
        """Give what stands on each pool with so many replicas, which must fit."""
        runs = self._pack(replicas, self._bins, self._budgets).runs
        pods = _hand_out(runs, self._kind_of, replicas)
        found: dict[str, PoolUse] = {}
        for b, pool in enumerate(self.pools):
            here = pods.get(b, {})
            nodes = sum(run.nodes for run in runs if run.bin == b and run.pods)
            used = Resources(0, 0, 0, 0)
            for d, number in here.items():
                used += self.demands[d].pod * number
            names = {self.demands[d].name: number for d, number in sorted(here.items())}
            found[pool.name] = PoolUse(max(pool.min_nodes, nodes), used, names)
        return found

    def lacks(self, replicas: Sequence[int], accelerator: str | None) -> str:
        """Name the one thing that, without end, would let so many replicas fit; `nodes` if no one would."""
        if self._pack(replicas, self._bins, dict.fromkeys(self._budgets, ENDLESS)).fit is Fit.YES:
            return "addresses"
        names = (accelerator, "cpu", "memory", "pods")
        for name, place in zip(names, (2, 0, 1, 3), strict=True):
            bins = [replace(one, size=_endless(one.size, place)) for one in self._bins]
            if name is not None and self._pack(replicas, bins, self._budgets).fit is Fit.YES:
                return name
        return "nodes"

    def _pack(self, replicas: Sequence[int], bins: Sequence[Bin], budgets: Mapping[str, int]) -> Packing:
        counts = [0] * len(self._kinds)
        for k, number in zip(self._kind_of, replicas, strict=True):
            counts[k] += number
        return pack(self._kinds, counts, bins, budgets)


def _endless(size: Vector, place: int) -> Vector:
    cpu, memory, accelerators, pods = (ENDLESS if at == place else have for at, have in enumerate(size))
    return cpu, memory, accelerators, pods


def _hand_out(
    runs: Sequence[Run], kind_of: Sequence[int], replicas: Sequence[int]
) -> dict[int, dict[int, int]]:
    """Give each pool's pods by demand: those of one kind go to its demands in turn."""
    waiting: dict[int, list[list[int]]] = {}
    for d, (k, number) in enumerate(zip(kind_of, replicas, strict=True)):
        waiting.setdefault(k, []).append([d, number])
    found: dict[int, dict[int, int]] = {}
    for run in runs:
        for k, each in run.pods:
            rest, queue = each * run.nodes, waiting[k]
            while rest:
                d, number = queue[0]
                given = min(rest, number)
                here = found.setdefault(run.bin, {})
                here[d] = here.get(d, 0) + given
                rest -= given
                queue[0][1] -= given
                if not queue[0][1]:
                    queue.pop(0)
    return found
