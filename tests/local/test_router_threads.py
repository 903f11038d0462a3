"""HAProxy's threads come and go, and no request notices but by its time."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.local.router_parts import HOLD, SECONDS, client, replicas, scenario, statuses, until
from tests.local.test_router_control import Running, objects, running

CONNECTIONS = 40
LEAST_SHARE = 0.3
THREAD = re.compile(r"frontend=_router .*?\btid=(\d+)", re.DOTALL)
"""The thread of a client's request, in what HAProxy says of what it does."""


@pytest.fixture(autouse=True)
def in_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


async def with_threads(one: Running, threads: int) -> None:
    """Let HAProxy have so many threads, and wait until it has."""
    reloads = one.router.reloads
    one.router.threads = threads
    await one.until_reloads(reloads + 1)
    assert f"\n  nbthread {threads}\n" in one.config()
    assert f"\nNbthread: {threads}\n" in await one.haproxy.ask("show info")


@scenario
async def test_no_request_is_lost_while_threads_come_and_go(tmp_path: Path) -> None:
    """Neither of those that follow each other on a connection, nor of those that take longer than a step."""
    ended = asyncio.Event()
    answers: Counter[int] = Counter()

    async def send(http: httpx.AsyncClient, uri: str, sleep: float) -> None:
        while not ended.is_set():
            answers[(await http.post(uri, json={"sleep": sleep})).status_code] += 1

    async with replicas(12) as found, running(tmp_path) as one, client() as http:
        one.feed.queue.put_nowait(objects(echo=[replica.port for replica in found]))
        await one.until_servers("echo", *(replica.port for replica in found))
        uri = f"http://127.0.0.1:{one.port}/api/v1/service/echo/score"
        async with asyncio.TaskGroup() as group:
            for sleep in (0.005, 0.005, 0.005, 0.005, 2.5, 2.5):
                group.create_task(send(http, uri, sleep))
            for threads in (2, 1, 2, 1):
                await asyncio.sleep(0.5)  # requests are under way
                await with_threads(one, threads)
            ended.set()
        assert set(answers) == {200}, answers


@scenario
async def test_two_threads_share_the_work(tmp_path: Path) -> None:
    async with replicas(CONNECTIONS) as found, running(tmp_path) as one, client() as http:
        one.feed.queue.put_nowait(objects(echo=[replica.port for replica in found]))
        await one.until_servers("echo", *(replica.port for replica in found))
        await with_threads(one, 2)
        uri = f"http://127.0.0.1:{one.port}/api/v1/service/echo/score"
        posts = [asyncio.create_task(http.post(uri, content=HOLD)) for _ in range(CONNECTIONS)]

        async def all_there() -> Counter[str] | None:
            found = Counter(THREAD.findall(await one.haproxy.ask("show sess all")))
            return found if found.total() == CONNECTIONS else None

        shares = await until(all_there, SECONDS, str)
        for replica in found:
            replica.release()
        assert set(statuses(await asyncio.gather(*posts))) == {200}
        assert len(shares) == 2
        assert min(shares.values()) >= LEAST_SHARE * CONNECTIONS, shares
