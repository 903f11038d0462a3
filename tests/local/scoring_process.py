"""A real scoring server in a process of its own: `with replica(...) as server`.

It runs from a copy of nothing but `slipway/__init__.py`, `slipway/scoring` and `slipway/collect`, which is
what enters a user's image, and gets nothing of the environment but what is passed.
"""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slipway

PACKAGE = Path(slipway.__file__).parent
EXAMPLES = PACKAGE.parent / "examples"
ECHO = (EXAMPLES / "echo" / "score.py").read_text(encoding="utf-8")
DEADLINE = 60.0


@dataclass(frozen=True)
class Answer:
    """One HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """Assert the one shape of an error, and return its sentence."""
        assert self.headers["content-type"] == "application/json"
        assert list(self.json()) == ["message"]
        return self.json()["message"]


@dataclass(frozen=True)
class Replica:
    """A started server; `folder` is its application's root."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path
    log_file: Path

    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        chunked: bool = False,
        timeout: float = DEADLINE,
    ) -> Answer:
        """Send one request on a connection of its own; `body` may be anything that `http.client` sends."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)) as connection:
            connection.request(method, path, body, dict(headers or {}), encode_chunked=chunked)
            response = connection.getresponse()
            lower = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, lower, response.read())

    def score(self, data: Any, **more: Any) -> Answer:
        return self.request("POST", "/score", json.dumps(data), **more)

    def ready(self) -> bool:
        try:
            return self.request("GET", "/ready", timeout=5).status == 200
        except OSError:
            return False

    def send(self, data: Any, line: str = "POST /score") -> socket.socket:
        """Send a request and return its socket at once, with no answer read: close it to go away."""
        body = b"" if data is None else json.dumps(data).encode()
        head = f"{line} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        client = socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE)
        client.sendall(head + body)
        return client

    @staticmethod
    def status(client: socket.socket) -> int:
        """Read one whole response from what `send` returned."""
        response = http.client.HTTPResponse(client)
        response.begin()
        response.read()
        return response.status

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def exit_code(self, timeout: float = DEADLINE) -> int:
        return self.process.wait(timeout)


def wait_until(true: Callable[[], bool], what: str, timeout: float = DEADLINE) -> None:
    """Ask until it is so; fail after `timeout` seconds."""
    end = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < end, f"not within {timeout} s: {what}"
        time.sleep(0.01)


@contextmanager
def replica(
    root: Path,
    script: str,
    *,
    python: str = sys.executable,
    arguments: Sequence[str] = (),
    wait_ready: bool = True,
    **environment: str,
) -> Generator[Replica]:
    """Start the server on a free port with `script` as its entry script.

    Waits until it listens and, by default, is ready. At the end it is killed unless it has ended by itself.
    """
    runtime, folder, log_file = root / "runtime", root / "azureml-app", root / "log"
    if not runtime.exists():
        for name in ("scoring", "collect"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(PACKAGE / name, runtime / "slipway" / name, ignore=ignored)
        shutil.copy(PACKAGE / "__init__.py", runtime / "slipway")
    folder.mkdir(exist_ok=True)
    (folder / "score.py").write_text(script, encoding="utf-8")
    variables = {
        "PATH": os.defpath,
        "PYTHONPATH": str(runtime),
        "POD_IP": "127.0.0.1",
        "PORT": "0",
        "AML_APP_ROOT": str(folder),
        "AZUREML_ENTRY_SCRIPT": "score.py",
        **environment,
    }
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [python, "-m", "slipway.scoring", *arguments], env=variables, cwd=root, stdout=log, stderr=log
        )
    try:
        server = Replica(process, _port(process, log_file), folder, log_file)
        if wait_ready:
            wait_until(lambda: server.ready() or process.poll() is not None, "ready")
            assert process.poll() is None, server.log()
        yield server
    finally:
        process.kill()
        process.wait()


def _port(process: subprocess.Popen[bytes], log_file: Path) -> int:
    """Return the port, or 0 if the process ended before it listened."""
    pattern = re.compile(r"listening on http://127\.0\.0\.1:(\d+)\n")
    found: list[str] = []

    def listens() -> bool:
        ended = process.poll() is not None
        found[:] = pattern.findall(log_file.read_text(encoding="utf-8", errors="replace"))
        return bool(found) or ended

    wait_until(listens, "listening")
    return int(found[0]) if found else 0
