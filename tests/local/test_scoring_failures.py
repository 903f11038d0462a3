"""What a script or a client can do wrong, and what the other side hears of it."""

import http.client
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.local.scoring_process import ECHO, Answer, Replica, replica

LIMIT = 104_857_600
LENGTH = """
def init(): pass
def run(data): return len(data)
"""
FAILING = """
import json, os, sys
def init(): pass
def run(data):
    what = json.loads(data)
    if what == "raise": raise ValueError("this is mine")
    if what == "exit": sys.exit(1)
    if what == "set": return {1, 2}
    if what == "bytes": return b"x"
    if what == "deep":
        value = []
        for _ in range(100_000): value = [value]
        return value
    return what
"""


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    with replica(tmp_path_factory.mktemp("failing"), FAILING) as server:
        yield server


@pytest.fixture(scope="module")
def length(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    with replica(tmp_path_factory.mktemp("length"), LENGTH) as server:
        yield server


def assert_run_failed(answer: Answer, status: int = 500) -> str:
    assert answer.status == status
    assert answer.headers["x-ms-run-function-failed"] == "True"
    return answer.message


def test_when_run_raises_then_500_and_the_traceback_is_in_the_log_only(failing: Replica) -> None:
    message = assert_run_failed(failing.score("raise"))
    assert message == "An unexpected error occurred in scoring script. Check the logs for more info."
    log = failing.log()
    assert 'score.py", line 6, in run\n    if what == "raise": raise ValueError("this is mine")' in log
    assert "ValueError: this is mine" in log
    assert "slipway/scoring" not in log
    assert failing.score(1).json() == 1


def test_when_run_exits_then_only_that_request_fails(failing: Replica) -> None:
    assert_run_failed(failing.score("exit"))
    assert failing.score(2).json() == 2


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("set", "Object of type set is not JSON serializable"),
        ("bytes", "Object of type bytes is not JSON serializable"),
        ("deep", "recursion"),
    ],
)
def test_when_the_result_is_no_json_then_500_says_why(failing: Replica, what: str, why: str) -> None:
    assert why in assert_run_failed(failing.score(what))
    assert failing.score(3).json() == 3


def test_when_init_and_run_print_megabytes_then_nothing_blocks_and_nothing_is_lost(tmp_path: Path) -> None:
    script = """
def init():
    for _ in range(1000): print("i" * 3000)
def run(data):
    print("r" * 3_000_000, "\\udc80")
    for _ in range(10_000): print("l" * 99)
    return "done"
"""
    with replica(tmp_path, script) as server:
        assert server.score(1).json() == "done"
        assert server.log().count("i") >= 3_000_000
        assert server.log().count("r") >= 3_000_000
        assert server.log().count("l" * 99 + "\n") == 10_000


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("def run(data): pass", "has no function init()"),
        ("def init(): pass", "has no function run()"),
        ("def init(): pass\ndef run(): pass", "run() needs to accept an argument for input data."),
        ("def init(): pass\ndef run(*data): pass", "cannot accept positional-only arguments, *args"),
        ("def init(): pass\ndef run(data) pass", "SyntaxError"),
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("def init(): open('/no/model')\ndef run(data): pass", "FileNotFoundError"),
        ("def init(): raise SystemExit('enough')\ndef run(data): pass", "SystemExit: enough"),
    ],
    ids=["no-init", "no-run", "no-parameter", "star", "syntax", "import", "init", "exit"],
)
def test_when_the_script_cannot_serve_then_it_says_why_and_exits_with_3(
    tmp_path: Path, script: str, says: str
) -> None:
    with replica(tmp_path, script, wait_ready=False) as server:
        assert server.exit_code() == 3
        assert says in server.log()
        assert "score.py" in server.log()
        assert "slipway/scoring" not in server.log()


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"AZUREML_ENTRY_SCRIPT": "other.py"}, "There is no entry script 'other.py'"),
        ({"AZUREML_ENTRY_SCRIPT": ""}, "AZUREML_ENTRY_SCRIPT is not set"),
        ({"PORT": "http"}, "PORT = 'http', must be a whole number in [0, 65535]"),
        ({"REPLICA_MAX_CONCURRENT_REQUESTS": "0"}, "REPLICA_MAX_CONCURRENT_REQUESTS = '0'"),
    ],
    ids=["missing", "unset", "port", "concurrency"],
)
def test_when_the_environment_is_wrong_then_the_variable_is_named_and_the_exit_is_3(
    tmp_path: Path, variables: dict[str, str], says: str
) -> None:
    with replica(tmp_path, ECHO, wait_ready=False, **variables) as server:
        assert server.exit_code() == 3
        assert says in server.log()
        assert "Traceback" not in server.log()


def test_when_the_port_is_taken_then_that_is_said_and_the_exit_is_1(tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    with (
        replica(tmp_path, ECHO) as first,
        replica(tmp_path / "second", ECHO, wait_ready=False, PORT=str(first.port)) as second,
    ):
        assert second.exit_code() == 1
        assert f"cannot listen on POD_IP:PORT = 127.0.0.1:{first.port}" in second.log()


def test_when_the_body_has_just_the_limit_then_it_is_scored(length: Replica) -> None:
    assert length.request("POST", "/score", b"x" * LIMIT).json() == LIMIT


def test_when_the_body_is_a_byte_over_the_limit_then_413(length: Replica) -> None:
    answer = length.request("POST", "/score", b"x" * (LIMIT + 1))
    assert answer.status == 413
    assert answer.message == "The body of the request is larger than 104857600 bytes."
    assert length.score(1).status == 200


def test_when_a_chunked_body_passes_the_limit_then_413(length: Replica) -> None:
    chunk = b"x" * 1_048_576
    answer = length.request("POST", "/score", iter([chunk] * 100 + [b"x"]), chunked=True)
    assert answer.status == 413
    assert answer.message == "The body of the request is larger than 104857600 bytes."
    assert length.score(1).status == 200


def test_when_a_chunked_body_never_ends_then_the_refusal_does_not_wait_for_it(length: Replica) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(101):
            yield b"x" * 1_048_576
        refused.append(read_status())

    def read_status() -> bytes:
        return connection.sock.recv(65_536).partition(b"\r\n")[0]

    refused: list[bytes] = []
    with closing(http.client.HTTPConnection("127.0.0.1", length.port, timeout=10)) as connection:
        connection.request("POST", "/score", endless(), encode_chunked=True)
    assert refused == [b"HTTP/1.1 413 Request Entity Too Large"]


def test_when_a_large_body_is_announced_then_it_is_refused_before_it_is_sent(length: Replica) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", length.port, timeout=5)) as connection:
        connection.putrequest("POST", "/score")
        connection.putheader("Content-Length", str(LIMIT + 1))
        connection.putheader("Expect", "100-continue")
        connection.endheaders()
        assert connection.getresponse().status == 413
