"""Never more than N inside `run()`, whatever clients do; every `run()` held to its time."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.local.scoring_process import ECHO, Replica, replica, wait_until

DIARY = """
import json, time
def init(): pass
def note(*words):
    with open("diary", "a") as diary: print(*words, file=diary)
def run(data):
    name, seconds = json.loads(data)
    note("in", name)
    time.sleep(seconds)
    note("out", name)
    return name
"""
ASYNC_DIARY = (
    DIARY.replace("import json", "import asyncio, json")
    .replace("def run", "async def run")
    .replace("time.sleep", "await asyncio.sleep")
)
KINDS = pytest.mark.parametrize("script", [DIARY, ASYNC_DIARY], ids=["sync", "async"])


def diary(server: Replica) -> list[str]:
    path = server.folder.parent / "diary"
    return path.read_text().splitlines() if path.exists() else []


def most_inside(lines: list[str]) -> int:
    most = inside = 0
    for line in lines:
        inside += 1 if line.startswith("in") else -1
        most = max(most, inside)
    return most


@KINDS
@pytest.mark.parametrize("n", [1, 3])
def test_when_many_ask_at_once_then_never_more_than_n_are_inside_run(
    tmp_path: Path, script: str, n: int
) -> None:
    with replica(tmp_path, script, REPLICA_MAX_CONCURRENT_REQUESTS=str(n)) as server:
        with ThreadPoolExecutor(16) as clients:
            answers = list(clients.map(server.score, [[number, 0.02] for number in range(48)]))
        assert [answer.json() for answer in answers] == list(range(48))
        assert most_inside(diary(server)) == n


@KINDS
def test_when_requests_wait_then_they_are_served_in_the_order_of_their_arrival(
    tmp_path: Path, script: str
) -> None:
    with replica(tmp_path, script) as server, ThreadPoolExecutor(12) as clients:
        first = clients.submit(server.score, ["first", 0.5])
        wait_until(lambda: diary(server) == ["in first"], "the first is inside")
        waiting = [server.send([number, 0]) for number in range(10)]
        assert first.result().json() == "first"
        for client in waiting:
            assert server.status(client) == 200
            client.close()
        assert [line for line in diary(server) if line.startswith("in")][1:] == [f"in {n}" for n in range(10)]


@KINDS
def test_when_a_client_goes_away_while_it_waits_then_its_request_never_starts(
    tmp_path: Path, script: str
) -> None:
    with replica(tmp_path, script) as server, ThreadPoolExecutor(2) as clients:
        first = clients.submit(server.score, ["first", 0.5])
        wait_until(lambda: diary(server) == ["in first"], "the first is inside")
        server.send(["gone", 0]).close()
        assert server.score(["last", 0]).json() == "last"
        assert first.result().status == 200
        assert diary(server) == ["in first", "out first", "in last", "out last"]


def test_when_a_waiting_client_asked_by_get_then_it_is_noticed_and_goes_away_the_same(tmp_path: Path) -> None:
    script = DIARY.replace("json.loads(data)", "json.loads(data)['of']")
    line = "GET /score?of=%5B%22{}%22,{}%5D"
    with replica(tmp_path, script) as server, server.send(None, line.format("first", 0.5)) as first:
        wait_until(lambda: diary(server) == ["in first"], "the first is inside")
        server.send(None, line.format("gone", 0)).close()
        with server.send(None, line.format("last", 0)) as last:
            assert [server.status(first), server.status(last)] == [200, 200]
        assert diary(server) == ["in first", "out first", "in last", "out last"]


@KINDS
def test_when_a_client_goes_away_while_run_works_then_the_slot_is_taken_until_run_ends(
    tmp_path: Path, script: str
) -> None:
    with replica(tmp_path, script) as server:
        client = server.send(["gone", 0.5])
        wait_until(lambda: diary(server) == ["in gone"], "it is inside")
        client.close()
        assert server.score(["next", 0]).json() == "next"
        assert diary(server) == ["in gone", "out gone", "in next", "out next"]


def test_when_an_upload_is_slow_then_it_holds_no_slot(tmp_path: Path) -> None:
    with replica(tmp_path, DIARY) as server, server.send(["first", 0]) as client:
        assert server.status(client) == 200
        client.sendall(b'POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n["slo')
        assert server.score(["quick", 0]).json() == "quick"
        client.sendall(b'w", 0]')
        assert server.status(client) == 200


@KINDS
def test_when_run_takes_too_long_then_it_is_interrupted_and_answered_504(tmp_path: Path, script: str) -> None:
    with replica(tmp_path, script, SCORING_TIMEOUT_MS="300") as server:
        began = time.monotonic()
        answer = server.score(["long", 20])
        assert answer.status == 504
        assert answer.message == "Scoring timeout after 300 ms"
        assert answer.headers["x-ms-run-function-failed"] == "False"
        assert time.monotonic() - began >= 0.3
        assert server.score(["next", 0]).json() == "next"
        assert diary(server) == ["in long", "in next", "out next"]


def test_when_run_does_not_stop_at_its_time_then_504_comes_once_it_has_ended(tmp_path: Path) -> None:
    with replica(tmp_path, ECHO, SCORING_TIMEOUT_MS="200") as server:
        began = time.monotonic()
        with ThreadPoolExecutor(1) as clients:
            stubborn = clients.submit(server.score, {"seconds": 1, "stubborn": True})
            time.sleep(0.3)
            assert server.score({}).json()["running"] == 1
            assert time.monotonic() - began >= 1
        assert stubborn.result().status == 504


def test_when_waiting_takes_long_then_only_the_time_inside_run_counts(tmp_path: Path) -> None:
    with (
        replica(tmp_path, DIARY, SCORING_TIMEOUT_MS="800") as server,
        ThreadPoolExecutor(4) as clients,
    ):
        answers = list(clients.map(server.score, [[number, 0.4] for number in range(4)]))
        assert [answer.status for answer in answers] == [200] * 4


def test_when_run_never_ends_then_all_are_answered_and_the_process_exits_with_4(tmp_path: Path) -> None:
    with replica(tmp_path, ECHO, SCORING_TIMEOUT_MS="200") as server, ThreadPoolExecutor(2) as clients:
        began = time.monotonic()
        stuck = clients.submit(server.score, {"seconds": 600, "stubborn": True})
        time.sleep(0.5)
        waits = clients.submit(server.score, {})
        assert server.exit_code() == 4
        assert time.monotonic() - began >= 5.7
        assert stuck.result().status == 504
        assert waits.result().status == 503
        log = server.log()
        assert re.search(r"run\(\) still goes on \d+\.\d s after scoring_timeout_ms \(200 ms\)", log)
        assert "in sleep" in log


def test_when_run_never_lets_go_of_the_interpreter_then_the_process_still_exits(tmp_path: Path) -> None:
    script = """
import ctypes
def init(): pass
def run(data): ctypes.PyDLL(None).sleep(60)
"""
    with replica(tmp_path, script, SCORING_TIMEOUT_MS="200") as server:
        client = server.send(1)
        assert server.exit_code() == 1
        client.close()
        assert "in run" in server.log()


def test_when_run_is_async_then_init_and_all_requests_share_one_event_loop(tmp_path: Path) -> None:
    script = """
import asyncio
async def init():
    global loop
    loop = asyncio.get_running_loop()
async def run(data):
    await asyncio.sleep(0)
    if data == '"exit"': raise SystemExit
    return asyncio.get_running_loop() is loop
"""
    with replica(tmp_path, script, REPLICA_MAX_CONCURRENT_REQUESTS="2") as server:
        assert server.score(1).json() is True
        assert server.score("exit").status == 500
        assert server.score(1).json() is True


def test_when_run_is_plain_then_it_has_the_thread_of_init(tmp_path: Path) -> None:
    script = """
import asyncio, sqlite3
async def init():
    await asyncio.sleep(0)
    global database
    database = sqlite3.connect(":memory:")
def run(data): return database.execute("select 7").fetchone()[0]
"""
    with replica(tmp_path, script) as server:
        assert server.score(1).json() == 7
