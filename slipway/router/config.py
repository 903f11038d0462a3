"""HAProxy's configuration as a pure function of the state: `render(state, options) -> files`.

The way of a request: `_router` looks its path up in `routes.map` and hands it to the backend of that name.
A body that does not fit into the upload buffer, or whose size is not known, takes a detour through
`_upload`, where a filter watches it; so the filter costs other requests nothing. `_control` serves the
control plane only, over a unix socket. Names of services begin with a letter, ours with an underscore.

Each service has one queue, its backend's, because each server has `maxconn`. A backup server `_hold`
keeps that queue alive while there is no replica; its only slot is always taken (see `hold`).
"""

from collections.abc import Iterable
from pathlib import Path

from slipway.router.options import Options
from slipway.router.state import Replica, Service, State

CONFIG = "haproxy.cfg"
ROUTES = "routes.map"
KEYS = "keys.map"
LUA = Path(__file__).with_name("router.lua")

MASTER_SOCKET = "master.sock"
WORKER_SOCKET = "worker.sock"
CONTROL_SOCKET = "control.sock"
HOLD_SOCKET = "hold.sock"
HOLD = "_hold"

LARGEST_BODY = 104_857_600
UPLOAD_BUFFER = 1_048_576
HEADERS = 65_536
UPLOAD_MS = 60_000
"""Time for headers and, up to the buffer's size, body."""
STALL_MS = 5_000
"""Time that a larger body may stop for, once a replica waits for it."""
OVER_TIMEOUT_MS = 5_000
"""How long after `scoring_timeout_ms` HAProxy answers if the replica does not."""
PATHS = ("score", "swagger.json")


def render(state: State, options: Options) -> dict[str, str]:
    """Give each file's text by its name."""
    services = [state.services[name] for name in sorted(state.services)]
    routes = (f"/api/v1/service/{one.name}/{path} {one.name}\n" for one in services for path in PATHS)
    keys = (f"{key_entry(one.name, key)} key\n" for one in services for key in sorted(one.keys))
    config = _GLOBAL.format(
        lua=LUA,
        buffer=UPLOAD_BUFFER + HEADERS,
        longest_ms=longest_ms(services),
        worker=WORKER_SOCKET,
    )
    config += _DEFAULTS.format(reuse=_reuse(options), upload_ms=UPLOAD_MS, largest=LARGEST_BODY)
    config += _FRONTENDS.format(
        bind=f"[{options.address}]:{options.port}"
        if ":" in options.address
        else f"{options.address}:{options.port}",
        control=CONTROL_SOCKET,
        buffer=UPLOAD_BUFFER,
        largest=LARGEST_BODY,
        rate=options.minimum_upload_rate,
        stall_ms=STALL_MS,
        routes=ROUTES,
    )
    config += "".join(_backend(service) for service in services)
    return {CONFIG: config, ROUTES: "".join(routes), KEYS: "".join(keys)}


def key_entry(service: str, key: str) -> str:
    """Give what a request's key becomes when it is looked up for a service."""
    return f"{key}:{service}"


def server(service: Service, replica: Replica) -> str:
    """Give a replica's arguments, the same in a configuration and in `add server`."""
    return (
        f"{replica.target} maxconn {service.limits.concurrency} "
        "check inter 1s fastinter 250ms downinter 250ms fall 2 rise 1 "
        "observe layer4 error-limit 1 on-error mark-down"
    )


def longest_ms(services: Iterable[Service]) -> int:
    """Give the longest time that a request may take, so that a stopping process is not cut off before."""
    slowest = max((one.limits.wait_ms + one.limits.timeout_ms for one in services), default=0)
    return slowest + OVER_TIMEOUT_MS + 2 * UPLOAD_MS


def _reuse(options: Options) -> str:
    if options.reuse == "never":
        return (
            "option http-server-close\n  http-reuse never"  # the second alone still reuses within a session
        )
    return f"http-reuse {options.reuse}"


