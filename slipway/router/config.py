"""HAProxy's configuration as a pure function of the state: `render(state, options) -> files`.

What all services share is in `haproxy.cfg` beside this module, a template; each service adds a backend of
its name. The way of a request: `_router` looks its path up in `routes.map` and hands it to that backend, or
to the router that owns the service (`owners.map`), where it comes in by `_peer`. A body that does not fit
into the upload buffer, or whose size is not known, takes a detour through `_upload`, where a filter watches
it; so the filter costs other requests nothing. Names of services begin with a letter, ours with an
underscore.

Each service has one queue, its backend's, because each server has `maxconn`. A backup server `_hold`
keeps that queue alive while there is no replica; its only slot is always taken (see `hold`).
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template
from typing import get_args

from slipway.router import auth
from slipway.router.auth import KEYS, public_file
from slipway.router.options import Options
from slipway.router.ownership import before
from slipway.router.state import Auth, Replica, Service, State
from slipway.spec import MAX_TIMEOUT_MS
from slipway.versions import MODEL_DEPLOYMENT, VersionOf, shares

CONFIG = "haproxy.cfg"
ROUTES = "routes.map"
ACME = "acme.map"
VERSIONS = "versions.map"
NAMES = "names.map"
OWNERS = "owners.map"
IDENTITY = "peer.pem"
AUTHORITIES = "authorities.pem"
LUA = Path(__file__).with_name("router.lua")
SHARED = Template(Path(__file__).with_name(CONFIG).read_text(encoding="utf-8"))

MASTER_SOCKET = "master.sock"
WORKER_SOCKET = "worker.sock"
CONTROL_SOCKET = "control.sock"
HOLD_SOCKET = "hold.sock"
TOKEN_SOCKET = "token.sock"  # noqa: S105 - a name, as the next
TOKEN = "_token"  # noqa: S105
"""The backend that hands out tokens."""
HOLD = "_hold"
PEERS = "_peers"
CHECKS_A_SECOND = 250
"""Of replicas, at most, once each gets its own every second: a check costs as much as a request.

A replica that crashed or cannot be reached is found by the next request for it anyway, and one that hangs by
its readiness probe.
"""
PEER_SECONDS = 2
"""Between two checks of another router, each with all of TLS, and how long it may take for one."""
MUTUAL = f"ssl crt {IDENTITY} ca-file {AUTHORITIES} verify required ssl-min-ver TLSv1.3"
"""How routers know each other: who made a certificate counts, since it is made for nobody else."""

LOST_MS = 6_000
"""Without TCP's word for so long another router is lost; keep-alive probes do not watch what was sent.

