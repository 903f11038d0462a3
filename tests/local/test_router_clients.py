"""Many clients, idle ones and too many of them, and large bodies: what they cost the router in memory."""

import asyncio
import contextlib
import resource
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from benchmarks.processes import memory_mb, tree
from slipway.router.config import LARGEST_BODY, UPLOAD_BUFFER, connections
from slipway.router.options import Options
from tests.local.router_parts import KEY, SECONDS, Json, RouterProcess, client, replicas, running, scenario

HEAD = f"POST /api/v1/service/echo/score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
MEGABYTE = 2**20


class Client:
    """One connection, which may ask or not."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, router: RouterProcess) -> "Client":
        return cls(*await asyncio.open_connection("127.0.0.1", router.port))

    async def ask(self) -> dict[str, str]:
        """Send a request, and give the answer's headers, its status and body among them."""
        self._writer.write(f"{HEAD}content-length: 2\r\n\r\n{{}}".encode())
        return await asyncio.wait_for(self._answer(), SECONDS)

    async def _answer(self) -> dict[str, str]:
        status, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if line)
        body = await self._reader.readexactly(int(headers["content-length"]))
        return {"status": status.split()[1], "body": body.decode(), **headers}

    async def closed(self) -> bool:
        """Wait until the router ends the connection; tell whether it said nothing before."""
        return await asyncio.wait_for(self._reader.read(), SECONDS) == b""

    def close(self) -> None:
        self._writer.transport.abort()


@pytest.fixture
def most() -> Generator[int]:
    """Let processes open as many files as they may; give how many clients a router with one service has."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    hard = before[1] if before[1] != resource.RLIM_INFINITY else Options.files
    for files in (max(hard, 2**16), hard):  # root may raise it
        with contextlib.suppress(ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
            break
    yield connections(1, files)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextlib.asynccontextmanager
async def opened(router: RouterProcess, number: int) -> AsyncGenerator[list[Client]]:
    """Give so many connections that were not used yet."""
    found: list[Client] = []
    try:
        while len(found) < number:
            few = min(100, number - len(found))
            found += await asyncio.gather(*(Client.open(router) for _ in range(few)))
        yield found
    finally:
        for one in found:
            one.close()


async def closed_at_once(router: RouterProcess) -> bool:
    """Open a connection more, and tell whether the router ends it, unasked."""
    with contextlib.suppress(ConnectionResetError):
        async with opened(router, 1) as [one]:
            return await one.closed()
    return True


def memory(router: RouterProcess) -> float:
    """Give the bytes that the router and its HAProxy have in memory."""
    assert router.process is not None
    return memory_mb(tree(router.process.pid)) * MEGABYTE


def test_when_ten_thousand_clients_are_idle_then_each_costs_little_and_one_more_is_served(
    tmp_path: Path, most: int
) -> None:
    @scenario
    async def look() -> None:
        async with running(tmp_path) as router, replicas() as [replica]:
            await router.serve("echo", replica, max_request_wait_time=60_000)
            before = memory(router)
            async with opened(router, most - 100) as clients:
                for begin in range(0, len(clients), 100):
                    answers = await asyncio.gather(*(one.ask() for one in clients[begin : begin + 100]))
                    assert {one["status"] for one in answers} == {"200"}
                assert (memory(router) - before) / len(clients) < 4096
                async with opened(router, 1) as [another]:
                    assert (await another.ask())["status"] == "200"

    look()


def test_when_too_many_clients_are_connected_then_a_further_one_is_told_why_and_none_hangs(
    tmp_path: Path, most: int
) -> None:
    @scenario
    async def look() -> None:
        async with running(tmp_path) as router, replicas() as [replica]:
            await router.serve("echo", replica)
            async with opened(router, most), opened(router, 1) as [another]:
                refusal = await another.ask()
                assert (refusal["status"], refusal["retry-after"]) == ("503", "1")
                assert '"reason":"too_many_clients"' in refusal["body"]
                assert len(refusal["x-ms-request-id"]) == 32
                assert await another.closed()
                async with opened(router, most // 10):
                    assert await closed_at_once(router)
            async with opened(router, 1) as [later]:
                assert (await later.ask())["status"] == "200"

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

        async def body() -> AsyncGenerator[bytes]:
            for _ in range(LARGEST_BODY // MEGABYTE):
                yield b"0" * MEGABYTE

        answers = await asyncio.gather(*(http.post(router.uri("echo"), content=body()) for _ in both))
        watching.cancel()
        seen: list[Json] = [answer.json() for answer in answers]
        assert [one["size"] for one in seen] == [LARGEST_BODY] * 2
        assert peak - before < 2 * 16 * UPLOAD_BUFFER  # of 200 MB
