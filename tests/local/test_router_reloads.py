"""What clients notice of a reload over which they keep their connections: nothing."""

import asyncio
import contextlib
import json
import signal
import ssl
from collections.abc import AsyncGenerator, AsyncIterable
from pathlib import Path

import httpx

from tests.certificates import certificate
from tests.local.http2 import Streams
from tests.local.router_parts import (
    HOLD,
    KEY,
    LARGEST,
    MEGABYTE,
    SECONDS,
    RouterProcess,
    assert_refusal,
    chunks,
    client,
    replicas,
    running,
    scenario,
    taken,
    until,
)
from tests.local.router_pods import pods
from tests.local.test_router_https import of
from tests.local.test_router_tls import put, trusting

NEW = "3" * 32


class Kept:
    """A client that has asked once, and has only the connection by which it did."""

    def __init__(self, http: httpx.AsyncClient, port: int, first: object) -> None:
        self._http, self._port, self._first = http, port, first

    async def post(
        self,
        service: str = "echo",
        key: str = KEY,
        content: bytes | AsyncIterable[bytes] = b"{}",
        headers: dict[str, str] | None = None,
        path: str = "score",
    ) -> httpx.Response:
        """Ask once more, by that connection."""
        headers = {"authorization": f"Bearer {key}", **(headers or {})}
        uri = f"/api/v1/service/{service}/{path}"
        answer = await self._http.post(uri, content=content, headers=headers)
        assert self._first is None or self._first is by(answer), "by another connection"
        return answer


def by(answer: httpx.Response) -> object:
    """Give the connection by which an answer came."""
    return answer.extensions["network_stream"]


@contextlib.asynccontextmanager
async def kept(number: int, port: int, verify: ssl.SSLContext | None = None) -> AsyncGenerator[list[Kept]]:
    """Give so many of them."""
    async with contextlib.AsyncExitStack() as stack:
        found: list[Kept] = []
        for _ in range(number):
            http = httpx.AsyncClient(
                base_url=f"{'https' if verify else 'http'}://127.0.0.1:{port}",
                verify=verify or False,
                timeout=SECONDS,
                limits=httpx.Limits(max_connections=1, keepalive_expiry=None),
                trust_env=False,
            )
            await stack.enter_async_context(http)
            answer = await Kept(http, port, None).post()
            assert answer.status_code == 200
            found.append(Kept(http, port, by(answer)))
        yield found


async def regenerated(router: RouterProcess, key: str, folder: RouterProcess | None = None) -> None:
    """Give `echo` a new key, and wait until the old one ends for who comes then."""
    before = (await router.status())["commands"]
    (folder or router).keys("echo", key, "2" * 32)
    await router.until(lambda status: status["commands"] >= before + 2)


async def refuses(router: RouterProcess) -> None:
    """Wait until a router that was told to stop takes no more connections."""

    async def look() -> bool | None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", router.port)
        except OSError:
            return True
        writer.close()
        return None

    await until(look, SECONDS, lambda: router.log)


@scenario
async def test_after_a_reload_a_client_that_kept_its_connection_is_served_as_any_other(
    tmp_path: Path,
) -> None:
    public, key = certificate()
    variables = of("tls", TLS_HTTP="refuse")
    async with running(tmp_path, **variables) as router, replicas() as [replica]:
        put(router, public, key, name="tls")
        await router.serve("echo", replica)
        async with kept(7, int(variables["TLS_PORT"]), trusting(public)) as clients:
            new, old, right, large, unsized, above, lost = clients
            router.deploy("fraud", replica)
            await router.up("fraud", 1)
            await regenerated(router, NEW)
            assert (await router.status())["reloads"] == 1
            assert (await new.post("fraud")).status_code == 200
            assert_refusal(await old.post(), 401, "key_wrong", service="echo")
            claims = {"x-slipway-handed": "fraud/1.2.3.4", "x-ms-request-id": "me"}
            answer = await right.post(key=NEW, headers=claims)
            seen = answer.json()["headers"]
            assert answer.headers["x-ms-request-id"].lower() == seen["x-ms-request-id"] != "me"
            assert not [name for name in seen if name.startswith("x-slipway-")]
            identity = answer.headers["x-ms-request-id"]
            answer = await large.post(
                key=NEW, content=chunks(LARGEST), headers={"content-length": str(LARGEST)}
            )
            assert answer.json()["size"] == LARGEST
            answer = await unsized.post(key=NEW, content=chunks(LARGEST))
            assert answer.json()["size"] == LARGEST
            answer = await above.post(key=NEW, content=chunks(LARGEST + 1))
            assert_refusal(answer, 413, "body_too_large", service="echo")
            assert_refusal(await lost.post("lost"), 404, "unknown_service", service="lost")
            lines = [one for one in router.access_log() if one["request_id"] == identity]
            assert [one["service"] for one in lines] == ["echo"]


