"""What the environment says to a router: its variables, checked, all mistakes at once.

The variables are those of the router's Deployment; SLIPWAY_OBJECTS is added by the local engine, else
Kubernetes itself says by KUBERNETES_SERVICE_HOST that there is a cluster to watch.
"""

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slipway.problems import Problems, problem
from slipway.router.state import plain_address
from slipway.spec import ROUTER_NAMESPACE, SIZE_VARIABLES

REUSE = ("never", "safe", "aggressive", "always")
SECRET_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")
FILE_NAME = re.compile(r"[-.\w]+")
HTTP = ("refuse", "redirect", "serve")


@dataclass(frozen=True)
class Tls:
    """Where a router takes HTTPS, and from where its certificates come."""

    port: int
    folder: Path | None = None
    """Of files: a certificate is one with its key, or NAME.crt beside NAME.key."""
    secrets: tuple[str, ...] = ()
    """Else the names of Secrets of type kubernetes.io/tls in the router's namespace; the first one's
    certificate is for clients that ask for a name that none is for."""
    domains: tuple[str, ...] = ()
    """The names that clients know, each of which a certificate should be for."""
    http: str = "refuse"
    """What becomes of requests without TLS: one of `HTTP`."""
    account: str | None = None
    """The name of a Secret with the key of an ACME account, for whose challenges there is HTTP."""

    @property
    def names(self) -> tuple[str, ...]:
        """What each certificate comes from: Secrets, or the files that are there now."""
        return self.secrets if self.folder is None else tuple(certificate_files(self.folder))


