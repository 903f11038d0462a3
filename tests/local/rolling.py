"""A rolling restart as Kubernetes does it, behind the real router, under load that waits for nothing."""

import asyncio
import random
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.local.router_parts import KEY, RouterProcess, running
from tests.local.scoring_process import ECHO, Replica, replica

RATE = 40.0
"""Requests a second: four fifths of what one replica can do."""
SERVICE_TIME = 0.02
LATEST = 1.5
"""Seconds after SIGTERM at which the endpoint goes, at the latest; the router may have asked before."""


@dataclass
class Rolled:
    """What the clients saw: seconds by request, and what went wrong, each in a line."""

    seconds: list[float] = field(default_factory=list[float])
    failures: list[str] = field(default_factory=list[str])


async def roll(root: Path, restarts: int, replicas: int = 2) -> Rolled:
    """Replace one replica after the other, each new one first, and count what fails meanwhile.

    A client sends each request once, on a connection of its own. In what order the router hears of the new
    replica, of the old one's unreadiness and of its end is left to chance, as in a cluster.
    """
    rolled = Rolled()
    with ExitStack() as stack:
        started = 0

        def start() -> Replica:
            nonlocal started
            folder = root / f"replica-{started}"
            folder.mkdir()
            started += 1
            return stack.enter_context(replica(folder, ECHO))

        live = [await asyncio.to_thread(start) for _ in range(replicas)]
        async with running(root) as router:
            router.deploy("echo", *live, max_request_wait_time=5_000)
            router.start()
            await router.up("echo", replicas)
            ended = asyncio.Event()
            load = asyncio.create_task(_load(router, rolled, ended))
            for _ in range(restarts):
                new = await asyncio.to_thread(start)
                old = live.pop(0)
                router.scale("echo", old, *live, new)
                old.terminate()
                await asyncio.sleep(random.uniform(0, LATEST))
                live.append(new)
                router.scale("echo", *live)
                code = await asyncio.to_thread(old.exit_code)
                if code:
                    rolled.failures.append(f"a replica exited with {code}\n{old.log()}")
            ended.set()
            await load
    return rolled


async def _load(router: RouterProcess, rolled: Rolled, ended: asyncio.Event) -> None:
    """Send at a fixed rate, whatever comes back."""
    sending: set[asyncio.Task[None]] = set()
    began, number = time.monotonic(), 0
    while not ended.is_set():
        task = asyncio.create_task(_send(router.port, rolled))
        sending.add(task)
        task.add_done_callback(sending.discard)
        number += 1
        await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))
    await asyncio.gather(*sending)


async def _send(port: int, rolled: Rolled) -> None:
    began = time.monotonic()
    body = b'{"seconds": %g}' % SERVICE_TIME
    head = (
        f"POST /api/v1/service/echo/score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head.encode() + body)
        answer = await asyncio.wait_for(reader.read(), 30)
        writer.close()
    except OSError as problem:
        answer = str(problem).encode()
    if not answer.startswith(b"HTTP/1.1 200 ") or not answer.endswith(b'"padding": ""}'):
        rolled.failures.append(repr(answer))
    rolled.seconds.append(time.monotonic() - began)
