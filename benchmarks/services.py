"""What many web services cost the router, on a real etcd and API server: 10 replicas each, all scaled.

One router pod: its start, its memory and processor time at rest, when it looks at all services each second
and HAProxy checks 250 replicas a second. Then EndpointSlices change, in each of which one replica moves to
another address: the time from the API server's answer until HAProxy lets requests go there. From the fewest
to the most services nothing may grow faster than their number, but for a third.

Then three router pods with as many services, of one replica each: each is asked for through each router, and
HAProxy's own counters say where its requests were queued.

It needs what `make test-cluster` installs and builds, and runs as root.
"""

import asyncio
import contextlib
import http.client
import itertools
import socket
import sys
import time
import urllib.request
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack

from benchmarks import synthetic
from benchmarks.processes import KEY, cpu_seconds, memory_mb, tree, wait_for
from benchmarks.report import Figure, arguments, finish
from slipway.router.load import Row, rows
from tests.cluster.kubernetes.component import Component

SIZES = (100, 300, 1000)
START_SECONDS = 300
SETTLE_SECONDS = 2
UP = ("2", "0")
"""A server that runs and that nobody took out, in HAProxy's words."""
MOST_OWNED = 0.4
SLACK = 4 / 3
Figures = dict[str, list[float]]


class Pod:
    """A router pod in the network of its API server; they share its address."""

    def __init__(self, place: synthetic.Place, number: int = 0) -> None:
        self.name = f"router-{number}"
        self.folder = place.machine.folder / self.name
        self.address = place.machine.address
        self.ports = {
            name: 8000 + 10 * number + index for index, name in enumerate(("http", "admin", "peer"))
        }
        variables = {
            "POD_NAME": self.name,
            "POD_IP": self.address,
            "SLIPWAY_RUN_DIR": str(self.folder),
            "PORT": str(self.ports["http"]),
            "ADMIN_PORT": str(self.ports["admin"]),
            "PEER_PORT": str(self.ports["peer"]),
            **place.environment,
        }
        command = ["env", *(f"{key}={value}" for key, value in variables.items())]
        self._component = Component(
            place.machine, self.name, [*command, sys.executable, "-m", "slipway.router"]
        )

    def __enter__(self) -> "Pod":
        self._component.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._component.kill()

    def get(self, path: str) -> bytes:
        """Ask on the admin port; nothing if it does not answer, or not with 200."""
        uri = f"http://{self.address}:{self.ports['admin']}{path}"
        with contextlib.suppress(OSError), urllib.request.urlopen(uri, timeout=30) as answer:
            return answer.read()
        return b""

    def processes(self) -> tuple[list[int], list[int]]:
        """Give the control plane's process, and HAProxy's."""
        control, *haproxy = tree(self._component.pid)
        return [control], haproxy

    def ask(self, command: str) -> str:
        """Give what HAProxy says."""
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(str(self.folder / "worker.sock"))
            one.sendall(f"{command}\n".encode())
            one.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: one.recv(65536), b"")).decode()

    def up(self, service: int) -> set[str]:
        """Name the servers of a service that take requests."""
        said = self.ask(f"show servers state {synthetic.name(service)}")
        found = [line.split() for line in said.splitlines()[2:] if line]
        return {row[3] for row in found if (row[5], row[6]) == UP}

    @property
    def peers(self) -> int:
        """How many other routers it hands requests to; two servers are its own."""
        return len(rows(self.ask("show stat _peers 4 -1"))) - 2

    def backends(self) -> list[Row]:
        return [row for row in rows(self.ask("show stat -1 2 -1")) if not row["pxname"].startswith("_")]


def at_rest(pods: Sequence[Pod], seconds: float) -> tuple[float, float]:
    """Give what control plane and HAProxy of a pod take on average, in ms of a core a second."""
    control, haproxy = ([one for pod in pods for one in pod.processes()[kind]] for kind in (0, 1))
    spent, began = (cpu_seconds(control), cpu_seconds(haproxy)), time.perf_counter()
    time.sleep(seconds)
    scale = 1000 / len(pods) / (time.perf_counter() - began)
    return (cpu_seconds(control) - spent[0]) * scale, (cpu_seconds(haproxy) - spent[1]) * scale


async def move(place: synthetic.Place, pod: Pod, service: int, number: int) -> float:
    """Let a service's first replica move to the address of this number; give the ms until it gets some."""
    await synthetic.replace(place.client, service, [number, *synthetic.replicas(service)[1:]])
    began = time.perf_counter()
    server = f"{synthetic.address(number)}:{synthetic.PORT}"
    await asyncio.to_thread(wait_for, lambda: server in pod.up(service), f"requests for {server}", 60)
    return (time.perf_counter() - began) * 1000