Only the file can say so: a command that adds a server takes no `tcp-ut`.
"""

CLIENTS = 10_000
"""Connections that are served at once, where files and memory suffice."""
SMALL_BODY = 8_192
SMALL_MEMORY = 30_720
"""What a request takes whose body is no larger than that; seen: 18 KB and its body."""
MIDDLE_BODY = 131_072
UPLOAD_UNIT = 196_608
MIDDLE, LARGE, PASSING = 1, 8, 25
"""Units of memory for a larger body: for one up to `MIDDLE_BODY`, for what the buffer holds, and for what
passes through several buffers, being larger or of unknown size; seen: 1.6 times the body, and 4.8 MB."""
LARGEST_BODY = 104_857_600
UPLOAD_BUFFER = 1_048_576
HEADERS = 65_536
UPLOAD_MS = 60_000
"""Time for a body, as far as a buffer holds it."""
STALL_MS = 5_000
"""Time that a larger body may stop for."""
KEPT_MS = 70_000
"""Time until the last request on a connection that was kept, and for its headers."""
OVER_TIMEOUT_MS = 5_000
"""How long after `scoring_timeout_ms` HAProxy answers if the replica does not."""
TRACE = r'%[capture.req.hdr(0),regsub("^(00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$|.*)",\2)]'
TRACEPARENT_LENGTH = 56
"""W3C Trace Context, version 00: its id, if it is valid, which one that is longer is not."""
COUNTED = "http-request track-sc2 var(txn.upload) table _uploads"
BODY = (
    COUNTED,
    "http-request track-sc3 var(txn.upload),concat(:,txn.service) table _shares",
    f"http-request wait-for-body time {UPLOAD_MS}ms",
)
"""What is done with a request that is let in: it waits for its body, as far as a buffer holds it."""
PASSES = tuple(
    f"http-request set-var(txn.upload) int({PASSING}) if {{ {found} }}"
    for found in (
        f"req.hdr(content-length) -m int gt {UPLOAD_BUFFER}",
        "method POST } !{ req.hdr(content-length) -m found",
    )
)
"""By what a larger body counts that passes through a process which is replaced, or one of unknown size."""
HANDED = (
    # The second that is captured: the first is the access log's.
    "capture request header x-ms-request-id len 32",
    "unique-id-format %[capture.req.hdr(1)]",
    "http-request set-var(txn.handed) req.fhdr(x-slipway-handed)",
    "http-request set-var(txn.service) var(txn.handed),field(1,/),map(names.map,_unknown)",
    "http-request del-header x-slipway- -m beg",
)
"""What another part of the router says of a request that it hands over (`defaults handed`)."""
PATHS = ("score", "swagger.json")
HTTP = {
    "serve": "",
    "refuse": "http-request use-service lua.refuse_http if { so_name http }",
    "redirect": "http-request use-service lua.redirect if { so_name http }",
}
"""What becomes of requests without TLS, by `router.tls.http`."""


def render(state: State, options: Options) -> dict[str, str]:
    """Give each file's text by its name."""
    services = _sorted(state)
    tls, pods = options.tls is not None, state.identity is not None
    memory = options.memory_mib * 1_048_576
    most_files, clients = connections(len(services), options.files, memory, tls=tls, pods=pods)
    shared = SHARED.substitute(
        admit="\n  ".join([*_admit(uploads(memory)), COUNTED]),
        access_log="\n  ".join(_access_log(options.access_log_rate)),
        binds="\n  ".join(_binds(state, options)),
        buffer_size=UPLOAD_BUFFER + HEADERS,
        failures=auth.FAILURES,
        failure_seconds=auth.FAILURE_SECONDS,
        clients=clients,
        client_ms=UPLOAD_MS + STALL_MS,
        **{f"for_{kind}": _rules(kind, state.token_keys, uploads(memory)) for kind in get_args(Auth)},
        files=most_files,
        handed="\n  ".join(HANDED),
        hard_stop_ms=KEPT_MS + 2 * MAX_TIMEOUT_MS + longest_ms([]),  # also of a web service that comes later
        kept_clients=clients * 9 // 10,
        largest_body=LARGEST_BODY,
        http=HTTP[options.tls.http if options.tls is not None else "serve"],
        longest_ms=longest_ms(services),
        lua=LUA,
        refused_clients=clients * 11 // 10,
        peer_binds="\n  ".join(_peer_binds(state, options)),
        reuse=_reuse(options),
        stall_ms=STALL_MS,
        threads=state.threads,
        token_socket=TOKEN_SOCKET,
        trace=TRACE,
        track="\n  ".join(auth.TRACK),
        small_body=SMALL_BODY,
        upload=f"req.body_size,div({MIDDLE_BODY + 1}),bool,mul({LARGE - MIDDLE}),add({MIDDLE})",
        upload_buffer=UPLOAD_BUFFER,
        passes="\n  ".join([*PASSES, *_admit(uploads(memory)), COUNTED]),
        passing=PASSING,
        upload_ms=UPLOAD_MS,
        upload_rate=options.minimum_upload_rate,
        version_header=MODEL_DEPLOYMENT,
        **_wanted(state, options),
    )
    backends = servers(state)
    config = shared + _servers(backends[PEERS], f" tcp-ut {LOST_MS}ms")
    for service in services:
        config += _backend(service) + _servers(backends[service.name])
    files = {CONFIG: config} | {name: _lines(entries) for name, entries in maps(state).items()}
    files |= {public_file(kid): pem for kid, pem in state.token_keys.items()}
    if state.identity is not None:
        files |= {IDENTITY: state.identity.certificate, AUTHORITIES: state.identity.authorities}
    return files | {certificate_file(name): pem for name, pem in state.certificates.items()}


def _wanted(state: State, options: Options) -> dict[str, str]:
    """Give what makes a comment of the rules that have no meaning here: each that runs costs every request.

    What decides changes by a reload only, or never.
    """
    wanted = {
        "if_acme": options.tls is not None and options.tls.account is not None,
        "if_tls": options.tls is not None,
        "if_pods": state.identity is not None,
        "if_versions": any(one.version is not None for one in state.services.values()),
    }
    return {name: "" if here else "# " for name, here in wanted.items()}


def certificate_file(name: str) -> str:
    """Name our file of a certificate with chain and key.

    Like all of these it lies in the working directory, which in a cluster is memory.
    """
    return f"tls-{name}.pem"


