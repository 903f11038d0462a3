"""What other settings would have done, from a journal: the same requests, scaled anew, in a simulation. Pure.

A journal tells how many requests came between two lines and how long one took on average. They are spread
over that time by chance, and so is what each takes (exponentially): the same for all settings.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pydantic import ValidationError

from slipway.problems import Problems, explain
from slipway.router.scaling.autoscaler import Decision, History, Sample, decide, remember
from slipway.router.scaling.journal import Entry, OwnEntry
from slipway.router.scaling.simulation import Outcome, Request, Seen, simulate
from slipway.spec import Serving

ASSUMED_STARTUP_SECONDS = 5.0
"""Where a journal saw no pod start."""
ASSUMED_SERVICE_SECONDS = 0.1
"""Where a journal saw no request end."""
MISTAKES = 5
"""Lines of a journal that are named before the rest is only counted."""

Curve = Sequence[tuple[float, int]]
"""Seconds since the journal's first line, and replicas that are asked for from then on."""


@dataclass(frozen=True)
class Run:
    """What a way to scale did with a journal's requests."""

    requests: int
    missed: int
    """Requests that no replica took in time."""
    replica_seconds: float
    replicas: Curve


class Policy:
    """The router's way to scale, over what a simulation shows."""

    def __init__(self, serving: Serving, startup_seconds: float) -> None:
        self._serving = serving
        self._startup_seconds = startup_seconds
        self._history: History | None = None
        self._decision: Decision | None = None
        self._before: Seen | None = None
        self._next = 0.0
        self.curve: list[tuple[float, int]] = []

    def __call__(self, seen: Seen) -> int | None:
        """Take a look, and decide if it is time to."""
        before = self._before
        sample = Sample(
            at=seen.at,
            arrivals=seen.arrivals - (before.arrivals if before else 0),
            refused=seen.refused - (before.refused if before else 0),
            busy=seen.busy,
            queued=seen.queued,
            replicas=seen.replicas,
            ready=seen.ready,
            service_seconds=seen.service_seconds,
            startup_seconds=self._startup_seconds,
        )
        self._before = seen
        self._history = remember(self._history, sample, self._decision)
        self._decision = None
        if seen.at < self._next:
            return None
        self._next = seen.at + self._serving.autoscale_refresh_seconds
        self._decision = decide(self._history, self._serving, seen.at)
        self.curve.append((seen.at, self._decision.replicas))
        return self._decision.replicas


def read(lines: Iterable[str]) -> dict[str, list[Entry]]:
    """Give a journal's lines by service, oldest first. Raises Problems with those it cannot read."""
    entries: list[Entry] = []
    mistakes: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or _is_own(line):
            continue
        try:
            entries.append(Entry.model_validate_json(line))
        except ValidationError as error:
            said = explain(error, Entry, lambda place: ".".join(map(str, place)) or "the line")
            mistakes.append(f"line {number}: {said[0]}")
    if mistakes:
        rest = len(mistakes) - MISTAKES
        raise Problems(mistakes[:MISTAKES] + ([f"and {rest} lines more"] if rest > 0 else []))
    services: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda one: one.time):
        services.setdefault(entry.service, []).append(entry)
    return services


def _is_own(line: str) -> bool:
    """Whether a line is about the router itself."""
    try:
        OwnEntry.model_validate_json(line)
    except ValidationError:
        return False
    return True


def recorded(entries: Sequence[Entry]) -> Run:
    """Give what was done."""
    times = _times(entries)
    return Run(
        requests=sum(entry.arrivals for entry in entries[1:]),
        missed=sum(entry.refused for entry in entries[1:]),
        replica_seconds=sum(
            entry.replicas * (end - begin)
            for (begin, end), entry in zip(pairwise(times), entries[1:], strict=True)
        ),
        replicas=[(at, entry.wanted) for at, entry in zip(times, entries, strict=True)],
    )


def replay(entries: Sequence[Entry], serving: Serving, seed: int = 0) -> Run:
    """Give what the router would have done with these settings."""
    startup = startup_seconds(entries)
    policy = Policy(serving, startup)
    outcome: Outcome = simulate(
        _requests(entries, random.Random(seed)),  # noqa: S311 - chance, not a secret
        policy,
        seconds=_times(entries)[-1],
        slots=serving.replica_max_concurrent_requests,
        wait_seconds=serving.max_request_wait_time / 1000,
        startup_seconds=startup,
        replicas=entries[0].replicas,
    )
    curve = [(0.0, entries[0].replicas), *policy.curve]
    return Run(outcome.requests, outcome.missed, outcome.replica_seconds, curve)


def startup_seconds(entries: Sequence[Entry]) -> float:
    """Give the longest time that pods took to start."""
    return max(
        (one.startup_seconds for one in entries if one.startup_seconds), default=ASSUMED_STARTUP_SECONDS
    )


def _requests(entries: Sequence[Entry], chance: random.Random) -> list[Request]:
    seconds = next((one.service_seconds for one in entries if one.service_seconds), ASSUMED_SERVICE_SECONDS)
    requests: list[Request] = []
    for (begin, end), entry in zip(pairwise(_times(entries)), entries[1:], strict=True):
        seconds = entry.service_seconds or seconds
        requests += (
            (chance.uniform(begin, end), chance.expovariate(1 / seconds)) for _ in range(entry.arrivals)
        )
    return sorted(requests)


def _times(entries: Sequence[Entry]) -> list[float]:
    return [(entry.time - entries[0].time).total_seconds() for entry in entries]
