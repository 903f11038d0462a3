"""Debian's docker-registry as the workspace's or the global registry, with a port and a folder of its own."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.processes import logged_line

USER, PASSWORD = "ann", "right-password"
PAIR = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
HTPASSWD = "ann:$2y$05$xq4ygihfD9Fb3mTd3EjN9.JBRDTA8j5tDwUU0485UNTSBCNg4lKmy\n"
"""That user and the hash of that password, as `htpasswd -B` writes them."""
LISTENS = re.compile(r"listening on (127\.0\.0\.1:\d+)")


@dataclass(frozen=True)
class RunningRegistry:
    """A registry process; `requests` says what it was asked for."""

    host: str
    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def requests(self) -> list[tuple[str, str]]:
        """Give method and path of every request that it answered, in order of the answers."""
        log = (self.folder / "requests.log").read_text()
        return re.findall(r'"([A-Z]+) (\S+) HTTP/1\.1"', log)

    def blob(self, digest: str) -> Path:
        """Say where it keeps a blob."""
        name = digest.removeprefix("sha256:")
        return self.store / "docker/registry/v2/blobs/sha256" / name[:2] / name / "data"


def configure(
    path: Path, store: Path, address: str = "127.0.0.1:0", auth: Mapping[str, Any] | None = None
) -> None:
    """Write the file that a registry is started with; `auth` is that part of it."""
    config: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "info"},
        "storage": {"filesystem": {"rootdirectory": str(store)}, "delete": {"enabled": True}},
        "http": {"addr": address, "secret": "only for this test"},
        "auth": dict(auth or {}),
    }
    path.write_text(yaml.safe_dump({key: value for key, value in config.items() if value}))


@contextmanager
def registry(folder: Path, auth: Mapping[str, Any] | None = None) -> Generator[RunningRegistry]:
    """Run a registry; `auth` is that part of its configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.yaml"
    configure(path, folder / "store", auth=auth)
    log = folder / "registry.log"
    with log.open("wb") as errors, (folder / "requests.log").open("wb") as requests:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig=TERM", "docker-registry", "serve", path], stdout=requests, stderr=errors
        )
    try:
        yield RunningRegistry(logged_line(process, log, LISTENS), folder)
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def guarded(folder: Path) -> Generator[RunningRegistry]:
    """Run a registry that asks for that user's password."""
    folder.mkdir(parents=True, exist_ok=True)
    users = folder / "users"
    users.write_text(HTPASSWD)
    with registry(folder, {"htpasswd": {"realm": "r", "path": str(users)}}) as running:
        yield running


def docker_login(config: Path, host: str) -> None:
    """Leave in Docker's configuration folder what `docker login` leaves."""
    (config / "config.json").write_text(json.dumps({"auths": {host: {"auth": PAIR}}}))
