"""Bodies: the limit of 104,857,600 bytes, and slow ones that hold no replica."""

import asyncio
from pathlib import Path

import pytest

from tests.local.http1 import slow_client
from tests.local.router_parts import (
    LARGEST,
    assert_refusal,
    chunks,
    client,
    replicas,
    running,
    scenario,
)


@scenario
async def test_when_a_body_is_as_large_as_allowed_then_it_arrives_whole(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        await router.serve("echo", replica)
        plain = await http.post(router.uri("echo"), content=b"0" * LARGEST)
        chunked = await http.post(router.uri("echo"), content=chunks(LARGEST))
        for response in (plain, chunked):
            assert response.json()["size"] == LARGEST
            seen = response.json()["headers"]
            assert seen["x-ms-request-id"] == response.headers["x-ms-request-id"].lower()
            assert "authorization" not in seen


@scenario
async def test_when_a_body_is_one_byte_larger_then_413_before_a_replica_runs(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        await router.serve("echo", replica)
        for body in (b"0" * (LARGEST + 1), chunks(LARGEST + 1)):
            response = await http.post(router.uri("echo"), content=body)
            assert assert_refusal(response, 413, "body_too_large", service="echo")["replicas"] == 1
        async with slow_client(router, f"content-length: {LARGEST + 1}\r\nexpect: 100-continue") as polite:
            response = await polite.answer()  # without having sent any of it
        assert assert_refusal(response, 413, "body_too_large", service="echo")["replicas"] == 1
        assert replica.seen == []
        assert (await http.post(router.uri("echo"), json={})).status_code == 200


@scenario
async def test_when_a_large_body_has_no_key_or_service_then_the_refusal_is_the_usual_one(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        await router.serve("echo", replica)
        wrong = {"authorization": "Bearer wrong"}
        response = await http.post(router.uri("echo"), content=chunks(2**21), headers=wrong)
        assert_refusal(response, 401, "key_wrong", service="echo")
        response = await http.post(router.uri("nobody"), content=chunks(2**21))
        assert_refusal(response, 404, "unknown_service", service="nobody")


@pytest.mark.parametrize("framing", ["content-length: 1000000", "transfer-encoding: chunked"])
def test_when_an_upload_is_slow_then_it_holds_no_replica(tmp_path: Path, framing: str) -> None:
    @scenario
    async def look() -> None:
        async with running(tmp_path) as router, replicas() as [replica], client() as http:
            await router.serve("echo", replica)
            async with slow_client(router, framing) as slow:
                chunked = framing.endswith("chunked")
                await slow.send(b"f423f\r\n" if chunked else b"")
                await slow.send(b"0" * 999_999)
                for _ in range(10):
                    response = await http.post(router.uri("echo"), json={})
                    assert response.status_code == 200
                    await asyncio.sleep(0.03)
                assert replica.offered_most == 1
                await slow.send(b"\r\n0\r\n\r\n" if chunked else b"0")
                response = await slow.answer()
                assert response.status_code == 200
                assert response.json()["size"] >= 999_999

    look()


@scenario
async def test_when_a_large_upload_falls_below_the_minimum_rate_then_it_is_cut_off(tmp_path: Path) -> None:
    async with (
        running(tmp_path, MINIMUM_UPLOAD_RATE="1000000") as router,
        replicas() as [replica],
        client() as http,
    ):
        await router.serve("echo", replica)
        async with slow_client(router, "content-length: 4000000") as slow:
            await slow.send(b"0" * 1_500_000)

            async def trickle() -> None:
                for _ in range(100):
                    await slow.send(b"0" * 1000)
                    await asyncio.sleep(0.1)

            trickling = asyncio.create_task(trickle())
            started = asyncio.get_running_loop().time()
            assert_refusal(await slow.answer(), 408, "upload_too_slow", service="echo")
            assert asyncio.get_running_loop().time() - started > 2  # a second of grace, 1.5 s for what came
            assert trickling.cancel(), "it was not heard to its end"
            assert (await http.post(router.uri("echo"), json={})).status_code == 200
            assert replica.seen == [None]


@scenario
async def test_when_a_large_upload_stops_then_the_replica_is_free_after_five_seconds(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas() as [replica]:
        await router.serve("echo", replica)
        async with slow_client(router, "content-length: 4000000") as slow:
            await slow.send(b"0" * 1_500_000)
            assert_refusal(await slow.answer(), 408, "upload_too_slow", service="echo")
            await router.until(lambda found: found["services"]["echo"]["busy"] == 0)
            assert replica.seen == []


@scenario
async def test_when_the_replica_is_slow_to_read_then_the_client_is_not_blamed(tmp_path: Path) -> None:
    async with (
        running(tmp_path, MINIMUM_UPLOAD_RATE="10000000") as router,
        replicas() as [replica],
        client() as http,
    ):
        replica.read_delay = 3
        await router.serve("echo", replica)
        response = await http.post(router.uri("echo"), content=b"0" * 20_000_000)
        assert response.json()["size"] == 20_000_000


@scenario
async def test_when_a_large_upload_waits_in_the_queue_then_the_client_is_not_blamed(tmp_path: Path) -> None:
    async with (
        running(tmp_path, MINIMUM_UPLOAD_RATE="10000000") as router,
        replicas() as [replica],
        client() as http,
    ):
        await router.serve("echo", replica, max_request_wait_time=10_000)
        busy = asyncio.create_task(http.post(router.uri("echo"), json={"sleep": 3}))
        await router.until(lambda status: status["services"]["echo"]["busy"] == 1)
        response = await http.post(router.uri("echo"), content=b"0" * 20_000_000)
        assert response.json()["size"] == 20_000_000
        assert (await busy).status_code == 200


@scenario
async def test_a_slow_body_that_nobody_wants_is_not_heard_out(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas() as [replica]:
        await router.serve("fraud", replica)
        async with slow_client(router, "content-length: 50000000") as slow:
            answer = asyncio.create_task(slow.answer())
            sent = 0
            while not answer.done():
                await slow.send(b"0" * 2**16)
                sent += 2**16
                await asyncio.sleep(0.2)
        assert_refusal(await answer, 404, "unknown_service", service="echo")
        assert sent < 10_000_000
