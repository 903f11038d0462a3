"""The access log: a line of JSON a request, with nothing in it that a client could forge or should keep."""

import asyncio
import fcntl
import json
import math
import os
from pathlib import Path

import httpx

from tests.local.http1 import Client, opened
from tests.local.router_parts import (
    KEY,
    SECONDS,
    Json,
    RouterProcess,
    client,
    replicas,
    running,
    scenario,
    taken,
    until,
)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
FIELDS = {
    *("time", "request_id", "trace_id", "service", "replica", "status", "reason"),
    *("queue_ms", "service_ms", "total_ms", "bytes_in", "bytes_out", "sample"),
}


async def line_of(router: RouterProcess, response: httpx.Response) -> Json:
    """Wait for a response's line, and give it."""

    async def look() -> Json | None:
        found = [
            one for one in router.access_log() if one["request_id"] == response.headers["x-ms-request-id"]
        ]
        assert len(found) < 2, found
        return found[0] if found else None

    line = await until(look, SECONDS, lambda: router.log)
    assert line.keys() == FIELDS
    assert line["status"] == response.status_code
    return line


@scenario
async def test_when_requests_end_then_a_line_says_what_became_of_each(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        await router.serve("echo", replica, max_request_wait_time=300)
        fine = await line_of(router, await http.post(router.uri("echo"), json={"sleep": 0.1}))
        assert (fine["service"], fine["replica"]) == ("echo", f"127.0.0.1:{replica.port}")
        assert (fine["reason"], fine["trace_id"], fine["sample"]) == ("-", "-", 1)
        assert 100 <= fine["service_ms"] <= fine["total_ms"] < 5000
        failed = await line_of(router, await http.post(router.uri("echo"), json={"raise": True}))
        assert (failed["status"], failed["reason"]) == (502, "run_failed")
        unknown = await line_of(router, await http.post(router.uri("nobody")))
        assert (unknown["service"], unknown["reason"]) == ("_unknown", "unknown_service")
        large = await line_of(router, await http.post(router.uri("echo"), content=b"x" * 3_000_000))
        assert (large["service"], large["replica"]) == ("echo", f"127.0.0.1:{replica.port}")
        assert large["bytes_in"] > 3_000_000
        busy = asyncio.create_task(http.post(router.uri("echo"), json={"hold": True}))
        await router.until(lambda status: taken(status) == 1)
        waited = await line_of(router, await http.post(router.uri("echo"), json={}))
        replica.release()
        assert (await busy).status_code == 200
        assert waited["reason"] == "queue_timeout"
        assert 290 <= waited["queue_ms"] < 5000
        assert waited["service_ms"] == -1


@scenario
async def test_when_a_request_belongs_to_a_trace_then_replica_and_line_have_it(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        await router.serve("echo", replica)
        for body in (b"{}", b"x" * 2_000_000):
            sent = {"traceparent": TRACEPARENT, "tracestate": "v=1"}
            answer = await http.post(router.uri("echo"), content=body, headers=sent)
            seen = answer.json()["headers"]
            assert (seen["traceparent"], seen["tracestate"]) == (TRACEPARENT, "v=1")
            assert (await line_of(router, answer))["trace_id"] == TRACE
        for wrong in (TRACEPARENT.upper(), f"{TRACEPARENT}-x", '00-","status":200,"', ""):
            answer = await http.post(router.uri("echo"), headers={"traceparent": wrong})
            assert (await line_of(router, answer))["trace_id"] == "-"


@scenario
async def test_when_a_request_holds_secrets_or_lines_then_none_is_in_the_log(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas() as [replica]:
        await router.serve("echo", replica)
        secret = "s3cret"
        before = len(router.access_log())
        async with httpx.AsyncClient(trust_env=False) as http:
            paths = ("echo", f"{secret}", f"{secret}%0a{{}}", f'{secret}","status":200,"', f"{secret}%22")
            for path in paths:
                for key in (KEY, secret):
                    answer = await http.post(
                        f"{router.uri(path)}?{secret}={secret}%0a",
                        content=secret,
                        headers={
                            "authorization": f"Bearer {key}",
                            "x-ms-request-id": secret,
                            "x-ms-client-request-id": f'"{secret}',
                            "user-agent": f'{secret}"}}{{"',
                            "host": secret,
                        },
                    )
                    await line_of(router, answer)
        assert len(router.access_log()) == before + 2 * len(paths)
        assert secret not in router.log
        assert KEY not in router.log


async def hurry(router: RouterProcess, service: str, seconds: float, least: int = 0) -> int:
    """Send requests over 16 connections for some seconds, and until there are enough; give their number."""
    sent = 0
    until_then = asyncio.get_running_loop().time() + seconds

    async def hurry_on(one: Client) -> None:
        nonlocal sent
        while asyncio.get_running_loop().time() < until_then or sent < least:
            await one.ask(service)
            sent += 1

    async with opened(router, 16) as many:
        await asyncio.gather(*map(hurry_on, many))
    return sent


@scenario
async def test_when_there_are_many_requests_then_a_sample_of_them_says_how_many_it_stands_for(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, ACCESS_LOG_RATE="20") as router, replicas() as [replica]:
        await router.serve("echo", replica, replica_max_concurrent_requests=16)
        sent = await hurry(router, "echo", 2, least=500)
        await asyncio.sleep(0.1)
        lines = router.access_log()
        assert len(lines) < 0.5 * sent
        assert 0.6 * sent < sum(line["sample"] for line in lines) < 1.5 * sent


@scenario
async def test_when_many_requests_are_refused_then_lines_are_bounded_and_stand_for_all(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, ACCESS_LOG_RATE="100000") as router, replicas() as [replica]:
        await router.serve("echo", replica)
        seconds = 2
        sent = await hurry(router, "nobody", seconds)
        await asyncio.sleep(0.1)
        lines = router.access_log()
        assert sent > 300 * seconds
        assert {line["reason"] for line in lines} == {"unknown_service"}
        assert len(lines) <= (seconds + 1) * 100 * (1 + math.log(sent / seconds / 100))
        assert 0.6 * sent < sum(line["sample"] for line in lines) < 1.5 * sent


@scenario
async def test_when_no_line_a_second_is_asked_for_then_only_what_fails_has_one(tmp_path: Path) -> None:
    async with running(tmp_path, ACCESS_LOG_RATE="0") as router, replicas() as [replica], client() as http:
        await router.serve("echo", replica)
        await http.post(router.uri("echo"), json={})
        failed = await http.post(router.uri("echo"), json={"raise": True})
        await line_of(router, failed)
        assert len(router.access_log()) == 1


@scenario
async def test_when_nobody_reads_the_log_then_requests_are_answered_all_the_same(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    size = fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        router.deploy("echo", replica)
        router.start(stdout=writing)
        try:
            await router.up("echo", 1)
            for _ in range(size // 100):
                assert (await http.post(router.uri("echo"), json={})).status_code == 200
            line = json.loads(os.read(reading, size).splitlines()[0])
            assert line["status"] == 200
        finally:
            os.close(reading)
            os.close(writing)
