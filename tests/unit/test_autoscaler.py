"""How many replicas a service should have: what holds for every past, and what a person would expect."""

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.router.scaling.autoscaler import (
    HOLD_SECONDS,
    MEAN_SECONDS,
    PAST_SECONDS,
    STALE_SECONDS,
    Decision,
    History,
    Sample,
    decide,
    remember,
)
from slipway.router.scaling.replay import Policy
from slipway.router.scaling.simulation import Request, simulate
from slipway.spec import Serving


def serving(target: int = 70, slots: int = 1, low: int = 1, high: int = 1_000) -> Serving:
    return Serving.model_construct(
        autoscale_min_replicas=low,
        autoscale_max_replicas=high,
        autoscale_target_utilization=target,
        replica_max_concurrent_requests=slots,
    )


def seen(samples: Sequence[Sample], rules: Serving) -> tuple[History, list[Decision]]:
    """Take samples one after the other, and decide after each."""
    history: History | None = None
    decisions: list[Decision] = []
    for sample in samples:
        history = remember(history, sample, decisions[-1] if decisions else None)
        decisions.append(decide(history, rules, sample.at))
    assert history is not None
    return history, decisions


def steady(
    seconds: int, busy: int = 0, *, start: int = 0, replicas: int = 1, arrivals: int = 0, **more: float
) -> list[Sample]:
    """Give a sample each second."""
    first = Sample(start, arrivals, 0, busy, 0, replicas, replicas)
    first = replace(first, **more)
    return [replace(first, at=float(start + second)) for second in range(seconds)]


counts, few = st.integers(0, 200), st.integers(0, 5)
samples = st.builds(
    Sample,
    at=st.floats(0.25, 4.0),  # since the one before, until `pasts` adds them up
    arrivals=counts,
    refused=counts,
    busy=counts,
    queued=counts,
    replicas=st.integers(0, 60),
    ready=st.integers(0, 60),
    unschedulable=st.sampled_from([0, 0, 0, 2]),
    service_seconds=st.none() | st.floats(0.01, 20),
    startup_seconds=st.none() | st.floats(0.1, 1_000),
)
rules = st.builds(
    serving,
    st.integers(1, 100),
    st.sampled_from([1, 8]),
    st.integers(0, 5),
    st.integers(5, 300),
)


def clocked(gaps: Sequence[Sample]) -> list[Sample]:
    at, clocked = 0.0, list[Sample]()
    for one in gaps:
        at += one.at
        clocked.append(replace(one, at=at))
    return clocked


pasts = st.lists(samples, min_size=1, max_size=60).map(clocked)


@given(pasts, rules)
def test_the_number_is_always_within_its_bounds(past: list[Sample], given: Serving) -> None:
    for decision in seen(past, given)[1]:
        assert given.autoscale_min_replicas <= decision.replicas <= given.autoscale_max_replicas


@given(pasts, rules)
def test_replicas_that_have_requests_to_answer_are_kept(past: list[Sample], given: Serving) -> None:
    for sample, decision in zip(past, seen(past, given)[1], strict=True):
        fill = math.ceil((sample.busy + sample.queued) / given.replica_max_concurrent_requests)
        assert decision.replicas >= min(fill, sample.replicas, given.autoscale_max_replicas)


@given(st.lists(st.tuples(samples, few, few, few, few), min_size=1, max_size=60), rules)
def test_more_load_never_means_fewer_replicas(
    past: list[tuple[Sample, int, int, int, int]], given: Serving
) -> None:
    """But for growth, of which there is less where there was more before."""
    known = [
        replace(one, service_seconds=one.service_seconds or 0.2, startup_seconds=None) for one, *_ in past
    ]
    less = clocked(known)
    more = [
        replace(
            one,
            arrivals=one.arrivals + arrivals,
            refused=one.refused + refused,
            busy=one.busy + busy,
            queued=one.queued + queued,
        )
        for one, (_, arrivals, refused, busy, queued) in zip(less, past, strict=True)
    ]
    for less_loaded, more_loaded in zip(seen(less, given)[1], seen(more, given)[1], strict=True):
        assert more_loaded.needed >= less_loaded.needed
        assert more_loaded.replicas >= less_loaded.replicas


