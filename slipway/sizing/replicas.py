"""How many replicas a load needs: v1's formula, and the load that replicas carry.

Source: how-to-deploy-azure-kubernetes-service.md of Azure ML v1, "Autoscaling":
`ceil(requests per second x seconds per request / target utilization / requests per replica)`.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

Number = int | float | Fraction


def replicas_needed(rps: Number, seconds: Number, target: Number, concurrency: int) -> int:
    """Give the replicas that answer `rps` requests a second of `seconds` each at utilization `target`.

    `target` is a part of one (0.7), `concurrency` v1's `replica_max_concurrent_requests`. Numbers count as
    they are written: 0.7 is seven tenths. Raises ValueError if one is not above 0 or `target` is above 1.
    """
    if rps == 0:
        return 0
    return math.ceil(_exact(rps, "rps") / requests_per_second(1, seconds, target, concurrency))


@lru_cache(typed=True)  # the router asks for each service each second
def requests_per_second(replicas: int, seconds: Number, target: Number, concurrency: int) -> Fraction:
    """Give the load, exactly, that `replicas` carry at utilization `target`. Raises ValueError as above."""
    part = _exact(target, "target")
    if part > 1:
        raise ValueError(f"target = {target}: is above 1")
    return replicas * part * _exact(concurrency, "concurrency") / _exact(seconds, "seconds")


def _exact(number: Number, name: str) -> Fraction:
    value = Fraction(str(number))  # as written; a float's binary value is a little off
    if value <= 0:
        raise ValueError(f"{name} = {number}: is not above 0")
    return value