def maps(state: State) -> dict[str, dict[str, str]]:
    """Give each map's values by key, by the map's file. None has spaces; all change by commands."""
    services = _sorted(state)
    owners = {one.name: before(one.name, state.routers) for one in services} if state.identity else {}
    routed = [one for one in services if one.routed]
    tokens = {f"/api/v1/service/{one.endpoint}/token": TOKEN for one in routed if one.limits.auth == "token"}
    return {
        ROUTES: {f"/api/v1/service/{one.endpoint}/{path}": one.endpoint for one in routed for path in PATHS}
        | tokens,
        VERSIONS: _versions(routed),
        NAMES: {one.name: one.name for one in services},
        OWNERS: {name: "/".join(one.server for one in found[:2]) for name, found in owners.items() if found},
        KEYS: {f"{key}:{one.name}": one.limits.auth for one in services for key in _keys(one)},
        ACME: {"account": state.account} if state.account else {},
    }


def _keys(service: Service) -> list[str]:
    """Give what opens a service: hashes of keys, or the audience that tokens name."""
    match service.limits.auth:
        case "key":
            return sorted(service.keys)
        case "token":
            return [service.endpoint]
        case "none":
            return []


def _versions(services: Iterable[Service]) -> dict[str, str]:
    """Give for each web service with versions how its requests are shared, and the way to each version.

    Shares are written `SERVICE=PARTS,...`, the default first.
    """
    found: dict[str, dict[str, VersionOf]] = defaultdict(dict)
    for one in services:
        if one.version is not None:
            found[one.endpoint][one.name] = one.version
    ways = {f"{of.endpoint}:{of.name}": name for of_one in found.values() for name, of in of_one.items()}
    return ways | {
        endpoint: ",".join(f"{name}={part}" for name, part in shares(of_one).items())
        for endpoint, of_one in found.items()
    }


def _lines(entries: Mapping[str, str]) -> str:
    return "".join(f"{key} {value}\n" for key, value in entries.items())


def _sorted(state: State) -> list[Service]:
    return [state.services[name] for name in sorted(state.services)]


def servers(state: State) -> dict[str, dict[Replica, str]]:
    """Give the servers that come and go by commands, by backend, each with its arguments."""
    services = state.services.values()
    # One that is there already keeps its interval until the next reload.
    check = _check(check_seconds(sum(len(one.replicas) for one in services)))
    found = {
        one.name: dict.fromkeys(one.replicas, f"maxconn {one.limits.concurrency} {check}") for one in services
    }
    peers = state.routers.others if state.identity is not None else ()
    # Without weight it gets what is meant for it, and nothing else.
    return found | {PEERS: dict.fromkeys(peers, f"weight 0 {MUTUAL} {_check(PEER_SECONDS, fall=1)}")}


def check_seconds(replicas: int) -> int:
    """Give how often each of so many replicas is checked."""
    return max(1, math.ceil(replicas / CHECKS_A_SECOND))


def _check(seconds: int, fall: int = 2) -> str:
    return (
        f"check inter {seconds}s fastinter 250ms downinter 250ms fall {fall} rise 1 "
        "observe layer4 error-limit 1 on-error mark-down"
    )


def _servers(found: Mapping[Replica, str], more: str = "") -> str:
    return "".join(f"  server {one.server} {one.target} {found[one]}{more}\n" for one in sorted(found))


