"""The HAProxy process and its command sockets: the only module that knows either.

HAProxy runs in master-worker mode, with this process as its parent. All paths are relative to the working
directory, because names of unix sockets are limited to about 100 characters. Files are checked before the
process gets to see them, and every reply is compared with the one that its command must get.
"""

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process, create_subprocess_exec
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from slipway.router.config import CONFIG, CONTROL_SOCKET, MASTER_SOCKET, UPLOAD_BUFFER, WORKER_SOCKET
from slipway.router.load import Row, rows
from slipway.router.plan import Command

START_SECONDS = 10.0
REPLY_SECONDS = 10.0
WORKER_SECONDS = 2.0
"""For a reply through the master, which waits for a worker even when it is gone."""
DRAFTS = "drafts"
"""The folder of files that HAProxy is asked about."""
ROUTING_SECONDS = 2.0
"""The most that is waited for a request that measures."""
STATISTICS = "show stat -1 6 -1"
"""Of each backend and server."""
Refusals = Mapping[tuple[str, str], int]
PR_SET_PDEATHSIG = 1
TUNABLES = f"glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold={UPLOAD_BUFFER}"
"""What many services take lies in huge pages, where the system has them for who asks (`madvise`): with small
ones a virtual machine looks up addresses for a good part of its time. Not so buffers, of which most is not
touched: they are above the threshold, each in a mapping of its own.
"""


class HAProxyError(Exception):
    """HAProxy is not there, or did not do what it was told."""


class NoReply(HAProxyError):
    """HAProxy did not say whether it did what it was told: it may have."""


