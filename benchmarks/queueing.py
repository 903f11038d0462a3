"""How near the router's queue comes to an ideal one: 8 replicas, N = 1, 50 ms, Poisson arrivals, open loop.

The ideal is simulated on the very arrivals of each run: one central queue, first come first served, no cost.
p99 of the router is held against p99 of the ideal at 85 % and 95 % load. Then, at 70 %, a service is added
every second and replicas come and go twice a second: no request may fail. How many the gates
of replicas had to hold back for that is shown.

With --routers 3, three router pods stand behind a balancer that hands each connection to the next. Two thirds
of the requests then take a hop to the owner, whose time (median, one request after the other) is measured
first and added to the ideal.

A run at 95 % varies a lot with its arrivals, so runs should be long: --seconds 60 for figures to publish.
"""

import asyncio
import heapq
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks.processes import KEY, Router, cores, pods, running
from benchmarks.report import Figure, arguments, finish
from slipway.router.ownership import ranking

REPLICAS = 8
SERVICE_SECONDS = 0.05
LOADS = {0.85: 1.15, 0.95: 1.45}
CHURN_LOAD = 0.7
REQUEST = (
    f"POST /api/v1/service/echo/score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
    "content-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
).encode()


class Client:
    """Sends requests at given times, each on a connection that is free, and keeps when and how long.

    New connections go to the ports in turn, as a balancer of layer 4 hands them out.
    """

    def __init__(self, *ports: int) -> None:
        self._ports = itertools.cycle(ports)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.arrivals: list[float] = []
        self.latencies: dict[int, float] = {}
        self.failures: list[str] = []

    async def run(self, gaps: Sequence[float]) -> None:
        """Let requests arrive with these gaps, whatever became of those before, and wait for all answers."""
        due = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number, gap in enumerate(gaps):
                due += gap
                await asyncio.sleep(due - time.perf_counter())
                group.create_task(self._send(number))
        for _, writer in self._idle:
            writer.close()
            await writer.wait_closed()

    async def _send(self, number: int) -> None:
        connection = (
            self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", next(self._ports))
        )
        reader, writer = connection
        began = time.perf_counter()
        self.arrivals.append(began)
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        )
        body = await reader.readexactly(length)
        self.latencies[number] = time.perf_counter() - began
        if not head.startswith(b"HTTP/1.1 200"):
            self.failures.append(body.decode())
        if b"connection: close" in head.lower():
            writer.close()
            await writer.wait_closed()
        else:
            self._idle.append(connection)


def ideal(arrivals: Sequence[float]) -> list[float]:
    """Give how long each request would take in one central queue that costs nothing."""
    free = [0.0] * REPLICAS
    latencies: list[float] = []
    for arrival in sorted(arrivals):
        ended = max(arrival, heapq.heappop(free)) + SERVICE_SECONDS
        heapq.heappush(free, ended)
        latencies.append(ended - arrival)
    return latencies


def p99(latencies: Sequence[float]) -> float:
    return sorted(latencies)[int(0.99 * len(latencies))] * 1000


def gaps(load: float, seconds: float, seed: int) -> list[float]:
    """Draw Poisson arrivals that keep all replicas busy for this part of the time."""
    rate, draw = load * REPLICAS / SERVICE_SECONDS, random.Random(seed)
    return [draw.expovariate(rate) for _ in range(int(rate * seconds))]


def counts(ports: Sequence[int]) -> dict[str, int]:
    """Sum up what the replicas saw."""
    total: dict[str, int] = {}
    for port in ports:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/counts", timeout=10) as answer:
            for name, number in json.load(answer).items():
                total[name] = total.get(name, 0) + number
    return total


async def churn(router: Router, ports: Sequence[int], seconds: float) -> int:
    """Add services, and let replicas come and go, as long as told; return how many services were added."""
    ends = time.monotonic() + seconds
    for number in itertools.count():
        if time.monotonic() > ends:
            return number // 2
        if number % 2:
            router.deploy(f"service-{number}", ports[:1])
        leaving = {number % REPLICAS, (number * 3 + 1) % REPLICAS}
        router.scale("echo", [port for index, port in enumerate(ports) if index not in leaving])
        await asyncio.sleep(0.5)
    raise AssertionError


