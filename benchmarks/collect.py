"""What data collection costs a request: the same scoring server with and without it, on the echo model.

Clients send at a fixed rate, so that both servers have the same work; latency counts from the moment at which
a request was due, or from when it was sent where nothing but the client's own clock held it up. A pair is two
servers, of which one waits while the other has a second of load, in turns: what else the machine does then
meets both. Server and clients have a core each. Every request is collected, which the spool must show. CPU is
the server's own; what the uploader does with the spool is on another container's account.
"""

import asyncio
import gc
import os
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import cores, cpu_seconds, running, wait_for
from benchmarks.report import Figure, arguments, finish
from slipway.collect.frames import decode

ROOT = Path(__file__).parents[1]
RATE = 400
"""Requests a second: about a third of what one worker of the echo model does here."""
BODY = b'{"data": [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]]}'
CONNECTIONS = 8
TURN = 1.0
"""Seconds of load before it is the other server's turn."""


@dataclass(frozen=True)
class Server:
    """A scoring server that is ready."""

    pid: int
    port: int
    spool: Path

    def rows(self) -> int:
        """Count what it has collected: two rows a request."""
        files = [path for path in self.spool.glob("*/*.*") if path.suffix in {".spool", ".open"}]
        return sum(entry.rows for path in files for entry in decode(path.read_bytes()))


@contextmanager
def server(folder: Path, core: list[int], *, collects: bool) -> Generator[Server]:
    """Run a scoring server on a core."""
    folder.mkdir()
    log, spool = folder / "log", folder / "spool"
    environment = {
        "PATH": os.defpath,
        "PYTHONPATH": str(ROOT),
        "POD_IP": "127.0.0.1",
        "PORT": "0",
        "AML_APP_ROOT": str(ROOT / "examples" / "echo"),
        "AZUREML_ENTRY_SCRIPT": "score.py",
        "REPLICA_MAX_CONCURRENT_REQUESTS": "1",
    }
    if collects:
        environment |= {"AML_MODEL_DC_STORAGE_ENABLED": "true", "MODEL_DATA_SPOOL": str(spool)}
    command = [sys.executable, "-m", "slipway.scoring"]
    with (
        log.open("wb") as output,
        running(command, core, environment=environment, stdout=output, stderr=output) as process,
    ):
        wait_for(lambda: "ready:" in log.read_text(), "the scoring server")
        line = next(line for line in log.read_text().splitlines() if "listening on" in line)
        yield Server(process.pid, int(line.rpartition(":")[2]), spool)


async def load(port: int, seconds: float) -> list[float]:
    """Send at the rate and give each request's milliseconds."""
    head = f"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
    begin, found = time.perf_counter() + 0.05, list[float]()

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for count in range(int(seconds * RATE / CONNECTIONS)):
            due = begin + (count * CONNECTIONS + number) / RATE
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
                due = time.perf_counter()  # a timer is late by up to a millisecond
            writer.write(head + BODY)
            top = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in top.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
            found.append((time.perf_counter() - due) * 1000)
            assert top.startswith(b"HTTP/1.1 200"), top
        writer.close()

    await asyncio.gather(*(client(number) for number in range(CONNECTIONS)))
    return found


@dataclass(frozen=True)
class Cost:
    """What requests of one server cost: milliseconds for the client, and microseconds of CPU each."""

    p50: float
    p99: float
    cpu: float


def pair(seconds: float, folder: Path, core: list[int]) -> dict[bool, Cost]:
    """Measure a server that collects (True) and one that does not."""
    found: dict[bool, list[float]] = {False: [], True: []}
    with (
        server(folder / "off", core, collects=False) as off,
        server(folder / "on", core, collects=True) as on,
    ):
        servers = {False: off, True: on}
        for one in servers.values():
            asyncio.run(load(one.port, TURN))  # warm
        before = {collects: cpu_seconds([one.pid]) for collects, one in servers.items()}
        for turn in range(round(seconds / TURN)):
            for collects in sorted(servers, reverse=turn % 2 == 1):  # none is always the first
                gc.collect()
                found[collects] += asyncio.run(load(servers[collects].port, TURN))
        asked = len(found[True]) + int(TURN * RATE)
        wait_for(lambda: on.rows() == 2 * asked, f"{2 * asked} rows in the spool")
        used = {collects: cpu_seconds([one.pid]) - before[collects] for collects, one in servers.items()}
    return {collects: cost(sorted(times), used[collects]) for collects, times in found.items()}


def cost(times: list[float], cpu: float) -> Cost:
    """Sum up the sorted times of requests, and the seconds of CPU for them all."""
    return Cost(times[len(times) // 2], times[int(len(times) * 0.99)], cpu / len(times) * 1e6)


def main() -> int:
    """Measure, print, check."""
    options = arguments(__doc__, pairs=9, seconds=12.0).parse_args()
    core, _, clients = cores()
    os.sched_setaffinity(0, clients)
    gc.disable()
    off: list[Cost] = []
    on: list[Cost] = []
    for number in range(options.pairs):
        with tempfile.TemporaryDirectory() as folder:
            found = pair(options.seconds, Path(folder), core)
        off.append(found[False])
        on.append(found[True])
        print(
            f"pair {number + 1} of {options.pairs}: p99 {off[-1].p99:.2f} and {on[-1].p99:.2f} ms "
            "without and with",
            file=sys.stderr,
        )
    both = list(zip(off, on, strict=True))
    figures = [
        Figure("p50 without", tuple(one.p50 for one in off), "ms"),
        Figure("p50 with", tuple(one.p50 for one in on), "ms"),
        Figure("p99 without", tuple(one.p99 for one in off), "ms"),
        Figure("p99 with", tuple(one.p99 for one in on), "ms"),
        Figure("CPU a request without", tuple(one.cpu for one in off), "us"),
        Figure("CPU a request with", tuple(one.cpu for one in on), "us"),
        Figure("p50 with / without", tuple(b.p50 / a.p50 for a, b in both)),
        Figure("p99 with / without", tuple(b.p99 / a.p99 for a, b in both), at_most=1.05),
    ]
    return finish("Data collection, every request", figures, options)


if __name__ == "__main__":
    sys.exit(main())
