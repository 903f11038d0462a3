"""What HAProxy counted since it was last looked at, over all its worker processes. Pure but for its memory.

Each worker counts from nothing, whether it came with a reload or a restart, and goes with its counts. So what
is added is the difference of each worker to itself; one that does not answer is as it was. A request counts
once: when first seen in the queue, in a replica or refused.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slipway.router.load import Load, Row, loads


@dataclass(frozen=True)
class Counted:
    """A service since the look before."""

    arrivals: int
    refused: int
    busy: int
    queued: int
    ready: int
    service_seconds: float | None


class Sampler:
    """Looks at the statistics of all workers; the first is the one that takes new requests."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, str], Load] = {}
        self._seconds: dict[str, float] = {}

    def look(self, workers: Mapping[str, Sequence[Row]]) -> dict[str, Counted]:
        """Give what is new of each service that the current worker knows."""
        now = {(worker, name): load for worker, rows in workers.items() for name, load in loads(rows).items()}
        silent = {worker for worker, rows in workers.items() if not rows}
        now |= {place: load for place, load in self._before.items() if place[0] in silent}
        by_service: dict[str, dict[str, Load]] = defaultdict(dict)
        for (worker, name), load in now.items():
            by_service[name][worker] = load
        current = next(iter(workers), "")
        found: dict[str, Counted] = {}
        for name, own in by_service.items():
            if current not in own:
                continue
            before = {worker: self._before.get((worker, name), Load()) for worker in own}
            refused = sum(load.refused - before[worker].refused for worker, load in own.items())
            taken = sum(load.taken - before[worker].taken for worker, load in own.items())
            queued = sum(load.queued - before[worker].queued for worker, load in own.items())
            seconds = [load.service_seconds for load in own.values() if load.service_seconds is not None]
            if seconds:  # a new worker knows none until its first request has ended
                self._seconds[name] = seconds[0]
            found[name] = Counted(
                arrivals=max(0, taken + refused + queued),  # less than none: who waited and went away
                refused=max(0, refused),
                busy=sum(load.busy for load in own.values()),
                queued=sum(load.queued for load in own.values()),
                ready=own[current].up,
                service_seconds=self._seconds.get(name),
            )
        self._before = now
        self._seconds = {name: seconds for name, seconds in self._seconds.items() if name in found}
        return found
