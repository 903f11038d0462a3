"""HAProxy's threads come and go, and no request notices but by its time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from tests.local.router_parts import client, replicas, scenario
from tests.local.test_router_control import Running, objects, running

CONNECTIONS = 40
LEAST_SHARE = 0.3


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


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads' times are read from /proc")
@scenario
async def test_two_threads_share_the_work(tmp_path: Path) -> None:
    async with replicas(8) as found, running(tmp_path) as one, client() as http:
        one.feed.queue.put_nowait(objects(echo=[replica.port for replica in found]))
        await one.until_servers("echo", *(replica.port for replica in found))
        await with_threads(one, 2)
        uri = f"http://127.0.0.1:{one.port}/api/v1/service/echo/score"
        worker = next(iter(await one.haproxy.workers()))
        before = seconds(worker)

        async def send() -> Sequence[int]:
            return [(await http.post(uri, json={})).status_code for _ in range(50)]

        answered = await asyncio.gather(*(send() for _ in range(CONNECTIONS)))
        assert {status for some in answered for status in some} == {200}
        used = [now - then for then, now in zip(before, seconds(worker), strict=True)]
        assert len(used) == 2
        assert min(used) >= LEAST_SHARE * sum(used), used


def seconds(pid: str) -> list[float]:
    """Give the time on a processor of each thread of a process."""
    tasks = sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda one: int(one.name))
    return [int((task / "schedstat").read_text().split()[0]) / 1e9 for task in tasks]