@given(pasts, rules)
def test_the_same_past_gives_the_same_decisions(past: list[Sample], given: Serving) -> None:
    assert seen(past, given) == seen(past, given)


@given(pasts, rules, st.floats(STALE_SECONDS + 0.1, 1_000))
def test_without_data_the_number_stays(past: list[Sample], given: Serving, gap: float) -> None:
    history, _ = seen(past, given)
    decision = decide(history, given, past[-1].at + gap)
    within = min(
        max(past[-1].replicas, given.autoscale_min_replicas),
        given.autoscale_max_replicas,
    )
    assert (decision.replicas, decision.load) == (within, None)


@given(pasts, rules)
def test_while_pods_wait_for_a_node_no_more_are_asked_for(past: list[Sample], given: Serving) -> None:
    for sample, decision in zip(past, seen(past, given)[1], strict=True):
        if sample.unschedulable:
            assert decision.replicas <= max(sample.replicas, given.autoscale_min_replicas)


@given(pasts, rules)
def test_none_is_removed_before_the_hold_is_over(past: list[Sample], given: Serving) -> None:
    history, decisions = seen(past, given)
    for sample, decision in zip(past, decisions, strict=True):
        if decision.replicas < min(sample.replicas, given.autoscale_max_replicas):
            assert sample.at - past[0].at >= MEAN_SECONDS
    latest = decisions[-1]
    held = [
        min(decision.needed, sample.ready)
        for sample, decision in zip(past, decisions, strict=True)
        if latest.at - decision.at < HOLD_SECONDS
    ]
    assert latest.replicas >= min(max(held), history.latest.replicas, given.autoscale_max_replicas)


@given(pasts)
def test_the_past_that_is_kept_is_bounded(past: list[Sample]) -> None:
    history, _ = seen(past, serving())
    assert len([one for one in history.totals if one.at < past[-1].at - PAST_SECONDS]) <= 1
    assert all(past[-1].at - at < HOLD_SECONDS + STALE_SECONDS for at, _ in history.needs)


def growing(first: float, more: float, seconds: int = 200, **known: float) -> list[Sample]:
    """Give a sample each second: that many requests in the first, so many more in each that follows."""
    came = [math.floor(first * at + more * at * at / 2) for at in range(seconds + 1)]
    one = replace(Sample(0, 0, 0, 0, 0, 1, 1, service_seconds=0.5), **known)
    return [replace(one, at=float(at), arrivals=new - old) for at, (old, new) in enumerate(pairwise(came))]


growths = st.builds(growing, st.floats(0, 100), st.floats(0, 2), st.integers(1, 200))
starts = st.floats(0.1, 1_000)


@given(pasts | growths, rules, starts, starts)
def test_a_longer_start_never_means_fewer_replicas(
    past: list[Sample], given: Serving, one: float, other: float
) -> None:
    of_each = [
        seen([replace(sample, startup_seconds=startup) for sample in past], given)[1]
        for startup in (None, min(one, other), max(one, other))
    ]
    for unknown, short, long in zip(*of_each, strict=True):
        assert unknown.needed <= short.needed <= long.needed
        assert unknown.replicas <= short.replicas <= long.replicas


@given(st.integers(0, 100), st.integers(0, 200), st.floats(0, 1), rules, starts)
def test_without_growth_the_start_counts_for_nothing(
    before: int, after: int, when: float, given: Serving, startup: float
) -> None:
    """Nor after one step, up or down, whenever it was."""
    change = int(200 * when)
    past = [*steady(change, arrivals=before), *steady(200 - change, start=change, arrivals=after)]
    known = [replace(one, service_seconds=0.5) for one in past]
    learnt = [replace(one, startup_seconds=startup) for one in known]
    assert seen(known, given)[1] == seen(learnt, given)[1]


@given(growths, rules)
def test_a_load_is_expected_to_grow_for_no_longer_than_it_was_seen_to(
    past: list[Sample], given: Serving
) -> None:
    of_each = [
        seen([replace(one, startup_seconds=startup) for one in past], given)[1]
        for startup in (PAST_SECONDS, 10 * PAST_SECONDS)
    ]
    assert [one.replicas for one in of_each[0]] == [one.replicas for one in of_each[1]]


