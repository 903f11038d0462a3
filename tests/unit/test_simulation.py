"""The simulated service against what queueing theory knows, and against its own account."""

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.router.scaling.simulation import Outcome, Request, Seen, simulate


def poisson(load: float, seconds: float, seed: int) -> list[Request]:
    """Give requests of one second in the mean, both times exponential, `load` of them at once."""
    rng, at, requests = random.Random(seed), 0.0, list[Request]()
    while (at := at + rng.expovariate(load)) < seconds:
        requests.append((at, rng.expovariate(1)))
    return requests


def nothing(seen: Seen) -> None:
    """Scale nothing."""


def served(requests: list[Request], slots: int, replicas: int, wait: float, seconds: float) -> Outcome:
    return simulate(
        requests,
        nothing,
        seconds=seconds,
        slots=slots,
        wait_seconds=wait,
        startup_seconds=5,
        replicas=replicas,
    )


def loss(load: float, servers: int, patience: float) -> float:
    """Give the part of all requests that M/M/c with a deterministic patience loses, of one second each.

    The virtual wait has the density `load * p * exp(-(servers - load) * x)` up to the patience and falls with
    `servers` beyond it, p being the probability that all servers but one are busy (Barrer, 1957).
    """
    fewer = sum(
        math.factorial(servers - 1) / math.factorial(busy) * load ** (busy - servers + 1)
        for busy in range(servers)
    )
    slack = servers - load
    within = load * (1 - math.exp(-slack * patience)) / slack
    beyond = load * math.exp(-slack * patience) / servers
    return beyond / (fewer + within + beyond)


@pytest.mark.parametrize(
    ("load", "slots", "replicas", "patience"),
    [(0.8, 1, 1, 1.0), (6.0, 1, 8, 0.5), (7.5, 8, 1, 0.25), (11.0, 4, 2, 0.5)],
)
def test_as_many_are_lost_as_queueing_theory_says(
    load: float, slots: int, replicas: int, patience: float
) -> None:
    seconds = 100_000 / load
    outcome = served(poisson(load, seconds, 1), slots, replicas, patience, seconds)
    assert outcome.missed / outcome.requests == pytest.approx(
        loss(load, slots * replicas, patience), rel=0.1, abs=0.001
    )


def test_requests_with_patience_wait_as_erlangs_formula_says() -> None:
    load, servers, seconds = 6.4, 8, 40_000
    outcome = served(poisson(load, seconds, 2), 1, servers, math.inf, seconds)
    busy = sum(load**number / math.factorial(number) for number in range(servers))
    full = load**servers / math.factorial(servers) * servers / (servers - load)
    mean_wait = full / (busy + full) / (servers - load)
    assert outcome.waited_seconds / outcome.requests == pytest.approx(mean_wait, rel=0.1)


def test_a_replica_takes_requests_when_it_has_started() -> None:
    requests = [(0.1, 1.0), (3.0, 1.0), (4.5, 1.0)]
    seen: list[Seen] = []

    def one(now: Seen) -> int:
        seen.append(now)
        return 1

    outcome = simulate(
        requests, one, seconds=10, slots=1, wait_seconds=3, startup_seconds=5, replicas=0, step_seconds=0.5
    )
    # Asked for at 0.5, ready at 5.5: the first has gone by then, the last waits for the second.
    assert (outcome.requests, outcome.missed, outcome.waited_seconds) == (3, 1, 3 + 2.5 + 2.0)
    assert outcome.replica_seconds == 9.5
    assert [one.busy for one in seen if one.at in {5.5, 6.0, 7.0, 8.0}] == [0, 1, 1, 0]


counts = st.lists(st.integers(0, 6), min_size=40, max_size=40)


@given(counts, st.integers(0, 1_000), st.sampled_from([1, 3]))
def test_every_request_is_accounted_for_while_replicas_come_and_go(
    wanted: list[int], seed: int, slots: int
) -> None:
    seen: list[Seen] = []

    def follow(now: Seen) -> int:
        seen.append(now)
        return wanted[len(seen) - 1]

    requests = poisson(6, 20, seed)
    outcome = simulate(
        requests, follow, seconds=20, slots=slots, wait_seconds=1, startup_seconds=2, replicas=2
    )
    assert outcome.requests == len(requests)
    for before, now in pairwise(seen):
        assert now.busy_seconds >= before.busy_seconds
        assert now.queued_seconds >= before.queued_seconds - 1e-9
        assert now.refused >= before.refused
        assert now.ready <= now.replicas
    assert [one.replicas for one in seen[1:]] == wanted[:-1]
    assert outcome.replica_seconds == pytest.approx(0.5 * (2 + sum(wanted[:-1])))
