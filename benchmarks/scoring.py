"""The scoring server against Azure ML's, MLServer, LitServe and BentoML, each in an environment of its own.

sum: a model that adds up five numbers, so that a request costs what its server does; cpu: 10 ms of arithmetic
before; batches: a model that takes 10 ms a call, however many requests it gets, with and without batching.
c is the number of clients, each with one request at a time. Servers share one core, wrk has another. Requests
for a second of a server's own processor time say the same on a machine that others use as well. Memory (PSS)
is that of all of a server's processes after the load; start-up ends with the first scored request.
"""

import argparse
import contextlib
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.processes import cores, cpu_seconds, free_port, memory_mb, running, tree, wait_for
from benchmarks.report import Figure, arguments, finish
from benchmarks.scoring_peers import (
    AZUREML,
    BATCH,
    BATCH_WAIT_MS,
    BATCHED,
    CALL_MS,
    ONE_BY_ONE,
    OURS,
    PEERS,
    Peer,
)
from benchmarks.wrk import Load, load, post

CLIENTS = (1, 8)
STARTS = 3
START_WITHIN = 90.0


@dataclass
class Seen:
    """What one server did in all rounds, by number of clients."""

    loads: dict[int, list[Load]] = field(default_factory=dict[int, list[Load]])
    per_cpu_second: dict[int, list[float]] = field(default_factory=dict[int, list[float]])
    memory_mb: list[float] = field(default_factory=list[float])
    start_s: list[float] = field(default_factory=list[float])

    def rate(self, clients: int) -> tuple[float, ...]:
        return tuple(one.per_second for one in self.loads[clients])

    def p99(self, clients: int) -> tuple[float, ...]:
        return tuple(one.p99_ms for one in self.loads[clients])


@dataclass(frozen=True)
class Server:
    """A started server."""

    pid: int
    url: str
    script: Path


@contextlib.contextmanager
def server(peer: Peer, folder: Path, rounds: int, seen: Seen) -> Generator[Server]:
    """Start a server and wait until it has scored a request."""
    port = free_port()
    url = f"http://127.0.0.1:{port}{peer.path}"
    command, environment = peer.start(folder, port)
    request = urllib.request.Request(url, peer.body.encode(), {"content-type": "application/json"})

    def scores() -> bool:
        with contextlib.suppress(OSError, urllib.error.HTTPError):
            return urllib.request.urlopen(request, timeout=5).status == 200
        return False

    began = time.monotonic()
    with (folder / "log").open("wb") as log:
        variables = {**environment, "ROUNDS": str(rounds)}
        with running(command, cores()[0], environment=variables, stdout=log, stderr=log) as process:
            wait_for(scores, f"answer of {peer.name}", START_WITHIN)
            seen.start_s.append(time.monotonic() - began)
            yield Server(process.pid, url, post(folder, peer.body, {"content-type": "application/json"}))


def compare(
    peers: Sequence[Peer], root: Path, rounds: int, clients: Sequence[int], options: argparse.Namespace
) -> dict[str, Seen]:
    """Load all in turn, as often as asked."""
    seen = {peer.name: Seen({n: [] for n in clients}, {n: [] for n in clients}) for peer in peers}
    with contextlib.ExitStack() as stack:
        servers = {
            peer.name: stack.enter_context(server(peer, root / peer.name, rounds, seen[peer.name]))
            for peer in peers
        }
        for number in range(options.pairs):
            print(f"round {number + 1} of {options.pairs}", file=sys.stderr)
            for name in list(servers)[:: -1 if number % 2 else 1]:  # none is always the first
                one = servers[name]
                for connections in clients:
                    before = cpu_seconds(tree(one.pid))
                    run = load(one.script, one.url, connections, options.seconds, cores()[2])
                    used = cpu_seconds(tree(one.pid)) - before
                    seen[name].loads[connections].append(run)
                    seen[name].per_cpu_second[connections].append(run.total / max(used, 0.01))
        for name, one in servers.items():
            seen[name].memory_mb.append(memory_mb(tree(one.pid)))
    return seen


