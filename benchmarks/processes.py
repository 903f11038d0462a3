"""The processes that benchmarks measure: a router over a folder of objects, HAProxy alone, their costs."""

import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from slipway.kube.folder import Folder
from slipway.spec import Serving
from tests.ports import free_port

KEY = "k" * 32
NAMESPACE = "slipway-services"
SECONDS = 20.0
REPLICA = """
global
  nbthread 1
defaults
  mode http
  timeout client 60s
frontend replica
  bind :{port}
  http-request return status 200 content-type application/json string "[152.13]"
"""
"""HAProxy's configuration for a replica that does nothing, on a port."""


@contextlib.contextmanager
def running(
    command: Sequence[str],
    cores: Sequence[int],
    *,
    environment: Mapping[str, str] | None = None,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = subprocess.DEVNULL,
) -> Generator[subprocess.Popen[bytes]]:
    """Run a process on some cores and end it."""
    process = subprocess.Popen([*pinned(cores), *command], env=environment, stdout=stdout, stderr=stderr)
    with process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            time.sleep(0.1)
            process.send_signal(signal.SIGTERM)  # the router's second one: at once
            try:
                process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def pinned(cores: Sequence[int]) -> list[str]:
    """Give the beginning of a command that stays on some cores; the process is the command's own."""
    return ["taskset", "-c", ",".join(map(str, cores))]


def real_time(pid: int = 0, *, on: bool = True) -> None:
    """Let a process that measures, or this one, wait for no other on a core that it shares; needs root."""
    try:
        os.sched_setscheduler(pid, os.SCHED_FIFO if on else os.SCHED_OTHER, os.sched_param(int(on)))
    except PermissionError:
        print("without root what measures has no real-time priority: latencies are too long", file=sys.stderr)


@contextlib.contextmanager
def haproxy(binary: str, config: str, port: int, cores: Sequence[int]) -> Generator[subprocess.Popen[bytes]]:
    """Run HAProxy with a configuration until it listens, and then until the end."""
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as file:
        file.write(config)
        file.flush()
        with running([binary, "-db", "-f", file.name], cores) as process:
            wait_for(lambda: listens(port), "HAProxy")
            yield process


