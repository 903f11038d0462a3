"""HTTP/2 as clients see it: its requests are scored, limited and finished as any others."""

import asyncio
import contextlib
import json
import resource
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx

from slipway.router.config import connections
from slipway.router.options import Options
from tests.certificates import certificate
from tests.local.http2 import Streams
from tests.local.router_parts import (
    KEY,
    LARGEST,
    assert_refusal,
    chunks,
    replicas,
    running,
    scenario,
    statuses,
    taken,
)
from tests.local.test_router_https import of
from tests.local.test_router_tls import put, trusting, uri


@contextlib.asynccontextmanager
async def by_http_2(public: bytes) -> AsyncGenerator[httpx.AsyncClient]:
    """Give a client with a valid key that sends everything over one connection."""
    limits = httpx.Limits(max_connections=1)
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(
        headers=headers,
        verify=trusting(public),
        http1=False,
        http2=True,
        timeout=30,
        limits=limits,
        trust_env=False,
    ) as http:
        yield http


@scenario
async def test_by_http_2_many_requests_of_one_connection_are_scored_and_limited_as_any(
    tmp_path: Path,
) -> None:
    public, key = certificate()
    async with (
        running(tmp_path, **of("tls")) as router,
        replicas(2) as found,
        by_http_2(public) as http,
    ):
        put(router, public, key, name="tls")
        await router.serve("echo", *found, max_request_wait_time=10_000)
        answers = await asyncio.gather(*(http.post(uri(router), json={"sleep": 0.02}) for _ in range(60)))
        assert {(one.status_code, one.http_version) for one in answers} == {(200, "HTTP/2")}
        assert {len(one.headers["x-ms-request-id"]) for one in answers} == {32}
        assert [one.offered_most for one in found] == [1, 1]
        assert_refusal(
            await http.post(uri(router), headers={"authorization": "Bearer no"}),
            401,
            "key_wrong",
            service="echo",
        )
        lost = await http.post(uri(router).replace("echo", "lost"), content=b"{}")
        assert_refusal(lost, 404, "unknown_service", service="lost")
        assert (await http.post(uri(router), json={"raise": True})).status_code == 502


@scenario
async def test_by_http_2_bodies_have_the_same_limits(tmp_path: Path) -> None:
    public, key = certificate()

    async def slowly(stop: asyncio.Event) -> AsyncGenerator[bytes]:
        yield b"0" * 2**20
        await stop.wait()
        yield b"0"

    async with running(tmp_path, **of("tls")) as router, replicas() as [one], by_http_2(public) as http:
        put(router, public, key, name="tls")
        await router.serve("echo", one)
        for size in (1, 2_000_000, LARGEST):
            assert (await http.post(uri(router), content=chunks(size))).json()["size"] == size
            sized = await http.post(uri(router), content=chunks(size), headers={"content-length": str(size)})
            assert sized.json()["size"] == size
        for length in ({}, {"content-length": str(LARGEST + 1)}):
            large = await http.post(uri(router), content=chunks(LARGEST + 1), headers=length)
            assert_refusal(large, 413, "body_too_large", service="echo")
        stop = asyncio.Event()
        slow = asyncio.create_task(http.post(uri(router), content=slowly(stop)))
        await asyncio.sleep(0.2)
        begin = asyncio.get_running_loop().time()
        assert (await http.post(uri(router), json={})).status_code == 200  # the slow one holds no replica
        assert asyncio.get_running_loop().time() - begin < 1
        stop.set()
        assert (await slow).json()["size"] == 2**20 + 1


