"""`WORKER_COUNT`: run() in processes of their own, one gate for all, each of them replaceable."""

import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.local.scoring_process import ECHO, Replica, replica, wait_until
from tests.local.test_scoring_gate import ASYNC_DIARY, DIARY, diary, most_inside

WHO = """
import json, os, time
loaded = os.getpid()
def init():
    global begun
    begun = os.getpid()
def run(data):
    told = json.loads(data)
    time.sleep(told.get("sleep", 0))
    if "signal" in told: os.kill(os.getpid(), told["signal"])
    return {"loaded": loaded, "begun": begun, "pid": os.getpid()}
"""
BUSY = """
import json, os
def init(): pass
def run(data):
    if json.loads(data) == "stuck": sum(range(10**12))  # in C, where no interrupt comes in
    return os.getpid()
"""


def pool(
    root: Path,
    script: str,
    preload: str = "false",
    *,
    count: int = 2,
    n: int = 2,
    timeout_ms: int = 60_000,
    wait_ready: bool = True,
) -> AbstractContextManager[Replica]:
    """Start a server with worker processes."""
    return replica(
        root,
        script,
        wait_ready=wait_ready,
        WORKER_COUNT=str(count),
        WORKER_PRELOAD=preload,
        REPLICA_MAX_CONCURRENT_REQUESTS=str(n),
        SCORING_TIMEOUT_MS=str(timeout_ms),
    )


def pids(server: Replica, count: int) -> set[int]:
    """Ask until so many workers have answered."""
    found: set[int] = set()

    def ask() -> bool:
        with ThreadPoolExecutor(count) as clients:
            answers = clients.map(server.score, [{"sleep": 0.05}] * count)
            found.update(answer.json()["pid"] for answer in answers)
        return len(found) >= count

    wait_until(ask, f"{count} workers")
    return found


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("script", "workers", "n", "preload"),
    [
        (DIARY, 2, 2, "true"),
        (DIARY, 2, 5, "false"),
        (ASYNC_DIARY, 2, 5, "true"),
        (ASYNC_DIARY, 3, 3, "false"),
    ],
    ids=["sync-preload", "sync-threads", "async-preload", "async"],
)
def test_when_many_ask_workers_at_once_then_never_more_than_n_are_inside_run(
    tmp_path: Path, script: str, workers: int, n: int, preload: str
) -> None:
    with pool(tmp_path, script, preload, count=workers, n=n) as server:
        with ThreadPoolExecutor(16) as clients:
            answers = list(clients.map(server.score, [[number, 0.02] for number in range(48)]))
        assert [answer.json() for answer in answers] == list(range(48))
        assert most_inside(diary(server)) == n
        server.terminate()
        assert server.exit_code() == 0


def test_when_preloaded_then_init_ran_once_else_in_each_worker(tmp_path: Path) -> None:
    with pool(tmp_path, WHO, "true") as server:
        first, second = pids(server, 2)
        answer = server.score({}).json()
        assert answer["loaded"] == answer["begun"]
        assert answer["begun"] not in (first, second, server.process.pid)
    with pool(tmp_path, WHO) as server:
        pids(server, 2)
        answer = server.score({}).json()
        assert answer["loaded"] == answer["begun"] == answer["pid"] != server.process.pid


@pytest.mark.parametrize("preload", ["true", "false"])
def test_when_a_worker_crashes_then_only_its_request_fails_and_it_is_replaced(
    tmp_path: Path, preload: str
) -> None:
    with pool(tmp_path, WHO, preload) as server, ThreadPoolExecutor(9) as clients:
        before = pids(server, 2)
        other = clients.submit(server.score, {"sleep": 0.5})
        time.sleep(0.1)
        crash = clients.submit(server.score, {"signal": signal.SIGSEGV})
        waiting = [clients.submit(server.score, {"sleep": 0.05}) for _ in range(6)]
        assert crash.result().status == 500
        assert crash.result().headers["x-ms-run-function-failed"] == "True"
        assert crash.result().message == "The worker process that ran this request ended: SIGSEGV."
        assert {future.result().status for future in (other, *waiting)} == {200}
        assert len(pids(server, 2) - before) == 1
        assert "a worker process ended by itself (SIGSEGV) and is replaced" in server.log()


def test_when_run_computes_past_its_time_then_it_is_shown_killed_and_replaced_and_others_go_on(
    tmp_path: Path,
) -> None:
    with pool(tmp_path, BUSY, timeout_ms=300) as server, ThreadPoolExecutor(2) as clients:
        began = time.monotonic()
        stuck = clients.submit(server.score, "stuck")
        time.sleep(0.1)
        while not stuck.done():
            assert server.score(1).status == 200
        answer = stuck.result()
        assert answer.status == 504
        assert answer.message == (
            "Scoring timeout after 300 ms; run() did not end, and its worker process was killed"
        )
        assert answer.headers["x-ms-run-function-failed"] == "False"
        assert time.monotonic() - began > 1.2
        log = server.log()
        assert "after scoring_timeout_ms (300 ms); its worker process is killed and replaced." in log
        assert 'score.py", line 5 in run' in log
        with ThreadPoolExecutor(8) as many:
            found = {answer.json() for answer in many.map(server.score, [1] * 60)}
        assert server.process.pid not in found
        server.terminate()
        assert server.exit_code() == 0


