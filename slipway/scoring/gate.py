"""The server's side of the gate: who waits, who left, whose time is up.

Lives in the server's event loop. A client that goes away while it waits leaves the queue; one that goes away
while its `run()` works keeps the slot, because the slot is the work. A `run()` past `scoring_timeout_ms` is
interrupted and answered 504 when it has ended; one that goes on for `GIVE_UP_AFTER` more is handed to
`give_up`, since nothing but the end of the process can free its slot.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any, Awaitable, Callable, Dict, Optional, Set

from slipway.scoring.contract import Request
from slipway.scoring.response import Response, error, timed_out
from slipway.scoring.workers import Job, Workers

GIVE_UP_AFTER = 5.5
"""Seconds past the time-out. The router answers 504 itself after 5, so the client has its answer before."""

Receive = Callable[[], Awaitable[Dict[str, Any]]]


class Gate:
    """Lets at most N requests into `run()`."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._jobs: Set[Job] = set()

    async def score(self, request: Request, receive: Receive) -> Optional[Response]:
        """Return the response of `run()`, or `None` for a client that is no longer there.

        `receive` is ASGI's, after the whole body was read: it returns when the client goes away.
        """
        job = Job(request, asyncio.get_running_loop().create_future())
        waits = len(self._jobs) >= self._workers.slots
        self._jobs.add(job)
        try:
            self._workers.submit(job)
            if waits and await _left(job, receive):
                return None
            return await job.future
        finally:
            self._jobs.discard(job)

    async def watch(self, give_up: Callable[[Job], None]) -> None:
        """Hold every `run()` to its time; call `give_up` with the first that cannot be ended, and return."""
        timeout = self._workers.timeout_ms / 1000
        while True:
            await asyncio.sleep(min(max(timeout / 10, 0.005), 0.05))
            now = monotonic()
            for job in list(self._workers.running):
                if job is None or not job.started or now - job.started <= timeout:
                    continue
                if not job.interrupted:
                    job.interrupted = True
                    self._workers.interrupt(job)
                elif now - job.started > timeout + GIVE_UP_AFTER:
                    give_up(job)
                    return

    def answer_all(self) -> None:
        """Answer every request now: the process is about to end, and no client should just lose it."""
        for job in self._jobs:
            if job.started:
                job.resolve(timed_out(self._workers.timeout_ms))
            else:
                job.resolve(error(503, "This replica restarts, because run() did not end in its time."))


async def _left(job: Job, receive: Receive) -> bool:
    """Wait until the job is done or its client is gone; true if it never started for that reason."""
    gone = asyncio.ensure_future(_disconnected(receive))
    await asyncio.wait({gone, job.future}, return_when=asyncio.FIRST_COMPLETED)
    if not gone.done():
        gone.cancel()
        return False
    if job.started or job.future.done():
        return False
    job.abandon()
    return True


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
