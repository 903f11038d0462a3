"""What the router costs: all its features on, against HAProxy alone, and against other proxies.

Each stands on one core and passes the same small POST to a replica that does nothing (HAProxy itself).
Cases: `close`, the router's default, opens a connection to the replica for each request; `reuse` keeps them;
`all on` adds HTTPS and 1,000 services, each with a replica, asked in turn; HAProxy alone has these too, and
checks replicas as often. It only looks whether their ports answer, where the router asks for `/ready`, and
has no control plane that looks at all services: both count against the router. With `token`
requests bring one, which HAProxy alone does not read. Of `three pods` one is asked for services of all three;
as many HAProxys alone do the same by TLS, over connections that stay, and what all of them use counts.
`peers` are other proxies with a key and a limit, as far as they can; they keep connections, so the router
is among them as it is by default, which the bar is about, and keeping them, too. Case `activator` is the same
with Knative's, whose API server needs root and what `python -m tests.cluster.prepare` builds.

Every run is of a fresh start, since starts differ more than runs of one do; bare and ours take turns, each
alone. throughput: requests a second, by wrk. Where a proxy does not use all of its core something else is the
limit, with fewer than three cores client and replica, which share one; then no bar is held against it, and
requests for each second of the proxy's own processor time, which always have one, tell more. added p50, p99,
p99.9: what a proxy adds to the latency of the replica alone while requests come at half the rate that a core
is good for with bare HAProxy, whatever became of those before (open loop); at less, where p99 of bare HAProxy
shows that not all on these cores keep up; among the peers, at half of what the slowest of them can do. Sender
and replica have real-time priority then, which needs root: on one core they would count slices of time.
memory: of all processes, after all that.
"""

import contextlib
import dataclasses
import functools
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import open_loop, router_peers
from benchmarks.processes import (
    KEY,
    REPLICA,
    cores,
    cpu_seconds,
    free_port,
    haproxy,
    memory_mb,
    pods,
    running,
    tree,
    wait_for,
)
from benchmarks.report import Figure, arguments, finish
from benchmarks.router_peers import Peer
from benchmarks.wrk import load, post
from slipway.router import binary, token_keys, tokens
from slipway.router.config import check_seconds
from slipway.router.ownership import ranking
from slipway.router.token_keys import TokenKey
from tests.certificates import certificate

CONNECTIONS = 32
SERVICES = 1000
WARM_SECONDS = 1
"""Of load before anything counts: in its first second a proxy takes up to twice as much for a request."""
SETTLED_SECONDS = 3
"""Until the first reload, for keys of tokens or other pods, is over, and the process before it gone."""
BUSY = 0.95
"""Of a core: a proxy that uses less under full load is not what limits the throughput."""
LOADS = (0.5, 0.4, 0.3, 0.2, 0.1)
"""Of what a core is good for: latencies are taken at the first with which bare HAProxy keeps up, or at
the last."""
KEEPS_UP_MS = 3.0
"""Of 100 requests through bare HAProxy, 99 take less, or there are too many of them."""
PATH = "/api/v1/service/model-{}/score"
BODY = '{"data": [[0.0380759064, 0.0506801187, 0.0616962065, 0.0218723855, -0.0442234984]]}'
BARE = """
global
  nbthread 1
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
  option tcp-smart-connect
  {reuse}
frontend bare
  bind 127.0.0.1:{port} {tls}
  {rule}
"""
BARE_BACKEND = """
backend {name}
  server next 127.0.0.1:{server}
"""


