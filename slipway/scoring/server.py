"""The process: HTTP in a thread of its own, the user's code in the main thread, and their beginning and end.

The socket listens before `init()`, so that a slow one is alive but not ready. SIGTERM: not ready at once,
service as before for `LAME_DUCK` (routers notice meanwhile), then the listener closes and everything accepted
is finished. Exit codes: 0 drained; 1 the server itself failed; 3 nothing to serve, because the environment,
the entry script or `init()` is wrong; 4 a `run()` that did not end.
"""

from __future__ import annotations

import asyncio
import faulthandler
import fcntl
import io
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from types import FrameType
from typing import TYPE_CHECKING, Any, Callable, List, NoReturn, Optional, Set, cast

import uvicorn

from slipway.collect import collection
from slipway.collect.journal import Counts
from slipway.scoring.app import App
from slipway.scoring.begin import Begun, begin, observe
from slipway.scoring.calls import mark_output
from slipway.scoring.config import Config, ConfigError, from_environment
from slipway.scoring.cors import Cors
from slipway.scoring.gate import Gate
from slipway.scoring.log import configure, log
from slipway.scoring.processes import Processes
from slipway.scoring.response import Response, error, timed_out, user_traceback
from slipway.scoring.script import ScriptError
from slipway.scoring.template import Ready, serve
from slipway.scoring.workers import Batch, Tasks, Threads, Workers, limits_of

if TYPE_CHECKING:
    from slipway.scoring.telemetry import Telemetry

LAME_DUCK = 2.0
"""Seconds of service after SIGTERM: readiness is asked each second, plus one for whoever asks."""

KEEP_ALIVE = 300
"""Seconds; longer than the router keeps an idle connection, so that never this side closes one in use."""

LISTENER_FROM = 1000
"""The least file number of the listener: more than a replica has connections, less than systems allow."""

EXIT_AFTER = 3.0
"""Seconds that threads and exit handlers of the script have at the end."""


_at_end: List[Callable[[], None]] = []
"""What `leave` does first."""


