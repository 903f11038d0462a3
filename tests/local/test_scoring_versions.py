"""The server with the oldest packages that it declares, with the newest, and with uvicorn alone."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from uv import find_uv_bin

from tests.local.scoring_process import ECHO, PACKAGE, replica, wait_until

LINES = (PACKAGE / "scoring" / "requirements.txt").read_text().splitlines()
REQUIREMENTS = [line for line in LINES if not line.startswith("#")]
LOWEST = [line.replace(">=", "==") for line in REQUIREMENTS]
BATCHES = """
import os
def init(): pass
def run(data):
    if "5" in data: os._exit(1)
    return [[text, os.getpid()] for text in data]
"""
SCRIPT = ECHO.replace("    try:\n", "    print('begins:', data[:20])\n    try:\n", 1)


def environment(root: Path, python: str, *requirements: str) -> str:
    """Make a virtual environment, return its python; skip where this machine has no such Python.

    PyPy is one: for a version whose CPython a distribution has no more it is the one at hand.
    """
    uv = find_uv_bin()
    for name in (python, f"pypy{python}"):
        command = [uv, "venv", "--quiet", "--no-python-downloads", "--python", name, root / "venv"]
        if not subprocess.run(command, capture_output=True, check=False).returncode:
            break
    else:
        pytest.skip(f"there is no Python {python} here")
    interpreter = str(root / "venv" / "bin" / "python")
    subprocess.run([uv, "pip", "install", "--quiet", "--python", interpreter, *requirements], check=True)
    return interpreter


@pytest.mark.parametrize(
    ("python", "requirements"),
    [
        pytest.param(sys.executable, LOWEST, id="lowest"),
        pytest.param(sys.executable, REQUIREMENTS, id="newest"),
        pytest.param(sys.executable, LOWEST[:1], id="lowest-alone"),
        pytest.param(sys.executable, REQUIREMENTS[:1], id="newest-alone"),
        pytest.param("3.13", REQUIREMENTS, id="3.13-newest"),
    ],
)
def test_with_each_uvicorn_then_limits_time_outs_departures_and_the_drain_hold(
    tmp_path: Path, python: str, requirements: list[str]
) -> None:
    its_promises_hold(tmp_path, environment(tmp_path, python, *requirements))


def its_promises_hold(folder: Path, python: str) -> None:
    """Let the server keep its limits, time-outs and drain, with one process and with several."""
    with (
        replica(folder, SCRIPT, python=python, SCORING_TIMEOUT_MS="1500") as server,
        ThreadPoolExecutor(9) as clients,
    ):
        assert server.score({"a": 1}).json()["echo"] == {"a": 1}
        assert server.score({"fail": "so"}).status == 500
        assert server.request("GET", "/swagger.json?version=3").status == 200
        assert server.request("POST", "/score", b"\xff").status == 400
        assert server.request("POST", "/score", b"x" * 104_857_601).status == 413
        endless = iter([b"x" * 1_048_576] * 101)
        assert server.request("POST", "/score", endless, chunked=True).status == 413
        assert server.score({"size": 5_000_000}).status == 200

        assert server.score({"seconds": 10}).status == 504

        running = clients.submit(server.score, {"seconds": 1})
        wait_until(lambda: 'begins: {"seconds": 1}' in server.log(), "it is inside")
        server.send("gone").close()  # while it waits
        assert server.score({}).json()["running"] == 1
        assert running.result().status == 200
        assert "gone" not in server.log()

        late = [clients.submit(server.score, {"seconds": 0.3}) for _ in range(9)]
        wait_until(lambda: any(future.running() for future in late), "loaded")
        time.sleep(0.2)
        server.terminate()
        assert {future.result().status for future in late} == {200}
        assert server.exit_code() == 0
        assert server.log().count("Traceback") == 2  # of the failure and of the time-out

    processes = {"WORKER_COUNT": "2", "WORKER_PRELOAD": "true", "MAX_BATCH_SIZE": "2"}
    processes["REPLICA_MAX_CONCURRENT_REQUESTS"] = "4"
    with replica(folder, BATCHES, python=python, wait_ready=True, **processes) as server:
        assert server.score(1).json()[0] == "1"
        assert server.score(5).message == "The worker process that ran this request ended: exit code 1."
        assert server.score(2).json()[1] != server.process.pid
        server.terminate()
        assert server.exit_code() == 0