def test_while_the_load_grows_it_fits_the_replicas_that_are_asked_for_now_when_they_have_started() -> None:
    """20 requests a second at first, one more each 10 s, of 0.5 s each; a replica starts in 60 s."""
    rules = serving(target=95)
    decisions = seen(growing(20, 0.1, startup_seconds=60), rules)[1]
    for one in decisions[int(PAST_SECONDS) + 1 :]:
        load = 0.5 * (20 + 0.1 * (one.at + 60))
        assert load - 1 <= one.needed <= load + 2
        assert one.rule == "add: growth in the 60 s that a replica takes to start"


def test_growth_that_the_room_of_the_target_takes_asks_for_nothing() -> None:
    growth = growing(20, 0.1, startup_seconds=60)
    unknown = [replace(one, startup_seconds=None) for one in growth]
    room = serving(target=40)
    assert seen(growth, room)[1] == seen(unknown, room)[1]


def test_v1s_example_needs_286_replicas() -> None:
    """20 requests a second of 10 seconds each, target 70 %, one at once."""
    decision = seen(steady(70, busy=200, replicas=286, arrivals=20), serving())[1][-1]
    assert (decision.needed, decision.replicas, decision.load) == (286, 286, 200)


@pytest.mark.parametrize(("slots", "needed"), [(1, 20), (8, 3)])
def test_target_100_leaves_no_room(slots: int, needed: int) -> None:
    assert seen(steady(70, busy=20), serving(target=100, slots=slots))[1][-1].needed == needed


@pytest.mark.parametrize(("slots", "needed"), [(1, 286), (8, 36)])
def test_a_burst_reaches_its_size_in_one_step(slots: int, needed: int) -> None:
    """Two replicas that are full; of 2,000 requests in a second nearly all are refused."""
    calm = steady(120, busy=slots, replicas=2, arrivals=10, service_seconds=0.1)
    burst = steady(
        2,
        busy=2 * slots,
        start=120,
        replicas=2,
        arrivals=2_000,
        refused=2_000 - 2 * slots,
        service_seconds=0.1,
    )
    decisions = seen([*calm, *burst], serving(slots=slots))[1]
    assert decisions[119].replicas == 2
    first = next(one for one in decisions if one.replicas > 2)
    assert 0.9 * needed <= first.replicas <= needed + 5
    assert first.at == 120
    assert first.rule == "add: load of the last 1 s"


def test_chance_adds_nothing() -> None:
    """Five requests at once for a second, once, where one is usual."""
    past = steady(100, busy=1, replicas=2, arrivals=5, service_seconds=0.2)
    past[60] = replace(past[60], busy=2, queued=3)
    assert {one.replicas for one in seen(past, serving())[1]} == {2}


def test_replicas_go_about_a_minute_after_the_load() -> None:
    past = [*steady(100, busy=14, replicas=20), *steady(200, start=100, replicas=20)]
    decisions = seen(past, serving())[1]
    first = next(one for one in decisions if one.replicas < 20)
    last_needed = max(one.at for one in decisions if one.needed >= 20)
    assert first.at - last_needed == HOLD_SECONDS
    assert first.rule == f"remove: not needed for {HOLD_SECONDS:g} s"
    assert 30 <= first.at - 100 <= 75
    assert decisions[-1].replicas == 1


def test_after_a_gap_nothing_goes_before_it_was_seen_again() -> None:
    """The router was away, or HAProxy did not answer: that is not a time without requests."""
    before = steady(100, busy=14, replicas=20)
    after = steady(int(MEAN_SECONDS) + 1, start=200, replicas=20)
    decisions = seen([*before, *after], serving())[1]
    assert {one.replicas for one in decisions[:-1]} == {20}
    assert decisions[-1].replicas == 1


def test_the_first_request_asks_for_the_first_replica() -> None:
    past = steady(5, replicas=0)
    request = replace(past[-1], at=5.0, arrivals=1, queued=1)
    refused = replace(past[-1], at=5.5, refused=1)
    decisions = seen([*past, request, refused], serving(low=0))[1]
    assert [one.replicas for one in decisions[-2:]] == [1, 1]
    assert {one.replicas for one in decisions[:-2]} == {0}