class Server:
    """uvicorn in a thread. `start` and `open` are for the main thread, the rest happens in the server's."""

    def __init__(
        self, config: Config, listener: socket.socket, telemetry: Optional[Telemetry] = None
    ) -> None:
        self._config = config
        self._listener = listener
        cors = Cors(list(config.cors_origins)) if config.cors_origins else None
        self._app = App(config.server_version, cors, telemetry)
        self._loop = _new_loop()
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(
                self._app,
                loop="none",
                lifespan="off",
                ws="none",
                interface="asgi3",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE,
            )
        )
        self._workers: Optional[Workers] = None
        self._gate: Optional[Gate] = None
        self._draining = False
        self._tasks: Set["asyncio.Task[None]"] = set()
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        """Serve probes, and take signals over."""
        received, sent = socket.socketpair()
        for end in (received, sent):
            end.setblocking(False)
        self._loop.add_reader(received, self._signalled, received)
        # The byte is written by the signal itself, so that the end begins even while run() computes in C.
        signal.set_wakeup_fd(sent.detach(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        os.register_at_fork(after_in_child=_forget_signals)
        self._thread.start()

    def open(self, workers: Workers, ready: Ready) -> None:
        """Become ready."""
        self._loop.call_soon_threadsafe(self._open, workers, ready)

    def fork(self, template: int, control: socket.socket) -> Workers:
        """Start worker processes, and become ready when all of them are."""
        limits, count = limits_of(self._config), self._config.worker_count
        workers = Processes(limits, count, template, control, self._loop)
        ready = partial(self._open, workers)
        self._loop.call_soon_threadsafe(workers.begin, ready, self._fail)
        return workers

    def _open(self, workers: Workers, ready: Ready) -> None:
        gate = self._gate = Gate(workers)
        self._workers = workers
        if not ready.automatic and (found := collection.current()) is not None:
            found.automatic = False
        self._app.open(gate, ready.swagger, raw=ready.raw, collect=ready.automatic)
        self._spawn(gate.watch(self._give_up))
        self._spawn(self._prove_alive(self._config.scoring_timeout_ms / 1000))
        log.info("ready: %s", self._config.script)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._uvicorn.serve(sockets=[self._listener]))
        except BaseException:
            log.exception("the HTTP server failed")
            leave(1)
        faulthandler.cancel_dump_traceback_later()
        collection.end()
        if self._workers is not None:
            self._workers.stop()
        time.sleep(EXIT_AFTER)  # else a thread that the script left running would hold the process
        leave(0)

    def _on_signal(self, _number: int, _frame: Optional[FrameType]) -> None:
        self._loop.call_soon_threadsafe(self._drain)

    def _signalled(self, received: socket.socket) -> None:
        numbers = received.recv(4096)
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self._drain()

    def _drain(self) -> None:
        if self._workers is None:
            log.info("stopped before init() had finished")
            leave(0)
        if not self._draining:
            self._draining = self._app.draining = True
            log.info("draining")
            self._spawn(self._close())

    async def _close(self) -> None:
        await asyncio.sleep(LAME_DUCK)
        for server in self._uvicorn.servers:
            server.close()
        await asyncio.sleep(0.1)  # what was accepted last is read before uvicorn closes idle connections
        self._uvicorn.should_exit = True

    def _give_up(self, batch: Batch) -> None:
        timeout_ms = self._config.scoring_timeout_ms
        log.critical(
            "run() still goes on %.1f s after scoring_timeout_ms (%d ms); only a restart can free its slot. "
            "Where it is:",
            time.monotonic() - batch.started - timeout_ms / 1000,
            timeout_ms,
        )
        faulthandler.dump_traceback()
        self._end(4, timed_out(timeout_ms), "run() did not end in its time")

    def _fail(self, code: int) -> None:
        why = "its worker processes cannot be replaced"
        self._end(code, error(500, f"This replica ends, because {why}.", run_failed=True), why)

    def _end(self, code: int, started: Response, why: str) -> None:
        """End the process soon, with an answer to everyone before."""
        if self._gate is None:
            leave(code)
        self._app.draining = True
        self._gate.answer_all(started, why)
        self._loop.call_later(0.2, leave, code)

    async def _prove_alive(self, timeout: float) -> None:
        """End the process when this loop has not run for longer than any `run()` may take.

        C code that never lets go of the interpreter's lock would stop this loop too; faulthandler's thread
        needs no lock, shows where it is, and exits with 1.
        """
        while True:
            faulthandler.dump_traceback_later(timeout + Workers.grace + 2, exit=True)
            await asyncio.sleep(1)

    def _spawn(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.critical("a task of the server failed", exc_info=task.exception())
            leave(1)


def _report(counts: Counts) -> None:
    """Say which rows are not collected; called by the thread that writes them, now and then."""
    log.warning(
        "data collection dropped %d of %d rows: %d as memory was full, %d as the spool was, %d too large",
        counts.dropped,
        counts.accepted,
        counts.queue,
        counts.spool,
        counts.refused,
    )


def main(arguments: List[str]) -> int:
    """Serve the entry script that the environment names until SIGTERM; return the exit code."""
    faulthandler.enable()
    mark_output()
    configure("INFO")
    # Lines appear when they are printed, whatever they hold.
    cast("io.TextIOWrapper[io.BufferedWriter]", sys.stdout).reconfigure(
        line_buffering=True, errors="backslashreplace"
    )
    try:
        config = from_environment(os.environ)
    except ConfigError as problem:
        log.critical("%s", problem)
        return 3
    configure(config.log_level)
    sys.argv = [str(config.script), *arguments]
    collection.begin(config.collect, _report)  # before any fork: all processes collect
    template, control = 0, None
    if config.worker_count > 1:
        control, its = socket.socketpair()
        template = os.fork()  # before there are threads, connections, and anything of the script's
        if not template:
            control.close()
            return serve(config, its, _begin)
        its.close()
    try:
        listener = _listen(config.host, config.port)
    except OSError as problem:
        log.critical("cannot listen on POD_IP:PORT = %s:%d: %s", config.host, config.port, problem)
        return 1
    log.info("listening on http://%s:%d", *listener.getsockname()[:2])
    try:
        telemetry = observe(config)
    except ConfigError as problem:
        log.critical("%s", problem)
        return 3
    if telemetry is not None:
        _at_end.append(telemetry.stop)
    server = Server(config, listener, telemetry)
    server.start()
    if control is not None:
        workers = server.fork(template, control)
    else:
        contract, swagger, loop = _begin(config)
        if telemetry is not None:
            telemetry.listen()
        limits = limits_of(config)
        workers = Tasks(contract, limits, loop) if contract.asynchronous else Threads(contract, limits)
        server.open(workers, Ready(swagger, contract.raw, collection.automatic()))
    workers.serve()
    return 0


def _begin(config: Config) -> Begun:
    """Begin, or say why that is impossible and end this process."""
    try:
        return begin(config)
    except ScriptError as problem:
        log.critical("%s", problem)
    except BaseException as problem:
        log.critical("the entry script failed before it could serve\n%s", user_traceback(problem))
    return leave(3)


def _listen(host: str, port: int) -> socket.socket:
    """Bind, on IPv4 or IPv6.

    The protocol is named because asyncio switches Nagle's algorithm off only where it is: with it on, each
    response (two writes) would wait for the client's delayed acknowledgement, some 40 ms.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return _closed_first(listener)


def _closed_first(listener: socket.socket) -> socket.socket:
    """Give the listener a number above those of connections.

    Of a process that is killed, Linux closes the highest first. Were a connection closed before the listener,
    the router could send the next request into the gap, and lose it.
    """
    try:
        number = fcntl.fcntl(listener, fcntl.F_DUPFD_CLOEXEC, LISTENER_FROM)
    except (OSError, AttributeError):  # fewer files are allowed here; or PyPy, which lacks the command
        return listener
    listener.close()
    return socket.socket(fileno=number)


def _new_loop() -> asyncio.AbstractEventLoop:
    """Use uvloop if the user's environment has it, for this loop alone and not as the process's policy."""
    return (import_module("uvloop") if find_spec("uvloop") else asyncio).new_event_loop()


def _forget_signals() -> None:
    """In a forked child: a SIGTERM to it, as `multiprocessing` sends, must not drain its parent."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def leave(code: int) -> NoReturn:
    """End the process at once, from any thread.

    Only the main thread flushes what was printed: another would wait while that one is stuck in `print`.
    """
    for work in _at_end:
        work()
    if threading.current_thread() is threading.main_thread():
        with suppress(OSError, ValueError):
            sys.stdout.flush()
    os._exit(code)
