"""Whether the pods of an environment fit on its nodes, how far they can grow, and what runs out first.

"Fits" means that there is a way to place every pod, not that the scheduler happens upon it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slipway.sizing.bins import Fit
from slipway.sizing.demands import Demand, Pool
from slipway.sizing.growth import Limit, grow
from slipway.sizing.stage import PoolUse, Stage


@dataclass(frozen=True)
class Placement:
    """What fits at the lowest and at full scale, how many replicas fit, what ran out, the first first.

    `replicas` is how far all can grow together, each by the same part of its way to `max_replicas`; what
    runs out stops those that need it, the rest goes on. Where not even the lowest scale fits, they grow
    from nothing towards it. `now` and `full` are pools with the lowest scale, where it fits, and with
    `replicas`.
    """

    at_min: Fit
    at_max: Fit
    replicas: Mapping[str, int]
    limits: tuple[Limit, ...]
    now: Mapping[str, PoolUse] | None
    full: Mapping[str, PoolUse]


def place(
    pools: Sequence[Pool], demands: Sequence[Demand], subnets: Mapping[str, int] | None = None
) -> Placement:
    """Place demands on pools; `subnets` gives the addresses that nodes may take in each subnet.

    A subnet that it does not name has room for all. Names are unique. Exact for few pods; else see `Fit`.
    """
    stage = Stage(pools, demands, subnets or {})
    lowest = [demand.min_replicas for demand in demands]
    highest = [demand.max_replicas for demand in demands]
    at_min = stage.fit(lowest)
    at_max = Fit.NO if at_min is Fit.NO else stage.fit(highest)
    if at_max is Fit.YES:
        at_min, replicas, limits = Fit.YES, highest, list[Limit]()
    elif at_min is Fit.YES:
        replicas, limits = grow(stage, lowest, highest)
    else:
        replicas, limits = grow(stage, [0] * len(demands), lowest)
    return Placement(
        at_min=at_min,
        at_max=at_max,
        replicas={demand.name: number for demand, number in zip(demands, replicas, strict=True)},
        limits=tuple(limits),
        now=stage.use(lowest) if at_min is Fit.YES else None,
        full=stage.use(replicas),
    )
