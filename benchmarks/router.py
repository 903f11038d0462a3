"""What the router costs: all its features on, against HAProxy alone with the same reuse of connections.

Both stand on one core and pass the same small POST to a replica that does nothing (HAProxy itself).
Two modes: `close`, the router's default, opens a connection for each request; `reuse` keeps them.

throughput: requests a second of a busy core. With fewer than three cores client and replica share one and
may be the limit, so requests for each second of the proxy's own processor time count as well: the lower one
is held against the bar. added p50: what one request after the other takes longer than without any proxy.
"""

import contextlib
import sys
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import KEY, Router, cores, cpu_seconds, free_port, haproxy
from benchmarks.report import Figure, arguments, finish
from benchmarks.wrk import load, post
from slipway.router import binary

CONNECTIONS = 32
BODY = '{"data": [[0.0380759064, 0.0506801187, 0.0616962065, 0.0218723855, -0.0442234984]]}'
REPLICA = """
global
  nbthread 1
defaults
  mode http
  timeout client 60s
frontend replica
  bind 127.0.0.1:{port}
  http-request return status 200 content-type application/json string "[152.13]"
"""
BARE = """
global
  nbthread 1
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
  {reuse}
frontend bare
  bind 127.0.0.1:{port}
  default_backend replica
backend replica
  server replica 127.0.0.1:{replica}
"""
MODES = {"close": ("never", "option http-server-close"), "reuse": ("always", "http-reuse always")}


@dataclass(frozen=True)
class Peer:
    """Something that answers requests, and the processes that it consists of."""

    port: int
    processes: list[int]


@dataclass(frozen=True)
class Run:
    """What wrk said of one run."""

    requests: float
    p50_ms: float
    per_cpu_second: float


@contextlib.contextmanager
def peers(mode: str, root: Path) -> Generator[dict[str, Peer]]:
    """Start the router, HAProxy alone, and the replica that both pass requests to."""
    reuse, option = MODES[mode]
    proxy_cores, replica_cores, _ = cores()
    path, replica, bare = binary.find(), free_port(), free_port()
    with (
        haproxy(path, REPLICA.format(port=replica), replica, replica_cores) as alone,
        haproxy(path, BARE.format(port=bare, replica=replica, reuse=option), bare, proxy_cores) as proxy,
        Router(root / mode, proxy_cores, SLIPWAY_HTTP_REUSE=reuse) as router,
    ):
        router.deploy("diabetes", [replica], replica_max_concurrent_requests=1000)
        router.up("diabetes", 1)
        yield {
            "direct": Peer(replica, [alone.pid]),
            "bare": Peer(bare, [proxy.pid]),
            "ours": Peer(router.port, router.processes()),
        }


def measure(script: Path, peer: Peer, connections: int, seconds: float) -> Run:
    """Load a peer, and count what it used meanwhile."""
    before = cpu_seconds(peer.processes)
    url = f"http://127.0.0.1:{peer.port}/api/v1/service/diabetes/score"
    seen = load(script, url, connections, seconds, cores()[2])
    used = cpu_seconds(peer.processes) - before
    return Run(seen.per_second, seen.p50_ms, seen.total / max(used, 0.01))


def main() -> int:
    options = arguments(__doc__, pairs=7, seconds=5).parse_args()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        script = post(Path(folder), BODY, authorization=f"Bearer {KEY}")
        for mode in MODES:
            loaded: dict[str, list[Run]] = {"bare": [], "ours": []}
            alone: dict[str, list[Run]] = {"direct": [], "bare": [], "ours": []}
            with peers(mode, Path(folder)) as found:
                for number in range(options.pairs):
                    print(f"{mode}: pair {number + 1} of {options.pairs}", file=sys.stderr)
                    turn = -1 if number % 2 else 1  # no peer is always the first
                    for name in list(loaded)[::turn]:
                        loaded[name].append(measure(script, found[name], CONNECTIONS, options.seconds))
                    for name in list(alone)[::turn]:
                        alone[name].append(measure(script, found[name], 1, options.seconds / 2))
            figures += table(mode, loaded, alone)
    return finish("Router against bare HAProxy", figures, options)


def table(mode: str, loaded: dict[str, list[Run]], alone: dict[str, list[Run]]) -> list[Figure]:
    """Hold the runs of one mode against each other, pair by pair."""
    pairs = list(zip(loaded["ours"], loaded["bare"], strict=True))
    throughput = tuple(ours.requests / bare.requests for ours, bare in pairs)
    efficiency = tuple(ours.per_cpu_second / bare.per_cpu_second for ours, bare in pairs)
    lines = [
        Figure(f"{mode}: {name} throughput", tuple(run.requests for run in runs), "requests/s")
        for name, runs in loaded.items()
    ]
    lines += [
        Figure(
            f"{mode}: {name} for a second of its own CPU",
            tuple(run.per_cpu_second for run in runs),
            "requests",
        )
        for name, runs in loaded.items()
    ]
    lines += [
        Figure(f"{mode}: {name} p50", tuple(run.p50_ms for run in runs), "ms") for name, runs in alone.items()
    ]
    added = {
        name: tuple(
            run.p50_ms - direct.p50_ms for run, direct in zip(alone[name], alone["direct"], strict=True)
        )
        for name in ("bare", "ours")
    }
    return [
        *lines,
        Figure(f"{mode}: bare added p50", added["bare"], "ms"),
        Figure(f"{mode}: ours added p50", added["ours"], "ms", at_most=0.3),
        Figure(f"{mode}: throughput, ours / bare", throughput, at_least=0.8),
        Figure(f"{mode}: requests for a CPU second, ours / bare", efficiency, at_least=0.8),
    ]


if __name__ == "__main__":
    sys.exit(main())
