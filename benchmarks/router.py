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

throughput: requests a second of a busy core, by wrk. With fewer than three cores client and replica share one
and may be the limit, so requests for each second of the proxy's own processor time count as well. added p50,
p99, p99.9: what a proxy adds to the latency of the replica alone while requests come at half the rate at
which bare HAProxy saturates a core, whatever became of those before (open loop); at less, where sender and
replica alone cannot keep up with that; among the peers, at half of what the slowest of them can do. Sender
and replica have real-time priority then, which needs root: on one core they would count slices of time.
memory: of all processes, after all that.
"""

import contextlib
import dataclasses
import datetime
import functools
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from benchmarks import open_loop, router_peers
from benchmarks.processes import (
    KEY,
    REPLICA,
    Router,
    cores,
    cpu_seconds,
    free_port,
    haproxy,
    listens,
    memory_mb,
    pods,
    real_time,
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

CONNECTIONS = 32
SERVICES = 1000
KEEPS_UP_MS = 0.5
"""Half of the requests to the replica alone take less, or there are too many of them."""
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
    began: tuple[int, ...]

    @classmethod
    def at(cls, scheme: str, port: int, *pids: int) -> "Proxy":
        return cls(f"{scheme}://127.0.0.1:{port}{PATH}", pids)

    @property
    def pids(self) -> list[int]:
        """Give all its processes."""
        return [one for pid in self.began for one in tree(pid)]


@dataclass(frozen=True)
class Run:
    """What wrk said of one run, and how many requests a second of processor time was good for."""

    per_second: float
    per_cpu_second: float


@contextlib.contextmanager
def proxies(case: Case, key: TokenKey, root: Path) -> Generator[dict[str, Proxy]]:
    """Start the router, HAProxy alone, the other proxies, and the replica that all pass requests to."""
    proxy_cores, replica_cores, _ = cores()
    path, replica, port = binary.find(), free_port(), free_port()
    scheme = "https" if case.tls else "http"
    with contextlib.ExitStack() as stack:
        alone = haproxy(path, REPLICA.format(port=replica), replica, replica_cores)
        found = {"direct": Proxy.at("http", replica, stack.enter_context(alone).pid)}
        others = [free_port() for _ in range(1, case.pods)]
        owner = dataclasses.replace(case, tls=True, pods=1)
        configs = {port: bare(case, port, replica, root, others)}
        configs |= {other: bare(owner, other, replica, root) for other in others}
        alone = [haproxy(path, text, at, proxy_cores) for at, text in configs.items()]
        found["bare"] = Proxy.at(scheme, port, *(stack.enter_context(one).pid for one in alone))
        for name, reuse in case.ours.items():
            routers, port = ours(case, reuse, replica, key, root / f"{case.name}, {name}")
            pids = [stack.enter_context(router).pid for router in routers]
            for router in routers:
                router.up(*case.names, replicas=1, seconds=120)
                router.knows(len(routers) - 1)
            found[name] = Proxy.at(scheme, port, *pids)
        for peer in case.peers:
            port = peer.port or free_port()
            needed = stack.enter_context(peer.needs(replica))
            command, environment = peer.prepare(root / peer.name, port, replica, needed)
            process = stack.enter_context(running(command, proxy_cores, environment=environment))
            wait_for(lambda port=port: listens(port), peer.name)
            found[peer.name] = Proxy.at("http", port, process.pid)
        yield found


def bare(case: Case, port: int, replica: int, root: Path, others: Sequence[int] = ()) -> str:
    """Give HAProxy's configuration: what passes requests on, and nothing else."""
    one = case.services == 1
    config = BARE.format(
        port=port,
        reuse="http-reuse always" if case.reuse else "option http-server-close",
        tls=f"ssl crt {root}/tls/tls.pem ssl-min-ver TLSv1.2 alpn http/1.1" if case.tls else "",
        rule=f"default_backend {case.names[0]}" if one else "use_backend %[path,field(5,/)]",
    )
    check = "" if one else f"check inter {check_seconds(case.services)}s"
    targets = [f"{replica} {check}", *(f"{other} ssl verify none" for other in others)]
    servers = {name: targets[case.owner(name)] for name in case.names}
    return config + "".join(BARE_BACKEND.format(name=name, server=server) for name, server in servers.items())


def ours(case: Case, reuse: bool, replica: int, key: TokenKey, folder: Path) -> tuple[list[Router], int]:
    """Give a router's pods that are to be started, and the port that is to be asked."""
    variables = {"SLIPWAY_HTTP_REUSE": "always" if reuse else "never"}
    if case.tls:
        variables |= {"TLS_PORT": str(free_port()), "TLS_DIR": str(folder.parent / "tls")}
    routers = pods(folder, case.routers, cores()[0], **variables)
    for name in case.names:
        routers[0].deploy(
            name,
            [replica],
            replica_max_concurrent_requests=router_peers.CONCURRENCY,
            token_auth_enabled=case.token,
        )
    if case.token:
        routers[0].folder.put(token_keys.write([key], "slipway", None))
    return routers, int(variables.get("TLS_PORT", routers[0].port))