@dataclass(frozen=True)
class Case:
    """What is on."""

    name: str
    reuse: bool = False
    tls: bool = False
    services: int = 1
    peers: tuple[Peer, ...] = ()
    token: bool = False
    pods: int = 1

    @property
    def names(self) -> list[str]:
        """Give its services."""
        return [f"model-{number}" for number in range(self.services)]

    @property
    def best(self) -> list[str]:
        """Name the peers that do the router's work."""
        return [peer.name for peer in self.peers if peer.queues]

    @property
    def ours(self) -> dict[str, bool]:
        """Give whether each router that takes part keeps its connections to replicas."""
        return {"ours": self.reuse} | ({"ours, reuse": True} if self.peers else {})

    @property
    def routers(self) -> list[str]:
        """Name its pods; the first is asked."""
        return [f"router-{number}" for number in range(self.pods)]

    def url(self, port: int) -> str:
        """Give where a router that listens on a port, or HAProxy alone, is asked."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{port}{PATH}"

    def owner(self, name: str) -> int:
        """Give the number of the pod that a service belongs to."""
        return self.routers.index(ranking(name, self.routers)[0])


CASES = (
    Case("close"),
    Case("reuse", reuse=True),
    Case("close, all on", tls=True, services=SERVICES),
    Case("reuse, all on", reuse=True, tls=True, services=SERVICES),
    Case("token", reuse=True, token=True),
    Case("three pods", reuse=True, services=30, pods=3),
    Case("peers", peers=router_peers.PEERS),
    Case("activator", peers=(router_peers.ACTIVATOR,)),
)


@dataclass(frozen=True)
class Proxy:
    """Something that answers requests, and the processes that began it."""

    url: str
    began: list[int]

    @property
    def pids(self) -> list[int]:
        """Give all its processes."""
        return [one for pid in self.began for one in tree(pid)]


Start = Callable[[], AbstractContextManager[Proxy]]


@dataclass(frozen=True)
class Run:
    """What wrk said of one run, and how many requests a second of processor time was good for."""

    per_second: float
    per_cpu_second: float

    @property
    def busy(self) -> float:
        """Give how many cores it used."""
        return self.per_second / self.per_cpu_second


def starters(case: Case, key: TokenKey, root: Path, replica: int) -> dict[str, Start]:
    """Give how to start whatever passes requests to a replica on a port."""
    found: dict[str, Start] = {"bare": functools.partial(bare, case, root, replica)}
    for name, reuse in case.ours.items():
        found[name] = functools.partial(ours, case, reuse, key, root, replica)
    return found | {peer.name: functools.partial(other, peer, root, replica) for peer in case.peers}


@contextlib.contextmanager
def bare(case: Case, root: Path, replica: int) -> Generator[Proxy]:
    """Start HAProxy alone, and one for each other pod, which takes TLS."""
    asked, *others = [free_port() for _ in case.routers]
    owner = dataclasses.replace(case, tls=True, pods=1)
    configs = {asked: config(case, asked, replica, root, others)}
    configs |= {port: config(owner, port, replica, root) for port in others}
    with contextlib.ExitStack() as stack:
        alone = [haproxy(binary.find(), text, port, cores()[0]) for port, text in configs.items()]
        yield Proxy(case.url(asked), [stack.enter_context(one).pid for one in alone])


def config(case: Case, port: int, replica: int, root: Path, others: Sequence[int] = ()) -> str:
    """Give HAProxy's configuration: what passes requests on, and nothing else."""
    one = case.services == 1
    text = BARE.format(
        port=port,
        reuse="http-reuse always" if case.reuse else "option http-server-close",
        tls=f"ssl crt {root}/tls/tls.pem ssl-min-ver TLSv1.2 alpn http/1.1" if case.tls else "",
        rule=f"default_backend {case.names[0]}" if one else "use_backend %[path,field(5,/)]",
    )
    check = "" if one else f"check inter {check_seconds(case.services)}s"
    targets = [f"{replica} {check}", *(f"{other} ssl verify none" for other in others)]
    servers = {name: targets[case.owner(name)] for name in case.names}
    return text + "".join(BARE_BACKEND.format(name=name, server=server) for name, server in servers.items())


