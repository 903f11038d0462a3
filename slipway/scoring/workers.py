"""Who calls `run()`: never more than the limit at once, first come first served.

The user's code owns the main thread, HTTP lives in another one (`server.py`). So `init()` and `run()` share a
thread, as under Azure ML (sessions and connections of older libraries belong to one); probes are answered
while `run()` computes; and a `run()` past its time can be interrupted, for only the main thread's can.
`Threads` calls a plain `run()`; worker 0 is the main thread, and at a limit of 1 the only one. `Tasks` calls
an async one, on an event loop in the main thread. A worker is free only when its `run()` has really ended.
The third kind, `processes.py`, hands both of them to processes of their own.
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
from typing import Any, Callable, Deque, Dict, List, NamedTuple, Optional, Tuple, Union

from slipway.scoring import calls
from slipway.scoring.config import Config
from slipway.scoring.contract import Contract, Refused, Request
from slipway.scoring.log import log
from slipway.scoring.response import Response, Timed, conclude, error

Outcome = Tuple[Any, Optional[BaseException]]
"""What `run()` returned, or what it raised."""


class Limits(NamedTuple):
    """How `run()` may be called."""

    calls: int
    """How many calls at once."""
    timeout_ms: int
    max_batch_size: int = 1
    """How many requests one call may get. Above 1, `run()` is given lists, and returns one."""
    batch_wait_ms: int = 0
    """How long a request waits for others, at most, while `run()` could be called."""


def limits_of(config: Config) -> Limits:
    """Let as many full batches be inside `run()` as N requests are."""
    return Limits(
        config.max_concurrent_requests // config.max_batch_size,
        config.scoring_timeout_ms,
        config.max_batch_size,
        config.batch_wait_ms,
    )


class Batch:
    """The requests of one call of `run()`: one, or several where `max_batch_size` is above 1."""

    __slots__ = ("done", "inside", "interrupted", "read", "requests", "size", "started")

    def __init__(
        self, requests: List[Request], done: Callable[[List[Response]], None], started: float = 0.0
    ) -> None:
        self.requests = requests
        """Empty once nobody waits for the answer any more: then no worker starts it."""
        self.size = len(requests)
        self.done = done
        """To be called once, from any thread, with a response for each request."""
        self.started = started
        """`time.monotonic()` of the call of `run()`, 0 before."""
        self.read: List[Union[Dict[str, Any], Response]] = []
        """What each request became: arguments, or the answer if it could not become any."""
        self.inside = False
        """Whether the user's code runs now: an interrupt may be raised there and nowhere else."""
        self.interrupted = False

    def abandon(self) -> None:
        """Let no worker start it, and its bodies go."""
        self.requests = []

    def overdue(self, timeout_ms: int) -> bool:
        return self.started > 0 and (monotonic() - self.started) * 1000 > timeout_ms


class Workers(ABC):
    """What all kinds share. `serve` is for the main thread, the other methods for the server's."""

    grace = 5.5
    """Seconds after an interrupt that `run()` has to end. The router answers 504 after 5, so before."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.running: List[Optional[Batch]] = [None] * limits.calls

    @abstractmethod
    def submit(self, batch: Batch) -> None:
        """Call `run()` for it as soon as the limit and those before it allow."""

    @abstractmethod
    def interrupt(self, batch: Batch) -> None:
        """Try to end a `run()` that is past its time; it may go on none the less."""

    def end(self, batch: Batch) -> bool:
        """End a `run()` that went on past `grace`; false if nothing but the end of this process can."""
        del batch
        return False

    @abstractmethod
    def serve(self) -> None:
        """Work until `stop`."""

    @abstractmethod
    def stop(self) -> None: ...


class Caller(Workers):
    """Workers in this process: how requests become a call of `run()`, and its end becomes responses."""

    def __init__(self, contract: Contract, limits: Limits) -> None:
        super().__init__(limits)
        self._contract = contract
        self._lists = limits.max_batch_size > 1

    def _begin(self, batch: Batch) -> Optional[Dict[str, Any]]:
        """Give the arguments of `run()`, which is called next, or `None` if no request can be read."""
        requests, batch.requests = batch.requests, []
        batch.read = [self._read(request) for request in requests]
        found = [one for one in batch.read if not isinstance(one, Response)]
        batch.started = batch.started or monotonic()
        if not found:
            return None
        calls.enter(requests)
        if not self._lists:
            return found[0]
        return {name: [one[name] for one in found] for name in found[0]}

    def _read(self, request: Request) -> Union[Dict[str, Any], Response]:
        try:
            return self._contract.arguments(request)
        except Refused as refused:
            return refused.response
        except Exception:
            log.exception("the request could not be read")
            return error(500, "An unexpected internal error occurred. Check the logs for more info.")

    def _conclude(self, batch: Batch, outcome: Optional[Outcome]) -> List[Response]:
        """Give a response for each request, in their order."""
        try:
            return self._responses(batch, outcome)
        finally:
            calls.leave()

    def _responses(self, batch: Batch, outcome: Optional[Outcome]) -> List[Response]:
        read, batch.read = batch.read, []
        if outcome is None:
            return [one for one in read if isinstance(one, Response)]
        elapsed_ms = (monotonic() - batch.started) * 1000
        if not self._lists:
            return [conclude(Timed(elapsed_ms, *outcome), self.limits.timeout_ms)]
        number = sum(not isinstance(one, Response) for one in read)
        concluded = iter(self._split(elapsed_ms, outcome, number))
        return [one if isinstance(one, Response) else next(concluded) for one in read]

    def _split(self, elapsed_ms: float, outcome: Outcome, number: int) -> List[Response]:
        """Give each request of a batch its own item; an exception among them is that request's failure."""
        returned, failure = outcome
        results: List[Any] = [*returned] if type(returned) in (list, tuple) else []
        timeout_ms = self.limits.timeout_ms
        if failure is not None or elapsed_ms > timeout_ms:  # said once in the log, and to each
            return [conclude(Timed(elapsed_ms, None, failure), timeout_ms)] * number
        if len(results) != number:
            kind = type(returned).__name__
            rule = (
                f"run() was given {number} requests and returned {kind} with {len(results)} results; "
                f"with max_batch_size = {self.limits.max_batch_size} it must return a list of equal length"
            )
            log.error("%s", rule)
            return [error(500, f"The result of run() is no response: {rule}", run_failed=True)] * number
        return [
            conclude(
                Timed(elapsed_ms, None, item)
                if isinstance(item, BaseException)
                else Timed(elapsed_ms, item, None),
                timeout_ms,
            )
            for item in results
        ]