async def alone(place: synthetic.Place, size: int, changes: int, seconds: float) -> Figures:
    """Measure one router pod."""
    found: Figures = defaultdict(list)
    began = time.perf_counter()
    with Pod(place) as pod:
        wait_for(lambda: bool(pod.get("/ready")), "router that is ready", START_SECONDS)
        found["start [s]"].append(time.perf_counter() - began)
        wait_for(lambda: len(pod.up(size - 1)) == synthetic.REPLICAS + 1, "checked replicas", START_SECONDS)
        await asyncio.sleep(SETTLE_SECONDS)
        control, haproxy = at_rest([pod], seconds)
        found["control plane at rest [ms CPU/s]"].append(control)
        found["HAProxy at rest [ms CPU/s]"].append(haproxy)
        spent, began = cpu_seconds(pod.processes()[0]), time.perf_counter()
        moved = range(0, size, size // changes)[:changes]
        for service in moved:
            spare = synthetic.SPARE + service
            found["a replica that moved gets requests [ms]"].append(await move(place, pod, service, spare))
        more = cpu_seconds(pod.processes()[0]) - spent - control / 1000 * (time.perf_counter() - began)
        found["control plane, a change [ms CPU]"].append(more / changes * 1000)
        for what, one in zip(("control plane", "HAProxy"), pod.processes(), strict=True):
            found[f"{what}, memory [MB]"].append(memory_mb(one))
    for service in moved:
        await synthetic.replace(place.client, service, synthetic.replicas(service))
    return found


async def together(place: synthetic.Place, size: int, seconds: float) -> Figures:
    """Measure three router pods, and which of them queues what."""
    await synthetic.scale(place.client, range(size), 1)
    pods = [Pod(place, number) for number in range(3)]
    await synthetic.join(place.client, place.machine.address, {pod.name: pod.ports for pod in pods})
    with ExitStack() as stack:
        for pod in pods:
            stack.enter_context(pod)
        for pod in pods:
            wait_for(lambda of=pod: bool(of.get("/ready")), "router that is ready", START_SECONDS)
        for pod in pods:
            wait_for(lambda of=pod: of.peers == len(pods) - 1, "router that knows the others")
            wait_for(lambda of=pod: len(of.up(size - 1)) == 2, "checked replicas", START_SECONDS)
        await asyncio.sleep(SETTLE_SECONDS)
        control, haproxy = at_rest(pods, seconds)
        statuses = {status for pod in pods for status in ask_for_all(pod, size)}
        if statuses != {200}:
            raise SystemExit(f"error: requests were answered with {statuses}")
        owned = [sum(int(row["hrsp_2xx"]) > 0 for row in pod.backends()) for pod in pods]
        queued = [sum(int(row["hrsp_2xx"]) for row in pod.backends()) for pod in pods]
        if sum(owned) != size or sum(queued) != 3 * size:
            raise SystemExit(f"error: {owned} services were queued, {queued} requests")
        asked, told = list[float](), list[float]()
        for _ in range(10):
            began = time.perf_counter()
            told.append(len(pods[0].get("/loads")) / 1000)
            asked.append((time.perf_counter() - began) * 1000)
    return {
        "most services that a pod owns [part]": [max(owned) / size],
        "control plane at rest [ms CPU/s]": [control],
        "HAProxy at rest [ms CPU/s]": [haproxy],
        "what a pod tells another each second [kB]": told,
        "how long that takes [ms]": asked,
    }


def ask_for_all(pod: Pod, size: int) -> set[int]:
    """Send a request for each service through one router; give the statuses."""
    connection = http.client.HTTPConnection(pod.address, pod.ports["http"], timeout=60)
    statuses: set[int] = set()
    with contextlib.closing(connection):
        for service in range(size):
            path = f"/api/v1/service/{synthetic.name(service)}/score"
            connection.request("POST", path, b"{}", {"authorization": f"Bearer {KEY}"})
            answer = connection.getresponse()
            answer.read()
            statuses.add(answer.status)
    return statuses


async def run(sizes: Sequence[int], changes: int, seconds: float) -> dict[str, Figures]:
    found: dict[str, Figures] = {}
    with synthetic.place() as place:
        async with place.client:
            await synthetic.prepare(place.client)
            for before, size in itertools.pairwise([0, *sizes]):
                print(f"{size} services of {synthetic.REPLICAS} replicas", file=sys.stderr)
                await synthetic.deploy(place.client, range(before, size))
                found[str(size)] = await alone(place, size, changes, seconds)
            print("three routers", file=sys.stderr)
            found[f"{sizes[-1]}, three pods"] = await together(place, sizes[-1], seconds)
    return found


def main() -> int:
    parser = arguments(__doc__, pairs=20, seconds=10)
    parser.add_argument("--services", type=int, nargs="+", default=SIZES, help="how many, in rising order")
    options = parser.parse_args()
    found = asyncio.run(run(options.services, options.pairs, options.seconds))
    least, most = options.services[0], options.services[-1]
    bars = {"most services that a pod owns [part]": MOST_OWNED}
    figures = [
        Figure(f"{size}: {what}", tuple(values), at_most=bars.get(what))
        for size, all_of in found.items()
        for what, values in all_of.items()
    ]
    by_name = {figure.name: figure for figure in figures}
    for what in found[str(least)] if most > least else ():
        ratio = by_name[f"{most}: {what}"].median / by_name[f"{least}: {what}"].median
        name = f"{most} / {least}: {what.partition(' [')[0]}"
        figures.append(Figure(name, (ratio,), at_most=most / least * SLACK))
    return finish("Many web services", figures, options)


if __name__ == "__main__":
    sys.exit(main())
