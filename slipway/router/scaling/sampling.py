"""What HAProxy counted since it was last looked at, over all its worker processes. Pure but for its memory.

Each worker counts from nothing, whether it came with a reload or a restart, and goes with its counts. So what
is added is the difference of each worker to itself; one that does not answer is as it was. A request counts
once: when first seen in the queue, in a replica or refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slipway.router.load import Load, Row, loads

NOTHING = Load()


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
        self._before: dict[str, dict[str, Load]] = {}
        self._seconds: dict[str, float] = {}

    def look(self, workers: Mapping[str, Sequence[Row]]) -> dict[str, Counted]:
        """Give what is new of each service that the current worker knows."""
        before = self._before
        now = {worker: loads(rows) if rows else before.get(worker, {}) for worker, rows in workers.items()}
        found: dict[str, Counted] = {}
        for name, current in next(iter(now.values()), dict[str, Load]()).items():
            arrivals = refused = busy = queued = 0
            seconds: float | None = None
            for worker, services in now.items():
                if (load := services.get(name)) is None:
                    continue
                old = before[worker].get(name, NOTHING) if worker in before else NOTHING
                refused += load.refused - old.refused
                arrivals += load.taken - old.taken + load.queued - old.queued
                busy += load.busy
                queued += load.queued
                seconds = load.service_seconds if seconds is None else seconds
            if seconds is None:  # a new worker knows none until its first request has ended
                seconds = self._seconds.get(name)
            arrivals += refused
            # Less than none: who waited and went away.
            found[name] = Counted(max(0, arrivals), max(0, refused), busy, queued, current.up, seconds)
        self._before = now
        self._seconds = {
            name: one.service_seconds for name, one in found.items() if one.service_seconds is not None
        }
        return found
