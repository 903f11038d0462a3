"""How many replicas a web service needs: `decide(history, serving, now) -> Decision`. Pure.

Load is how many requests would be in replicas at once if there were enough: the requests that came, those too
that wait or were refused, times their seconds, or what replicas had if that is more. Replicas follow by v1's
formula; while the load grows they are at least so many that it fits them when one that is asked for now has
started. To see a service, and to write what was decided, is left to the caller.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter

from slipway.sizing.replicas import replicas_needed
from slipway.spec import Serving

MEAN_SECONDS = 60.0
"""The load is the mean over so long, unless a shorter window proves that it is more or less."""
WINDOWS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""The shorter windows, in seconds."""
PROOF = 3.0
"""Standard deviations that chance may add to the number of requests that come, or take from it."""
GROWTH_SECONDS, GROWTH_SPANS = 30.0, 4
"""A load grows that rose from each of so many spans to the next."""
PAST_SECONDS = GROWTH_SECONDS * GROWTH_SPANS
"""How far back is remembered; nor is a load expected to grow for longer than that."""
HOLD_SECONDS = 30.0
"""A replica goes when it was not needed for so long: with the mean, v1's "about a minute"."""
TOLERANCE = 0.1
"""The part of the load by which chance may move it while replicas start: the HorizontalPodAutoscaler's."""
STALE_SECONDS = 5.0
"""A service that was not looked at for so long is one of which nothing is known."""


@dataclass(frozen=True)
class Sample:
    """What is seen of a service at a time; taken at least every second."""

    at: float
    """Seconds on a clock that never goes back."""
    arrivals: int
    """Requests that came since the sample before."""
    refused: int
    """Requests whose time in the queue ran out since the sample before."""
    busy: int
    """Requests in replicas."""
    queued: int
    """Requests that wait for a replica."""
    replicas: int
    """What the Deployment asks for."""
    ready: int = 0
    """Replicas that take requests."""
    unschedulable: int = 0
    """Its pods that no node takes."""
    service_seconds: float | None = None
    """Mean time of the latest requests in a replica; None before the first has ended."""
    startup_seconds: float | None = None
    """Time from a pod's creation to its readiness, of the latest pods; None before the first is ready."""


@dataclass(frozen=True)
class Total:
    """Sums over all samples up to one."""

    at: float
    arrivals: int = 0
    busy: float = 0.0
    """Request-seconds in replicas; in the queue, too, while it is not known how long a request takes."""


@dataclass(frozen=True)
class History:
    """What is known of a service's past; `remember` makes it."""

    latest: Sample
    totals: tuple[Total, ...]
    """Oldest first, as far back as `PAST_SECONDS`."""
    needs: tuple[tuple[float, int], ...]
    """When how many replicas were needed, without what a later time needed as well; oldest first."""
    since: float
    """When what is known begins."""
    started: int
    """Replicas that have started, those too that take no requests at the moment."""


@dataclass(frozen=True)
class Decision:
    """How many replicas there should be, and why."""

    at: float
    replicas: int
    """What the Deployment shall ask for."""
    rule: str
    """For people: what was done, and what decided it."""
    needed: int
    """Replicas that the load and its growth need, before what is kept and the bounds."""
    load: float | None = None
    """Requests at once, without growth; None without data."""


def remember(history: History | None, sample: Sample, decision: Decision | None = None) -> History:
    """Add a sample, and the decision that was made since the one before it, if any.

    Nothing from before a gap of more than `STALE_SECONDS` is kept.
    """
    if history is None or not 0 <= sample.at - history.latest.at <= STALE_SECONDS:
        return History(sample, (Total(sample.at),), (), sample.at, min(sample.ready, sample.replicas))
    last = history.totals[-1]
    held = sample.busy + (sample.queued if sample.service_seconds is None else 0)
    busy = last.busy + held * (sample.at - last.at)
    totals = history.totals[_index(history.totals, sample.at - PAST_SECONDS) :]
    total = Total(sample.at, last.arrivals + sample.arrivals, busy)
    needs = history.needs
    if decision is not None and decision.load is not None:
        higher = (one for one in needs if one[1] > decision.needed and decision.at - one[0] < HOLD_SECONDS)
        needs = (*higher, (decision.at, decision.needed))
    started = min(max(history.started, sample.ready), sample.replicas)
    return History(sample, (*totals, total), needs, history.since, started)