class HAProxy:
    """One HAProxy in the working directory."""

    def __init__(self, binary: str) -> None:
        self._binary = binary
        self._process: Process | None = None
        self._lines: deque[str] = deque(maxlen=20)
        self._listening: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the master while it runs."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process and running else None

    async def install(self, files: Mapping[str, str], *, check: bool) -> None:
        """Write the files that HAProxy reads; with `check`, only if it accepts their configuration."""
        if check:
            await self._check(files)
        for name, text in files.items():
            _write(name, text)

    async def start(self) -> None:
        """Start the process and wait until its worker and then its master take commands."""
        for name in (MASTER_SOCKET, WORKER_SOCKET, CONTROL_SOCKET):
            _remove(name)
        arguments = ("-W", "-S", f"unix@{MASTER_SOCKET},mode,600", "-f", CONFIG)
        self._lines.clear()
        self._process = await create_subprocess_exec(
            self._binary,
            *arguments,
            stdin=DEVNULL,
            stderr=PIPE,
            env={"GLIBC_TUNABLES": TUNABLES, **os.environ},
            preexec_fn=_die_with_parent,
        )
        self._listening = asyncio.create_task(self._listen(self._process), name="HAProxy's stderr")
        ended = asyncio.create_task(self._process.wait())
        try:
            async with asyncio.timeout(START_SECONDS):
                while not ended.done():
                    with contextlib.suppress(HAProxyError):
                        await self.ask("show version")
                        await _ask(MASTER_SOCKET, "show proc")
                        return
                    await asyncio.wait([ended], timeout=0.01)
        except TimeoutError:
            await self.kill()
            raise HAProxyError("HAProxy takes no commands") from None
        finally:
            ended.cancel()
        await self._listening
        raise HAProxyError(f"HAProxy does not start: {self.last_words}")

    @property
    def last_words(self) -> str:
        """How HAProxy ended, if it did, and what it said last about what is wrong."""
        code = self._process.returncode if self._process is not None else None
        how = "" if code is None else f"exit {code}; " if code >= 0 else f"{signal.Signals(-code).name}; "
        return how + _alerts("".join(self._lines))

    async def ended(self) -> int:
        """Wait for the end of the process and return its status."""
        if self._process is None:
            raise HAProxyError("HAProxy was never started")
        return await self._process.wait()

    async def reload(self) -> None:
        """Let a new worker take over with the installed files; the old one finishes what it has."""
        reply = await _ask(MASTER_SOCKET, "reload")
        if not reply.strip():
            raise NoReply("`reload` got no reply: it ended")
        if not reply.startswith("Success=1"):
            raise HAProxyError(f"HAProxy does not reload: {' '.join(reply.split())}")

    async def tell(self, command: Command) -> None:
        """Send a command, or raise if its reply is not the expected one; `NoReply` if it is not all of it."""
        reply = await self.ask(f"{command.text} <<\n{command.payload}" if command.payload else command.text)
        if reply == command.reply:
            return
        words = " ".join(command.text.split(" ", 3)[:3])  # what follows may be a key's hash
        if command.reply.startswith(reply):
            raise NoReply(f"`{words}` got no whole reply: it ended")
        raise HAProxyError(f"`{words}`: {' '.join(reply.split())}")

    async def ask(self, text: str) -> str:
        """Send a command to the worker and return its reply."""
        return (await _ask(WORKER_SOCKET, text)).strip()

    async def statistics(self) -> list[Row]:
        """Give a row for each backend and server of the current worker."""
        return rows(await self.ask(STATISTICS))

    async def all_statistics(self) -> list[Row]:
        """Give the rows of all workers, also of those that only finish what they have."""
        return [row for found in (await self.workers()).values() for row in found]

    async def clients(self) -> int:
        """Count the clients' connections to all workers, also those on which nothing is asked."""
        told = (await self._ask_each("show stat -1 1 -1")).values()
        return sum(int(row["scur"]) for (said,) in told for row in rows(said) if row["pxname"] == "_router")

    async def workers(self) -> dict[str, list[Row]]:
        """Give the rows by worker process, the current one first; none for an old one that is silent."""
        return {pid: rows(said[0]) for pid, said in (await self._ask_each(STATISTICS)).items()}

    async def counts(self) -> tuple[dict[str, list[Row]], dict[str, Refusals]]:
        """Give the same, and what each refused, by service (empty: by none) and reason."""
        found = dict[str, list[Row]](), dict[str, Refusals]()
        for pid, (statistics, refused) in (await self._ask_each(STATISTICS, "show refusals")).items():
            # Of a worker that ended in between, the master says so instead.
            lines = (line.split() for line in refused.splitlines() if line.count(" ") == 2)
            found[0][pid] = rows(statistics)
            found[1][pid] = {(name.strip("_"), reason): int(count) for name, reason, count in lines}
        return found

    async def _pids(self) -> list[str]:
        """Name the workers, the current one first."""
        shown = await _ask(MASTER_SOCKET, "show proc")
        return [line.split()[0] for line in shown.splitlines() if line.split()[1:2] == ["worker"]]

    async def _ask_each(self, *commands: str) -> dict[str, list[str]]:
        """Give each worker's replies, the current one's first; empty texts for an old one that gives none."""
        found = {pid: [""] * len(commands) for pid in await self._pids()}
        for number, pid in enumerate(found):
            with contextlib.suppress(HAProxyError) if number else contextlib.nullcontext():
                found[pid] = [await _ask(MASTER_SOCKET, f"@!{pid} {one}", WORKER_SECONDS) for one in commands]
        return found

    async def cores(self) -> float:
        """Say of how many cores the worker's threads made use in the last second."""
        activity = await self.ask("show activity")
        # A share of a thread's time, by thread where there are several: `avg_cpu_pct: 35 [ 20 50 ]`.
        (said,) = (line for line in activity.splitlines() if line.startswith("avg_cpu_pct: "))
        _, middle, *threads = said.replace("[", "").replace("]", "").split()
        return sum(map(int, threads or [middle])) / 100

    async def routing_seconds(self) -> float:
        """Measure what a request takes that HAProxy answers itself; at most some seconds."""
        began = time.perf_counter()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ROUTING_SECONDS):
                await _ask(CONTROL_SOCKET, "GET /ping HTTP/1.0\r\n\r")
        return time.perf_counter() - began

    async def metrics(self, path: str) -> str:
        """Fetch a page of metrics from the worker."""
        reply = await _ask(CONTROL_SOCKET, f"GET {path} HTTP/1.0\r\nhost: control\r\n\r")
        head, _, body = reply.partition("\r\n\r\n")
        return _unchunked(body) if "\r\ntransfer-encoding: chunked" in head else body

    async def finish(self) -> None:
        """Take no more connections; the process ends when its last request is answered."""
        with contextlib.suppress(HAProxyError):
            for pid in await self._pids():  # an old worker would hand to a new one what it still gets
                held = f"experimental-mode on; @!{pid} set var proc.held bool(true)"
                with contextlib.suppress(HAProxyError):
                    await _ask(MASTER_SOCKET, held, WORKER_SECONDS)
        self._signal(signal.SIGUSR1)

    async def kill(self) -> None:
        """End the process now, whatever it does."""
        self._signal(signal.SIGTERM)
        if self._process is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), 2)
            self._signal(signal.SIGKILL)
            await self._process.wait()
        if self._listening is not None:
            await self._listening

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _check(self, files: Mapping[str, str]) -> None:
        """Let HAProxy look at files in a folder of their own: those that run must not change before."""
        _remove_drafts()
        try:
            _draft(files)
            process = await create_subprocess_exec(
                self._binary, "-c", "-f", CONFIG, cwd=DRAFTS, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
            )
            said, _ = await process.communicate()
        finally:
            _remove_drafts()
        if process.returncode:
            raise HAProxyError(f"HAProxy refuses the configuration: {_alerts(said.decode(errors='replace'))}")

    async def _listen(self, process: Process) -> None:
        """Keep the end of what HAProxy says on stderr, for errors; once it runs, it logs on stdout."""
        assert process.stderr is not None
        async for line in process.stderr:
            self._lines.append(line.decode(errors="replace"))


