"""How far demands can grow together, and what stops each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from slipway.sizing.bins import Fit
from slipway.sizing.demands import Demand
from slipway.sizing.stage import Stage


@dataclass(frozen=True)
class Limit:
    """What ends growth: `demand` stops at `replicas`, because `pools` have no `resource` left for it.

    `resource` is cpu, memory, pods, addresses, an extended resource, nodes (several of them at once), or
    fragmentation. `proved` says that one more cannot fit; without it no way was found, among many pods.
    `load` is what the replicas carry, in requests/s.
    """

    demand: str
    replicas: int
    resource: str
    pools: tuple[str, ...]
    proved: bool
    load: float | None


@dataclass(frozen=True)
class _Way:
    """From what fits to what is wanted, in steps by which all that still grow do so alike."""

    stage: Stage
    origin: Sequence[int]
    end: Sequence[int]
    active: frozenset[int]

    @property
    def steps(self) -> int:
        """As many as the longest way has replicas."""
        return max(self.end[d] - self.origin[d] for d in self.active)

    def at(self, step: int) -> list[int]:
        """Give the replicas after so many steps."""
        steps = self.steps
        return [
            now + (end - now) * step // steps if d in self.active else now
            for d, (now, end) in enumerate(zip(self.origin, self.end, strict=True))
        ]

    def growing(self, step: int) -> list[int]:
        """Give the demands that the next step adds a replica to."""
        pairs = enumerate(zip(self.at(step), self.at(step + 1), strict=True))
        return [d for d, (before, after) in pairs if after > before]

    def between(self, step: int, number: int) -> list[int]:
        """Give the replicas when the next step has reached so many of the demands that grow."""
        more = set(self.growing(step)[:number])
        return [replicas + (d in more) for d, replicas in enumerate(self.at(step))]

    def fits_at(self, step: int) -> bool:
        """Tell whether it fits after so many steps."""
        return self.stage.fit(self.at(step)) is Fit.YES

    def fits_between(self, step: int, number: int) -> bool:
        """Tell whether it fits within a step."""
        return self.stage.fit(self.between(step, number)) is Fit.YES


def grow(stage: Stage, start: Sequence[int], end: Sequence[int]) -> tuple[list[int], list[Limit]]:
    """Grow all demands from `start`, which fits, towards `end`, each by the same part of its way.

    What runs out stops the demand that it is too little for, and those that need it on the same pools or
    fewer; the rest goes on. Pods that are too large for any node are named first.
    """
    current = list(start)
    unable = [d for d in range(len(end)) if start[d] < end[d] and stage.too_large(d)]
    limits = [_limit(stage, d, current[d], [int(other == d) for other in range(len(end))]) for d in unable]
    active: frozenset[int] = frozenset(d for d in range(len(end)) if start[d] < end[d]) - set(unable)
    while active:
        way = _Way(stage, current, end, active)
        step = _last(way.steps, way.fits_at)
        if step == way.steps:
            return way.at(step), limits
        growing = way.growing(step)
        number = _last(len(growing) - 1, partial(way.fits_between, step))
        stopped = growing[number]
        current, beyond = way.between(step, number), way.between(step, number + 1)
        limit = _limit(stage, stopped, current[stopped], beyond)
        limits.append(limit)
        active = frozenset(
            d
            for d in active
            if stopped != d
            and current[d] < end[d]
            and not (
                stage.standing[d] <= stage.standing[stopped] and _needs(stage.demands[d], limit.resource)
            )
        )
    return current, limits


def _last(most: int, holds: Callable[[int], bool]) -> int:
    """Find the largest number up to `most` for which it holds; it does for 0."""
    least = 0
    while least < most:
        middle = (least + most + 1) // 2
        least, most = (middle, most) if holds(middle) else (least, middle - 1)
    return least


def _limit(stage: Stage, stopped: int, replicas: int, beyond: Sequence[int]) -> Limit:
    demand = stage.demands[stopped]
    proved = stage.fit(beyond) is Fit.NO
    resource = stage.lacks(beyond, demand.accelerator)
    return Limit(
        demand=demand.name,
        replicas=replicas,
        resource="fragmentation" if resource == "nodes" and not proved else resource,
        pools=tuple(stage.pools[b].name for b in sorted(stage.standing[stopped])),
        proved=proved,
        load=None if demand.load is None else demand.load * replicas,
    )


def _needs(demand: Demand, resource: str) -> bool:
    """Tell whether a demand uses what has run out."""
    match resource:
        case "cpu":
            return demand.pod.cpu > 0
        case "memory":
            return demand.pod.memory > 0
        case "pods" | "addresses" | "nodes" | "fragmentation":
            return True
        case _:
            return demand.accelerator == resource
