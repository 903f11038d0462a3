"""The gate: N workers on one queue. Never more than N requests are inside `run()`, first come first served.

The user's code owns the main thread, HTTP lives in another one (`server.py`). So `init()` and `run()` share a
thread, as under Azure ML (sessions and connections of older libraries belong to one); probes are answered
while `run()` computes; and a `run()` past its time can be interrupted, for only the main thread's can.
`Threads` runs a plain `run()`; worker 0 is the main thread, and at N = 1 the only one. `Tasks` runs an async
one, on an event loop in the main thread. A worker is free only when its `run()` has really ended.
"""

from __future__ import annotations

import asyncio
import inspect
import signal
import threading
from abc import ABC, abstractmethod
from collections import deque
from contextlib import suppress
from queue import SimpleQueue
from time import monotonic
from types import FrameType
from typing import Any, Deque, Dict, List, Optional, Tuple

from slipway.scoring.contract import Contract, Refused, Request
from slipway.scoring.log import log
from slipway.scoring.response import Response, Timed, conclude, error

Outcome = Tuple[Any, Optional[BaseException]]
"""What `run()` returned, or what it raised."""


class Job:
    """One request on its way through the gate. Made and awaited in the server's loop, run by a worker."""

    __slots__ = ("abandoned", "future", "inside", "interrupted", "request", "started")

    def __init__(self, request: Request, future: "asyncio.Future[Response]") -> None:
        self.request: Optional[Request] = request
        self.future = future
        self.abandoned = False
        self.started = 0.0
        """`time.monotonic()` of the call of `run()`, 0 before."""
        self.inside = False
        """Whether the user's code runs now: an interrupt may be raised there and nowhere else."""
        self.interrupted = False

    def abandon(self) -> None:
        """Leave the queue: no worker will start this one. Its body is let go at once."""
        self.abandoned = True
        self.request = None

    def deliver(self, response: Response) -> None:
        """Hand over the response, from any thread."""
        with suppress(RuntimeError):  # the server's loop has ended, and with it whoever waited
            self.future.get_loop().call_soon_threadsafe(self.resolve, response)

    def resolve(self, response: Response) -> None:
        if not self.future.done():
            self.future.set_result(response)


class Workers(ABC):
    """What both kinds share. `serve` is for the main thread, the other methods for the server's."""

    def __init__(self, contract: Contract, slots: int, timeout_ms: int) -> None:
        self.slots = slots
        self.timeout_ms = timeout_ms
        self.running: List[Optional[Job]] = [None] * slots
        self._contract = contract

    @abstractmethod
    def submit(self, job: Job) -> None: ...

    @abstractmethod
    def interrupt(self, job: Job) -> None:
        """Try to end a `run()` that is past its time; it may go on none the less."""

    @abstractmethod
    def serve(self) -> None:
        """Work until `stop`."""

    @abstractmethod
    def stop(self) -> None: ...

    def _begin(self, job: Job, request: Request) -> "Dict[str, Any] | Response":
        """Give the arguments of `run()`, which is called next, or the answer if they cannot be read."""
        try:
            arguments = self._contract.arguments(request)
        except Refused as refused:
            return refused.response
        except Exception:
            log.exception("the request could not be read")
            return error(500, "An unexpected internal error occurred. Check the logs for more info.")
        job.started = monotonic()
        return arguments

    def _conclude(self, job: Job, outcome: Outcome) -> Response:
        return conclude(Timed((monotonic() - job.started) * 1000, *outcome), self.timeout_ms)


class Threads(Workers):
    """For a plain `run()`."""

    def __init__(self, contract: Contract, slots: int, timeout_ms: int) -> None:
        super().__init__(contract, slots, timeout_ms)
        self._queue: SimpleQueue[Optional[Job]] = SimpleQueue()

    def submit(self, job: Job) -> None:
        self._queue.put(job)

    def interrupt(self, job: Job) -> None:
        if job is self.running[0]:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)

    def serve(self) -> None:
        previous = signal.signal(signal.SIGALRM, self._raise_in_run)
        others = [
            threading.Thread(target=self._work, args=(index,), name=f"run-{index}", daemon=True)
            for index in range(1, self.slots)
        ]
        for thread in others:
            thread.start()
        self._work(0)
        for thread in others:
            thread.join()
        signal.signal(signal.SIGALRM, previous)

    def stop(self) -> None:
        for _ in range(self.slots):
            self._queue.put(None)

    def _raise_in_run(self, _number: int, _frame: Optional[FrameType]) -> None:
        job = self.running[0]
        if job is not None and job.interrupted and job.inside:
            job.inside = False
            raise TimeoutError(f"run() exceeded scoring_timeout_ms ({self.timeout_ms} ms)")

    def _work(self, index: int) -> None:
        while True:
            job = self._queue.get()
            if job is None:
                return
            request = job.request
            if request is not None and not job.abandoned:
                self.running[index] = job
                found = self._begin(job, request)
                if not isinstance(found, Response):
                    found = self._conclude(job, self._run(job, found))
                self.running[index] = None
                job.deliver(found)
                del found
            del job, request  # a body must not live on while this worker waits

    def _run(self, job: Job, arguments: Dict[str, Any]) -> Outcome:
        try:
            job.inside = True
            try:
                return self._contract.run(**arguments), None
            finally:  # in the outer `try`: an interrupt may still come here
                job.inside = False
        except BaseException as problem:  # even SystemExit ends a request only
            return None, problem


class Tasks(Workers):
    """For an async `run()`: at most N tasks on the user's event loop, which was async `init()`'s too."""

    def __init__(
        self, contract: Contract, slots: int, timeout_ms: int, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(contract, slots, timeout_ms)
        self._loop = loop
        self._waiting: Deque[Job] = deque()
        self._free = list(range(slots))
        self._tasks: Dict[int, asyncio.Task[None]] = {}

    def submit(self, job: Job) -> None:
        self._loop.call_soon_threadsafe(self._enter, job)

    def interrupt(self, job: Job) -> None:
        self._loop.call_soon_threadsafe(self._cancel, job)

    def serve(self) -> None:
        self._loop.run_forever()
        pending = asyncio.all_tasks(self._loop)
        for task in pending:
            task.cancel()
        self._loop.run_until_complete(asyncio.wait(pending) if pending else asyncio.sleep(0))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _enter(self, job: Job) -> None:
        self._waiting.append(job)
        self._next()

    def _next(self) -> None:
        while self._free and self._waiting:
            job = self._waiting.popleft()
            if job.request is not None and not job.abandoned:
                index = self._free.pop()
                self.running[index] = job
                self._tasks[index] = self._loop.create_task(self._work(index, job, job.request))

    def _cancel(self, job: Job) -> None:
        if job.inside and job in self.running:
            self._tasks[self.running.index(job)].cancel()

    async def _work(self, index: int, job: Job, request: Request) -> None:
        found = self._begin(job, request)
        if not isinstance(found, Response):
            found = self._conclude(job, await self._run(job, found))
        self.running[index] = None
        self._free.append(index)
        job.deliver(found)
        self._next()

    async def _run(self, job: Job, arguments: Dict[str, Any]) -> Outcome:
        try:
            job.inside = True
            result = self._contract.run(**arguments)
            return (await result if inspect.isawaitable(result) else result), None
        except BaseException as problem:  # a cancelled run() too: the task itself goes on to answer
            return None, problem
        finally:
            job.inside = False
