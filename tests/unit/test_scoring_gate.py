"""The gate's promises over random arrivals, durations and departures, on real threads and real tasks."""

import asyncio
import threading
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.scoring.contract import Contract, Request
from slipway.scoring.gate import Gate
from slipway.scoring.response import Response
from slipway.scoring.workers import Limits, Tasks, Threads, Workers

MS = st.integers(0, 4)
ARRIVALS = st.lists(st.tuples(MS, st.none() | MS), min_size=1, max_size=12)
"""For each request: how long its `run()` takes, and after how long its client goes away, in milliseconds."""


class Diary:
    """A `run()` that notes who is inside."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.inside = 0
        self.most = 0
        self.largest = 0
        self._lock = threading.Lock()

    def enter(self, data: str | list[str]) -> float:
        requests = [text.split() for text in ([data] if isinstance(data, str) else data)]
        with self._lock:
            self.started += [int(number) for number, _ in requests]
            self.inside += len(requests)
            self.most = max(self.most, self.inside)
            self.largest = max(self.largest, len(requests))
        return max(int(duration) for _, duration in requests) / 1000

    def leave(self, data: str | list[str]) -> None:
        with self._lock:
            self.inside -= 1 if isinstance(data, str) else len(data)

    def run(self, data: str | list[str]) -> str | list[str]:
        time.sleep(self.enter(data))
        self.leave(data)
        return data

    async def run_async(self, data: str | list[str]) -> str | list[str]:
        await asyncio.sleep(self.enter(data))
        self.leave(data)
        return data


def serve(workers: Workers, arrivals: list[tuple[int, int | None]]) -> list[Response | None]:
    """Let the requests arrive in their order, all at once, while this thread works."""

    async def receive(leaves_after: int | None) -> dict[str, Any]:
        if leaves_after is None:
            await asyncio.Event().wait()
        await asyncio.sleep((leaves_after or 0) / 1000)
        return {"type": "http.disconnect"}

    async def arrive() -> list[Response | None]:
        gate = Gate(workers)
        requests = (
            (Request("POST", "/score", b"", [], f"{number} {duration}".encode()), leaves_after)
            for number, (duration, leaves_after) in enumerate(arrivals)
        )
        return await asyncio.gather(
            *(gate.score(request, lambda after=after: receive(after)) for request, after in requests)
        )

    answers: list[Response | None] = []

    def http() -> None:
        answers.extend(asyncio.run(arrive()))
        workers.stop()

    thread = threading.Thread(target=http)
    thread.start()
    workers.serve()
    thread.join()
    return answers


@pytest.mark.parametrize("kind", ["threads", "tasks"])
@given(calls=st.integers(1, 4), size=st.integers(1, 3), wait_ms=MS, arrivals=ARRIVALS)
@settings(max_examples=60)
def test_whatever_comes_and_goes_then_n_and_the_order_hold_and_all_that_stay_are_answered(
    kind: str, calls: int, size: int, wait_ms: int, arrivals: list[tuple[int, int | None]]
) -> None:
    diary = Diary()
    limits = Limits(calls, 10_000, size, wait_ms)
    workers: Workers
    if kind == "threads":
        workers = Threads(Contract(diary.run), limits)
    else:
        workers = Tasks(Contract(diary.run_async), limits, asyncio.new_event_loop())
    answers = serve(workers, arrivals)
    assert diary.most <= calls * size
    assert diary.largest <= size
    assert diary.inside == 0
    assert len(set(diary.started)) == len(diary.started)
    if calls == 1 or kind == "tasks":  # with more threads the diary's own lock may change the order of two
        assert diary.started == sorted(diary.started)
    for number, (answer, (_, leaves_after)) in enumerate(zip(answers, arrivals, strict=True)):
        if leaves_after is None:
            assert answer is not None
            assert (answer.status, answer.body.split()[0]) == (200, b'"%d' % number)
        assert answer is None or number in diary.started
