"""What the server writes: a line a request, and the script's own output with the id of its request."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.local.scoring_process import Replica, replica, wait_until

PLAIN = """
import json, logging, sys, threading, time
logging.basicConfig(level="INFO", format="LOG %(message)s")

def init():
    print("init prints")

def run(data):
    asked = json.loads(data)
    name = asked.get("name", "")
    print("begins", name)
    time.sleep(asked.get("seconds", 0))
    print("part of", end=" ")
    print(f"{name}\\nsecond line of {name}")
    logging.getLogger("mine").info("logs %s", name)
    print("to stderr", name, file=sys.stderr)
    if asked.get("fail"):
        raise ValueError("as asked")
    sys.stdout.write("no end")
    return "ä"
"""
ASYNC = """
import asyncio, json
async def run(data):
    name = json.loads(data)["name"]
    for number in range(5):
        print(name, number)
        await asyncio.sleep(0.01)
    await asyncio.to_thread(print, name, "from a thread")
def init(): pass
"""
BATCH = """
def init(): pass
def run(data):
    print("gets", len(data))
    return data
"""


def lines(server: Replica) -> list[dict[str, Any]]:
    """Give the request lines."""
    return [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Replica]:
    with replica(tmp_path, PLAIN, REPLICA_MAX_CONCURRENT_REQUESTS="4") as server:
        yield server


def test_when_requests_are_answered_then_each_has_one_line_and_probes_have_none(plain: Replica) -> None:
    answer = plain.score({"name": "a"}, headers={"x-request-id": "id-1"})
    plain.request("GET", "/nothing", headers={"x-request-id": 'a "b"'})
    plain.score({"fail": True, "name": ""})
    plain.request("GET", "/")
    plain.request("POST", "/score", b"x", {"x-request-id": "y" * 101})
    wait_until(lambda: len(lines(plain)) == 4, "the last line, which comes after its answer")
    first, second, third, fourth = lines(plain)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("time"))
    assert 0 < first.pop("ms") < 5000
    assert first == {
        "request_id": "id-1",
        "method": "POST",
        "path": "/score",
        "status": 200,
        "bytes": len(answer.body),
    }
    assert (second["request_id"], second["path"], second["status"]) == ('a "b"', "/nothing", 404)
    assert (third["status"], len(third["request_id"])) == (500, 36)
    assert (fourth["status"], fourth["request_id"]) == (431, "y" * 100)


def test_when_run_prints_and_logs_then_each_line_has_the_id_of_its_request(plain: Replica) -> None:
    names = [f"n{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as clients:
        for name in names:
            clients.submit(
                plain.score, {"name": name, "seconds": 0.05}, headers={"x-request-id": f"id-{name}"}
            )
    assert "\ninit prints\n" in plain.log()
    for name in names:
        for line in (f"begins {name}", f"part of {name}", f"second line of {name}", f"LOG logs {name}",
                     f"to stderr {name}", "no end"):  # fmt: skip
            assert f"\n[id-{name}] {line}\n" in plain.log()


def test_when_run_fails_then_its_traceback_is_found_by_the_id(plain: Replica) -> None:
    plain.score({"fail": True}, headers={"x-request-id": "id-f"})
    assert re.search(r"slipway\.scoring - \[id-f\] run\(\) raised an exception\nTraceback", plain.log())


def test_when_run_is_async_then_tasks_that_interleave_keep_their_ids(tmp_path: Path) -> None:
    with (
        replica(tmp_path, ASYNC, REPLICA_MAX_CONCURRENT_REQUESTS="4") as server,
        ThreadPoolExecutor(4) as clients,
    ):
        for name in "abcd":
            clients.submit(server.score, {"name": name}, headers={"x-request-id": f"id-{name}"})
        wait_until(lambda: len(lines(server)) == 4, "all are answered")
        for name in "abcd":
            for line in (*range(5), "from a thread"):
                assert f"\n[id-{name}] {name} {line}\n" in server.log()


def test_when_requests_share_a_call_or_a_worker_process_then_their_output_still_has_an_id(
    tmp_path: Path,
) -> None:
    limits = {"REPLICA_MAX_CONCURRENT_REQUESTS": "8", "WORKER_COUNT": "2", "MAX_BATCH_SIZE": "4"}
    with (
        replica(tmp_path, BATCH, wait_ready=True, BATCH_WAIT_MS="300", **limits) as server,
        ThreadPoolExecutor(4) as clients,
    ):
        for _ in range(4):
            clients.submit(server.score, 1, headers={"x-request-id": "id"})
        wait_until(lambda: len(lines(server)) == 4, "all are answered")
        marks = re.findall(r"^\[id( \+\d)?\] gets \d$", server.log(), re.MULTILINE)
        assert marks


def test_when_a_client_leaves_before_its_turn_then_its_line_says_499(tmp_path: Path) -> None:
    with replica(tmp_path, PLAIN) as server, ThreadPoolExecutor(1) as clients:
        running = clients.submit(server.score, {"seconds": 1})
        wait_until(lambda: "begins" in server.log(), "the first runs")
        server.send({}).close()
        wait_until(lambda: any(line["status"] == 499 for line in lines(server)), "the line of who left")
        assert running.result().status == 200
