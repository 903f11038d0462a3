"""Many clients, idle ones and too many of them, and large bodies: what they cost the router in memory."""

import asyncio
import contextlib
import resource
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from slipway.router.config import LARGEST_BODY, UPLOAD_BUFFER, connections
from slipway.router.options import Options
from tests.local.http1 import PART, opened
from tests.local.router_parts import (
    MEGABYTE,
    SECONDS,
    Json,
    RouterProcess,
    assert_refusal,
    chunks,
    client,
    memory,
    replicas,
    running,
    scenario,
    statuses,
    until,
)


@pytest.fixture
def files() -> Generator[int]:
    """Let processes open as many files as they may."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    hard = before[1] if before[1] != resource.RLIM_INFINITY else Options.files
    for number in (max(hard, 2**16), hard):  # root may raise it
        with contextlib.suppress(ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (number, number))
            break
    yield resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextlib.asynccontextmanager
async def idle(router: RouterProcess, number: int) -> AsyncGenerator[None]:
    """Keep so many connections that have asked once; those that never ask are ended after ten seconds."""
    async with contextlib.AsyncExitStack() as stack:
        for begin in range(0, number, 100):
            few = await stack.enter_async_context(opened(router, min(100, number - begin)))
            assert set(statuses(await asyncio.gather(*(one.ask() for one in few)))) == {200}
        yield


async def closed_at_once(router: RouterProcess) -> bool:
    """Open a connection more, and tell whether the router ends it, unasked."""
    with contextlib.suppress(ConnectionResetError):
        async with opened(router, 1) as [one]:
            return await one.closed()
    return True


def test_when_ten_thousand_clients_are_idle_then_each_costs_little_and_one_more_is_served(
    tmp_path: Path, files: int
) -> None:
    most = connections(1, files, Options.memory_mib * MEGABYTE)[1]

    @scenario
    async def look() -> None:
        async with running(tmp_path) as router, replicas() as [replica]:
            await router.serve("echo", replica, max_request_wait_time=60_000)
            before = memory(router)
            async with idle(router, most - 100):
                assert (memory(router) - before) / (most - 100) < 4096
                async with opened(router, 1) as [another]:
                    assert (await another.ask()).status_code == 200

    look()


def test_when_too_many_clients_are_connected_then_a_further_one_is_told_why_and_none_hangs(
    tmp_path: Path, files: int
) -> None:
    memory_mib = 128  # few are soon there: who has asked nothing for ten seconds is sent away
    most = connections(1, files, memory_mib * MEGABYTE)[1]

    @scenario
    async def look() -> None:
        async with running(tmp_path, ROUTER_MEMORY=str(memory_mib)) as router, replicas() as [replica]:
            await router.serve("echo", replica)
            async with opened(router, most), opened(router, 1) as [another]:
                assert_refusal(await another.ask(), 503, "too_many_clients", service="echo", retry=True)
                assert await another.closed()
                async with opened(router, most // 10):
                    assert await closed_at_once(router)
            async with opened(router, 1) as [later]:
                assert (await later.ask()).status_code == 200

    look()


@scenario
async def test_when_bodies_of_100_mb_come_then_the_router_keeps_no_more_of_them_than_its_buffers(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as router, replicas(2) as both, client() as http:
        await router.serve("echo", *both)
        before, peak = memory(router), 0.0

        async def watch() -> None:
            nonlocal peak
            while True:
                peak = max(peak, memory(router))
                await asyncio.sleep(0.02)

        watching = asyncio.create_task(watch())
        answers = await asyncio.gather(
            *(http.post(router.uri("echo"), content=chunks(LARGEST_BODY)) for _ in both)
        )
        watching.cancel()
        seen: list[Json] = [answer.json() for answer in answers]
        assert [one["size"] for one in seen] == [LARGEST_BODY] * 2
        assert peak - before < 2 * 16 * UPLOAD_BUFFER  # of 200 MB


@scenario
async def test_when_small_bodies_come_after_their_headers_then_they_take_little_of_the_buffers(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        await router.serve("echo", replica, replica_max_concurrent_requests=20)
        before = memory(router)
        for _ in range(5):
            await asyncio.gather(*(http.post(router.uri("echo"), json={"sleep": 0.05}) for _ in range(20)))
        assert memory(router) - before < 5 * MEGABYTE


@scenario
async def test_when_clients_without_a_key_stop_within_their_bodies_then_the_router_keeps_none_of_these(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        await router.serve("echo", replica)
        before = memory(router)
        async with opened(router, 200) as many:
            await asyncio.gather(*(one.begin(*PART, key="wrong") for one in many))
            assert (await http.post(router.uri("echo"), json={})).status_code == 200
            assert memory(router) - before < 200 * MEGABYTE / 2


@scenario
async def test_when_larger_bodies_take_the_memory_for_them_then_a_further_one_is_told_so_and_small_ones_pass(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, ROUTER_MEMORY="64") as router, replicas() as [replica], client() as http:
        await router.serve("echo", replica)
        before = memory(router)
        async with opened(router, 60) as many:
            for one in many[:5]:
                await one.begin(*PART)
            assert (await http.post(router.uri("echo"), content=b"0" * MEGABYTE)).status_code == 200
            for one in many[5:]:
                await one.begin(*PART)
            assert (await http.post(router.uri("echo"), json={})).status_code == 200
            for content in (b"0" * 100_000, b"0" * 2_000_000, chunks(10_000)):
                full = await http.post(router.uri("echo"), content=content)
                assert_refusal(full, 503, "too_many_uploads", service="echo", retry=True)
            assert memory(router) - before < 60 * MEGABYTE

        async def served() -> bool | None:
            return (await http.post(router.uri("echo"), content=b"0" * MEGABYTE)).status_code == 200 or None

        await until(served, SECONDS, lambda: router.log)


@scenario
async def test_when_a_web_service_has_all_the_larger_bodies_that_it_may_then_another_still_has_room(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, ROUTER_MEMORY="64") as router, replicas() as [replica], client() as http:
        for name in ("echo", "fraud"):
            router.deploy(name, replica)
        router.start()
        for name in ("echo", "fraud"):
            await router.up(name, 1)
        async with opened(router, 60) as many:
            for one in many:
                await one.begin(*PART)
            for size, chunked in ((MEGABYTE, False), (MEGABYTE, True), (100_000, False)):
                body = chunks(size) if chunked else b"0" * size
                assert (await http.post(router.uri("fraud"), content=body)).status_code == 200
            full = await http.post(router.uri("echo"), content=b"0" * MEGABYTE)
            assert_refusal(full, 503, "too_many_uploads", service="echo", retry=True)
