"""From the start to the last answer: readiness, SIGTERM, and what must not end a replica."""

import errno
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event

from tests.local.scoring_process import ECHO, Replica, replica, wait_until


def drains(server: Replica) -> bool:
    return server.request("GET", "/ready").status == 503


def test_when_init_is_slow_then_the_replica_is_alive_but_not_ready(tmp_path: Path) -> None:
    script = """
import os, time
def init():
    while not os.path.exists("go"): time.sleep(0.01)
def run(data): return 1
"""
    with replica(tmp_path, script, wait_ready=False) as server:
        assert server.request("GET", "/").body == b"Healthy"
        assert server.request("GET", "/ready").status == 503
        assert server.score(1).message == "init() has not finished."
        (tmp_path / "go").touch()
        wait_until(server.ready, "ready")
        assert server.score(1).json() == 1


def test_when_terminated_in_init_then_it_exits_with_0_without_waiting_for_it(tmp_path: Path) -> None:
    script = "import time\ndef init(): time.sleep(600)\ndef run(data): pass"
    with replica(tmp_path, script, wait_ready=False) as server:
        assert server.request("GET", "/").status == 200
        server.terminate()
        assert server.exit_code() == 0


def test_when_terminated_then_it_is_unready_at_once_serves_for_2_s_and_exits_with_0(tmp_path: Path) -> None:
    with replica(tmp_path, ECHO) as server:
        server.terminate()
        began = time.monotonic()
        wait_until(lambda: drains(server), "unready")
        answer = server.score({"late": 1})
        assert answer.status == 200
        assert answer.headers["connection"] == "close"
        assert server.exit_code() == 0
        assert time.monotonic() - began >= 2


def test_when_terminated_under_load_then_nothing_that_was_accepted_is_lost(tmp_path: Path) -> None:
    """Clients behave as a router does: they send no more once the replica is not ready."""
    stop = Event()

    def client(server: Replica) -> list[int]:
        statuses: list[int] = []
        while not stop.is_set():
            statuses.append(server.score({"seconds": 0.05}).status)
        return statuses

    with replica(tmp_path, ECHO) as server, ThreadPoolExecutor(40) as clients:
        running = [clients.submit(client, server) for _ in range(40)]
        wait_until(lambda: "draining" in server.log() or server.score({}).status == 200, "loaded")
        server.terminate()
        began = time.monotonic()
        wait_until(lambda: drains(server), "unready")
        time.sleep(max(0.0, began + 1.0 - time.monotonic()))  # a router's probe comes once a second
        stop.set()
        statuses = [status for future in running for status in future.result()]
        assert len(statuses) > 40
        assert set(statuses) == {200}
        assert server.exit_code() == 0


def test_when_many_still_wait_after_the_listener_closed_then_they_are_all_answered(tmp_path: Path) -> None:
    with replica(tmp_path, ECHO) as server:
        waiting = [server.send({"seconds": 0.15}) for _ in range(24)]  # 3.6 s of work, 2 s of service
        server.terminate()
        assert [server.status(client) for client in waiting] == [200] * 24
        for client in waiting:
            client.close()
        assert server.exit_code() == 0


def test_when_run_computes_in_c_then_sigterm_is_heard_none_the_less(tmp_path: Path) -> None:
    script = """
import hashlib
def init(): pass
def run(data): return hashlib.pbkdf2_hmac("sha256", b"a", b"b", 4_000_000).hex()
"""
    with replica(tmp_path, script) as server, ThreadPoolExecutor(1) as clients:
        answer = clients.submit(server.score, 1)
        time.sleep(0.2)
        server.terminate()
        wait_until(lambda: drains(server), "unready")
        assert not answer.done()
        assert answer.result().status == 200
        assert server.exit_code() == 0


def test_when_run_forks_and_terminates_a_child_then_the_replica_goes_on(tmp_path: Path) -> None:
    script = """
import multiprocessing, time
def init(): pass
def run(data):
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    time.sleep(0.1)
    child.terminate()
    child.join()
    return child.exitcode
"""
    with replica(tmp_path, script) as server:
        assert server.score(1).json() == -15
        assert server.ready()
        assert "draining" not in server.log()


def test_when_the_script_reconfigures_logging_then_its_failures_are_still_logged(tmp_path: Path) -> None:
    script = """
import logging.config
def init(): logging.config.dictConfig({"version": 1})
def run(data): raise ValueError("seen")
"""
    with replica(tmp_path, script) as server:
        assert server.score(1).status == 500
        assert "ValueError: seen" in server.log()


def test_when_the_script_leaves_a_thread_running_then_the_process_exits_none_the_less(tmp_path: Path) -> None:
    script = """
import threading, time
def init(): threading.Thread(target=time.sleep, args=(600,)).start()
def run(data): return 1
"""
    with replica(tmp_path, script) as server:
        server.terminate()
        assert server.exit_code() == 0


def test_when_killed_then_no_connection_is_taken_once_its_requests_have_failed(tmp_path: Path) -> None:
    for _ in range(5):  # which end comes first is the kernel's choice, and not always the same
        with replica(tmp_path, ECHO) as server, server.send({"seconds": 20}) as client:
            server.process.kill()
            with suppress(ConnectionResetError):
                assert client.recv(1) == b""
            with socket.socket() as late:
                assert late.connect_ex(("127.0.0.1", server.port)) == errno.ECONNREFUSED
