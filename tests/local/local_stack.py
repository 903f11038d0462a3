"""What the local engine's tests share: objects that no component of ours wrote, and a stack to run them."""

import contextlib
import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

from slipway.kube.folder import Object
from slipway.kube.read import is_ready
from slipway.local.container import LocalImage
from slipway.local.state import State
from slipway.local.up import down, up

SERVER = Path(__file__).with_name("local_server.py")
IMAGE = "example.org/web:1"


def image(**env: str) -> LocalImage:
    return LocalImage(sys.executable, "/", ("-u", str(SERVER)), env)


def deployment(name: str = "web", replicas: int = 1, *, port: int = 8000, **env: str) -> Object:
    http = {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {
                "metadata": {"labels": {"app": name, "tier": "front"}},
                "spec": {
                    "terminationGracePeriodSeconds": 5,
                    "containers": [
                        {
                            "name": "server",
                            "image": IMAGE,
                            "ports": [{"name": "http", "containerPort": port}],
                            "env": [
                                {"name": "PORT", "value": str(port)},
                                {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                                *({"name": key, "value": value} for key, value in env.items()),
                            ],
                            "readinessProbe": {**http, "failureThreshold": 1},
                        }
                    ],
                },
            },
        },
    }


def container(obj: Object) -> Object:
    return obj["spec"]["template"]["spec"]["containers"][0]


def service(name: str = "web", kind: str = "ClusterIP") -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "shop", "labels": {"team": "a"}},
        "spec": {
            "type": kind,
            "selector": {"app": name},
            "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
        },
    }


class Stack:
    """A stack in a folder of its own."""

    def __init__(self, root: Path) -> None:
        self.state = State(root)
        self.said: list[str] = []

    def up(
        self, *objects: Object, images: Mapping[str, LocalImage] | None = None, timeout: float = 60
    ) -> None:
        with self.state.lock("up"):
            up(self.state, objects, images or {IMAGE: image()}, timeout=timeout, say=self.said.append)

    def down(self) -> bool:
        with self.state.lock("down"):
            return down(self.state)

    def pods(self, name: str = "web") -> list[Object]:
        pods = self.state.objects.list("Pod", "shop")
        return [pod for pod in pods if pod["metadata"]["labels"]["app"] == name]

    def ready(self, name: str = "web") -> list[Object]:
        return [pod for pod in self.pods(name) if is_ready(pod)]

    def pids(self, name: str = "web") -> list[int]:
        return sorted(pid for pod in self.pods(name) if (pid := pid_of(pod)))

    def supervisor(self) -> int:
        supervisor = self.state.supervisor()
        assert supervisor is not None
        return supervisor.pid

    def slices(self) -> list[Object]:
        return self.state.objects.list("EndpointSlice", "shop")

    def routable(self) -> list[int]:
        """The ports that a router would send requests to."""
        return [s["ports"][0]["port"] for s in self.slices() if s["endpoints"][0]["conditions"]["ready"]]

    def log(self, name: str = "web") -> str:
        return "".join(path.read_text() for path in sorted((self.state.logs / "shop" / name).glob("*.log")))


@contextlib.contextmanager
def stack(root: Path) -> Generator[Stack]:
    """A stack that leaves nothing running, whatever a test did to it."""
    one = Stack(root)
    try:
        yield one
    finally:
        one.down()


def pid_of(pod: Object) -> int:
    """The process of a pod's container, or 0."""
    return int(pod["status"]["containerStatuses"][0].get("containerID", "0").removeprefix("process://"))


def port_of(pod: Object) -> int:
    return pod["spec"]["containers"][0]["ports"][0]["hostPort"]


def get(pod_or_port: Object | int, path: str = "/", timeout: float = 5) -> Any:
    port = pod_or_port if isinstance(pod_or_port, int) else port_of(pod_or_port)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}{path}", timeout=timeout) as answer:
        return json.loads(answer.read())


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return not Path("/proc/self").exists()


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def until(reached: Callable[[], object], seconds: float = 60) -> None:
    """Wait for a condition, with a deadline that a busy machine meets."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"not reached within {seconds} s"
        time.sleep(0.02)