def _alerts(said: str) -> str:
    """Give the first few lines that say what is wrong, without HAProxy's decoration."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("[NOTICE]", "[WARNING]"))]
    alerts = [line.partition(" : ")[2] or line for line in lines if line.startswith("[ALERT]")]
    return "; ".join((alerts or lines)[:3]) or "it said nothing"


def _unchunked(body: str) -> str:
    """Join the chunks of an ASCII text, which HAProxy sends by HTTP/1.0 too. Raises HAProxyError."""
    found, at = list[str](), 0
    try:
        while True:
            end = body.index("\r\n", at)
            size = int(body[at:end], 16)
            if not size:
                return "".join(found)
            at = end + 2 + size + 2
            found.append(body[end + 2 : at - 2])
    except ValueError:
        raise HAProxyError("the metrics end before their end") from None


async def _ask(path: str, text: str, seconds: float = REPLY_SECONDS) -> str:
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_unix_connection(path, limit=2**20)
            try:
                writer.write(text.encode() + b"\n")
                writer.write_eof()  # without it the master waits for more
                return (await reader.read()).decode(errors="replace")
            finally:
                writer.close()
                await writer.wait_closed()
    except (OSError, TimeoutError) as error:
        raise NoReply(f"`{text.split(' ', 1)[0]}` got no reply: {error or 'time is up'}") from error


def _write(name: str, text: str) -> None:
    """Replace a file at once, readable by its owner only."""
    fresh = Path(f"{name}.new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(name)


def _draft(files: Mapping[str, str]) -> None:
    Path(DRAFTS).mkdir(mode=0o700)
    for name, text in files.items():
        _write(f"{DRAFTS}/{name}", text)


def _remove_drafts() -> None:
    shutil.rmtree(DRAFTS, ignore_errors=True)


def _remove(name: str) -> None:
    Path(name).unlink(missing_ok=True)


def _die_with_parent() -> None:
    """Leave no HAProxy behind when this process is killed (Linux; its worker ends with the master)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