class Router:
    """`python -m slipway.router`, with a folder of objects that holds what `deploy` put there."""

    def __init__(self, root: Path, cores: Sequence[int], **variables: str) -> None:
        self.root, self.folder = root, Folder(root / "objects")
        self.port, self.admin_port = free_port(), free_port()
        environment = {
            "PATH": os.environ["PATH"],
            "PORT": str(self.port),
            "ADMIN_PORT": str(self.admin_port),
            "SLIPWAY_RUN_DIR": str(root / "run"),
            "SLIPWAY_OBJECTS": str(root / "objects"),
            **variables,
        }
        root.mkdir(parents=True, exist_ok=True)
        self._log = (root / "router.log").open("wb")
        self._process = running(
            [sys.executable, "-m", "slipway.router"],
            cores,
            environment=environment,
            stdout=self._log,
            stderr=self._log,
        )
        self.pid = 0
        self.peer_port = int(environment.get("PEER_PORT", "0"))

    def __enter__(self) -> "Router":
        self.pid = self._process.__enter__().pid
        return self

    def __exit__(self, *error: object) -> None:
        self._process.__exit__(None, None, None)
        self._log.close()

    def join(self, pod: str) -> None:
        """Let this be one of the router's pods, for itself and all others."""
        self._put(
            "EndpointSlice",
            "slipway",
            f"slipway-router-peers-{pod}",
            {"kubernetes.io/service-name": "slipway-router-peers"},
            ports=[{"name": "admin", "port": self.admin_port}, {"name": "peer", "port": self.peer_port}],
            endpoints=[{"addresses": ["127.0.0.1"], "targetRef": {"kind": "Pod", "name": pod}}],
        )

    def deploy(self, name: str, ports: Sequence[int], **serving: object) -> None:
        """Let a service be there, with replicas on these ports of this machine."""
        labels = {"slipway/webservice": name}
        values = Serving.model_validate({"num_replicas": 1, "autoscale_enabled": False, **serving})
        self._put(
            "Deployment",
            NAMESPACE,
            name,
            labels,
            annotations={"slipway/serving": values.model_dump_json()},
        )
        encoded = base64.b64encode(KEY.encode()).decode()
        data = {"primary": encoded, "secondary": base64.b64encode(b"second").decode()}
        self._put("Secret", "slipway", f"{name}-keys", labels, data=data)
        self._add(name, ports)

    def _add(self, name: str, ports: Sequence[int]) -> None:
        for port in ports:
            self._put(
                "EndpointSlice",
                NAMESPACE,
                f"{name}-{port}",
                {"slipway/webservice": name},
                addressType="IPv4",
                ports=[{"name": "http", "port": port}],
                endpoints=[{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
            )

    def scale(self, name: str, ports: Sequence[int]) -> None:
        """Let exactly these be the replicas of a service."""
        self._add(name, ports)
        for found in self.folder.list("EndpointSlice"):
            slice_name = found["metadata"]["name"]
            if slice_name.startswith(f"{name}-") and slice_name not in {f"{name}-{port}" for port in ports}:
                self.folder.delete("EndpointSlice", NAMESPACE, slice_name)

    def remove(self, name: str) -> None:
        """Take a service away."""
        self.scale(name, [])
        for kind, namespace, one in (
            ("Deployment", NAMESPACE, name),
            ("Secret", "slipway", f"{name}-keys"),
        ):
            self.folder.delete(kind, namespace, one)

    def _put(
        self,
        kind: str,
        namespace: str,
        name: str,
        labels: dict[str, str],
        annotations: dict[str, str] | None = None,
        **fields: object,
    ) -> None:
        metadata = {"name": name, "namespace": namespace, "labels": labels, "annotations": annotations or {}}
        self.folder.put({"kind": kind, "metadata": metadata, **fields})

    def knows(self, others: int) -> None:
        """Wait until it hands requests to so many other pods."""
        config = self.root / "run" / "haproxy.cfg"
        wait_for(lambda: config.exists() and config.read_text().count("weight 0") == others, "peers")

    def status(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/status", timeout=SECONDS) as answer:
            return json.load(answer)

    def up(self, *names: str, replicas: int, seconds: float = SECONDS) -> None:
        """Wait until each of these services has exactly so many replicas that are up."""

        def look() -> bool:
            with contextlib.suppress(OSError):
                services = self.status()["services"]
                return all(services.get(name, {}).get("up") == replicas for name in names)
            return False

        wait_for(look, f"{replicas} replicas of {', '.join(names)}", seconds)


def pods(root: Path, names: Sequence[str], cores: Sequence[int], **variables: str) -> list[Router]:
    """Give a router's pods, which are to be started; one is alone."""
    if len(names) == 1:
        return [Router(root, cores, **variables)]
    variables["SLIPWAY_OBJECTS"] = str(root / "objects")
    found = [
        Router(root / name, cores, POD_NAME=name, PEER_PORT=str(free_port()), **variables) for name in names
    ]
    for name, router in zip(names, found, strict=True):
        router.folder = Folder(root / "objects")
        router.join(name)
    return found


def cpu_seconds(pids: Sequence[int]) -> float:
    """Sum up what processes have used so far, with what those did that they started and that have ended."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_mb(pids: Sequence[int]) -> float:
    """Sum up what processes have in memory now, of what they share with others their part."""
    kilobytes = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
        kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kilobytes / 1024


def tree(pid: int) -> list[int]:
    """Give a process and all that it started; nothing of one that has ended by now."""
    try:
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [pid, *(one for child in below for one in tree(int(child)))]


def cores() -> tuple[list[int], list[int], list[int]]:
    """Give the cores of what is measured, of its replicas, and of its clients."""
    if sys.platform != "linux":
        raise SystemExit("error: this benchmark pins processes to cores, which needs Linux")
    found = sorted(os.sched_getaffinity(0))
    if len(found) < 2:
        raise SystemExit("error: this benchmark needs two cores at least")
    return found[:1], found[1:2], found[2:3] or found[1:2]


def program(name: str, install: str) -> str:
    """Find a program, or say how to get it."""
    path = shutil.which(name)
    if path is None:
        raise SystemExit(f"error: `{name}` was not found\n\nhint: {install}")
    return path


def wait_for(look: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        if time.monotonic() > deadline:
            raise SystemExit(f"error: no {what} within {seconds:g} s")
        time.sleep(0.02)


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
