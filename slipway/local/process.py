"""Child processes of the supervisor: their start, their output into a bounded log, their end.

Each leads a process group that is killed once it has ended, as a container's processes end with its first.
None outlives the supervisor: the watchdog kills the groups of one that was killed, and on Linux the kernel
kills its direct children at once. No threads: SIGCHLD tells of ends, and a fork stays safe.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable

from slipway.local import watchdog
from slipway.local.container import Process
from slipway.local.logs import Log
from slipway.local.state import started

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded before any fork


class Child:
    """A running process; `exited` gives its exit code, negative for a signal."""

    def __init__(self, process: Process, log: Log) -> None:
        loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[int] = loop.create_future()
        self._log = log
        log.tail = b""
        self._output, write_end = os.pipe()
        os.set_blocking(self._output, False)
        try:
            self._popen = subprocess.Popen(
                process.argv,
                stdin=subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                cwd=process.working_directory,
                env=dict(process.env),
                start_new_session=True,
                preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509 - this process has one thread
            )
        except OSError:
            os.close(self._output)
            raise
        finally:
            os.close(write_end)
        self.pid = self._popen.pid
        loop.add_reader(self._output, self._read)

    def poll(self) -> bool:
        """Notice its end, if it has come: kill the rest of its group, read the rest of its output."""
        code = self._popen.poll()
        if code is None or self.exited.done():
            return False
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        for _ in range(64):  # a pipe holds less; whoever still writes to it has left the group
            if not self._read():
                break
        self._close()
        self.exited.set_result(code)
        return True

    async def stop(self, grace: float) -> None:
        """Ask it to end, and after `grace` seconds kill it and its group."""
        if not self.exited.done():
            os.kill(self.pid, signal.SIGTERM)
        done, _ = await asyncio.wait({self.exited}, timeout=grace)
        if not done:
            self.kill()
            await self.exited

    def kill(self) -> None:
        """Kill its group, unless it has ended."""
        if not self.exited.done():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def _read(self) -> bool:
        if self._output < 0:
            return False
        try:
            data = os.read(self._output, 65536)
        except BlockingIOError:
            return False
        if data:
            self._log.write(data)
        else:
            self._close()
        return bool(data)

    def _close(self) -> None:
        if self._output >= 0:
            asyncio.get_running_loop().remove_reader(self._output)
            os.close(self._output)
            self._output = -1


class Children:
    """All children; tells `changed` which process groups there are whenever that changes."""

    def __init__(self, changed: Callable[[dict[int, str]], None]) -> None:
        self._children: dict[int, Child] = {}
        self._started: dict[int, str] = {}
        self._changed = changed
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)

    def start(self, process: Process, log: Log) -> Child:
        """Start a process. Raises OSError if it cannot be."""
        child = Child(process, log)
        self._children[child.pid] = child
        self._started[child.pid] = started(child.pid) or ""
        self._changed(self._started)
        return child

    def _reap(self) -> None:
        ended = [pid for pid, child in self._children.items() if child.poll()]
        for pid in ended:
            del self._children[pid], self._started[pid]
        if ended:
            self._changed(self._started)


class Watchdog:
    """The process that kills our groups should we be killed; started anew if it is gone itself."""

    def __init__(self) -> None:
        self._popen = self._start()

    def guard(self, groups: list[int]) -> None:
        """Name all the groups that are to go with us."""
        if self._popen.poll() is not None:
            self.close()
            self._popen = self._start()
        assert self._popen.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._popen.stdin.write(" ".join(map(str, groups)).encode() + b"\n")
            self._popen.stdin.flush()

    def close(self) -> None:
        """Let it end."""
        assert self._popen.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._popen.stdin.close()
        self._popen.wait()

    @staticmethod
    def _start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", watchdog.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )


def _die_with(parent: int) -> Callable[[], None] | None:
    """Give what a child does before it becomes its program: have the kernel kill it with its parent."""
    libc = _libc
    if libc is None:
        return None

    def before() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return before
