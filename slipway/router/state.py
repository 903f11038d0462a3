"""What a router serves, as one immutable value; discovery makes it, everything else is a function of it.

Nothing in it can break out of a configuration line or a command: names, addresses and hashes are made of
harmless characters only, and these types refuse anything else.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import ip_address
from typing import Literal

from slipway.spec import Serving
from slipway.versions import VersionOf

SERVICE_NAME = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")
KEY_HASH = re.compile(r"[0-9A-F]{64}")
KID = re.compile(r"[0-9]{1,12}")
ADDRESS = re.compile(r"[0-9a-f.:]+")
Reason = Literal[
    "AutoscalerConflict",
    "CertificateExpired",
    "CertificateExpiring",
    "CertificateNameMismatch",
    "CertificateRefused",
    "FailedRescale",
    "FailedScheduling",
    "Misconfigured",
    "NameTaken",
    "NoReadyReplica",
    "ReloadRefused",
    "Routable",
    "SelfScalingEnabled",
    "SuccessfulRescale",
]
"""What an Event says in a word."""
Auth = Literal["key", "token", "none"]


@dataclass(frozen=True, order=True)
class Replica:
    """One ready pod of a service, known by its address."""

    address: str
    port: int

    def __post_init__(self) -> None:
        if not plain_address(self.address) or not 1 <= self.port <= 65535:
            raise ValueError(f"{self.address!r}, {self.port!r} is no address of a replica")

    @property
    def server(self) -> str:
        """HAProxy's name for it."""
        return f"{self.address}:{self.port}"

    @property
    def target(self) -> str:
        """Where HAProxy connects to."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else self.server


@dataclass(frozen=True)
class Limits:
    """The part of a service that only a new configuration can change."""

    concurrency: int = 1
    """Requests that a replica gets at once (N)."""
    wait_ms: int = 500
    timeout_ms: int = 60_000
    auth: Auth = "key"
    """What a request must bring."""


@dataclass(frozen=True)
class Service:
    """A web service: its limits, the replicas that are ready, and the SHA-256 of each valid key.

    Where it takes tokens, a key is what one costs on this machine.
    """

    name: str
    limits: Limits = Limits()
    replicas: frozenset[Replica] = frozenset()
    keys: frozenset[str] = frozenset()
    deployment: tuple[str, str] = ("", "")
    """Namespace and name."""
    serving: Serving = field(default_factory=Serving)
    version: VersionOf | None = None
    """Of which web service it is one; None: it is one itself."""
    routed: bool = True
    """Whether requests get to it: not if its address is another's, which came first."""

    @property
    def endpoint(self) -> str:
        """Name the web service whose address and keys it has."""
        return self.version.endpoint if self.version is not None else self.name

    @property
    def fixed(self) -> tuple[object, ...]:
        """Give what only a new configuration can change."""
        return self.limits, self.endpoint, self.version.name if self.version is not None else None

    def __post_init__(self) -> None:
        if SERVICE_NAME.fullmatch(self.name) is None:
            raise ValueError(f"{self.name!r} is no name of a service")
        if self.version is not None and self.version.service != self.name:
            raise ValueError(f"{self.name!r} is not {self.version.service!r}")
        if not all(KEY_HASH.fullmatch(key) for key in self.keys):
            raise ValueError("a key is held as SHA-256 in capitals, never as itself")


@dataclass(frozen=True)
class Ignored:
    """An object that counts for no service."""

    place: str
    """Kind, namespace and name."""
    why: str
    reason: Reason = "Misconfigured"
    """The same in a word, for an Event."""

    def __str__(self) -> str:
        return f"{self.place}: {self.why}"


@dataclass(frozen=True)
class Routers:
    """The router pods that are ready, of which this one may be one."""

    pod: str = ""
    """This one's name."""
    ready: Mapping[str, Replica] = field(default_factory=dict[str, Replica])
    """Where each takes requests from the others, by its name."""

    @property
    def others(self) -> frozenset[Replica]:
        """Where the others take requests."""
        return frozenset(entry for pod, entry in self.ready.items() if pod != self.pod)


@dataclass(frozen=True)
class Identity:
    """By what the routers know each other, in PEM."""

    certificate: str = field(repr=False)
    """This one's, with its key."""
    authorities: str
    """Whose certificates are trusted."""


@dataclass(frozen=True)
class State:
    """All services by name, and what was wrong with what was found."""

    services: Mapping[str, Service] = field(default_factory=dict[str, Service])
    errors: Mapping[str, str] = field(default_factory=dict[str, str])
    """By service: why it is not served, or not as it should be."""
    ignored: tuple[Ignored, ...] = ()
    certificates: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """In PEM, with chain and key, by the name of the Secret or file; the first is for unknown names."""
    account: str = ""
    """The thumbprint of an ACME account's key, whose challenges are answered; empty: of none."""
    routers: Routers = Routers()
    identity: Identity | None = None
    """None: this router can neither hand requests to others nor take theirs."""
    token_keys: Mapping[str, str] = field(default_factory=dict[str, str])
    """The public keys that verify tokens, in PEM, by the `kid` of tokens; none if no service takes any."""
    threads: int = 1
    """HAProxy's."""

    def __post_init__(self) -> None:
        if not all(KID.fullmatch(kid) for kid in self.token_keys):
            raise ValueError("a key of tokens is named by a number")


def plain_address(text: str) -> bool:
    """Whether a text is an IP address in its one plain form; an IPv6 zone, for one, could hold anything."""
    try:
        return ADDRESS.fullmatch(text) is not None and str(ip_address(text)) == text
    except ValueError:
        return False


def state_of(*services: Service) -> State:
    """Make a state without errors."""
    return State({service.name: service for service in services})


def hashed(key: str) -> str:
    """Hash a key as HAProxy's `sha2(256),hex` does."""
    return sha256(key.encode()).hexdigest().upper()
