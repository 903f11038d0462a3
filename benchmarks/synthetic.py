"""Web services that are objects only: an API server holds them, one listener answers for all replicas.

No kubelet and no controller: what those would write is written here, so thousands of replicas cost nothing
but what is said of them. Their addresses are of the range for tests between networks (RFC 2544) and lead
nowhere but into the network that the run makes for itself.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import subprocess
from collections.abc import Coroutine, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from benchmarks.processes import KEY, wait_for
from slipway.kube.client import Client, connect
from slipway.router import binary
from slipway.router.authority import renewed
from slipway.router.feed import OWN_SERVICE
from slipway.spec import AUTHORITY_SECRET, Serving
from tests.cluster.kubernetes import commands
from tests.cluster.kubernetes.build import programs
from tests.cluster.kubernetes.cluster import SYSTEM_PATH
from tests.cluster.kubernetes.component import Component
from tests.cluster.kubernetes.machine import Machine, machine

NAMESPACE = "models"
HOME = "slipway"
PORT = 5001
REPLICAS = 10
"""Of each web service."""
FIRST = int(ip_address("198.19.0.0"))
SPARE = 60_000
"""The number of the first address that no replica has at first."""
AT_ONCE = 16
CREATED = "2026-01-01T00:00:00Z"
ACCOUNT = "/run/secrets/kubernetes.io/serviceaccount"
LISTENER = f"""
global
  maxconn 5000
defaults
  mode http
  timeout client 60s
frontend replicas
  bind :{PORT}
  http-request return status 200 content-type application/json string [1]
"""
Object = dict[str, Any]


@dataclass(frozen=True)
class ApiServer:
    """An API server alone, in a network of its own."""

    machine: Machine
    kubeconfig: Path
    kubectl: list[str]
    """the beginning of a command"""

    def run(self, *arguments: str, stdin: str = "") -> None:
        """Run kubectl; what it writes to stderr is shown."""
        command = [*self.kubectl, *arguments]
        subprocess.run(command, input=stdin, text=True, stdout=subprocess.DEVNULL, check=True)


@dataclass(frozen=True)
class Place:
    """A network of its own with an API server, and the listener that is every replica."""

    machine: Machine
    client: Client

    @property
    def environment(self) -> dict[str, str]:
        """Give what a pod is told of its API server."""
        address = {"HOST": self.machine.address, "PORT": str(commands.API_PORT)}
        return {f"KUBERNETES_SERVICE_{name}": value for name, value in address.items()}


def kubernetes() -> Path:
    """Find the folder of Kubernetes' programs, or say what builds them."""
    found = programs()
    if not found.exists():
        raise SystemExit(
            "error: Kubernetes is not built\n\nhint: run `python -m tests.cluster.prepare`, as root"
        )
    return found


@contextlib.contextmanager
def api_server(*prefix: str) -> Generator[ApiServer]:
    """Start etcd and the API server, whose commands begin with `prefix`; all ends with the network."""
    folder = kubernetes()
    with ExitStack() as ends:
        parts: list[Component] = []
        ends.callback(lambda: [part.ends() for part in parts])
        made = ends.enter_context(machine(f"{folder}:{SYSTEM_PATH}"))
        kubeconfig = commands.write(made, pause="")
        for name in ("etcd", "kube-apiserver"):
            parts.append(Component(made, name, [*prefix, *commands.commands(made)[name]]))
            parts[-1].start()
        server = ApiServer(made, kubeconfig, [str(folder / "kubectl"), f"--kubeconfig={kubeconfig}"])
        ready = [*server.kubectl, "get", "--raw", "/readyz"]
        wait_for(
            lambda: subprocess.run(ready, capture_output=True, check=False).returncode == 0,
            "answer of the API server",
            120,
        )
        yield server


@contextlib.contextmanager
def place() -> Generator[Place]:
    """Start an API server and the listener; both end with the network."""
    with api_server() as server, ExitStack() as ends:
        made = server.machine
        config = made.folder / "listener.cfg"
        config.write_text(LISTENER)
        made.run("ip", "route", "add", "local", "198.19.0.0/16", "dev", "lo")
        listener = Component(made, "listener", [binary.find(), "-db", "-f", str(config)])
        listener.start()
        ends.callback(listener.kill)
        _become_a_pod(made)
        for made_first in (HOME, NAMESPACE):
            server.run("create", "namespace", made_first)
        server.run("create", "serviceaccount", "default", f"--namespace={NAMESPACE}")
        yield Place(made, connect(server.kubeconfig, commands.CONTEXT))


def _become_a_pod(made: Machine) -> None:
    """Put there what a pod finds of its service account; here it is an administrator's."""
    kubernetes = made.lib / "kubernetes"
    token = (kubernetes / "tokens.csv").read_text().partition(",")[0]
    script = (
        f"mkdir -p {ACCOUNT} && cd {ACCOUNT} && printf %s {token} > token && printf %s {HOME} > namespace && "
        f"until [ -s {kubernetes}/apiserver.crt ]; do sleep 0.1; done && cp {kubernetes}/apiserver.crt ca.crt"
    )
    made.run("sh", "-c", script)


def name(service: int) -> str:
    return f"service-{service:04d}"


