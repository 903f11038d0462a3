"""The router scales itself under more than one thread of HAProxy can do, on the cores of this machine.

One router, as a pod of FastProd has it, starts with one thread. wrk sends without a pause, over 200
connections that stay open, until the router has enabled its scaling and added a thread, and a while longer.
The first request that fails ends all. Both threads must then be busy over half of a core. Client and replica
share the cores with them, so how much more two can do than one shows on a machine with more than two.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.processes import KEY, REPLICA, Router, free_port, haproxy, wait_for
from benchmarks.report import Figure, arguments, finish
from benchmarks.wrk import load, post
from slipway.router import binary
from slipway.router.scaling.itself import WINDOW_SECONDS

CONNECTIONS = 200
SIZE = {"ROUTER_REPLICAS": "1", "ROUTER_CPU": "900", "ROUTER_MOST_CPU": "2000"}
PATIENCE_SECONDS = 600.0


def busy(pid: int) -> dict[str, float]:
    """Give the seconds on a processor of each thread of a process."""
    found = Path(f"/proc/{pid}/task").iterdir()
    return {one.name: int((one / "schedstat").read_text(encoding="ascii").split()[0]) / 1e9 for one in found}


def worker(router: Router) -> int:
    """Give the HAProxy process that takes requests: the youngest of its master."""
    master = router.status()["haproxy_pid"]
    children = Path(f"/proc/{master}/task/{master}/children").read_text(encoding="ascii").split()
    return max(map(int, children))


def run(folder: Path, seconds: float, seen: dict[str, list[float]]) -> None:
    """Let one router come to its second thread."""

    def see(name: str, value: float) -> None:
        seen.setdefault(name, []).append(value)

    cores, port = sorted(os.sched_getaffinity(0)), free_port()
    with (
        haproxy(binary.find(), REPLICA.format(port=port), port, cores),
        Router(folder, cores, POD_NAME="router", PEER_PORT=str(free_port()), **SIZE) as router,
    ):
        router.join("router")
        router.deploy("echo", [port], replica_max_concurrent_requests=CONNECTIONS)
        router.up("echo", replicas=1)
        script = post(folder, "{}", {"authorization": f"Bearer {KEY}", "content-type": "application/json"})
        url = f"http://127.0.0.1:{router.port}/api/v1/service/echo/score"

        def told() -> dict[str, float]:
            return router.status()["scales_itself"] or {}

        wait_for(lambda: "threads" in told(), "look of the router at itself")
        began, one, routing = time.monotonic(), load(script, url, CONNECTIONS, seconds, cores), 0.0
        while told().get("threads") != 2:
            if time.monotonic() - began > PATIENCE_SECONDS:
                raise SystemExit(f"error: no second thread; the router sees {told()}")
            one = load(script, url, CONNECTIONS, seconds, cores)
            routing = told().get("routing_seconds") or routing
        see("until the second thread", time.monotonic() - began)
        see("one thread: routing", 1000 * routing)
        see("one thread: requests a second", one.per_second)
        pid = worker(router)
        before, at = busy(pid), time.monotonic()
        two = load(script, url, CONNECTIONS, 2 * WINDOW_SECONDS, cores)
        spent = time.monotonic() - at
        shares = sorted((now - before[thread]) / spent for thread, now in busy(pid).items())
        see("two threads: routing", 1000 * (told().get("routing_seconds") or 0))
        see("two threads: requests a second", two.per_second)
        see("two threads: less busy one, of a core", shares[0])
        see("two threads: busier one, of a core", shares[-1])


def main() -> int:
    parser = arguments(__doc__, pairs=3, seconds=5)
    options = parser.parse_args()
    seen: dict[str, list[float]] = {}
    for number in range(options.pairs):
        print(f"run {number + 1} of {options.pairs}", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            run(Path(folder), options.seconds, seen)
    units = {"until the second thread": "s", "one thread: routing": "ms", "two threads: routing": "ms"}
    bars = {"two threads: less busy one, of a core": 0.5}
    figures = [
        Figure(name, tuple(values), units.get(name, ""), at_least=bars.get(name))
        for name, values in seen.items()
    ]
    return finish("The router under more than one thread can do", figures, options)


if __name__ == "__main__":
    sys.exit(main())