def calibrate() -> int:
    """Give the rounds of the model's loop that take 10 ms here."""
    times: list[float] = []
    for _ in range(9):
        began = time.perf_counter()
        value = 0
        for number in range(20_000):
            value += number * number
        times.append(time.perf_counter() - began)
    return round(20_000 * 0.01 / min(times))


def main() -> int:
    options = arguments(__doc__, pairs=7, seconds=4).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for peer in (*PEERS, ONE_BY_ONE, BATCHED):
            peer.install(root / peer.name)
        trivial = compare(PEERS, root, 0, CLIENTS, options)
        for peer in PEERS:
            for _ in range(STARTS - 1):
                with server(peer, root / peer.name, 0, trivial[peer.name]):
                    pass
        computing = compare(PEERS, root, calibrate(), (8,), options)
        batches = compare((ONE_BY_ONE, BATCHED), root, 0, (BATCH,), options)
    return finish("Scoring servers", table(trivial, computing, batches), options)


def table(trivial: dict[str, Seen], computing: dict[str, Seen], batches: dict[str, Seen]) -> list[Figure]:
    """Hold ours against Azure ML's, and against the best of the others in each round."""
    lines: list[Figure] = []
    for clients in CLIENTS:
        rates = {name: seen.rate(clients) for name, seen in trivial.items()}
        p99s = {name: seen.p99(clients) for name, seen in trivial.items()}
        lines += [Figure(f"sum, c={clients}: {n}", rate, "requests/s") for n, rate in rates.items()]
        lines += [Figure(f"sum, c={clients}: {n} p99", p99, "ms") for n, p99 in p99s.items()]
        lines.append(
            Figure(
                f"sum, c={clients}: throughput, ours / azureml",
                _ratio(rates[OURS.name], rates[AZUREML.name]),
                at_least=4 if clients == 8 else None,
            )
        )
        best = tuple(max(runs) for runs in zip(*_others(rates), strict=True))
        least = tuple(min(runs) for runs in zip(*_others(p99s), strict=True))
        name = f"sum, c={clients}"
        lines.append(
            Figure(f"{name}: throughput, ours / best other", _ratio(rates[OURS.name], best), at_least=1)
        )
        lines.append(Figure(f"{name}: p99, ours / best other", _ratio(p99s[OURS.name], least), at_most=1))
    efficiency = {name: tuple(seen.per_cpu_second[8]) for name, seen in trivial.items()}
    lines += [Figure(f"sum, c=8: {n}, a CPU second", each, "requests") for n, each in efficiency.items()]
    against = _ratio(efficiency[OURS.name], efficiency[AZUREML.name])
    lines.append(Figure("sum, c=8: requests a CPU second, ours / azureml", against))
    lines += [Figure(f"cpu, c=8: {n}", seen.rate(8), "requests/s") for n, seen in computing.items()]
    against = _ratio(computing[OURS.name].rate(8), computing[AZUREML.name].rate(8))
    lines.append(Figure("cpu, c=8: throughput, ours / azureml", against, at_least=1))
    lines += [Figure(f"memory: {n}", tuple(seen.memory_mb), "MB") for n, seen in trivial.items()]
    lines += [Figure(f"start-up: {n}", tuple(seen.start_s), "s") for n, seen in trivial.items()]
    single, batched = (batches[peer.name] for peer in (ONE_BY_ONE, BATCHED))
    return [
        *lines,
        Figure("batches, c=8: one by one", single.rate(BATCH), "requests/s"),
        Figure("batches, c=8: batched", batched.rate(BATCH), "requests/s"),
        Figure("batches: batched / one by one", _ratio(batched.rate(BATCH), single.rate(BATCH)), at_least=5),
        Figure("batches: batched p99", batched.p99(BATCH), "ms", at_most=BATCH_WAIT_MS + CALL_MS),
    ]


def _others(values: dict[str, tuple[float, ...]]) -> list[tuple[float, ...]]:
    return [runs for name, runs in values.items() if name != OURS.name]


def _ratio(ours: Sequence[float], others: Sequence[float]) -> tuple[float, ...]:
    return tuple(mine / other for mine, other in zip(ours, others, strict=True))


if __name__ == "__main__":
    sys.exit(main())