def decide(history: History, serving: Serving, now: float) -> Decision:
    """Say how many replicas a service should have at a time `now` of the samples' clock.

    They are never below `autoscale_min_replicas` or above `autoscale_max_replicas`. Within these: more at
    once when the load needs them, but none while pods wait for a node; fewer only when they were not needed
    for `HOLD_SECONDS` or have not started yet, and never fewer than the requests that are there fill.
    """
    latest, asked = history.latest, history.latest.replicas
    low, high = serving.autoscale_min_replicas, serving.autoscale_max_replicas
    if now - latest.at > STALE_SECONDS:
        return Decision(now, min(max(asked, low), high), "keep: no data", asked)
    totals = history.totals
    load, seconds = _load(totals, latest.service_seconds)
    in_flight = math.ceil((latest.busy + latest.queued) / serving.replica_max_concurrent_requests)
    needed, why = _needed(load, serving), f"load of the last {seconds:g} s"
    # A first replica that starts while its request gives up is there for the next one.
    came = totals[-1].arrivals > totals[_index(totals, latest.at - MEAN_SECONDS)].arrivals
    if in_flight or came or (asked and not latest.ready):
        needed = max(needed, 1)
    growth = _growth(latest, totals, seconds) if load else 0.0
    expected = round(load + growth, 6)
    fit = math.ceil(expected / serving.replica_max_concurrent_requests)
    if fit > needed:
        needed, why = fit, f"growth in the {latest.startup_seconds:.0f} s that a replica takes to start"
    if needed <= asked:
        wanted, rule = _fewer(history, max(needed, in_flight), _needed(load * (1 + TOLERANCE), serving), now)
    elif latest.unschedulable:
        wanted, rule = asked, "keep: pods wait for a node"
    else:
        wanted, rule = needed, f"add: {why}"
    if wanted < low:
        wanted, rule = low, "autoscale_min_replicas"
    if wanted > high:
        wanted, rule = high, "autoscale_max_replicas"
    return Decision(now, wanted, rule, needed, load)


def _fewer(history: History, needed: int, nearly: int, now: float) -> tuple[int, str]:
    """Remove what is not needed, now or in the time that replicas are held.

    Those that have not started are not held, but stay while a little more load would need them.
    """
    asked, started = history.latest.replicas, max(history.started, 1)
    if needed >= asked:
        return asked, "keep: needed"
    if now - history.since < MEAN_SECONDS:
        return asked, f"keep: seen for less than {MEAN_SECONDS:g} s"
    past = max((count for at, count in history.needs if now - at < HOLD_SECONDS), default=0)
    starting = min(past, nearly) if started < asked else 0
    kept = max(needed, min(past, started), starting)
    if kept >= asked:
        return asked, f"keep: needed in the last {HOLD_SECONDS:g} s"
    return kept, f"remove: not needed for {HOLD_SECONDS:g} s"


def _needed(load: float, serving: Serving) -> int:
    target = serving.autoscale_target_utilization / 100
    return replicas_needed(round(load, 6), 1, target, serving.replica_max_concurrent_requests)


def _load(totals: tuple[Total, ...], service_seconds: float | None) -> tuple[float, float]:
    """Give the load, and the seconds of the window that decides it."""
    latest, first = totals[-1], totals[_index(totals, totals[-1].at - MEAN_SECONDS)]
    if (latest.arrivals, latest.busy) == (first.arrivals, first.busy):
        return 0.0, MEAN_SECONDS  # what follows comes to the same: of a thousand web services most are idle
    mean = low = (0.0, MEAN_SECONDS)
    high = (math.inf, MEAN_SECONDS)
    for window in (*WINDOWS, MEAN_SECONDS):
        first = totals[_index(totals, latest.at - window)]
        span, arrivals = latest.at - first.at, latest.arrivals - first.arrivals
        if not span:
            break
        busy = latest.busy - first.busy
        if service_seconds is None:
            count = max(arrivals, 1)
            seconds = busy / count
        else:
            count, seconds = max(arrivals, _bounds(busy / service_seconds)[0]), service_seconds
        least, most = _bounds(count)
        mean = count * seconds / max(span, window), window  # before the first sample there was nothing
        if window != MEAN_SECONDS:
            low = max(low, (least * seconds / span, window))
        if service_seconds is not None:
            high = min(high, (most * seconds / span, window))
    return max(low, min(mean, high))


def _growth(latest: Sample, totals: tuple[Total, ...], seconds: float) -> float:
    """Say by how much the load, a mean over `seconds`, will have grown when a replica asked for now starts.

    It is taken to grow as between those of the latest spans where it grew least, unless chance explains it
    all. So a step is no growth: between two of the spans, at least, nothing changed.
    """
    if latest.service_seconds is None or latest.startup_seconds is None:
        return 0.0
    if latest.at - totals[0].at < PAST_SECONDS:
        return 0.0
    ends = [totals[_index(totals, latest.at - GROWTH_SECONDS * span)] for span in range(GROWTH_SPANS + 1)]
    middle = GROWTH_SPANS // 2
    late, early = ends[0].arrivals - ends[middle].arrivals, ends[middle].arrivals - ends[-1].arrivals
    if _bounds(late)[0] <= _bounds(early)[1]:
        return 0.0
    rates = [(new.arrivals - old.arrivals) / (new.at - old.at) for new, old in pairwise(ends)]
    slowest = max(0.0, min(new - old for new, old in pairwise(rates))) / GROWTH_SECONDS
    ahead = min(latest.startup_seconds, PAST_SECONDS) + seconds / 2
    return slowest * latest.service_seconds * ahead


def _bounds(count: float) -> tuple[float, float]:
    """Give the least and the most that so many are on average, if chance moves them by PROOF deviations."""
    middle, half = math.sqrt(count + PROOF**2 / 4), PROOF / 2
    return (middle - half) ** 2, (middle + half) ** 2


def _index(totals: tuple[Total, ...], at: float) -> int:
    """Find the last sum that is not later, or else the first."""
    return max(0, bisect_right(totals, at, key=attrgetter("at")) - 1)