@contextlib.contextmanager
def ours(case: Case, reuse: bool, key: TokenKey, root: Path, replica: int) -> Generator[Proxy]:
    """Start the router, until all its pods know all replicas and each other."""
    variables = {"SLIPWAY_HTTP_REUSE": "always" if reuse else "never"}
    if case.tls:
        variables |= {"TLS_PORT": str(free_port()), "TLS_DIR": str(root / "tls")}
    with tempfile.TemporaryDirectory(dir=root) as folder, contextlib.ExitStack() as stack:
        routers = pods(Path(folder), case.routers, cores()[0], **variables)
        for name in case.names:
            routers[0].deploy(
                name,
                [replica],
                replica_max_concurrent_requests=router_peers.CONCURRENCY,
                token_auth_enabled=case.token,
            )
        if case.token:
            routers[0].folder.put(token_keys.write([key], "slipway", None))
        pids = [stack.enter_context(router).pid for router in routers]
        for router in routers:
            router.up(*case.names, replicas=1, seconds=120)
            router.knows(len(routers) - 1)
        time.sleep(SETTLED_SECONDS)
        yield Proxy(case.url(int(variables.get("TLS_PORT", routers[0].port))), pids)


@contextlib.contextmanager
def other(peer: Peer, root: Path, replica: int) -> Generator[Proxy]:
    """Start another proxy."""
    port = peer.port or free_port()
    with peer.needs(replica) as needed:
        command, environment = peer.prepare(root / peer.name, port, replica, needed)
        with running(command, cores()[0], environment=environment) as process:
            proxy = Proxy(f"http://127.0.0.1:{port}{PATH}", [process.pid])
            wait_for(lambda: answers(proxy, peer.headers), peer.name)
            yield proxy


def answers(proxy: Proxy, headers: Mapping[str, str]) -> bool:
    """Say whether a request gets 200; a proxy may listen before it knows where to send one."""
    headers = {"authorization": f"Bearer {KEY}", **headers}
    request = urllib.request.Request(proxy.url.format(0), data=b"{}", headers=headers)
    with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=1):
        return True
    return False


def measure(script: Path, proxy: Proxy, seconds: float) -> Run:
    """Load a proxy that has just started, and count what it used meanwhile."""
    load(script, proxy.url, CONNECTIONS, WARM_SECONDS, cores()[2])
    before = cpu_seconds(proxy.pids)
    seen = load(script, proxy.url, CONNECTIONS, seconds, cores()[2])
    used = cpu_seconds(proxy.pids) - before
    return Run(seen.per_second, seen.total / max(used, 0.01))


def compare(case: Case, key: TokenKey, root: Path, pairs: int, seconds: float) -> list[Figure]:
    """Start each proxy in turn, load it, as much as it can do and at one rate; compare what was seen."""
    bearer = tokens.token(key, case.names[0], "benchmark", int(time.time()))["token"] if case.token else KEY
    headers = {"content-type": "application/json", "authorization": f"Bearer {bearer}"}
    for peer in case.peers:
        headers |= peer.headers
    script = post(root, BODY, headers, [PATH.format(number) for number in range(case.services)])
    port = free_port()
    start = starters(case, key, root, port)
    loaded: dict[str, list[Run]] = {name: [] for name in start}
    late: dict[str, list[Mapping[str, float]]] = {name: [] for name in ("direct", *start)}
    memory: dict[str, list[float]] = {name: [] for name in start}
    with haproxy(binary.find(), REPLICA.format(port=port), port, cores()[1]) as replica:
        send = functools.partial(
            open_loop.send,
            root / "sender",
            BODY,
            headers,
            paths=case.services,
            seconds=seconds,
            cores=cores()[2],
            replica=replica.pid,
        )
        print(f"{case.name}: rate of the latencies", file=sys.stderr)
        most: list[float] = []
        for name in start if case.peers else ["bare"]:
            with start[name]() as proxy:
                most.append(measure(script, proxy, seconds).per_cpu_second)
        with start["bare"]() as proxy:
            rate = sustained(min(most), lambda rate: send(url=proxy.url, rate=rate)["p99"])
        for number in range(pairs):
            print(f"{case.name}: {number + 1} of {pairs}", file=sys.stderr)
            late["direct"].append(send(url=f"http://127.0.0.1:{port}{PATH}", rate=rate))
            for name in list(start)[:: -1 if number % 2 else 1]:  # none is always the first
                with start[name]() as proxy:
                    loaded[name].append(measure(script, proxy, seconds))
                    late[name].append(send(url=proxy.url, rate=rate))
                    memory[name].append(memory_mb(proxy.pids))
    shares = tuple(rate / run.per_cpu_second for run in loaded["bare"])
    return [
        *throughput(case, loaded),
        Figure(f"{case.name}: rate of the latencies", (rate,), "requests/s"),
        Figure(f"{case.name}: the same / bare requests for a CPU second", shares),
        *latency(case, late),
        *(Figure(f"{case.name}: {name} memory", tuple(used), "MB") for name, used in memory.items()),
    ]