def _backend(service: Service) -> str:
    limits = service.limits
    lines = [
        f"backend {service.name} from service",
        f"timeout queue {limits.wait_ms}ms",
        f"timeout server {limits.timeout_ms + OVER_TIMEOUT_MS}ms",
    ]
    if limits.auth:
        known = f"http_auth_bearer,sha2(256),hex,concat(:{service.name}),map({KEYS}) -m found"
        lines += [
            f"http-request return status 401 {_body('key')} hdr www-authenticate Bearer "
            f"unless {{ {known} }} || {{ fe_id 2 }}",
            "http-request del-header authorization",
        ]
    lines += [f"use-server {HOLD} if {{ fe_id 2 }}", f"server {HOLD} unix@{HOLD_SOCKET} backup maxconn 1"]
    lines += [f"server {one.server} {server(service, one)}" for one in sorted(service.replicas)]
    return "\n" + "\n  ".join(lines) + "\n"


def _body(reason: str) -> str:
    return f'content-type application/json lf-string "%[lua.refusal({reason})]"'


_GLOBAL = """\
# Written by slipway.router and always equal to what HAProxy runs. Changes made here are overwritten.
global
  nbthread 1
  fd-hard-limit 20000
  hard-stop-after {longest_ms}ms
  # Buffers hold a whole small upload; kept in the pool, because allocating them costs more than the rest.
  tune.bufsize {buffer}
  tune.memory.hot-size 33554432
  lua-load "{lua}"
  stats socket unix@{worker} mode 600 level admin expose-fd listeners
  log stdout format raw daemon
"""

_DEFAULTS = (
    """
defaults base
  mode http
  log global
  option httplog
  option dontlog-normal
  option idle-close-on-response
  {reuse}
  timeout connect 2s
  timeout client 30s
  timeout http-request {upload_ms}ms
  timeout http-keep-alive 60s
  timeout server 1d
"""
    + "".join(f"  http-error status {status} {_body(status)}\n" for status in ("400", "408", "500", "502"))
    + f"  http-error status 503 {_body('503')} hdr retry-after 1\n"
    + f"  http-error status 504 {_body('504')}\n"
    + """
defaults service from base
  balance leastconn
  option allbackups
  # Only a connection that failed is tried again: a request that a replica may have started never is.
  retries 3
  retry-on conn-failure
  option redispatch 1
  option http-buffer-request
  option httpchk
  http-check send meth GET uri /ready ver HTTP/1.1 hdr host replica
  http-check expect status 200
  timeout check 2s
  http-request set-timeout server 24d if {{ fe_id 2 }}
"""
    + f"  http-request return status 405 {_body('method_not_allowed')} "
    + 'hdr allow "GET, POST, OPTIONS" unless {{ method GET POST OPTIONS }}\n'
    + f"  http-request return status 413 {_body('body_too_large')} "
    + """if {{ req.hdr(content-length) -m int gt {largest} }}
  http-request set-path /%[path,field(6,/)]
  http-response lua.run_failed if {{ res.hdr(x-ms-run-function-failed) -m str -i true }}
  http-response set-status 502 if {{ res.hdr(x-ms-run-function-failed) -m str -i true }}
"""
)

_FRONTENDS = (
    """
frontend _router from base
  id 1
  bind {bind} proto h1
  unique-id-format %[uuid()]
  http-request set-header x-ms-request-id %[unique-id]
  http-after-response set-header x-ms-request-id %[unique-id]
  use_backend _detour if {{ req.hdr(content-length) -m int gt {buffer} }}
  use_backend _detour if {{ req.hdr(transfer-encoding) -m found }}
  use_backend %[path,map({routes},_unknown)]

frontend _control from base
  id 2
  bind unix@{control} mode 600
  http-request use-service prometheus-exporter if {{ path /metrics }}
  http-request use-service lua.refusals if {{ path /refusals }}
  use_backend %[path,field(3,/)]

frontend _upload from base
  id 3
  bind unix@upload.sock mode 600
  timeout client {stall_ms}ms
  filter lua.upload {largest} {rate}
  http-after-response set-status 413 if {{ var(txn.refused) -m str body_too_large }}
  http-after-response set-status 408 if {{ var(txn.refused) -m str upload_too_slow }}
  use_backend %[path,map({routes},_unknown)]

backend _detour from base
  server upload unix@upload.sock

backend _unknown from base
"""
    + f"  http-request return status 404 {_body('unknown')}\n"
)
