"""Where a stack's local state lies, who may change it, and which processes belong to it.

`.slipway/<stack>/` belongs to its user alone (0700). One command at a time changes it: the lock says who
holds it. A process is known by its id and the time it started, so that one that merely got the id of an
old one is never touched.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import importlib.metadata
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from slipway import kube
from slipway.kube.folder import Folder
from slipway.local.container import LocalImage


class LocalError(Exception):
    """Something that a person can act on; `hint` says how."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class State:
    """The files of one stack below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.objects = Folder(self.root / "objects")
        self.images = self.root / "images.json"
        self.logs = self.root / "logs"
        self.pods = self.root / "pods"
        self.models = self.root / "models"
        self.supervisor_log = self.root / "supervisor.log"
        self._supervisor = self.root / "supervisor.json"
        self._processes = self.root / "processes.json"

    def make(self) -> None:
        """Create the folder, for its owner only."""
        for folder in (self.root.parent, self.root):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.root.parent / ".gitignore").write_text("*\n")

    @contextlib.contextmanager
    def lock(self, command: str) -> Generator[None]:
        """Hold the stack while `command` changes it. Raises LocalError at once if another command does."""
        self.make()
        with held(self.root / "lock", f"{command} (process {os.getpid()})") as holder:
            if holder is not None:
                raise LocalError(
                    f"`{holder}` is at work on the stack in {self.root}",
                    "wait until it has ended; nothing was changed",
                )
            yield

    def read_images(self) -> dict[str, LocalImage]:
        """Give the images by reference."""
        values = read_json(self.images)
        return {reference: LocalImage.from_dict(value) for reference, value in values.items()}

    def write_images(self, images: Mapping[str, LocalImage]) -> None:
        """Replace the images."""
        write_json(self.images, {name: dataclasses.asdict(image) for name, image in images.items()})

    def supervisor(self) -> Supervisor | None:
        """Give the running supervisor, or None."""
        values = read_json(self._supervisor)
        if not values:
            return None
        found = Supervisor(**values)
        return found if started(found.pid) == found.started else None

    def write_supervisor(self, supervisor: Supervisor) -> None:
        """Record who supervises."""
        write_json(self._supervisor, dataclasses.asdict(supervisor))

    def write_processes(self, processes: Mapping[int, str]) -> None:
        """Record the supervisor's children: id -> when it started."""
        write_json(self._processes, {str(pid): start for pid, start in processes.items()})

    def kill_leftovers(self) -> int:
        """Kill what an earlier supervisor left running. Returns how many process groups that were."""
        left = [
            (int(p), start) for p, start in read_json(self._processes).items() if started(int(p)) == start
        ]
        for pid, _ in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while any(started(pid) == start for pid, start in left) and time.monotonic() < deadline:
            time.sleep(0.01)  # their ports are free once they are gone
        self._processes.unlink(missing_ok=True)
        return len(left)


@dataclass(frozen=True)
class Supervisor:
    """The background process of a stack."""

    pid: int
    started: str
    version: str


def version() -> str:
    """Name this code: the release, and a hash of the files that a supervisor runs."""
    shared = Path(kube.__file__).parent
    files = [*sorted(Path(__file__).parent.glob("*.py")), shared / "folder.py", shared / "read.py"]
    whole = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    try:
        release = importlib.metadata.version("slipway-aks")
    except importlib.metadata.PackageNotFoundError:  # a checkout on PYTHONPATH
        release = "0"
    return f"{release}+{whole[:12]}"


def started(pid: int) -> str | None:
    """Say when a living process started, in words that only this machine understands; None if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            return None
        shown = subprocess.run(
            ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        return shown.stdout.strip() or None
    return None if fields[0] == "Z" else f"{_boot()}:{fields[19]}"


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@contextlib.contextmanager
def held(path: Path, name: str) -> Generator[str | None]:
    """Hold a lock file and yield None, or yield the name of who else holds it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "r+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield file.read().strip() or "another command"
            return
        file.truncate()
        file.write(name)
        file.flush()
        yield None
        file.seek(0)
        file.truncate()


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; empty if there is none."""
    try:
        value: object = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def write_json(path: Path, value: object) -> None:
    """Replace a file atomically, readable by its owner only."""
    handle, temporary = tempfile.mkstemp(prefix=".", dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(value, file)
    Path(temporary).replace(path)