@contextlib.asynccontextmanager
async def far_away(port: int, seconds: float) -> AsyncGenerator[int]:
    """Give a port from which everything takes so long to another one and back."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop, sent = asyncio.get_running_loop(), asyncio.Queue[tuple[float, bytes]]()

        async def arrive() -> None:
            while True:
                at, data = await sent.get()
                await asyncio.sleep(max(0.0, at - loop.time()))
                writer.write(data)

        arriving = asyncio.create_task(arrive())
        while data := await reader.read(2**16):
            sent.put_nowait((loop.time() + seconds / 2, data))
        arriving.cancel()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, there = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(carry(reader, there), carry(back, writer), return_exceptions=True)
        there.close()
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1")
    async with server:
        yield server.sockets[0].getsockname()[1]


@scenario
async def test_by_http_2_a_large_upload_from_far_away_keeps_up_the_minimum_rate(tmp_path: Path) -> None:
    public, key = certificate()
    async with running(tmp_path, **of("tls")) as router, replicas() as [one], by_http_2(public) as http:
        put(router, public, key, name="tls")
        await router.serve("echo", one)
        async with far_away(int(router.environment["TLS_PORT"]), 0.15) as port:
            far = f"https://127.0.0.1:{port}/api/v1/service/echo/score"
            assert (await http.post(far, content=b"0" * 6_000_000)).json()["size"] == 6_000_000


@scenario
async def test_by_http_2_who_gives_up_makes_room_for_others(tmp_path: Path) -> None:
    public, key = certificate()
    async with running(tmp_path, **of("tls")) as router, replicas() as [one], by_http_2(public) as http:
        put(router, public, key, name="tls")
        await router.serve("echo", one, max_request_wait_time=10_000)
        with contextlib.closing(await Streams.open(router, public)) as leaving:
            for _ in range(5):
                await leaving.begin()
            await router.until(lambda status: status["services"]["echo"]["queued"] == 4)
            leaving.leave()
            await router.until(lambda status: taken(status) == 0)
        answers = await asyncio.gather(*(http.post(uri(router), json={}) for _ in range(10)))
        assert set(statuses(answers)) == {200}
        left = [(line["status"], line["reason"]) for line in router.access_log() if line["status"] != 200]
        assert (400, "client_left") in left
        assert set(left) <= {(400, "client_left"), (-1, "-")}
        assert not [name for name in await router.metrics() if name[0] == "slipway_refusals_total"]


@scenario
async def test_by_http_2_a_reload_says_that_the_connection_ends_and_lets_its_requests_finish(
    tmp_path: Path,
) -> None:
    public, key = certificate()
    async with running(tmp_path, **of("tls")) as router, replicas(2) as [one, two]:
        put(router, public, key, name="tls")
        await router.serve("echo", one)
        streams = await Streams.open(router, public)
        held = await streams.begin()
        await router.until(lambda status: status["services"]["echo"]["busy"] == 1)
        router.deploy("fraud", two)  # needs a reload
        assert await streams.last_stream() == 2**31 - 1  # requests that are on their way may come too
        one.release()
        status, body = await streams.answer(held)
        assert (status, json.loads(body)["path"]) == (200, "/score")
        streams.close()


@scenario
async def test_by_http_2_more_requests_than_there_may_be_clients_are_told_why_and_the_others_served(
    tmp_path: Path,
) -> None:
    files = 2_048
    _, clients = connections(1, files, Options.memory_mib * 2**20, tls=True)
    public, key = certificate()
    async with running(tmp_path, **of("tls")) as router, replicas() as [one], AsyncExitStack() as stack:
        put(router, public, key, name="tls")
        router.deploy("echo", one, max_request_wait_time=60_000)
        router.start()
        assert router.process is not None
        resource.prlimit(router.process.pid, resource.RLIMIT_NOFILE, (files, files))  # long before it looks
        await router.up("echo", 1)
        many = [await stack.enter_async_context(by_http_2(public)) for _ in range(clients // 32 + 2)]
        begun = [http.post(uri(router), json={"sleep": 0.02}) for http in many for _ in range(32)]
        answers = await asyncio.gather(*begun)
        refused = [answer for answer in answers if answer.status_code != 200]
        assert len(answers) - len(refused) >= clients
        assert refused
        for answer in refused:
            assert_refusal(answer, 503, "too_many_clients", service="echo", retry=True)
