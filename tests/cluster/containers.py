"""containerd and runc with folders and a socket of their own, driven by `ctr`."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.processes import logged_line

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

    def pull(self, reference: str) -> None:
        self.ctr("images", "pull", "--plain-http", "--snapshotter", SNAPSHOTTER, reference)

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