class Threads(Caller):
    """For a plain `run()`. `take` waits for the next batch; `None` is the end."""

    def __init__(
        self, contract: Contract, limits: Limits, take: Optional[Callable[[], Optional[Batch]]] = None
    ) -> None:
        super().__init__(contract, limits)
        self._queue: SimpleQueue[Optional[Batch]] = SimpleQueue()
        self._take = take or self._queue.get

    def submit(self, batch: Batch) -> None:
        self._queue.put(batch)

    def interrupt(self, batch: Batch) -> None:
        if batch is self.running[0]:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)

    def serve(self) -> None:
        previous = signal.signal(signal.SIGALRM, self._raise_in_run)
        others = [
            threading.Thread(target=self._work, args=(index,), name=f"run-{index}", daemon=True)
            for index in range(1, self.limits.calls)
        ]
        for thread in others:
            thread.start()
        self._work(0)
        for thread in others:
            thread.join()
        signal.signal(signal.SIGALRM, previous)

    def stop(self) -> None:
        for _ in range(self.limits.calls):
            self._queue.put(None)

    def _raise_in_run(self, _number: int, _frame: Optional[FrameType]) -> None:
        batch = self.running[0]
        timeout_ms = self.limits.timeout_ms
        if batch is not None and batch.inside and batch.overdue(timeout_ms):
            batch.inside = False
            raise TimeoutError(f"run() exceeded scoring_timeout_ms ({timeout_ms} ms)")

    def _work(self, index: int) -> None:
        while True:
            batch = self._take()
            if batch is None:
                return
            if batch.requests:
                self.running[index] = batch
                arguments = self._begin(batch)
                outcome = None if arguments is None else self._run(batch, arguments)
                del arguments
                responses = self._conclude(batch, outcome)
                self.running[index] = None
                batch.done(responses)
                del outcome, responses
            del batch  # a body must not live on while this worker waits

    def _run(self, batch: Batch, arguments: Dict[str, Any]) -> Outcome:
        try:
            batch.inside = True
            try:
                return self._contract.run(**arguments), None
            finally:  # in the outer `try`: an interrupt may still come here
                batch.inside = False
        except BaseException as problem:  # even SystemExit ends a request only
            return None, problem


class Tasks(Caller):
    """For an async `run()`: tasks on the user's event loop, which was async `init()`'s too."""

    def __init__(self, contract: Contract, limits: Limits, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(contract, limits)
        self._loop = loop
        self._waiting: Deque[Batch] = deque()
        self._free = list(range(limits.calls))
        self._tasks: Dict[int, asyncio.Task[None]] = {}

    def submit(self, batch: Batch) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self.enter, batch)

    def interrupt(self, batch: Batch) -> None:
        del batch
        self._loop.call_soon_threadsafe(self.cancel_overdue)

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

    def enter(self, batch: Batch) -> None:
        """`submit` for the loop's own thread."""
        self._waiting.append(batch)
        self._next()

    def _next(self) -> None:
        while self._free and self._waiting:
            batch = self._waiting.popleft()
            if batch.requests:
                index = self._free.pop()
                self.running[index] = batch
                self._tasks[index] = self._loop.create_task(self._work(index, batch))

    def cancel_overdue(self) -> None:
        """`interrupt`, for the loop's own thread."""
        for index, batch in enumerate(self.running):
            if batch is not None and batch.inside and batch.overdue(self.limits.timeout_ms):
                batch.inside = False
                self._tasks[index].cancel()

    async def _work(self, index: int, batch: Batch) -> None:
        arguments = self._begin(batch)
        outcome = None if arguments is None else await self._run(batch, arguments)
        responses = self._conclude(batch, outcome)
        self.running[index] = None
        self._free.append(index)
        batch.done(responses)
        self._next()

    async def _run(self, batch: Batch, arguments: Dict[str, Any]) -> Outcome:
        try:
            batch.inside = True
            result = self._contract.run(**arguments)
            return (await result if inspect.isawaitable(result) else result), None
        except BaseException as problem:  # a cancelled run() too: the task itself goes on to answer
            return None, problem
        finally:
            batch.inside = False