def test_without_requests_the_last_replica_goes_where_none_is_allowed() -> None:
    past = [*steady(70, busy=1, arrivals=1), *steady(200, start=70)]
    assert seen(past, serving(low=0))[1][-1].replicas == 0
    assert seen(past, serving(low=1))[1][-1].replicas == 1


def test_when_the_nodes_are_there_the_rest_is_asked_for_at_once() -> None:
    full = steady(60, busy=10, replicas=12, arrivals=30, refused=20, service_seconds=1.0, unschedulable=2)
    decisions = seen([*full, replace(full[-1], at=60.0, unschedulable=0)], serving())[1]
    assert {one.replicas for one in decisions[:-1]} == {12}
    assert decisions[-2].rule == "keep: pods wait for a node"
    assert decisions[-1].replicas == decisions[-1].needed > 40


def test_replicas_that_have_not_started_go_with_the_load() -> None:
    """A burst that is over before its replicas have started needs none of them."""
    calm = steady(100, busy=2, replicas=4, arrivals=20, service_seconds=0.1)
    burst = steady(
        20, busy=4, start=100, replicas=60, arrivals=400, refused=300, service_seconds=0.1, ready=4
    )
    after = steady(20, busy=2, start=120, replicas=60, arrivals=20, service_seconds=0.1, ready=4)
    decisions = seen([*calm, *burst, *after], serving())[1]
    assert all(one.replicas > 40 for one in decisions[100:120])
    assert decisions[-1].replicas == 4


@pytest.mark.parametrize("startup", [2, 60])
def test_what_chance_adds_under_a_steady_load_is_not_taken_back_at_once(startup: int) -> None:
    """Each such step would start a pod and end it again."""
    chance, at, requests = random.Random(3), 0.0, list[Request]()
    while at < 900:
        at += chance.expovariate(20)
        requests.append((at, chance.expovariate(2)))
    policy = Policy(Serving(autoscale_max_replicas=60), startup)
    simulate(
        requests,
        policy,
        seconds=900,
        slots=1,
        wait_seconds=0.5,
        startup_seconds=startup,
        replicas=14,
        step_seconds=1.0,
    )
    steps = [(at, new - old) for (_, old), (at, new) in pairwise(policy.curve) if new != old]
    undone = [at for (at, up), (later, down) in pairwise(steps) if up > 0 > down and later - at <= 5]
    assert len(undone) <= 1


def test_replicas_that_fail_for_a_moment_are_held_like_the_others() -> None:
    """A node that is slow for a few seconds must not end the hold."""
    past = [*steady(100, busy=14, replicas=20, arrivals=14), *steady(40, start=100, replicas=20)]
    past[110:115] = [replace(one, ready=5) for one in past[110:115]]
    decisions = seen(past, serving())[1]
    assert {one.replicas for one in decisions[:130]} == {20}
    assert decisions[112].needed < 20


def test_a_first_replica_that_starts_waits_for_the_next_request() -> None:
    """It takes two minutes to start; the request has long given up."""
    past = steady(300, replicas=1, ready=0)
    past[0] = replace(past[0], replicas=0)
    past[1] = replace(past[1], replicas=0, arrivals=1, queued=1)
    past[120:] = [replace(one, ready=1) for one in past[120:]]
    decisions = seen(past, serving(low=0))[1]
    assert {one.replicas for one in decisions[1:145]} == {1}
    assert decisions[-1].replicas == 0


def test_a_model_that_becomes_slow_is_seen_before_its_mean_time_is() -> None:
    """Its replicas are full; the mean of the latest requests has hardly moved."""
    past = steady(100, busy=10, replicas=10, arrivals=10, service_seconds=0.2)
    assert seen(past, serving())[1][-1].replicas == 14


@pytest.mark.parametrize(("now", "rule"), [(5, "autoscale_min_replicas"), (50, "autoscale_max_replicas")])
def test_bounds_that_changed_act_at_once(now: int, rule: str) -> None:
    decision = seen(steady(2, replicas=now), serving(low=10, high=20))[1][-1]
    assert (decision.replicas, decision.rule) == (10 if now < 10 else 20, rule)