def test_when_a_stuck_worker_is_killed_then_its_neighbours_get_503_and_are_no_failures_of_run(
    tmp_path: Path,
) -> None:
    script = (
        "import json, os, time\ndef init(): pass\n"
        "def run(data):\n"
        "    end = time.monotonic() + json.loads(data)\n"
        "    while time.monotonic() < end:\n"
        "        try: time.sleep(0.01)\n"
        "        except TimeoutError: pass\n"
        "    return os.getpid()\n"
    )
    with pool(tmp_path, script, n=4, timeout_ms=2000) as server, ThreadPoolExecutor(4) as clients:
        stuck = [clients.submit(server.score, 30) for _ in range(2)]
        time.sleep(1.5)
        neighbours = [clients.submit(server.score, 30) for _ in range(2)]
        assert {one.result().status for one in stuck} == {504}
        for answer in (one.result() for one in neighbours):
            assert answer.status == 503
            assert answer.headers["x-ms-run-function-failed"] == "False"
            assert answer.message.startswith("This request was not run to its end because another one")


@pytest.mark.parametrize("script", [DIARY, ASYNC_DIARY], ids=["sync", "async"])
def test_when_run_of_a_worker_takes_too_long_then_it_is_interrupted_and_the_worker_stays(
    tmp_path: Path, script: str
) -> None:
    with pool(tmp_path, script, timeout_ms=300) as server:
        began = time.monotonic()
        answer = server.score(["long", 20])
        assert answer.status == 504
        assert answer.message == "Scoring timeout after 300 ms"
        assert time.monotonic() - began >= 0.3
        assert "killed" not in server.log()
        assert diary(server) == ["in long"]


def test_when_a_body_is_large_then_it_goes_to_a_worker_and_its_answer_comes_back(tmp_path: Path) -> None:
    script = "def init(): pass\ndef run(data): return data"
    with pool(tmp_path, script) as server:
        body = b"x" * 30_000_000
        assert server.request("POST", "/score", body).body == b'"' + body + b'"'


@pytest.mark.parametrize("preload", ["true", "false"])
def test_when_init_of_a_worker_fails_then_the_exit_is_3_and_says_why(tmp_path: Path, preload: str) -> None:
    script = "def init(): raise ValueError('no model')\ndef run(data): pass"
    with pool(tmp_path, script, preload, wait_ready=False) as server:
        assert server.exit_code() == 3
        assert "ValueError: no model" in server.log()


def test_when_an_async_init_is_preloaded_then_that_is_refused_by_name(tmp_path: Path) -> None:
    script = "async def init(): pass\nasync def run(data): pass"
    with pool(tmp_path, script, "true", wait_ready=False) as server:
        assert server.exit_code() == 3
        assert "unset WORKER_PRELOAD, or make init() a plain function" in server.log()


def test_when_there_are_more_workers_than_requests_then_the_exit_is_3_with_the_remedy(tmp_path: Path) -> None:
    with replica(tmp_path, ECHO, wait_ready=False, WORKER_COUNT="4") as server:
        assert server.exit_code() == 3
        assert "WORKER_COUNT = 4 with MAX_BATCH_SIZE = 1 needs REPLICA_MAX_CONCURRENT_REQUESTS >= 4" in (
            server.log()
        )


def test_when_the_server_is_killed_then_its_workers_end_too(tmp_path: Path) -> None:
    with pool(tmp_path, WHO, "true") as server:
        workers = pids(server, 2)
        template = server.score({}).json()["begun"]
        server.process.kill()
        wait_until(lambda: not any(map(alive, (*workers, template))), "no process is left")


def test_when_the_template_is_killed_then_the_replica_answers_all_and_ends(tmp_path: Path) -> None:
    with pool(tmp_path, WHO, "true") as server, ThreadPoolExecutor(1) as clients:
        template = server.score({}).json()["begun"]
        running = clients.submit(server.score, {"sleep": 5})
        time.sleep(0.2)
        os.kill(template, signal.SIGKILL)
        assert server.exit_code() == 1
        assert running.result().status == 500


@pytest.mark.parametrize("preload", ["true", "false"])
def test_when_workers_are_terminated_under_load_then_all_that_was_accepted_is_answered(
    tmp_path: Path, preload: str
) -> None:
    script = ECHO + "\nimport atexit\natexit.register(lambda: print('at exit'))\n"
    with pool(tmp_path, script, preload) as server:
        waiting = [server.send({"seconds": 0.15}) for _ in range(40)]
        server.terminate()
        assert [server.status(client) for client in waiting] == [200] * 40
        for client in waiting:
            client.close()
        assert server.exit_code() == 0
        assert server.log().count("at exit") >= 2


def test_when_a_replacement_cannot_begin_then_the_replica_answers_all_and_exits_with_3(
    tmp_path: Path,
) -> None:
    script = WHO.replace(
        "def init():", "def init():\n    if os.path.exists('gone'): raise ValueError('no model')"
    )
    with pool(tmp_path, script) as server, ThreadPoolExecutor(1) as clients:
        pids(server, 2)
        (tmp_path / "gone").touch()
        other = clients.submit(server.score, {"sleep": 20})
        time.sleep(0.1)
        assert server.score({"signal": signal.SIGKILL}).status == 500
        assert server.exit_code() == 3
        assert other.result().message.startswith("This replica ends, because its worker processes cannot")
        assert "ValueError: no model" in server.log()


@pytest.mark.skipif(sys.platform != "linux", reason="memory that processes share is told by Linux alone")
def test_when_preloaded_then_the_workers_share_the_models_memory(tmp_path: Path) -> None:
    model = "model = [bytes([n]) * 1000 for n in range(256) for _ in range(400)]"  # 100 MB in small pieces
    script = WHO + model + "\n"
    with pool(tmp_path, script, "true", count=4, n=4) as server:
        workers = pids(server, 4)
        template = server.score({}).json()["begun"]
        assert sum(map(pss_mb, (template, *workers))) < 220


def pss_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024
