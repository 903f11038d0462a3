"""Requests are counted once, whatever processes of HAProxy they go through."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from slipway.router.load import Row
from slipway.router.scaling.sampling import Counted, Sampler

NUMBERS = ("scur", "qcur", "stot", "connect", "reuse", "wretr", "econ", "rtime")


def row(server: str, service: str = "echo", status: str = "UP", **numbers: int) -> Row:
    return {
        "pxname": service,
        "svname": server,
        "status": status,
        **{name: str(numbers.get(name, 0)) for name in NUMBERS},
    }


HELD = row("_hold", status="no check", connect=1, scur=1, stot=1)


def test_what_is_seen_is_what_is_new_and_a_request_of_ours_is_none() -> None:
    sampler = Sampler()
    servers = [row("a", scur=1, stot=4, rtime=100), row("b", stot=12, rtime=300), row("c", status="DOWN")]
    backend = row("BACKEND", scur=4, qcur=2, stot=20, connect=14, reuse=4, wretr=1, econ=3)
    assert sampler.look({"1": [HELD, *servers, backend]}) == {
        "echo": Counted(arrivals=21, refused=3, busy=1, queued=2, ready=2, service_seconds=0.25)
    }
    later = row("BACKEND", qcur=0, connect=17, reuse=4, wretr=1, econ=3)
    seen = sampler.look({"1": [HELD, later]})["echo"]
    assert (seen.arrivals, seen.refused, seen.ready, seen.service_seconds) == (1, 0, 0, 0.25)


def test_requests_of_a_worker_that_only_finishes_count_as_busy_and_only_the_current_one_has_replicas() -> (
    None
):
    old = [HELD, row("a", scur=2), row("b", scur=1), row("BACKEND", qcur=3, connect=4)]
    new = [HELD, row("a", scur=1), row("BACKEND", connect=2)]
    seen = Sampler().look({"2": new, "1": old})["echo"]
    assert (seen.busy, seen.queued, seen.ready, seen.arrivals) == (4, 3, 1, 7)


def test_a_worker_that_does_not_answer_is_as_it_was_and_counts_nothing_twice() -> None:
    sampler = Sampler()
    old = [HELD, row("a", scur=2), row("BACKEND", qcur=3, connect=1001)]
    new = [HELD, row("a", scur=1), row("BACKEND", connect=2)]
    sampler.look({"1": old})
    looks = [sampler.look({"2": new, "1": rows})["echo"] for rows in (old, [], old)]
    assert [(one.busy, one.queued, one.arrivals) for one in looks] == [(3, 3, 1), (3, 3, 0), (3, 3, 0)]


def test_a_service_that_the_current_worker_does_not_know_is_not_seen() -> None:
    own = [row("_hold", "_detour"), row("BACKEND", "_detour")]
    assert Sampler().look({"2": own, "1": [row("BACKEND")]}) == {}
    assert Sampler().look({}) == {}


@dataclass
class Worker:
    """A worker process as HAProxy counts in it."""

    queued: int = 0
    taken: int = 0
    refused: int = 0
    rows: list[Row] = field(default_factory=list[Row])

    def count(self) -> list[Row]:
        return [HELD, row("BACKEND", qcur=self.queued, connect=1 + self.taken, econ=self.refused)]


@given(st.integers(0, 2**32), st.integers(1, 60))
def test_over_reloads_and_restarts_every_request_is_counted_once(seed: int, steps: int) -> None:
    chance, sampler = random.Random(seed), Sampler()
    workers: dict[str, Worker] = {"0": Worker()}
    came = seen = refused = seen_refused = 0
    for step in range(1, steps):
        for current, worker in enumerate(workers.values()):
            if current == 0:
                new = chance.randrange(4)
                came += new
                worker.queued += new
            taken = chance.randrange(worker.queued + 1)
            late = chance.randrange(worker.queued - taken + 1)
            worker.queued -= taken + late
            worker.taken += taken
            worker.refused += late
            refused += late
        look = sampler.look(_counts(workers))["echo"]
        seen, seen_refused = seen + look.arrivals, seen_refused + look.refused
        if chance.random() < 0.3:  # a reload: those before finish, and go when nothing is in them
            left = {pid: worker for pid, worker in workers.items() if worker.queued}
            workers = {str(step): Worker(), **left}
    assert (seen, seen_refused) == (came, refused)


def _counts(workers: Mapping[str, Worker]) -> dict[str, list[Row]]:
    return {pid: worker.count() for pid, worker in workers.items()}