@scenario
async def test_after_a_reload_what_comes_by_a_kept_connection_of_http_2_is_served_as_any_other(
    tmp_path: Path,
) -> None:
    public, key = certificate()
    variables = of("tls", TLS_HTTP="refuse")
    async with running(tmp_path, **variables) as router, replicas() as [replica]:
        put(router, public, key, name="tls")
        await router.serve("echo", replica)
        streams = await Streams.open(router, public)
        assert (await streams.answer(await streams.begin(b"{}")))[0] == 200
        router.deploy("fraud", replica)
        await router.up("fraud", 1)
        await regenerated(router, NEW)
        asked = (("fraud", b"{}"), ("echo", b"{}"), ("fraud", bytes(2**21)))
        begun = [await streams.begin(body, service=service) for service, body in asked]
        assert [(await streams.answer(stream))[0] for stream in begun] == [200, 401, 200]
        streams.close()


@scenario
async def test_after_a_reload_a_body_of_unknown_size_by_http_2_takes_of_the_memory_of_the_process_it_passes(
    tmp_path: Path,
) -> None:
    public, key = certificate()
    variables = of("tls", TLS_HTTP="serve")
    async with running(tmp_path, ROUTER_MEMORY="16", **variables) as router, replicas() as [replica]:
        put(router, public, key, name="tls")
        await router.serve("echo", replica, max_request_wait_time=60_000)
        kept, full = await Streams.open(router, public), await Streams.open(router, public)
        assert (await kept.answer(await kept.begin(b"{}")))[0] == 200
        held = await full.begin(HOLD.ljust(2 * MEGABYTE))  # as much as there may be
        await router.until(lambda status: taken(status) == 1)
        router.deploy("fraud", replica)
        await router.up("fraud", 1)
        status, body = await kept.answer(await kept.begin(b"{}", service="fraud", sized=False))
        assert (status, json.loads(body)["reason"]) == (503, "too_many_uploads")
        fresh = await Streams.open(router, public)
        status, _ = await fresh.answer(await fresh.begin(b"{}", service="fraud", sized=False))
        assert status == 200
        replica.release()
        assert (await full.answer(held))[0] == 200
        for streams in (kept, full, fresh):
            streams.close()


@scenario
async def test_after_several_reloads_a_client_of_the_first_process_is_served_by_the_newest(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as router, replicas() as [replica]:
        await router.serve("echo", replica)
        async with kept(2, router.port) as first:
            router.deploy("second", replica)
            await router.up("second", 1)
            async with kept(2, router.port) as second:
                router.deploy("third", replica)
                await router.up("third", 1)
                for one in (*first, *second):
                    assert (await one.post("third")).status_code == 200


@scenario
async def test_when_a_reloaded_router_is_told_to_stop_then_who_kept_a_connection_still_gets_an_answer(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as router, replicas() as [replica]:
        await router.serve("echo", replica)
        async with kept(2, router.port) as first:
            router.deploy("fraud", replica)
            await router.up("fraud", 1)
            async with kept(2, router.port) as second:
                assert router.process is not None
                router.process.send_signal(signal.SIGTERM)
                await refuses(router)
                for one in (*first, *second):
                    assert (await one.post()).status_code == 200
                assert await asyncio.to_thread(router.process.wait, SECONDS) == 0


@scenario
async def test_when_a_router_without_web_services_is_told_to_stop_then_who_kept_a_connection_gets_an_answer(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as router, replicas() as [replica]:
        await router.serve("echo", replica)
        async with kept(1, router.port) as [first]:
            router.folder.delete("Deployment", "slipway-services", "echo")
            await router.until(lambda status: not status["services"] and status["reloads"] == 1)
            assert router.process is not None
            router.process.send_signal(signal.SIGTERM)
            await refuses(router)
            assert (await first.post()).status_code in (200, 404)
            assert await asyncio.to_thread(router.process.wait, SECONDS) == 0


@scenario
async def test_after_a_reload_what_another_router_hands_over_by_a_kept_connection_is_served_as_any_other(
    tmp_path: Path,
) -> None:
    async with pods(tmp_path) as all_of, replicas() as [replica], client() as http:
        all_of.first.deploy("echo", replica)
        await all_of.start()
        for router in all_of.routers.values():
            await router.up("echo", 1)
        owner, other, _ = all_of.order("echo")
        assert owner.process is not None
        owner.process.send_signal(signal.SIGSTOP)  # so it reloads when the other has a connection to it
        all_of.first.deploy("fraud", replica)
        await other.up("fraud", 1)
        assert (await http.post(other.uri("echo"), json={})).status_code == 200
        owner.process.send_signal(signal.SIGCONT)
        await owner.up("fraud", 1)
        await regenerated(owner, NEW, all_of.first)
        assert_refusal(await http.post(other.uri("echo"), json={}), 401, "key_wrong", service="echo")
