"""A web service simulated: one queue, first come first served, replicas that take a time to start.

To hold ways to scale against each other: the requests are given, with the time that each takes in a replica,
so that all meet the same ones. Replicas change between steps only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace

Request = tuple[float, float]
"""When it comes, and how long a replica needs for it, in seconds."""


@dataclass(frozen=True)
class Seen:
    """What can be seen of the service at the end of a step; counts and sums are since the start."""

    at: float
    arrivals: int
    refused: int
    busy: int
    queued: int
    busy_seconds: float
    """Request-seconds in replicas."""
    queued_seconds: float
    """Request-seconds in the queue."""
    replicas: int
    """Replicas that are asked for."""
    ready: int
    service_seconds: float | None
    """Mean time in a replica."""


Scale = Callable[[Seen], int | None]
"""Says how many replicas to ask for from now on; None changes nothing."""


@dataclass(frozen=True)
class Outcome:
    """What became of all requests, and what it cost."""

    requests: int
    missed: int
    """Requests that no replica took in time."""
    waited_seconds: float
    """Request-seconds in the queue."""
    replica_seconds: float
    """Replicas that were asked for, over time: a node's room is taken from then on."""


def simulate(
    requests: Sequence[Request],
    scale: Scale,
    *,
    seconds: float,
    slots: int,
    wait_seconds: float,
    startup_seconds: float,
    replicas: int,
    step_seconds: float = 0.5,
) -> Outcome:
    """Serve `requests`, in the order of their times, for `seconds`, and ask `scale` after each step.

    A replica takes `slots` requests at once, and its first one `startup_seconds` after it was asked for; one
    that leaves ends what it has. A request that no replica takes within `wait_seconds` is refused.
    """
    service = _Service(requests, slots, wait_seconds, startup_seconds)
    service.ask(replicas, -startup_seconds)
    service.begin(0.0)
    cost = end = 0.0
    for step in range(1, math.ceil(seconds / step_seconds) + 1):
        end = step * step_seconds
        service.serve(end)
        cost += service.replicas * step_seconds
        asked = scale(service.seen(end))
        if asked is not None:
            service.ask(asked, end)
        service.begin(end)
    return Outcome(service.tail, service.refused, service.waited, cost)


class _Service:
    """The queue and the replicas; `requests[head:tail]` wait."""

    def __init__(self, requests: Sequence[Request], slots: int, wait: float, startup: float) -> None:
        self._requests = requests
        self._slots = slots
        self._wait = wait
        self._startup = startup
        self._ready: list[int] = []  # by number, oldest first
        self._starting: list[tuple[float, int]] = []  # when it is ready
        self._free: list[tuple[float, int]] = []  # a heap: when a slot is free again, and its replica
        self._leaving: list[float] = []  # when a request ends in a replica that was told to go
        self._number = 0
        self._head = self.tail = self.refused = 0
        self._work = self.waited = 0.0

    @property
    def replicas(self) -> int:
        return len(self._ready) + len(self._starting)

    def serve(self, end: float) -> None:
        """Give each request of the queue to the slot that is free first, if that is before `end`."""
        requests, free, wait, head, tail = self._requests, self._free, self._wait, self._head, self.tail
        while tail < len(requests) and requests[tail][0] <= end:
            tail += 1
        while head < tail:
            at, seconds = requests[head]
            start = max(free[0][0], at) if free else math.inf
            if start > at + wait:
                if at + wait > end:
                    break
                self.refused += 1
                self.waited += wait
            elif start > end:
                break
            else:
                heapreplace(free, (start + seconds, free[0][1]))
                self._work += seconds
                self.waited += start - at
            head += 1
        self._head, self.tail = head, tail

    def seen(self, end: float) -> Seen:
        self._leaving = [until for until in self._leaving if until > end]
        left = [until - end for until in (*self._leaving, *(until for until, _ in self._free)) if until > end]
        started = self._head - self.refused
        return Seen(
            at=end,
            arrivals=self.tail,
            refused=self.refused,
            busy=len(left),
            queued=self.tail - self._head,
            busy_seconds=self._work - sum(left),
            queued_seconds=self.waited + sum(end - at for at, _ in self._requests[self._head : self.tail]),
            replicas=self.replicas,
            ready=len(self._ready),
            service_seconds=self._work / started if started else None,
        )

    def ask(self, replicas: int, now: float) -> None:
        """Have so many from now on: those that have not begun go first, then the newest."""
        for _ in range(replicas - self.replicas):
            self._starting.append((now + self._startup, self._number))
            self._number += 1
        if replicas < self.replicas:
            del self._starting[max(0, replicas - len(self._ready)) :]
            gone = set(self._ready[replicas:])
            del self._ready[replicas:]
            self._leaving += [until for until, one in self._free if one in gone]
            self._free = [slot for slot in self._free if slot[1] not in gone]
            heapify(self._free)

    def begin(self, now: float) -> None:
        """Let the replicas that have started take requests."""
        begun = [one for at, one in self._starting if at <= now]
        if begun:
            self._starting = [one for one in self._starting if one[0] > now]
            self._ready += begun
            self._free += [(now, one) for one in begun for _ in range(self._slots)]
            heapify(self._free)
