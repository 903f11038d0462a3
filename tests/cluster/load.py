"""An open-loop client: it sends when it is time, whatever the answers, as independent users do."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterable, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import count, cycle

import httpx

PATIENCE = 15.0
"""Seconds that an answer may take."""


@dataclass
class Answers:
    """What came of the requests so far, each with the time at which it was sent."""

    all: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    """`ok`, the reason of a refusal, or what became of the connection"""

    def failed(self) -> dict[str, int]:
        """Count those that were not answered as they should be, by reason."""
        return dict(Counter(said for _, said in self.all if said != "ok"))

    def failed_until(self) -> float | None:
        """Give the time at which the last request that failed was sent; None where none did."""
        return max((sent for sent, said in self.all if said != "ok"), default=None)

    def wait(self, count: int) -> None:
        """Wait until so many more were answered as they should be."""
        end, since = time.monotonic() + 4 * PATIENCE, len(self.all)
        while sum(said == "ok" for _, said in self.all[since:]) < count:
            assert time.monotonic() < end, self.failed()
            time.sleep(0.05)


@contextmanager
def load(url: str, headers: Mapping[str, str], rate: float, kept: int = 0) -> Generator[Answers]:
    """Send requests within the context, `rate` a second, each on a connection of its own.

    Or on so many that are `kept`, one after the other. All are answered, or have failed, when it ends.
    """
    answers, ends = Answers(), threading.Event()
    times = (sent / rate for sent in count())
    sending = _send(url, headers, times, 0.02, answers, ends, kept)
    worker = threading.Thread(target=lambda: asyncio.run(sending))
    worker.start()
    try:
        yield answers
    finally:
        ends.set()
        worker.join()


def play(url: str, times: Iterable[float], seconds: float) -> Answers:
    """Send a request at each of these times, in seconds from now, that takes so many in a replica."""
    answers = Answers()
    asyncio.run(_send(url, {}, times, seconds, answers, threading.Event()))
    return answers


async def _send(
    url: str,
    headers: Mapping[str, str],
    times: Iterable[float],
    seconds: float,
    answers: Answers,
    ends: threading.Event,
    kept: int = 0,
) -> None:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=1 if kept else 0)
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                httpx.AsyncClient(trust_env=False, timeout=PATIENCE, limits=limits)
            )
            for _ in range(kept or 1)
        ]
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        begin = time.monotonic()
        for at, client in zip(times, cycle(clients), strict=False):
            await asyncio.sleep(max(0, begin + at - time.monotonic()))
            if ends.is_set():
                break
            tasks.create_task(_one(client, url, headers, seconds, answers))


async def _one(
    client: httpx.AsyncClient, url: str, headers: Mapping[str, str], seconds: float, answers: Answers
) -> None:
    sent = time.monotonic()
    try:
        response = await client.post(url, json={"seconds": seconds}, headers=headers)
    except httpx.TransportError as error:
        said = type(error).__name__
    else:
        said = "ok" if response.status_code == HTTPStatus.OK else _reason(response)
    answers.all.append((sent, said))


def _reason(response: httpx.Response) -> str:
    try:
        return str(response.json()["reason"])
    except (ValueError, KeyError, TypeError):
        return str(response.status_code)
