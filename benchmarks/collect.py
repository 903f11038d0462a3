"""What data collection costs a request: the same scoring server with and without it, on the echo model.

Clients send at a fixed rate, open loop, so that both servers have the same work; latency counts from the
moment at which a request was due. Every request is collected.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.report import Figure, arguments, finish

ROOT = Path(__file__).parents[1]
RATE = 400
"""Requests a second: about a third of what one worker of the echo model does here."""
BODY = b'{"data": [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]]}'
CONNECTIONS = 8


@contextmanager
def server(folder: Path, *, collects: bool) -> Generator[int]:
    """Run a scoring server, ready, and give its port."""
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
        environment |= {"AML_MODEL_DC_STORAGE_ENABLED": "true", "MODEL_DATA_SPOOL": str(folder / "spool")}
    command = [sys.executable, "-m", "slipway.scoring"]
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as process:
        assert process.stderr is not None
        try:
            port = 0
            for line in process.stderr:
                if b"listening on" in line:
                    port = int(line.rsplit(b":", 1)[1])
                if b"ready:" in line:
                    break
            yield port
        finally:
            process.kill()


async def load(port: int, seconds: float) -> list[float]:
    """Send at the rate and give each request's milliseconds, from when it was due."""
    head = f"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
    begin, found = time.perf_counter() + 0.2, list[float]()

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for count in range(int(seconds * RATE / CONNECTIONS)):
            due = begin + (count * CONNECTIONS + number) / RATE
            await asyncio.sleep(due - time.perf_counter())
            writer.write(head + BODY)
            top = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in top.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
            assert top.startswith(b"HTTP/1.1 200"), top
            found.append((time.perf_counter() - due) * 1000)
        writer.close()

    await asyncio.gather(*(client(number) for number in range(CONNECTIONS)))
    return sorted(found)


def measure(seconds: float, *, collects: bool) -> tuple[float, float]:
    """Give p50 and p99 of one run, in milliseconds."""
    with tempfile.TemporaryDirectory() as folder, server(Path(folder), collects=collects) as port:
        asyncio.run(load(port, 1.0))  # warm
        found = asyncio.run(load(port, seconds))
    return found[len(found) // 2], found[int(len(found) * 0.99)]


def main() -> int:
    """Measure, print, check."""
    options = arguments(__doc__, pairs=9, seconds=10.0).parse_args()
    off: list[tuple[float, float]] = []
    on: list[tuple[float, float]] = []
    for _ in range(options.pairs):
        off.append(measure(options.seconds, collects=False))
        on.append(measure(options.seconds, collects=True))
    figures = [
        Figure("p50 without", tuple(p50 for p50, _ in off), "ms"),
        Figure("p50 with", tuple(p50 for p50, _ in on), "ms"),
        Figure("p99 without", tuple(p99 for _, p99 in off), "ms"),
        Figure("p99 with", tuple(p99 for _, p99 in on), "ms"),
        Figure("p50 with / without", tuple(b / a for (a, _), (b, _) in zip(off, on, strict=True))),
        Figure(
            "p99 with / without", tuple(b / a for (_, a), (_, b) in zip(off, on, strict=True)), at_most=1.05
        ),
    ]
    return finish("Data collection, every request", figures, options)


if __name__ == "__main__":
    sys.exit(main())
