"""The router before real scoring servers: together they keep what each promises."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

import httpx

from tests.local.router_parts import KEY, assert_refusal, client, running, scenario, statuses
from tests.local.scoring_process import Replica, replica

SCORE = """\
import json, time

def init():
    pass

def run(data):
    told = json.loads(data)
    time.sleep(told.get("sleep", 0))
    if told.get("raise"):
        raise ValueError("not this one")
    return told
"""


def servers(stack: ExitStack, root: Path, number: int, timeout_ms: int = 60_000) -> list[Replica]:
    """Start scoring servers, each in its own folder."""
    started: list[Replica] = []
    for index in range(number):
        folder = root / f"replica-{index}"
        folder.mkdir()
        started.append(stack.enter_context(replica(folder, SCORE, SCORING_TIMEOUT_MS=str(timeout_ms))))
    return started


@scenario
async def test_when_a_score_is_asked_for_then_it_comes_back_with_the_routers_request_id(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        one = servers(stack, tmp_path, 1)
        async with running(tmp_path) as router, client() as http:
            await router.serve("echo", *one)
            response = await http.post(router.uri("echo"), json={"data": [1, 2]})
            assert (response.status_code, response.json()) == (200, {"data": [1, 2]})
            assert len(response.headers.get_list("x-ms-request-id")) == 1
            assert (await http.get(router.uri("echo", "swagger.json"))).json()["swagger"] == "2.0"
            failed = await http.post(router.uri("echo"), json={"raise": True})
            assert failed.status_code == 502
            assert failed.headers["x-ms-run-function-failed"].lower() == "true"
            assert list(failed.json()) == ["message"]  # the server's own words
            assert KEY not in one[0].log()


@scenario
async def test_when_scoring_takes_too_long_then_504_and_the_next_request_waits_for_the_worker(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        one = servers(stack, tmp_path, 1, timeout_ms=300)
        async with running(tmp_path) as router, client() as http:
            await router.serve("echo", *one, scoring_timeout_ms=300, max_request_wait_time=10_000)
            slow = asyncio.create_task(http.post(router.uri("echo"), json={"sleep": 1}))
            await router.until(lambda status: status["services"]["echo"]["busy"] == 1)
            quick = await http.post(router.uri("echo"), json={})
            assert (await slow).status_code == 504
            assert quick.status_code == 200
            assert 0.2 < quick.elapsed.total_seconds() < 5


@scenario
async def test_when_a_scoring_process_is_killed_under_load_then_only_its_own_request_fails(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        three = servers(stack, tmp_path, 3)
        async with running(tmp_path) as router, client() as http:
            await router.serve("echo", *three, max_request_wait_time=20_000)
            tasks = [
                asyncio.create_task(http.post(router.uri("echo"), json={"sleep": 0.05})) for _ in range(60)
            ]
            await router.until(lambda status: status["services"]["echo"]["busy"] == 3)
            three[0].process.kill()
            responses = await asyncio.gather(*tasks)
            failed = [response for response in responses if response.status_code != 200]
            assert len(failed) <= 1
            for response in failed:
                assert_refusal(response, 502, "replica_failed", service="echo")


@scenario
async def test_when_a_scoring_process_is_told_to_stop_under_load_then_no_request_fails(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        two = servers(stack, tmp_path, 2)
        async with running(tmp_path) as router, client() as http:
            await router.serve("echo", *two, max_request_wait_time=20_000)
            ended = asyncio.Event()
            found: list[int] = []

            async def load() -> None:
                while not ended.is_set():
                    responses: list[httpx.Response] = await asyncio.gather(
                        *(http.post(router.uri("echo"), json={"sleep": 0.02}) for _ in range(8))
                    )
                    found.extend(statuses(responses))

            loading = asyncio.create_task(load())
            await asyncio.sleep(0.2)
            two[0].terminate()
            assert await asyncio.to_thread(two[0].exit_code) == 0
            ended.set()
            await loading
            assert set(found) == {200}
