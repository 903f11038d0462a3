"""`max_batch_size`: requests that wait are given to one call of run(), and each gets its own item."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.local.scoring_process import Replica, replica

BATCHED = """
import json, time
def init(): pass
def run(data):
    assert isinstance(data, list)
    time.sleep(0.1)
    items = [json.loads(text) for text in data]
    if "short" in items: return items[1:]
    if "all" in items: raise ValueError("all of them")
    if "endless" in items: time.sleep(20)
    return [KeyError(item) if item == "bad" else [item, len(items)] for item in items]
"""
ASYNC = (
    BATCHED.replace("import json, time", "import asyncio, json")
    .replace("def run", "async def run")
    .replace("time.sleep", "await asyncio.sleep")
)


def batching(
    root: Path,
    script: str,
    *,
    size: int = 4,
    n: int = 4,
    wait_ms: int = 300,
    workers: int = 1,
    timeout_ms: int = 60_000,
    wait_ready: bool = True,
) -> AbstractContextManager[Replica]:
    return replica(
        root,
        script,
        wait_ready=wait_ready,
        MAX_BATCH_SIZE=str(size),
        BATCH_WAIT_MS=str(wait_ms),
        REPLICA_MAX_CONCURRENT_REQUESTS=str(n),
        WORKER_COUNT=str(workers),
        SCORING_TIMEOUT_MS=str(timeout_ms),
    )


KINDS = pytest.mark.parametrize(
    ("script", "workers"), [(BATCHED, 1), (ASYNC, 1), (BATCHED, 2)], ids=["sync", "async", "processes"]
)


@KINDS
def test_when_requests_come_together_then_one_call_gets_them_and_an_items_error_is_its_callers_alone(
    tmp_path: Path, script: str, workers: int
) -> None:
    with (
        batching(tmp_path, script, n=4 * workers, workers=workers, wait_ms=60_000) as server,
        ThreadPoolExecutor(4) as clients,
    ):
        answers = list(clients.map(server.score, [1, "bad", 3, 4]))  # it is full, and does not wait
        assert [answer.status for answer in answers] == [200, 500, 200, 200]
        assert [answers[index].json() for index in (0, 2, 3)] == [[1, 4], [3, 4], [4, 4]]
        assert answers[1].headers["x-ms-run-function-failed"] == "True"
        assert "KeyError: 'bad'" in server.log()


def test_when_nobody_else_comes_then_a_request_waits_as_long_as_batch_wait_ms(tmp_path: Path) -> None:
    with batching(tmp_path, BATCHED) as server:
        began = time.monotonic()
        assert server.score(1).json() == [1, 1]
        assert time.monotonic() - began >= 0.4


@KINDS
def test_when_more_wait_than_a_batch_holds_then_no_call_gets_more_and_n_holds(
    tmp_path: Path, script: str, workers: int
) -> None:
    with (
        batching(tmp_path, script, n=4 * workers, workers=workers, wait_ms=50) as server,
        ThreadPoolExecutor(22) as clients,
    ):
        answers = [answer.json() for answer in clients.map(server.score, range(22))]
        assert [number for number, _ in answers] == list(range(22))
        assert max(size for _, size in answers) == 4


def test_when_run_returns_another_number_then_all_get_500_that_says_so(tmp_path: Path) -> None:
    with batching(tmp_path, BATCHED) as server, ThreadPoolExecutor(4) as clients:
        answers = list(clients.map(server.score, ["short", 2, 3, 4]))
        assert {answer.status for answer in answers} == {500}
        assert {answer.headers["x-ms-run-function-failed"] for answer in answers} == {"True"}
        assert {answer.message for answer in answers} == {
            "The result of run() is no response: run() was given 4 requests and returned list with 3 "
            "results; with max_batch_size = 4 it must return a list of equal length"
        }


def test_when_run_raises_or_takes_too_long_then_all_of_the_batch_hear_of_it(tmp_path: Path) -> None:
    with batching(tmp_path, BATCHED, timeout_ms=500) as server, ThreadPoolExecutor(4) as clients:
        assert {answer.status for answer in clients.map(server.score, ["all", 2, 3, 4])} == {500}
        assert server.log().count("ValueError: all of them") == 1
        assert {answer.status for answer in clients.map(server.score, ["endless", 2, 3, 4])} == {504}
        assert server.score(1).status == 200


def test_when_a_request_cannot_be_read_then_the_others_of_its_batch_are_scored(tmp_path: Path) -> None:
    with batching(tmp_path, BATCHED) as server, ThreadPoolExecutor(4) as clients:
        bodies = [b"1", b"\xff", b"3", b"4"]
        sent = [clients.submit(server.request, "POST", "/score", body) for body in bodies]
        answers = [one.result() for one in sent]
        assert [answer.status for answer in answers] == [200, 400, 200, 200]
        assert answers[3].json() == [4, 3]
        alone = server.request("POST", "/score", b"\xff")
        assert alone.status == 400


def test_when_a_client_leaves_while_its_batch_fills_then_it_is_not_in_it(tmp_path: Path) -> None:
    with batching(tmp_path, BATCHED, wait_ms=0) as server, ThreadPoolExecutor(4) as clients:
        first = clients.submit(server.score, 1)
        time.sleep(0.05)
        server.send(2).close()
        third = clients.submit(server.score, 3)
        assert first.result().json() == [1, 1]
        assert third.result().json() == [3, 1]


def test_when_run_wants_headers_then_it_gets_a_list_of_them(tmp_path: Path) -> None:
    script = "def init(): pass\ndef run(data, request_headers): return [h['X-Name'] for h in request_headers]"
    with batching(tmp_path, script, size=2) as server, ThreadPoolExecutor(2) as clients:
        sent = [clients.submit(server.score, 1, headers={"X-Name": name}) for name in ("a", "b")]
        assert [one.result().json() for one in sent] == ["a", "b"]


def test_when_terminated_while_a_batch_fills_then_its_requests_are_answered(tmp_path: Path) -> None:
    with batching(tmp_path, BATCHED, wait_ms=3000) as server:
        waiting = [server.send(number) for number in range(3)]
        server.terminate()
        assert [server.status(client) for client in waiting] == [200] * 3
        for client in waiting:
            client.close()
        assert server.exit_code() == 0


def test_when_a_batch_is_larger_than_n_then_the_exit_is_3_with_the_remedy(tmp_path: Path) -> None:
    with batching(tmp_path, BATCHED, size=8, n=4, wait_ready=False) as server:
        assert server.exit_code() == 3
        assert "MAX_BATCH_SIZE = 8 needs REPLICA_MAX_CONCURRENT_REQUESTS >= 8, not 4" in server.log()


def test_when_results_are_text_then_each_is_json_of_its_own(tmp_path: Path) -> None:
    script = "def init(): pass\ndef run(data): return [text.upper() for text in data]"
    with batching(tmp_path, script, size=2, n=2, wait_ms=0) as server:
        assert json.loads(server.score("a").body) == '"A"'