async def changing(client: Client, router: Router, ports: Sequence[int], seconds: float, seed: int) -> int:
    """Send requests while services and replicas change; return how many services were added."""
    changes = asyncio.create_task(churn(router, ports, seconds))
    await client.run(gaps(CHURN_LOAD, seconds, seed))
    return await changes


def start(stack: ExitStack, folder: Path, number: int, threads: int, cores: Sequence[int]) -> list[Router]:
    """Start routers over the same objects, and give them by whose the service `echo` is, the owner first."""
    names = ranking("echo", [f"router-{one}" for one in range(number)])
    found = pods(folder, names, cores, SLIPWAY_THREADS=str(threads))
    for router in found:
        stack.enter_context(router)
    for router in found:
        router.knows(number - 1)
    return found


def hop_ms(owner: Router, other: Router) -> float:
    """Measure what a request takes longer by another router than by the owner of its service."""

    async def middle(router: Router) -> float:
        client = Client(router.port)
        await client.run([SERVICE_SECONDS * 1.5] * 100)
        return median(client.latencies.values()) * 1000

    return asyncio.run(middle(other)) - asyncio.run(middle(owner))


def main() -> int:
    parser = arguments(__doc__, pairs=7, seconds=20)
    parser.add_argument("--routers", type=int, default=1, help="router pods (default: 1)")
    parser.add_argument("--threads", type=int, default=1, help="of HAProxy in a pod (default: 1)")
    options = parser.parse_args()
    router_cores, replica_cores, client_cores = cores()
    if options.threads > 1:
        router_cores = sorted({*router_cores, *replica_cores, *client_cores})
    os.sched_setaffinity(0, client_cores)
    seen: dict[str, list[float]] = {}

    def see(name: str, value: float) -> None:
        seen.setdefault(name, []).append(value)

    command = [sys.executable, "-m", "benchmarks.replicas", str(REPLICAS), str(SERVICE_SECONDS * 1000), "1"]
    with (
        tempfile.TemporaryDirectory() as folder,
        running(command, replica_cores, stdout=subprocess.PIPE) as replicas,
        ExitStack() as stack,
    ):
        routers = start(stack, Path(folder), options.routers, options.threads, router_cores)
        router = routers[0]
        entries = [one.port for one in routers]
        assert replicas.stdout is not None
        ports: list[int] = json.loads(replicas.stdout.readline())
        router.deploy("echo", ports, max_request_wait_time=60_000)
        for one in routers:
            one.up("echo", replicas=REPLICAS)
        hop = hop_ms(routers[0], routers[-1]) if options.routers > 1 else 0.0
        if options.routers > 1:
            see("hop to the owner, p50", hop)
        for number in range(options.pairs):
            for load in LOADS:
                print(f"run {number + 1} of {options.pairs} at {load:.0%}", file=sys.stderr)
                client = Client(*entries)
                asyncio.run(client.run(gaps(load, options.seconds, number)))
                if client.failures:
                    raise SystemExit(f"error: a request failed: {client.failures[0]}")
                real, best = p99(list(client.latencies.values())), p99(ideal(client.arrivals)) + hop
                see(f"{load:.0%}: ideal p99", best)
                see(f"{load:.0%}: router p99", real)
                see(f"{load:.0%}: p99, router / ideal", real / best)
        steady = counts(ports)
        see("steady: offered to a replica above N", steady["offered_above"])
        for number in range(options.pairs):
            print(f"run {number + 1} of {options.pairs} while replicas and services change", file=sys.stderr)
            before, client = counts(ports), Client(*entries)
            added = asyncio.run(changing(client, router, ports, options.seconds, number))
            after = counts(ports)
            see("changing: services added", added)
            see("changing: requests", len(client.latencies))
            see("changing: failed", len(client.failures))
            see("changing: held back by a gate", after["offered_above"] - before["offered_above"])
            for service in range(1, 2 * added + 1, 2):
                router.remove(f"service-{service}")
            router.scale("echo", ports)
            router.up("echo", replicas=REPLICAS)
    most = {f"{load:.0%}: p99, router / ideal": bar for load, bar in LOADS.items()}
    most |= {
        "steady: offered to a replica above N": 0,
        "changing: failed": 0,
    }
    figures = [
        Figure(name, tuple(values), "ms" if name.endswith(("p99", "p50")) else "", at_most=most.get(name))
        for name, values in seen.items()
    ]
    return finish("Queueing against an ideal central queue", figures, options)


if __name__ == "__main__":
    sys.exit(main())
