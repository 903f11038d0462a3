"""The server's side of the gate: who waits, for whom, who left, whose time is up.

Lives in the server's event loop. A client that goes away while it waits leaves the queue; one that goes away
while its `run()` works keeps the slot, because the slot is the work. Where batching is on, requests wait for
each other here: once a call is free, a batch goes as soon as it is full or its first has waited long enough.
A `run()` past `scoring_timeout_ms` is interrupted and answered 504 when it has ended; one that goes on for
`Workers.grace` more is ended by the workers if they can, else handed to `give_up`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from time import monotonic
from typing import Any, Awaitable, Callable, Deque, Dict, List, Optional, Set

from slipway.scoring.contract import Request
from slipway.scoring.response import Response, error
from slipway.scoring.workers import Batch, Workers

Receive = Callable[[], Awaitable[Dict[str, Any]]]


class Job:
    """One request on its way through the gate."""

    __slots__ = ("arrived", "batch", "future", "request")

    def __init__(self, request: Request, future: "asyncio.Future[Response]") -> None:
        self.request: Optional[Request] = request
        self.future = future
        self.arrived = monotonic()
        self.batch: Optional[Batch] = None

    @property
    def started(self) -> bool:
        return self.batch is not None and self.batch.started > 0

    def resolve(self, response: Response) -> None:
        if not self.future.done():
            self.future.set_result(response)


class Gate:
    """Lets at most N requests into `run()`."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._limits = workers.limits
        self._jobs: Set[Job] = set()
        self._waiting: Deque[Job] = deque()
        self._calls = 0
        self._free_since = 0.0
        self._timer: Optional[asyncio.TimerHandle] = None

    async def score(self, request: Request, receive: Receive) -> Optional[Response]:
        """Return the response of `run()`, or `None` for a client that is no longer there.

        `receive` is ASGI's, after the whole body was read: it returns when the client goes away.
        """
        job = Job(request, asyncio.get_running_loop().create_future())
        waits = len(self._jobs) >= self._limits.calls
        self._jobs.add(job)
        try:
            if self._limits.max_batch_size == 1:
                self._submit([job])
            else:
                self._waiting.append(job)
                self._next()
            if waits and await self._left(job, receive):
                return None
            return await job.future
        finally:
            self._jobs.discard(job)

    def _submit(self, jobs: List[Job]) -> None:
        loop = asyncio.get_running_loop()

        def done(responses: List[Response]) -> None:
            with suppress(RuntimeError):  # the server's loop has ended, and with it whoever waited
                loop.call_soon_threadsafe(self._resolve, jobs, responses)

        batch = Batch([job.request for job in jobs if job.request], done)
        for job in jobs:
            job.batch, job.request = batch, None
        self._workers.submit(batch)

    def _resolve(self, jobs: List[Job], responses: List[Response]) -> None:
        for job, response in zip(jobs, responses):
            job.resolve(response)
        if self._limits.max_batch_size > 1:
            if self._calls == self._limits.calls:
                self._free_since = monotonic()
            self._calls -= 1
            self._next()

    def _next(self) -> None:
        """Make batches of those who wait while a call of `run()` is free, each when its time has come."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._calls < self._limits.calls:
            while self._waiting and self._waiting[0].request is None:
                self._waiting.popleft()  # its client has gone
            if not self._waiting:
                return
            # Time in which run() was busy does not count: whoever came alone meanwhile would go alone again,
            # a moment before those who are answered now ask anew.
            since = max(self._waiting[0].arrived, self._free_since)
            left = since + self._limits.batch_wait_ms / 1000 - monotonic()
            if len(self._waiting) < self._limits.max_batch_size and left > 0:
                self._timer = asyncio.get_running_loop().call_later(left, self._next)
                return
            jobs: List[Job] = []
            while self._waiting and len(jobs) < self._limits.max_batch_size:
                job = self._waiting.popleft()
                if job.request is not None:
                    jobs.append(job)
            self._calls += 1
            self._submit(jobs)

    async def _left(self, job: Job, receive: Receive) -> bool:
        """Wait until the job is done or its client is gone; true if it never started for that reason."""
        gone = asyncio.ensure_future(_disconnected(receive))
        await asyncio.wait({gone, job.future}, return_when=asyncio.FIRST_COMPLETED)
        if not gone.done():
            gone.cancel()
            return False
        if job.started or job.future.done():
            return False
        if job.batch is not None:
            if self._limits.max_batch_size > 1:  # others are in it, and it starts at once
                return False
            job.batch.abandon()
        job.request = None
        return True

    async def watch(self, give_up: Callable[[Batch], None]) -> None:
        """Hold every `run()` to its time; call `give_up` with the first that cannot be ended, and return."""
        timeout_ms = self._limits.timeout_ms
        while True:
            await asyncio.sleep(min(max(timeout_ms / 10_000, 0.005), 0.05))
            for batch in list(self._workers.running):
                if batch is None or not batch.overdue(timeout_ms):
                    continue
                if not batch.interrupted:
                    batch.interrupted = True
                    self._workers.interrupt(batch)
                elif batch.overdue(timeout_ms + int(self._workers.grace * 1000)) and not self._workers.end(
                    batch
                ):
                    give_up(batch)
                    return

    def answer_all(self, started: Response, why: str) -> None:
        """Answer every request now: the process is about to end, and no client should just lose it."""
        for job in self._jobs:
            job.resolve(started if job.started else error(503, f"This replica restarts, because {why}."))


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