def address(number: int) -> str:
    return str(ip_address(FIRST + number))


async def prepare(client: Client) -> None:
    """Make what the first router would make: the authority by which they know each other."""
    made = renewed({}, datetime.now(UTC)) or {}
    await client.create(_secret(AUTHORITY_SECRET, made))


async def deploy(client: Client, services: Iterable[int]) -> None:
    """Make all that a cluster would hold of these web services, each with its replicas."""
    await _all(_service(client, number) for number in services)


async def scale(client: Client, services: Iterable[int], number: int) -> None:
    """Let each of these web services have so many replicas of those that it had."""
    await _all(replace(client, service, replicas(service)[:number]) for service in services)


async def replace(client: Client, service: int, numbers: Iterable[int]) -> None:
    """Let the replicas of a service be at these addresses."""
    wanted = slice_of(service, numbers)
    current = await client.get("EndpointSlice", NAMESPACE, wanted["metadata"]["name"])
    assert current is not None
    await client.replace({**wanted, "metadata": current["metadata"]})


async def join(client: Client, address: str, pods: Mapping[str, Mapping[str, int]]) -> None:
    """Let these be the router's pods, each with its ports by their names."""
    for pod, ports in pods.items():
        metadata = {**_metadata(f"slipway-router-peers-{pod}", HOME), "labels": dict([OWN_SERVICE])}
        one = {"name": pod, "namespace": HOME, "kind": "Pod"}
        await client.create(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": metadata,
                "addressType": "IPv4",
                "ports": [{"name": name, "port": port, "protocol": "TCP"} for name, port in ports.items()],
                "endpoints": [{"addresses": [address], "conditions": {"ready": True}, "targetRef": one}],
            }
        )


async def _service(client: Client, service: int) -> None:
    keys = _secret(f"{name(service)}-keys", {"primary": KEY, "secondary": "2" * 32}, service)
    for obj in (_deployment(service), keys, slice_of(service, replicas(service))):
        await client.create(obj)
    for number in replicas(service):
        pod = await client.create(_pod(service, number))
        await client.patch("Pod", NAMESPACE, pod["metadata"]["name"], {"status": _status(number)}, "status")


def replicas(service: int) -> range:
    """Give the numbers of the addresses of a service's replicas."""
    return range(service * REPLICAS, (service + 1) * REPLICAS)


def slice_of(service: int, numbers: Iterable[int]) -> Object:
    """Give a service's EndpointSlice with replicas at these addresses."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": _metadata(f"{name(service)}-abcde", NAMESPACE, service),
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": PORT, "protocol": "TCP"}],
        "endpoints": [
            {
                "addresses": [address(number)],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "nodeName": f"node-{number % 50}",
                "targetRef": {"kind": "Pod", "namespace": NAMESPACE, "name": f"{name(service)}-{number}"},
            }
            for number in numbers
        ],
    }


def _deployment(service: int) -> Object:
    serving = Serving(autoscale_min_replicas=REPLICAS, autoscale_max_replicas=2 * REPLICAS)
    labels = {"app.kubernetes.io/name": name(service)}
    metadata = _metadata(name(service), NAMESPACE, service)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**metadata, "annotations": {"slipway/serving": serving.model_dump_json()}},
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": _pod_spec()},
        },
    }


def _secret(own: str, texts: Mapping[str, str], service: int | None = None) -> Object:
    data = {slot: base64.b64encode(text.encode()).decode() for slot, text in texts.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": _metadata(own, HOME, service), "data": data}


def _pod(service: int, number: int) -> Object:
    metadata = _metadata(f"{name(service)}-{number}", NAMESPACE, service)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": _pod_spec()}


def _pod_spec() -> Object:
    container = {"name": "model", "image": "model", "ports": [{"name": "http", "containerPort": PORT}]}
    return {"containers": [container], "automountServiceAccountToken": False}


def _status(number: int) -> Object:
    """Give what a kubelet says of a pod that is ready."""
    types = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    image = f"registry.example/slipway/model@sha256:{'0' * 64}"
    container = {
        "name": "model",
        "ready": True,
        "started": True,
        "restartCount": 0,
        "image": image,
        "imageID": image,
        "containerID": f"containerd://{number:064d}",
        "state": {"running": {"startedAt": CREATED}},
        "lastState": {},
    }
    return {
        "phase": "Running",
        "hostIP": "10.0.0.1",
        "hostIPs": [{"ip": "10.0.0.1"}],
        "podIP": address(number),
        "podIPs": [{"ip": address(number)}],
        "startTime": CREATED,
        "conditions": [
            {"type": one, "status": "True", "lastProbeTime": None, "lastTransitionTime": CREATED}
            for one in types
        ],
        "containerStatuses": [container],
    }


def _metadata(own: str, namespace: str, service: int | None = None) -> Object:
    labels = {} if service is None else {"slipway/webservice": name(service)}
    return {"name": own, "namespace": namespace, "labels": labels}


async def _all(work: Iterator[Coroutine[Any, Any, None]]) -> None:
    """Do some of it at once, whatever is next as soon as one is done."""

    async def one_after_the_other() -> None:
        for one in work:
            await one

    await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))
