"""An open-loop client: it sends when it is time, whatever the answers, as independent users do."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import count, cycle

import httpx

from slipway.versions import MODEL_DEPLOYMENT

PATIENCE = 15.0
"""Seconds that an answer may take."""


@dataclass(frozen=True, order=True)
class Answer:
    """What came of a request."""

    sent: float
    """when"""
    seconds: float
    """how long it took"""
    said: str
    """`ok`, the reason of a refusal, or what became of the connection"""
    version: str = ""
    """of the web service, where it has some"""


@dataclass
class Answers:
    """What came of the requests so far."""

    all: list[Answer] = field(default_factory=list[Answer])

    @property
    def bad(self) -> list[Answer]:
        return [one for one in self.all if one.said != "ok"]

    def failed(self) -> dict[str, int]:
        """Count those that were not answered as they should be, by reason."""
        return dict(Counter(one.said for one in self.bad))

    def failed_until(self) -> float | None:
        """Give the time at which the last request that failed was sent; None where none did."""
        return max((one.sent for one in self.bad), default=None)

    def wait(self, count: int) -> None:
        """Wait until so many more were answered as they should be."""
        end, since = time.monotonic() + 4 * PATIENCE, len(self.all)
        while sum(one.said == "ok" for one in self.all[since:]) < count:
            assert time.monotonic() < end, self.failed()
            time.sleep(0.05)


@contextmanager
def load(
    urls: Sequence[str], headers: Mapping[str, str], rate: float, kept: int = 0, seconds: float = 0.02
) -> Generator[Answers]:
    """Send requests within the context, `rate` a second, to one address after the other.

    Each goes on a connection of its own, or on one of so many that are `kept`, and takes so many `seconds`
    in a replica. All are answered, or have failed, when it ends.
    """
    answers, ends = Answers(), threading.Event()
    times = (sent / rate for sent in count())
    sending = _send(urls, headers, times, seconds, answers, ends, kept)
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
    asyncio.run(_send([url], {}, times, seconds, answers, threading.Event()))
    return answers


async def _send(
    urls: Sequence[str],
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
        for at, client, url in zip(times, cycle(clients), cycle(urls), strict=False):
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
        said, version = type(error).__name__, ""
    else:
        said = "ok" if response.status_code == HTTPStatus.OK else _reason(response)
        version = response.headers.get(MODEL_DEPLOYMENT, "")
    answers.all.append(Answer(sent, time.monotonic() - sent, said, version))


def _reason(response: httpx.Response) -> str:
    try:
        return str(response.json()["reason"])
    except (ValueError, KeyError, TypeError):
        return str(response.status_code)