def connections(
    services: int, most_files: int, memory: int, *, tls: bool = False, pods: bool = False
) -> tuple[int, int]:
    """Give how many files HAProxy may open, and how many clients it then serves at once.

    A client takes one, and three for its request: where another router owns the service, or by the detour.
    With TLS there may be as many requests by HTTP/2, many on a connection, that take three each; where there
    are other pods, as many of their requests, that take four. A tenth more clients are let in to be told that
    they are too many; a service takes four, for its held slot and for checks of its replicas; the rest is
    HAProxy's own. Of the bytes of memory a quarter is for requests with small bodies.
    """
    most = max(min(CLIENTS, memory // 4 // SMALL_MEMORY), 1)
    own, each = 200 + 4 * services, 4 + 3 * tls + 4 * pods
    files = min(most_files, own + each * most * 11 // 10)
    return files, max((files - own) // each * 10 // 11, 1)


def uploads(memory: int) -> int:
    """Give how many units of larger bodies there may be at once: a quarter of the bytes of memory.

    Another is for the process before, which has its own after a reload; the last for what is no request.
    """
    return max(memory // 4 // UPLOAD_UNIT, 1)


def longest_ms(services: Iterable[Service]) -> int:
    """Give the longest time that a request may take, so that a stopping process is not cut off before."""
    slowest = max((one.limits.wait_ms + one.limits.timeout_ms for one in services), default=0)
    return slowest + OVER_TIMEOUT_MS + 3 * UPLOAD_MS


def _binds(state: State, options: Options) -> list[str]:
    """Give where requests come in; by TLS with the certificate for the client's name, else the first.

    No setting keeps what comes from inside the pod, by `kubectl port-forward`, from speaking HTTP.
    """
    plain = [f"bind {Replica(address, options.port).target} proto h1" for address in options.addresses]
    plain[0] += " name http"
    tls = options.tls
    if tls is None:
        return plain
    if not state.certificates:  # an ACME server must be answered first
        return plain
    crt = " ".join(f"crt {certificate_file(name)}" for name in state.certificates)
    target = ",".join(Replica(address, tls.port).target for address in options.addresses)
    return [*plain, f"bind {target} ssl {crt} alpn h2,http/1.1"]


def _peer_binds(state: State, options: Options) -> list[str]:
    entry = Replica(options.address, options.peer_port).target
    return [f"bind {entry} {MUTUAL}"] if state.identity is not None else []


def _access_log(rate: int) -> list[str]:
    """Give the rules by which a frontend writes a line for `rate` requests a second, and for a share of more.

    What is refused or fails has its own share (`router.lua`).
    """
    sampled = [
        f"http-request set-var(txn.sample) fe_req_rate,add({rate - 1}),div({rate})",
        "http-request set-log-level err",
        "http-request set-log-level silent unless { rand,mod(txn.sample) -m int 0 }",
    ]
    return [
        f"capture request header traceparent len {TRACEPARENT_LENGTH}",
        *(sampled if rate else ["http-request set-log-level silent"]),
        "http-after-response allow if { status 200:299 }",
        "http-after-response set-log-level err if { var(txn.logged) -m bool }",
        "http-after-response set-log-level silent if { var(txn.logged) -m int 0 }",
    ]


def _admit(units: int) -> list[str]:
    """Give the rules by which a larger body is refused: when its backend has as many units as are free.

    What only passes through has no share of its own, and is refused when none is free.

    To sum up costs a fifth of such a request; there is no need while half of them are free, as they are
    while no weight has its sixth.
    """
    weights = (MIDDLE, LARGE, PASSING)
    return [
        *(f"acl many_uploads int({one}),table_conn_cur(_uploads) ge {units // 6 // one}" for one in weights),
        "http-request use-service lua.refuse_uploads if { var(txn.upload) -m found } many_uploads "
        f"{{ lua.uploading({','.join(map(str, weights))}) -m int ge {units} }}",
    ]


def _reuse(options: Options) -> str:
    if options.reuse == "never":  # by itself it still reuses a connection for the same client
        return "option http-server-close\n  http-reuse never"
    return f"http-reuse {options.reuse}"


def _rules(kind: Auth, kids: Iterable[str], units: int) -> str:
    """Give the rules of all backends of a kind."""
    let_in, refusals = auth.rules(kind, kids, BODY)
    rules = [
        *_admit(units),
        "http-request use-service lua.refuse_method unless { method GET POST OPTIONS }",
        "http-request set-path /%[path,field(-1,/)]",
        *let_in,
        # The control plane's own has no key, and waits as long as it takes.
        "http-request set-timeout server 24d if { var(sess.control) -m bool }",
        *(["http-request allow if { var(sess.control) -m bool }", *refusals] if refusals else []),
        "http-response lua.failed if { status ge 500 }",
    ]
    return "\n  ".join(rules)


def _backend(service: Service) -> str:
    limits = service.limits
    lines = [
        f"backend {service.name} from {limits.auth}",
        f"timeout queue {limits.wait_ms}ms",
        f"timeout server {limits.timeout_ms + OVER_TIMEOUT_MS}ms",
    ]
    if service.version is not None:
        lines.append(f"http-after-response set-header {MODEL_DEPLOYMENT} {service.version.name}")
    lines += [
        f"use-server {HOLD} if {{ var(sess.control) -m bool }}",
        f"server {HOLD} unix@{HOLD_SOCKET} backup maxconn 1",
    ]
    return "\n" + "\n  ".join(lines) + "\n"
