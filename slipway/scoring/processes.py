"""`run()` in processes of their own: the server's side of `template.py`.

One queue for all: a call goes to the worker with the fewest, so N holds over all of them. A worker that dies
is replaced, and only its own requests fail; one whose `run()` does not end is shown, killed and replaced.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any, Callable, Deque, Dict, List, Optional, Set, cast

from slipway.collect import collection
from slipway.scoring.log import log
from slipway.scoring.response import Response, error
from slipway.scoring.template import COMMAND, SHOW, SIZE, Answer, Ready, pack
from slipway.scoring.workers import Batch, Limits, Workers

KILL_AFTER = 0.2
"""Seconds in which a worker shows where it is before it is killed."""


class Worker(asyncio.Protocol):
    """The server's end of one worker's socket."""

    def __init__(self, index: int, end: socket.socket, received: Callable[["Worker", Any], None]) -> None:
        self.index = index
        self._end = end
        self.ready = False
        self.calls: Dict[int, Batch] = {}
        self.killed_for: Optional[Batch] = None
        """The call that did not end."""
        self._received = received
        self._buffer = bytearray()
        self._transport: Optional[asyncio.Transport] = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= SIZE.size:
            end = SIZE.size + SIZE.unpack_from(self._buffer)[0]
            if len(self._buffer) < end:
                return
            message = pickle.loads(self._buffer[SIZE.size : end])  # noqa: S301  # from our own worker
            del self._buffer[:end]
            self._received(self, message)

    def send(self, message: object) -> None:
        if self._transport is not None:
            self._transport.write(pack(message))

    def stop(self) -> None:
        """Let it read the end of its socket."""
        with suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)

    def bury(self) -> None:
        """Take what it had sent before it died."""
        with suppress(OSError):
            while data := os.read(self._end.fileno(), 1 << 20):
                self.data_received(data)
        if self._transport is not None:
            self._transport.close()


class Processes(Workers):
    """`count` worker processes, forked by the template on the other end of `control`."""

    grace = 1.0

    def __init__(
        self,
        limits: Limits,
        count: int,
        template: int,
        control: socket.socket,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(limits)
        self._each = -(-limits.calls // count)
        self._count = count
        self._template = template
        self._control = control
        self._waiting: Deque[Batch] = deque()
        self._workers: Dict[int, Worker] = {}
        self._free = list(range(limits.calls))
        self._tasks: Set["asyncio.Task[None]"] = set()
        self._loop = loop
        self._ready: Optional[Callable[[Ready], None]] = None
        self._failed: Callable[[int], None] = lambda _code: None
        self._ended = False

    def begin(self, ready: Callable[[Ready], None], failed: Callable[[int], None]) -> None:
        """Start all, in the server's loop. `ready` is called once all are, `failed` if one cannot be."""
        self._ready, self._failed = ready, failed
        self._control.setblocking(False)
        self._loop.add_reader(self._control, self._told)
        for index in range(self._count):
            self._start(index)

    def _start(self, index: int) -> None:
        ours, its = socket.socketpair()
        ours.setblocking(False)
        worker = self._workers[index] = Worker(index, ours, self._received)
        with suppress(OSError):  # the template is gone, and `serve` is about to say so
            socket.send_fds(self._control, [COMMAND.pack(index, 0)], [its.fileno()])
        its.close()
        task = self._loop.create_task(self._connect(worker, ours))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, worker: Worker, ours: socket.socket) -> None:
        await self._loop.create_unix_connection(lambda: worker, sock=ours)

    def submit(self, batch: Batch) -> None:
        self._waiting.append(batch)
        self._next()

    def interrupt(self, batch: Batch) -> None:
        worker = self._of(batch)
        if worker is not None:
            self._signal(worker, signal.SIGALRM)

    def end(self, batch: Batch) -> bool:
        worker = self._of(batch)
        if worker is not None and worker.killed_for is None:
            worker.killed_for = batch
            log.critical(
                "run() still goes on %.1f s after scoring_timeout_ms (%d ms); its worker process is killed "
                "and replaced. Where it is:",
                time.monotonic() - batch.started - self.limits.timeout_ms / 1000,
                self.limits.timeout_ms,
            )
            self._signal(worker, SHOW)
            self._loop.call_later(KILL_AFTER, self._signal, worker, signal.SIGKILL)
        return True

    def serve(self) -> None:
        """Wait for the end of the template, which is the end of all."""
        _, status = os.waitpid(self._template, 0)
        if not self._ended:
            if os.WIFSIGNALED(status):
                log.critical("the process that forks workers ended: %s", _ending(status))
            self._loop.call_soon_threadsafe(self._fail, 1 if os.WIFSIGNALED(status) else 3)
            threading.Event().wait()  # until the loop has answered all, and ends the process

    def stop(self) -> None:
        self._ended = True
        self._control.close()
        for worker in self._workers.values():
            worker.stop()

    def _fail(self, code: int) -> None:
        if not self._ended:
            self._ended = True
            self._failed(code)

    def _of(self, batch: Batch) -> Optional[Worker]:
        return next((one for one in self._workers.values() if batch in one.calls.values()), None)

    def _signal(self, worker: Worker, number: int) -> None:
        if not self._ended and self._workers.get(worker.index) is worker:
            with suppress(OSError):
                self._control.send(COMMAND.pack(worker.index, number))

    def _next(self) -> None:
        while self._free and self._waiting:
            able = [one for one in self._workers.values() if one.ready and len(one.calls) < self._each]
            if not able:
                return
            batch = self._waiting.popleft()
            if batch.requests:
                worker = min(able, key=lambda one: len(one.calls))
                number = self._free.pop()
                batch.started = time.monotonic()
                worker.calls[number] = self.running[number] = batch
                worker.send((number, batch.started, batch.requests))
                batch.requests = []

    def _received(self, worker: Worker, message: "Answer | Ready") -> None:
        if isinstance(message, Ready):
            worker.ready = True
            if self._ready and all(one.ready for one in self._workers.values()):
                self._ready(message)
                self._ready = None
        else:
            number, responses, automatic = message
            if not automatic:
                self._leave_to_script()
            self._answer(worker, number, responses)
        self._next()

    @staticmethod
    def _leave_to_script() -> None:
        """Collect no requests as they are from now on: the script has collectors, made after `init()`."""
        found = collection.current()
        if found is not None and found.automatic:
            found.automatic = False
            log.warning(
                "run() made a data collector; make collectors in init(), else requests are collected twice"
            )

    def _answer(self, worker: Worker, number: int, responses: List[Response]) -> None:
        batch = worker.calls.pop(number)
        self.running[number] = None
        self._free.append(number)
        batch.done(responses)

    def _told(self) -> None:
        data = b""
        with suppress(OSError):
            data = self._control.recv(COMMAND.size)
        if data:
            self._died(*COMMAND.unpack(data))
        else:
            self._loop.remove_reader(self._control)

    def _died(self, index: int, status: int) -> None:
        worker = self._workers[index]
        worker.bury()
        ending = _ending(status)
        if not worker.ready:
            log.critical("a worker process ended before it was ready: %s", ending)
            self._fail(3)
            return
        if worker.killed_for is None:
            log.critical("a worker process ended by itself (%s) and is replaced", ending)
        else:
            log.critical("a worker process was killed and is replaced")
        crashed = error(500, f"The worker process that ran this request ended: {ending}.", run_failed=True)
        killed = error(
            504,
            f"Scoring timeout after {self.limits.timeout_ms} ms; run() did not end, and its worker process "
            "was killed",
        )
        neighbour = error(
            503,
            "This request was not run to its end because another one in the same worker process did not end, "
            "and the process was killed; send it again.",
        )
        others = crashed if worker.killed_for is None else neighbour
        for number, batch in list(worker.calls.items()):
            answer = killed if batch is worker.killed_for else others
            self._answer(worker, number, [answer] * batch.size)
        self._start(index)
        self._next()


def _ending(status: int) -> str:
    """Say how a process ended."""
    if not os.WIFSIGNALED(status):
        return f"exit code {os.WEXITSTATUS(status)}"
    try:
        return signal.Signals(os.WTERMSIG(status)).name
    except ValueError:
        return f"signal {os.WTERMSIG(status)}"
