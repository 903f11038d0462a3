"""containerd and runc with folders and a socket of their own, driven by `ctr`."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.processes import DEADLINE, logged_line

SERVES = re.compile(r"msg=serving\.\.\. address=(\S+sock)$", re.MULTILINE)
SNAPSHOTTER = "native"
"""Works on every file system, also in a container."""


@dataclass(frozen=True)
class Containerd:
    """A running containerd."""

    socket: Path

    def ctr(self, *arguments: str) -> str:
        done = subprocess.run(
            ["ctr", "-a", str(self.socket), *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def pull(self, reference: str, login: str = "") -> None:
        """Pull an image; `login` is a user and a password as in `user:password`."""
        user = ("--user", login) if login else ()
        self.ctr("images", "pull", "--plain-http", "--snapshotter", SNAPSHOTTER, *user, reference)

    @contextmanager
    def container(
        self, reference: str, name: str, env: Mapping[str, str], log: Path, args: Sequence[str] = ()
    ) -> Generator[subprocess.Popen[bytes]]:
        """Run a container as a pod of ours would: nothing but /tmp can be written to."""
        command = ["ctr", "-a", str(self.socket), "run", "--rm", "--snapshotter", SNAPSHOTTER, "--net-host"]
        command += ["--read-only", "--mount", "type=tmpfs,src=tmpfs,dst=/tmp,options=rw"]
        command += [part for key, value in env.items() for part in ("--env", f"{key}={value}")]
        with log.open("wb") as output:
            process = subprocess.Popen([*command, reference, name, *args], stdout=output, stderr=output)
        try:
            yield process
        finally:
            subprocess.run(
                ["ctr", "-a", str(self.socket), "tasks", "kill", "--signal", "SIGKILL", name],
                capture_output=True,
                check=False,
            )
            process.wait(30)


@contextmanager
def containerd(folder: Path) -> Generator[Containerd]:
    """Run containerd; its socket has a short path, which is all that a kernel takes."""
    folder.mkdir(parents=True, exist_ok=True)
    socket = folder / "sock"
    (folder / "config.toml").write_text(
        f'version = 2\nroot = "{folder}/root"\nstate = "{folder}/state"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'[grpc]\naddress = "{socket}"\n'
    )
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["containerd", "--config", str(folder / "config.toml")], stdout=output, stderr=output
        )
    try:
        logged_line(process, log, SERVES)
        yield Containerd(socket)
    finally:
        process.terminate()
        process.wait(30)


def wait_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until what a container serves is ready."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise AssertionError(f"not ready:\n{log.read_text()}")


def score(port: int, body: str) -> object:
    """Send one request to a scoring server."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/score", body.encode())
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.loads(answer.read())
