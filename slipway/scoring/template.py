"""Where worker processes come from: the template, a process that forks them, and what each of them does.

`WORKER_COUNT` above 1 asks for processes. The server forks the template before it has a thread, a socket or
any of the user's code, so that forks are safe and no worker holds a client's connection. With
`WORKER_PRELOAD` the template imports the script and calls `init()`, and workers share its memory; else each
worker does that itself. A preloading script must live with `fork`: threads, sockets and CUDA contexts that
`init()` makes do not work in the workers, nor does GNU OpenMP once `init()` computed with it; NumPy's global
generator gives all the same numbers. In both modes each worker has the thread pools of its BLAS library:
`OMP_NUM_THREADS` should be the cores divided by `WORKER_COUNT`.

The server commands over one socket: (index, 0) with a worker's socket asks for that worker, (index, signal)
for a signal to it. The template answers (index, status) when one has ended. Only the template sends signals,
since only it knows which process ids are still its own. The end of a socket ends who reads it.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import pickle
import select
import signal
import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from slipway.collect import collection
from slipway.scoring.begin import Begun, observe
from slipway.scoring.config import Config
from slipway.scoring.contract import Request
from slipway.scoring.response import Response
from slipway.scoring.swagger import Swagger
from slipway.scoring.workers import Batch, Tasks, Threads, limits_of

COMMAND = struct.Struct("<ii")
SIZE = struct.Struct("<Q")
SHOW = signal.SIGUSR2
"""A worker writes to stderr where each of its threads is."""
END_AFTER = 3.0
"""Seconds that workers have to end once the server is gone."""

Call = Tuple[int, float, List[Request]]
"""To a worker: the call's number, `time.monotonic()` of its beginning, its requests."""
Answer = Tuple[int, List[Response], bool]
"""From a worker: the call's number, a response for each request, `Ready.automatic` as it is by now."""


class Ready(NamedTuple):
    """A worker's first message: `init()` is done, and this is the script."""

    swagger: Swagger
    raw: bool
    automatic: bool
    """Whether requests are to be collected as they are: the script has no collectors of its own."""


class Channel:
    """A worker's end of its socket."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._reading = threading.Lock()
        self._writing = threading.Lock()

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: object) -> None:
        """Send; the server may be gone, and then the next `take` says so."""
        with self._writing, suppress(OSError):
            self._socket.sendall(pack(message))

    def take(self) -> Optional[Batch]:
        """Wait for the next call; `None` when the server has closed its end."""
        with self._reading:
            head = self._exactly(SIZE.size)
            body = self._exactly(SIZE.unpack(head)[0]) if head else b""
        if not body:
            return None
        call: Call = pickle.loads(body)  # noqa: S301  # from this server's own process
        number, started, requests = call
        return Batch(requests, lambda responses: self.send(_answer(number, responses)), started)

    def _exactly(self, size: int) -> bytes:
        parts: List[bytes] = []
        while size:
            try:
                part = self._socket.recv(min(size, 1 << 24))
            except OSError:
                part = b""
            if not part:
                return b""
            parts.append(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _answer(number: int, responses: List[Response]) -> Answer:
    return number, responses, collection.automatic()


def pack(message: object) -> bytes:
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return SIZE.pack(len(body)) + body


def serve(config: Config, control: socket.socket, begin: Callable[[Config], Begun]) -> int:
    """Be the template, and in each process that it forks a worker; return the exit code of either."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's: the server alone decides when all end
    begun: Optional[Begun] = None
    if config.worker_preload:
        begun = begin(config)
        gc.collect()
        if hasattr(gc, "freeze"):  # PyPy has none
            gc.freeze()  # else the collector would write to, and so copy, the pages that workers share
    end = _template(control)
    if end is None:
        return 0
    if begun is None:
        begun = begin(config)
    else:
        begun = begun._replace(loop=asyncio.new_event_loop())  # a loop's descriptors cannot be shared
        asyncio.set_event_loop(begun.loop)
    return _work(config, Channel(end), begun)


def _template(control: socket.socket) -> Optional[socket.socket]:
    """Fork a worker for each command and return its socket in it; return `None` here, at the end."""
    woken, wakes = socket.socketpair()
    for one in (woken, wakes):
        one.setblocking(False)
    signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    poll = select.poll()  # unlike select(), for any number of open files
    for one in (control, woken):
        poll.register(one, select.POLLIN)
    workers: Dict[int, int] = {}
    while True:
        readable = [number for number, _ in poll.poll()]
        if woken.fileno() in readable:
            woken.recv(4096)
            for index, pid in list(workers.items()):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    del workers[index]
                    with suppress(OSError):
                        control.sendall(COMMAND.pack(index, status))
        if control.fileno() in readable:
            data, passed = _receive(control)
            if not data:
                _end(workers)
                return None
            index, number = COMMAND.unpack(data)
            if number and index in workers:
                os.kill(workers[index], number)
            for end in passed:
                sys.stdout.flush()
                sys.stderr.flush()
                pid = os.fork()
                if not pid:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for one in (control, woken, wakes):
                        one.close()
                    return end
                workers[index] = pid
                end.close()


def _receive(control: socket.socket) -> "Tuple[bytes, List[socket.socket]]":
    """Read a command and the socket that came with it, if there is one; nothing is the end."""
    try:
        data, numbers, _, _ = socket.recv_fds(control, COMMAND.size, 1)
        while 0 < len(data) < COMMAND.size:
            data += control.recv(COMMAND.size - len(data))
    except OSError:
        return b"", []
    return data, [socket.socket(fileno=one) for one in numbers]


def _end(workers: Dict[int, int]) -> None:
    """Wait for the workers, whose sockets have ended too, and kill those that stay."""
    until = time.monotonic() + END_AFTER
    for pid in workers.values():
        while not os.waitpid(pid, os.WNOHANG)[0]:
            if time.monotonic() > until:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)


def _work(config: Config, channel: Channel, begun: Begun) -> int:
    """Be a worker until the server closes the channel."""
    faulthandler.register(SHOW, all_threads=True)
    os.register_at_fork(after_in_child=_forget_signals)
    telemetry = observe(config)
    if telemetry is not None:
        telemetry.listen()
    contract = begun.contract
    limits = limits_of(config)
    limits = limits._replace(calls=-(-limits.calls // config.worker_count))
    ready = Ready(begun.swagger, contract.raw, collection.automatic())
    if contract.asynchronous:
        tasks = Tasks(contract, limits, begun.loop)
        begun.loop.add_reader(channel, _feed, channel, tasks)
        begun.loop.add_signal_handler(signal.SIGALRM, tasks.cancel_overdue)
        channel.send(ready)
        tasks.serve()
    else:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)  # until `serve` takes it
        channel.send(ready)
        Threads(contract, limits, channel.take).serve()
    collected = threading.Thread(target=collection.end)
    collected.start()  # beside the telemetry: both take up to 2 s, and END_AFTER is for both
    if telemetry is not None:
        telemetry.stop()
    collected.join()
    return 0


def _feed(channel: Channel, tasks: Tasks) -> None:
    batch = channel.take()
    if batch is None:
        tasks.stop()
    else:
        tasks.enter(batch)


def _forget_signals() -> None:
    """In a child that the script forks: the server's signals are not meant for it."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
