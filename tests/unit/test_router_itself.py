"""The router scales itself: its threads, then its pods, and never back and forth."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.router.scaling.itself import (
    BUSY,
    CALM_SECONDS,
    ENABLE_SECONDS,
    LOW,
    MOST_PODS,
    OUT_SECONDS,
    ROUTING_SECONDS,
    STALE_SECONDS,
    WINDOW_SECONDS,
    Decision,
    History,
    Sample,
    Step,
    Told,
    decide_pods,
    decide_threads,
    remember,
    tell,
)

PERIOD = 5
"""Seconds between two samples here: the longest that is no gap."""
FAST, SLOW = ROUTING_SECONDS / 10, 10 * ROUTING_SECONDS
CALM = Told(1, full=False, enabled=False, routing_seconds=FAST, cpu=0.1, highest_cpu=0.1)
STRAINED = Told(
    2, full=True, enabled=True, routing_seconds=SLOW, cpu=2.0, slow_seconds=max(OUT_SECONDS, ENABLE_SECONDS)
)


@dataclass
class Pod:
    """A pod as a queue: the nearer its load comes to what its threads can do, the slower it is."""

    load: float = 0.0
    most: int = 2
    threads: int = 1
    enabled: bool = False
    history: History = field(default_factory=History)

    def sample(self, now: float) -> None:
        idle = 1 - self.load / self.threads
        routing = min(FAST / idle, SLOW) if idle > 0 else SLOW
        sample = Sample(now, routing, min(self.load, self.threads))
        self.history = remember(self.history, sample, self.threads)

    @property
    def told(self) -> Told:
        return tell(self.history, self.threads, full=self.threads == self.most, enabled=self.enabled)

    def decide(self) -> Step | None:
        decision = decide_threads(self.told)
        match decision:
            case Decision("enable"):
                self.enabled = True
            case Decision(step):
                self.threads += 1 if step == "up" else -1
                self.history = History()
            case None:
                pass
        return decision.step if decision is not None else None


def during(seconds: float, load: float) -> list[float]:
    return [load] * int(seconds / PERIOD)


def lived(loads: Sequence[float], pod: Pod | None = None) -> tuple[Pod, list[tuple[int, Step]]]:
    """Let a pod live through a load for each PERIOD; give it and its steps by their seconds."""
    pod = pod or Pod()
    steps: list[tuple[int, Step]] = []
    for place, load in enumerate(loads):
        now, pod.load = PERIOD * place, load
        pod.sample(now)
        if (step := pod.decide()) is not None:
            steps.append((now, step))
    return pod, steps


def cluster(load: float, seconds: int, shares: Sequence[float], most: int = 2) -> tuple[int, list[Step]]:
    """Let a router of some pods live through a load that lasts; give how many there are then, and the steps.

    A pod's share is its place's, of those that are there.
    """
    configured = 3
    pods, steps, changed = [Pod(most=most) for _ in range(configured)], list[Step](), 0
    for now in range(0, seconds, PERIOD):
        whole = sum(shares[: len(pods)])
        for share, pod in zip(shares, pods, strict=False):
            pod.load = load * share / whole
            pod.sample(now)
            if (step := pod.decide()) is not None:
                steps.append(step)
        decision = decide_pods([pod.told for pod in pods], len(pods), configured, now - changed)
        if decision is not None:
            pods = [*pods, Pod(most=most)] if decision.step == "out" else pods[:-1]
            steps.append(decision.step)
            changed = now
        assert configured <= len(pods) <= MOST_PODS * configured
        assert all(1 <= pod.threads <= most for pod in pods)
    return len(pods), steps


LOADS = st.lists(
    st.tuples(st.integers(1, 400), st.floats(0, 4)).map(lambda one: during(*one)), min_size=1, max_size=8
).map(lambda parts: [load for part in parts for load in part])


def test_a_need_enables_then_a_thread_comes() -> None:
    pod, steps = lived(during(200, 1.5))
    need = WINDOW_SECONDS + ENABLE_SECONDS
    assert steps == [(need, "enable"), (need + PERIOD, "up")]
    assert pod.threads == 2


@given(st.integers(0, int(ENABLE_SECONDS)))
def test_what_lasts_less_long_enables_nothing(seconds: int) -> None:
    short = during(seconds, 2.0)
    assert lived([*short, *during(60, 0.1), *short, *during(600, 0.1)])[1] == []


@given(st.lists(st.floats(0, 4), max_size=100))
def test_while_it_is_fast_or_its_threads_are_idle_nothing_is_added(cpu: Sequence[float]) -> None:
    history = History()
    for now, value in zip(itertools.count(0, PERIOD), cpu, strict=False):
        routing, busy = (SLOW, min(value, BUSY - 0.01)) if now % 2 else (FAST, value)
        history = remember(history, Sample(now, routing, busy if now % 2 else 0.0), 1)
        decision = decide_threads(tell(history, 1, full=False, enabled=True))
        assert decision is None


@given(LOADS)
@settings(max_examples=20, deadline=None)
def test_threads_stay_within_their_bounds_and_begin_with_the_need(loads: Sequence[float]) -> None:
    pod, steps = lived(loads)
    assert 1 <= pod.threads <= pod.most
    names = [step for _, step in steps]
    assert names.count("enable") <= 1
    assert not names or names[0] == "enable"


@given(LOADS, st.floats(0, 4), st.booleans())
@settings(max_examples=20, deadline=None)
def test_a_load_that_lasts_never_undoes_a_step(before: Sequence[float], load: float, enabled: bool) -> None:
    pod = lived(before, Pod(enabled=enabled, most=4))[0]
    pod, steps = lived(during(3000, load), replace(pod, history=History()))
    assert len({step for _, step in steps if step != "enable"}) <= 1, steps
    assert lived(during(1000, load), replace(pod, history=History()))[1] == []


@given(st.floats(0, 0.49))
@settings(max_examples=20, deadline=None)
def test_a_thread_goes_when_the_rest_stays_half_idle_for_long(load: float) -> None:
    pod, steps = lived(during(400, load), Pod(threads=2))
    assert steps == [(CALM_SECONDS, "down")]
    assert pod.threads == 1


@given(st.integers(1, int(CALM_SECONDS - 2 * WINDOW_SECONDS)))
@settings(max_examples=20, deadline=None)
def test_a_thread_that_was_needed_lately_stays(ago: int) -> None:
    loads = [*during(30, 0.1), *during(2 * WINDOW_SECONDS, LOW + 0.7), *during(ago, 0.1)]
    assert lived(loads, Pod(threads=2))[1] == []


def test_a_gap_is_no_evidence() -> None:
    history = History()
    for now in range(0, int(CALM_SECONDS) + 1, PERIOD):
        history = remember(history, Sample(now, FAST, 0.1), 2)
    assert tell(history, 2, full=False, enabled=False).highest_cpu is not None
    history = remember(history, Sample(CALM_SECONDS + 1 + STALE_SECONDS, FAST, 0.1), 2)
    assert tell(history, 2, full=False, enabled=False) == Told(2, full=False, enabled=False)


def test_one_late_look_is_no_slow_routing() -> None:
    history = History()
    for now in range(60):
        history = remember(history, Sample(now, SLOW if now % 3 == 0 else FAST, 1.0), 1)
    told = tell(history, 1, full=False, enabled=True)
    assert (told.routing_seconds, told.slow_seconds) == (FAST, 0.0)


@given(st.floats(0, 20), st.lists(st.floats(0.2, 1), min_size=6, max_size=6), st.integers(1, 3))
@settings(max_examples=15, deadline=None)
def test_no_load_that_lasts_lets_pods_come_and_go(load: float, shares: Sequence[float], most: int) -> None:
    _, steps = cluster(load, 1500, shares, most)
    assert not {"out", "in"} <= set(steps)
    if "out" not in steps:  # a pod that comes takes load from the others, whose threads may go
        assert not {"up", "down"} <= set(steps)


def test_threads_come_before_pods() -> None:
    pods, steps = cluster(12.0, 1200, [1.0] * 6)
    assert steps[:6] == ["enable"] * 3 + ["up"] * 3
    assert set(steps[6:]) <= {"out", "enable", "up"}
    assert pods == 6


def test_a_pod_comes_when_most_are_slow_with_all_threads() -> None:
    three = [STRAINED, STRAINED, CALM]
    assert decide_pods(three, 3, 3, OUT_SECONDS) is not None
    for pods in (
        [STRAINED, CALM, CALM],
        [STRAINED, replace(STRAINED, full=False), CALM],
        [STRAINED, replace(STRAINED, slow_seconds=OUT_SECONDS - 1), CALM],
        [replace(one, enabled=False) for one in three],
    ):
        assert decide_pods(pods, 3, 3, OUT_SECONDS) is None
    assert decide_pods(three, 4, 3, OUT_SECONDS) is None  # one is still coming
    assert decide_pods(three, 3, 3, OUT_SECONDS - 1) is None
    assert decide_pods([STRAINED] * 2 * MOST_PODS, 2 * MOST_PODS, 2, OUT_SECONDS) is None


def test_threads_go_before_pods() -> None:
    pods = [CALM] * 4
    decision = decide_pods(pods, 4, 3, CALM_SECONDS)
    assert decision is not None
    assert decision.step == "in"
    assert decide_pods([*pods[:3], replace(CALM, threads=2)], 4, 3, CALM_SECONDS) is None
    assert decide_pods([*pods[:3], replace(CALM, highest_cpu=None)], 4, 3, CALM_SECONDS) is None
    assert decide_pods(pods, 4, 3, CALM_SECONDS - 1) is None


@pytest.mark.parametrize(("cpu", "goes"), [((0.0, 0.0, 0.2, 0.3), True), ((0.0, 0.0, 0.2, 0.31), False)])
def test_a_pod_goes_if_the_busiest_could_take_all_that_another_has(cpu: Sequence[float], goes: bool) -> None:
    pods = [replace(CALM, highest_cpu=one) for one in cpu]
    assert (decide_pods(pods, 4, 3, CALM_SECONDS) is not None) is goes


@given(
    st.lists(
        st.builds(
            Told,
            threads=st.integers(1, 3),
            full=st.booleans(),
            enabled=st.booleans(),
            slow_seconds=st.floats(0, 600),
            highest_cpu=st.none() | st.floats(0, 3),
        ),
        max_size=8,
    ),
    st.integers(1, 4),
    st.floats(0, 1000),
)
def test_the_number_of_pods_stays_within_its_bounds(
    pods: Sequence[Told], configured: int, unchanged: float
) -> None:
    decision = decide_pods(pods, len(pods), configured, unchanged)
    if decision is not None and decision.step == "out":
        assert len(pods) < MOST_PODS * configured
    if decision is not None and decision.step == "in":
        assert len(pods) > configured