def sustained(most: float, p99: Callable[[int], float]) -> int:
    """Give half of a rate, or less: one with which bare HAProxy keeps up, if only at the second try."""
    *loads, least = LOADS
    for part in loads:
        if any(p99(round(most * part)) <= KEEPS_UP_MS for _ in range(2)):
            return round(most * part)
    return round(most * least)


def throughput(case: Case, loaded: Mapping[str, Sequence[Run]]) -> list[Figure]:
    """Hold what ours can do, pair by pair, against bare HAProxy or the best that queues."""
    others, what, least = (case.best, "the best that queues", 1.0) if case.peers else (["bare"], "bare", 0.8)
    busy = {name: tuple(run.busy for run in loaded[name]) for name in others}
    fair = all(median(values) >= BUSY for values in busy.values())
    lines = [Figure(f"{case.name}: cores that {name} used", values) for name, values in busy.items()]
    for field, name, unit, bar in (
        ("per_second", "throughput", "requests/s", least if fair else None),
        ("per_cpu_second", "requests for a CPU second", "", least),
    ):
        values = {one: [getattr(run, field) for run in runs] for one, runs in loaded.items()}
        lines += [Figure(f"{case.name}: {one} {name}", tuple(all_), unit) for one, all_ in values.items()]
        best = map(max, zip(*(values[one] for one in others), strict=True))
        ratios = tuple(ours / theirs for ours, theirs in zip(values["ours"], best, strict=True))
        lines.append(Figure(f"{case.name}: {name}, ours / {what}", ratios, at_least=bar))
    return lines


def latency(case: Case, late: Mapping[str, Sequence[Mapping[str, float]]]) -> list[Figure]:
    """Give what each adds to the replica's own latency, and hold ours against a bar."""
    lines: list[Figure] = []
    for share, most in (("p50", 0.3), ("p99", 3.0), ("p99.9", None)):
        added = {
            name: [run[share] - direct[share] for run, direct in zip(runs, late["direct"], strict=True)]
            for name, runs in late.items()
            if name != "direct"
        }
        for name, values in added.items():
            bar = most if name == "ours" and not case.peers else None
            lines.append(Figure(f"{case.name}: {name} added {share}", tuple(values), "ms", at_most=bar))
        if case.peers and share == "p99":
            least = map(min, zip(*(added[name] for name in case.best), strict=True))
            more = tuple(ours - theirs for ours, theirs in zip(added["ours"], least, strict=True))
            lines.append(
                Figure(f"{case.name}: added p99, ours - the best's that queues", more, "ms", at_most=0)
            )
    return lines


def main() -> int:
    parser = arguments(__doc__, pairs=7, seconds=2)
    names = [case.name for case in CASES]
    parser.add_argument("--cases", nargs="+", choices=names, default=names, help="only these")
    options = parser.parse_args()
    cases = [case for case in CASES if case.name in options.cases]
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "tls").mkdir()
        (root / "tls" / "tls.pem").write_bytes(b"".join(certificate("localhost")))
        open_loop.build(root, "./sender")
        router_peers.install([peer for case in cases for peer in case.peers], root)
        key = token_keys.make(int(time.time()))
        for case in cases:
            figures += compare(case, key, root, options.pairs, options.seconds)
    status = finish("Router against bare HAProxy and other proxies", figures, options)
    peers = [f"{peer.name}: {peer.lacks}" for case in cases for peer in case.peers]
    if peers:
        print("\nWhat they do not do:", *peers, sep="\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