@dataclass(frozen=True)
class Size:
    """How large a router is that scales itself."""

    replicas: int
    """Its pods at least."""
    cpu: int
    """What a pod asks for with one thread, in thousandths of a core."""
    most_cpu: int
    """What it may use."""

    @property
    def most_threads(self) -> int:
        """One for each whole core that a pod may use."""
        return max(1, self.most_cpu // 1000)


@dataclass(frozen=True)
class Options:
    """Where a router listens, where it finds its objects, and the limits that all services share."""

    objects: Path | None
    """The folder of its objects; None: the cluster of its pod."""
    directory: Path
    address: str = "127.0.0.1"
    port: int = 8080
    admin_port: int = 8081
    peer_port: int = 8444
    """For the other routers; not used without `pod`."""
    namespace: str = ROUTER_NAMESPACE
    pod: str = ""
    """Its pod's name; without one it takes itself for the only router."""
    reuse: str = "never"
    """Which connections to replicas serve further requests, in HAProxy's words. Anything but `never` lets
    a client's connection close without an answer when a replica dies on a connection that served before."""
    minimum_upload_rate: int = 1_048_576
    """Bytes a second that a body must keep up once it is larger than the upload buffer."""
    access_log_rate: int = 100
    """Requests a second that all get a line in the access log; of more a share does, of 0 only what fails."""
    tls: Tls | None = None
    """HTTPS, beside HTTP on `port`."""
    size: Size | None = None
    """None: it never scales itself."""
    threads: int = 1
    """HAProxy's, at first."""
    memory_mib: int = 1200
    """MiB that its pod may use."""
    files: int = 1_048_576
    """How many files its processes may open each; not a variable, the system says it."""

    @property
    def addresses(self) -> list[str]:
        """Give the pod's address, and that inside the pod, where `kubectl port-forward` comes from."""
        return list(dict.fromkeys([self.address, "::1" if ":" in self.address else "127.0.0.1"]))

    @property
    def ports(self) -> list[int]:
        """Give all ports on which it listens."""
        tls = [self.tls.port] if self.tls is not None else []
        return [self.port, self.admin_port, *tls, *([self.peer_port] if self.pod else [])]


def from_environment(environment: Mapping[str, str]) -> Options:
    """Read the variables, or raise `Problems`."""
    mistakes: list[str] = []

    def number(name: str, default: int, most: int, least: int = 1) -> int:
        text = environment.get(name, str(default))
        if text.isascii() and text.isdigit() and least <= int(text) <= most:
            return int(text)
        mistakes.append(
            problem(name, text, f"must be a whole number from {least} to {most}", "correct the variable")
        )
        return default

    address = environment.get("POD_IP", Options.address)
    if not plain_address(address):
        mistakes.append(problem("POD_IP", address, "must be a plain IP address", "correct the variable"))
    reuse = environment.get("SLIPWAY_HTTP_REUSE", Options.reuse)
    if reuse not in REUSE:
        mistakes.append(
            problem("SLIPWAY_HTTP_REUSE", reuse, f"must be one of {', '.join(REUSE)}", "remove it")
        )
    directory = environment.get("SLIPWAY_RUN_DIR", "")
    if not directory:
        mistakes.append("SLIPWAY_RUN_DIR is not set: name a folder for HAProxy's configuration and sockets")
    objects = environment.get("SLIPWAY_OBJECTS", "")
    if not objects and "KUBERNETES_SERVICE_HOST" not in environment:
        mistakes.append(
            "SLIPWAY_OBJECTS is not set, and this is no cluster's pod: name the folder of Kubernetes objects"
        )

    def names(name: str) -> tuple[str, ...]:
        return tuple(environment.get(name, "").split())

    tls: Tls | None = None
    sources = [name for name in ("TLS_DIR", "TLS_SECRETS") if environment.get(name)]
    if "TLS_PORT" in environment and len(sources) == 1:
        folder = Path(environment["TLS_DIR"]).absolute() if "TLS_DIR" in sources else None
        tls = Tls(
            number("TLS_PORT", 1, 65535),
            folder,
            names("TLS_SECRETS"),
            names("TLS_DOMAINS"),
            environment.get("TLS_HTTP", Tls.http),
            environment.get("ACME_ACCOUNT"),
        )
        if tls.http not in HTTP:
            mistakes.append(problem("TLS_HTTP", tls.http, f"must be one of {', '.join(HTTP)}", "remove it"))
        mistakes += [
            problem("TLS_SECRETS", name, "is no name of a Secret", "correct the variable")
            for name in tls.secrets
            if SECRET_NAME.fullmatch(name) is None
        ]
        if folder is not None and not certificate_files(folder):
            rule = "is a folder without a certificate"
            remedy = "mount tls.crt and tls.key there, or one file with certificate and key"
            mistakes.append(problem("TLS_DIR", environment["TLS_DIR"], rule, remedy))
    elif "TLS_PORT" in environment or sources:
        mistakes.append("TLS_PORT goes together with one of TLS_DIR and TLS_SECRETS: set both, or neither")

    size: Size | None = None
    if sizes := [name for name in SIZE_VARIABLES if name in environment]:
        if len(sizes) == len(SIZE_VARIABLES):
            size = Size(*(number(name, 1, 10**6) for name in SIZE_VARIABLES))
        else:
            mistakes.append(
                f"{sizes[0]} goes together with the others of {', '.join(SIZE_VARIABLES)}: set all, or none"
            )

    options = Options(
        objects=Path(objects).absolute() if objects else None,
        directory=Path(directory).absolute(),
        address=address,
        port=number("PORT", Options.port, 65535),
        admin_port=number("ADMIN_PORT", Options.admin_port, 65535),
        peer_port=number("PEER_PORT", Options.peer_port, 65535),
        namespace=environment.get("POD_NAMESPACE") or ROUTER_NAMESPACE,
        pod=environment.get("POD_NAME", ""),
        reuse=reuse,
        minimum_upload_rate=number("MINIMUM_UPLOAD_RATE", Options.minimum_upload_rate, 2**31),
        access_log_rate=number("ACCESS_LOG_RATE", Options.access_log_rate, 100_000, least=0),
        tls=tls,
        size=size,
        threads=number("SLIPWAY_THREADS", Options.threads, 64),
        memory_mib=number("ROUTER_MEMORY", Options.memory_mib, 2**20),
    )
    if mistakes:
        raise Problems(mistakes)
    return options


def certificate_files(folder: Path) -> list[str]:
    """Name the files of a folder with certificates: each has its key, or NAME.crt stands beside NAME.key."""
    with contextlib.suppress(OSError):
        files = sorted(one for one in folder.iterdir() if one.is_file() and FILE_NAME.fullmatch(one.name))
        return [one.name for one in files if one.suffix != ".key"]
    return []
