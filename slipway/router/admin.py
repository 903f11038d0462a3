"""What may be asked on the admin port: `/`, `/ready`, `/status`, `/metrics`, `/journal`; by peers `/loads`.

A few answers a second, so a few lines of HTTP do: one request a connection, GET only.
"""

import asyncio
import contextlib
import json
import re
from asyncio import StreamReader, StreamWriter
from collections.abc import Sequence
from dataclasses import asdict
from http import HTTPStatus
from urllib.parse import parse_qs

from slipway.router.control import Router
from slipway.router.haproxy import HAProxy, HAProxyError
from slipway.router.load import Load
from slipway.router.metrics import exposition
from slipway.router.scaling.loop import Scaler

REQUEST = re.compile(rb"GET (/\S*) HTTP/1\.[01]\r\n")
REQUEST_SECONDS = 5.0
TEXT = "text/plain; charset=utf-8"
METRICS = "text/plain; version=0.0.4; charset=utf-8"


async def serve(
    router: Router, haproxy: HAProxy, scaler: Scaler, addresses: Sequence[str], port: int
) -> asyncio.Server:
    """Listen until the returned server is closed."""

    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        with contextlib.suppress(
            OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
        ):
            async with asyncio.timeout(REQUEST_SECONDS):
                request = REQUEST.match(await reader.readuntil(b"\r\n\r\n"))
            target = request[1].decode("latin-1") if request else ""
            status, kind, text = await _page(router, haproxy, scaler, target)
            body = text.encode()
            head = (
                f"HTTP/1.1 {status} {status.phrase}\r\ncontent-type: {kind}\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            writer.write(head.encode() + body)
            await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, addresses, port)


async def _page(router: Router, haproxy: HAProxy, scaler: Scaler, target: str) -> tuple[HTTPStatus, str, str]:
    path, _, query = target.partition("?")
    status, kind, text = HTTPStatus.OK, TEXT, "Healthy\n"
    match path:
        case "/":
            pass
        case "/ready":
            status = HTTPStatus.OK if router.ready else HTTPStatus.SERVICE_UNAVAILABLE
            text = "Ready\n" if router.ready else "Not ready\n"
        case "/status":
            kind, text = "application/json", json.dumps(await report(router, scaler), indent=2) + "\n"
        case "/metrics":
            kind, text = METRICS, exposition(await scaler.facts())
        case "/metrics/haproxy":
            try:
                kind, text = METRICS, await haproxy.metrics(f"/metrics?{query}")
            except HAProxyError:
                status, text = HTTPStatus.SERVICE_UNAVAILABLE, "HAProxy does not answer\n"
        case "/journal":
            service = parse_qs(query).get("service", [None])[0]
            kind, text = "application/jsonl", scaler.journal.text(service)
        case "/loads":
            try:
                kind, text = "application/json", (await scaler.told()).model_dump_json()
            except HAProxyError:
                status, text = HTTPStatus.SERVICE_UNAVAILABLE, "HAProxy does not answer\n"
        case "":
            status, text = HTTPStatus.BAD_REQUEST, "Only GET is answered here\n"
        case _:
            status, text = (
                HTTPStatus.NOT_FOUND,
                "Here are /, /ready, /status, /metrics, /metrics/haproxy, /journal and /loads\n",
            )
    return status, kind, text


async def report(router: Router, scaler: Scaler) -> dict[str, object]:
    """Give all that a person or `slipway` wants to know of a router."""
    state, behind, loads = router.state, router.behind, await router.load()
    services: dict[str, object] = {}
    for name in sorted(state.services.keys() | state.errors.keys()):
        service, load = state.services.get(name), loads.get(name, Load())
        services[name] = {
            "replicas": len(service.replicas) if service else 0,
            "up": load.up,
            "serving": sorted(load.serving),
            "busy": load.busy,
            "queued": load.queued,
            "scaling": scaler.report(name),
            "error": state.errors.get(name)
            or (None if name in loads else "not in HAProxy's configuration yet"),
        }
    return {
        "services": services,
        "ignored": list(map(str, state.ignored)),
        "certificates": {
            place: {"names": one.names, "expires": one.ends.isoformat()}
            for place, one in router.certificates.items()
        },
        "warnings": list(map(str, router.complaints)),
        "behind": {"since": behind.since.isoformat(timespec="seconds"), "error": behind.error}
        if behind
        else None,
        "error": "; ".join(filter(None, (router.refusal or router.error, router.certificate_error))) or None,
        "reloads": router.reloads,
        "commands": router.commands,
        "restarts": router.restarts,
        "scales_itself": asdict(scaler.own) if scaler.own is not None else None,
        "haproxy_pid": router.pid,
    }