def measure(script: Path, proxy: Proxy, seconds: float) -> Run:
    """Load a proxy, and count what it used meanwhile."""
    before = cpu_seconds(proxy.pids)
    seen = load(script, proxy.url, CONNECTIONS, seconds, cores()[2])
    used = cpu_seconds(proxy.pids) - before
    return Run(seen.per_second, seen.total / max(used, 0.01))


def compare(
    case: Case, found: Mapping[str, Proxy], key: TokenKey, root: Path, pairs: int, seconds: float
) -> list[Figure]:
    """Load each proxy in turn, as much as it can do, then at one rate; hold them against each other."""
    bearer = tokens.token(key, case.names[0], "benchmark", int(time.time()))["token"] if case.token else KEY
    headers = {"content-type": "application/json", "authorization": f"Bearer {bearer}"}
    for peer in case.peers:
        headers |= peer.headers
    script = post(root, BODY, headers, [PATH.format(number) for number in range(case.services)])
    loaded: dict[str, list[Run]] = {name: [] for name in found if name != "direct"}
    late: dict[str, list[Mapping[str, float]]] = {name: [] for name in found}
    for number in range(pairs):
        print(f"{case.name}: throughput, {number + 1} of {pairs}", file=sys.stderr)
        for name in list(loaded)[:: -1 if number % 2 else 1]:  # none is always the first
            loaded[name].append(measure(script, found[name], seconds))
    send = functools.partial(
        open_loop.send, root / "sender", BODY, headers, paths=case.services, seconds=seconds, cores=cores()[2]
    )
    most = {name: median(run.per_cpu_second for run in runs) for name, runs in loaded.items()}
    rate = round((min(most.values()) if case.peers else most["bare"]) / 2)
    real_time(*found["direct"].began)
    while send(url=found["direct"].url, rate=rate)["p50"] > KEEPS_UP_MS:
        rate = round(rate * 0.8)
    for number in range(pairs):
        print(f"{case.name}: latency at {rate} requests a second, {number + 1} of {pairs}", file=sys.stderr)
        for name in list(late)[:: -1 if number % 2 else 1]:
            late[name].append(send(url=found[name].url, rate=rate))
    memory = {name: memory_mb(found[name].pids) for name in loaded}
    return [
        Figure(f"{case.name}: rate of the latencies", (rate,), "requests/s"),
        Figure(f"{case.name}: the same / what a core does with bare HAProxy", (rate / most["bare"],)),
        *throughput(case, loaded),
        *latency(case, late),
        *(Figure(f"{case.name}: {name} memory", (used,), "MB") for name, used in memory.items()),
    ]


def throughput(case: Case, loaded: Mapping[str, Sequence[Run]]) -> list[Figure]:
    """Hold what ours can do, pair by pair, against bare HAProxy or the best that queues."""
    others, what, least = (case.best, "the best that queues", 1.0) if case.peers else (["bare"], "bare", 0.8)
    lines: list[Figure] = []
    for field, name, unit in (
        ("per_second", "throughput", "requests/s"),
        ("per_cpu_second", "requests for a CPU second", ""),
    ):
        values = {one: [getattr(run, field) for run in runs] for one, runs in loaded.items()}
        lines += [Figure(f"{case.name}: {one} {name}", tuple(all_), unit) for one, all_ in values.items()]
        best = map(max, zip(*(values[one] for one in others), strict=True))
        ratios = tuple(ours / theirs for ours, theirs in zip(values["ours"], best, strict=True))
        lines.append(Figure(f"{case.name}: {name}, ours / {what}", ratios, at_least=least))
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


def certificate(folder: Path) -> None:
    """Write a certificate for this machine that signs itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now)
    signed = builder.not_valid_after(now + datetime.timedelta(days=1)).sign(key, hashes.SHA256())
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    (folder / "tls").mkdir()
    (folder / "tls" / "tls.pem").write_bytes(signed.public_bytes(pem) + private)


def main() -> int:
    parser = arguments(__doc__, pairs=7, seconds=4)
    names = [case.name for case in CASES]
    parser.add_argument("--cases", nargs="+", choices=names, default=names, help="only these")
    options = parser.parse_args()
    cases = [case for case in CASES if case.name in options.cases]
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        certificate(root)
        open_loop.build(root, "./sender")
        router_peers.install([peer for case in cases for peer in case.peers], root)
        key = token_keys.make(int(time.time()))
        for case in cases:
            with proxies(case, key, root) as found:
                figures += compare(case, found, key, root, options.pairs, options.seconds)
    status = finish("Router against bare HAProxy and other proxies", figures, options)
    peers = [f"{peer.name}: {peer.lacks}" for case in cases for peer in case.peers]
    if peers:
        print("\nWhat they do not do:", *peers, sep="\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
