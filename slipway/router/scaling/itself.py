"""How the router scales itself: by the time that routing takes up, then out; by CPU down, then in. Pure.

So Azure ML v1 tells it of azureml-fe. Up and down is a thread of HAProxy, and each pod decides that for
itself; out and in is a pod, and one decides for all. A thread and not a process: a pod then keeps one queue a
web service, a busy one can use more than one core, and no request takes a hop inside its pod. What is added
must have been busy to be added, and what is left stays half idle when something goes: no load that lasts
undoes what it did.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

Step = Literal["enable", "up", "down", "out", "in"]

ROUTING_SECONDS = 0.001
"""Routing that takes longer is too slow. azureml-fe's took 3 ms on average, as v1 says; a client's request
goes through HAProxy's loop about three times as often as the router's own (with a busy core, 7.4 and 2.9 ms).
"""
BUSY = 0.6
"""The least part of its threads' time in which HAProxy is busy where routing waits for them. Time in which it
waits for a processor itself, on a busy node, it takes for idle."""
LOW = 0.5
"""The most of their time by which the threads that are left may be busy when one goes."""
WINDOW_SECONDS = 15.0
"""Over so long both are seen: as often as a HorizontalPodAutoscaler looks."""
ENABLE_SECONDS = 60.0
"""Slow for so long without a break is the need that enables scaling up and out."""
OUT_SECONDS = 60.0
"""Slow for so long with all threads, and with all pods that there are, asks for another pod."""
CALM_SECONDS = 300.0
"""Nothing goes that was needed in so long: a HorizontalPodAutoscaler's time of stabilization."""
STALE_SECONDS = 5.0
"""After a gap of so long without a sample all evidence begins anew."""
MOST_PODS = 2
"""So many times the configured pods are the most: a web service's queue is in one, however many there are."""


@dataclass(frozen=True)
class Sample:
    """What is seen of a pod at a time; taken about every second."""

    at: float
    """Seconds on a clock that never goes back."""
    routing_seconds: float
    """What HAProxy took for a request of the router's own, that asks nobody else."""
    cpu: float
    """Of how many cores HAProxy's threads made use."""


@dataclass(frozen=True)
class History:
    """What is known of a pod since its latest step; `remember` makes it."""

    samples: tuple[Sample, ...] = ()
    """Oldest first, of the last CALM_SECONDS."""
    since: float = 0.0
    """When the first was taken, though it may be gone."""
    slow_since: float | None = None
    """Since when without a break routing is slow because threads are busy; None: it is not."""


@dataclass(frozen=True)
class Told:
    """What a pod knows of itself, and tells the one that decides for all."""

    threads: int
    full: bool
    """Whether it can have no more threads."""
    enabled: bool
    """Whether it has seen the need."""
    routing_seconds: float | None = None
    """The middle of the last WINDOW_SECONDS; None before there are so many."""
    cpu: float | None = None
    """The mean of the same, in cores."""
    slow_seconds: float = 0.0
    """For so long routing is slow because threads are busy."""
    highest_cpu: float | None = None
    """The highest mean of WINDOW_SECONDS in the last CALM_SECONDS; None if known for less long, or slow."""


@dataclass(frozen=True)
class Decision:
    """A step, and why."""

    step: Step
    rule: str


def remember(history: History, sample: Sample, threads: int) -> History:
    """Add a sample of a pod with so many threads."""
    if not history.samples or not 0 <= sample.at - history.samples[-1].at <= STALE_SECONDS:
        return History((sample,), sample.at)
    kept = (one for one in history.samples if sample.at - one.at < CALM_SECONDS)
    history = replace(history, samples=(*kept, sample))
    if (seen := _window(history)) is None:
        return history
    routing, cpu = seen
    slow = routing > ROUTING_SECONDS and cpu >= BUSY * threads
    since = history.slow_since if history.slow_since is not None else sample.at
    return replace(history, slow_since=since if slow else None)


def tell(history: History, threads: int, *, full: bool, enabled: bool) -> Told:
    """Sum up what a pod knows of itself."""
    told = Told(threads, full, enabled)
    if (seen := _window(history)) is None:
        return told
    told = replace(told, routing_seconds=seen[0], cpu=seen[1])
    now = history.samples[-1].at
    if history.slow_since is not None:
        return replace(told, slow_seconds=now - history.slow_since)
    known = now - history.since >= CALM_SECONDS
    return replace(told, highest_cpu=max(_means(history)) if known else None)


def decide_threads(told: Told) -> Decision | None:
    """Say what a pod does about its threads; None: nothing."""
    slow = f"routing takes {1000 * (told.routing_seconds or 0):.1f} ms, for {told.slow_seconds:.0f} s"
    if not told.enabled:
        if told.slow_seconds >= ENABLE_SECONDS:
            return Decision("enable", f"{slow}: from now on the router scales itself up and out")
    elif told.slow_seconds >= WINDOW_SECONDS and not told.full:
        return Decision("up", slow)
    if told.threads > 1 and told.highest_cpu is not None and told.highest_cpu <= LOW * (told.threads - 1):
        return Decision("down", f"at most {told.highest_cpu:.2f} cores were busy in {CALM_SECONDS:g} s")
    return None


def decide_pods(pods: Sequence[Told], replicas: int, configured: int, unchanged: float) -> Decision | None:
    """Say what becomes of the number of pods, by what each that is ready tells of itself.

    `replicas` is what the Deployment asks for, `configured` the least that it ever does. The pods have been
    the same for `unchanged` seconds.
    """
    if len(pods) != replicas:
        return None  # some come or go
    slow = [one for one in pods if one.slow_seconds >= OUT_SECONDS and one.full]
    if 2 * len(slow) > len(pods) and any(one.enabled for one in pods):
        if unchanged >= OUT_SECONDS and replicas < MOST_PODS * configured:
            return Decision(
                "out", f"routing is slow in {len(slow)} of {len(pods)} pods with all their threads"
            )
        return None
    calm = [one.highest_cpu for one in pods if one.highest_cpu is not None and one.threads == 1]
    if replicas <= configured or len(calm) < len(pods) or unchanged < CALM_SECONDS:
        return None
    # What a pod leaves behind may all go to the busiest of the others.
    busiest = sum(sorted(calm)[-2:])
    if busiest > LOW:
        return None
    return Decision("in", f"of the busiest two pods {busiest:.2f} cores were busy in {CALM_SECONDS:g} s")


def _window(history: History) -> tuple[float, float] | None:
    """Give routing time and cores of the last WINDOW_SECONDS; None while there are none of so long."""
    now = history.samples[-1].at if history.samples else history.since
    if now - history.since < WINDOW_SECONDS:
        return None
    last = [one for one in history.samples if now - one.at < WINDOW_SECONDS]
    # Of the times the middle: a moment at which the router's own process was late says nothing of HAProxy.
    middle = statistics.median(one.routing_seconds for one in last)
    return middle, statistics.fmean(one.cpu for one in last)


def _means(history: History) -> Iterator[float]:
    """Give the mean number of cores of each WINDOW_SECONDS."""
    for _, found in groupby(history.samples, lambda one: one.at // WINDOW_SECONDS):
        yield statistics.fmean(one.cpu for one in found)
