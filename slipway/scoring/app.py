"""The ASGI application: routes, request ids, bodies and their limit. Everything else is behind the gate.

One plain callable and no framework, because a trivial model's cost is this file. The whole body is read
before the gate, so that a slow upload holds no slot. Left out: authentication, which is the router's.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import perf_counter
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Dict, List, Optional
from urllib.parse import parse_qs

from slipway.collect.collection import Collection, current
from slipway.scoring.config import BODY_LIMIT
from slipway.scoring.contract import Ids, Request, identify
from slipway.scoring.cors import Cors
from slipway.scoring.gate import Gate, Receive
from slipway.scoring.log import log_request
from slipway.scoring.response import JSON, TEXT, Headers, Response, error
from slipway.scoring.swagger import Swagger

if TYPE_CHECKING:
    from slipway.scoring.telemetry import Span, Telemetry

Scope = Dict[str, Any]
Send = Callable[[Dict[str, Any]], Awaitable[None]]

LINGER = 5.0
"""Seconds for which a refused body is still read, so that the refusal arrives before the connection's end."""

NOT_FOUND = error(
    404,
    "The requested URL was not found on the server. "
    "If you entered the URL manually please check your spelling and try again.",
)
NOT_ALLOWED = error(405, "The method is not allowed for the requested URL.")
NOT_READY = error(503, "init() has not finished.")
DRAINING = error(503, "This replica is shutting down.")
TOO_LARGE = error(413, f"The body of the request is larger than {BODY_LIMIT} bytes.")
HEALTHY = Response(200, TEXT, b"Healthy")
READY = Response(200, TEXT, b"Ready")
EMPTY = Response(200, [*TEXT, JSON[1]], b"")
OPTIONS = Response(200, [*TEXT, (b"allow", b"GET, HEAD, OPTIONS")], b"")
CLOSE = (b"connection", b"close")

PROBES = ("/", "/ready")
METHODS = {
    "/": ("GET", "HEAD", "OPTIONS"),
    "/ready": ("GET", "HEAD", "OPTIONS"),
    "/swagger.json": ("GET", "HEAD", "OPTIONS"),
    "/score": ("POST", "GET", "OPTIONS", "HEAD"),
}


class TooLarge(Exception):
    """The body exceeds `BODY_LIMIT`."""


class App:
    """Serves from the start; `open` tells that `init()` is done, `draining` that the end has begun."""

    def __init__(
        self, server_version: str, cors: Optional[Cors] = None, telemetry: Optional[Telemetry] = None
    ) -> None:
        self.draining = False
        self._cors = cors
        self._telemetry = telemetry
        self._server_version: Headers = (
            [(b"x-ms-server-version", server_version.encode("latin-1"))] if server_version else []
        )
        self._gate: Optional[Gate] = None
        self._swagger: Optional[Swagger] = None
        self._raw = False
        self._collection: Optional[Collection] = None

    def open(self, gate: Gate, swagger: Swagger, *, raw: bool, collect: bool = False) -> None:
        """Let requests in. With `raw`, `run()` sees every method; with `collect`, they are collected."""
        self._gate, self._swagger, self._raw = gate, swagger, raw
        self._collection = current() if collect else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = perf_counter()
        method, path = scope["method"], scope["path"]
        headers: Dict[bytes, bytes] = dict(scope["headers"])
        ids = identify(headers)
        span: Optional[Span] = None
        if self._telemetry is not None and path not in PROBES:
            route = path if path in METHODS else ""
            span = self._telemetry.begin(method, path, route, headers, ids.request)
        response: Optional[Response] = None
        try:
            body = b"" if method in ("GET", "HEAD") else await _body(headers, receive)
            if body is not None:
                traceparent = span.traceparent if span else ""
                response = await self._answer(scope, ids, traceparent, body, receive)
        except TooLarge:
            response = TOO_LARGE
        if response is not None:
            more = [*ids.echo, *self._server_version]
            if self._cors is not None and path in METHODS:
                more += self._cors.headers(method, headers)
            if response is TOO_LARGE:
                await _refuse(response, more, receive, send)
            else:
                if self.draining:
                    more.append(CLOSE)
                await send(_start(response, more))
                await send({"type": "http.response.body", "body": response.body})
        if path not in PROBES:
            status = None if response is None else response.status
            elapsed = perf_counter() - began
            size = len(response.body) if response else 0
            log_request(ids.request, method, path, status, milliseconds=elapsed * 1000, size=size)
            if span:
                span.end(status, elapsed)

    async def _answer(
        self, scope: Scope, ids: Ids, traceparent: str, body: bytes, receive: Receive
    ) -> Optional[Response]:
        """Answer what was read to its end; `None` if the client went away before its turn came."""
        method, path = scope["method"], scope["path"]
        if path not in METHODS or method not in METHODS[path]:
            return NOT_ALLOWED if path in METHODS else NOT_FOUND
        if ids.wrong is not None:
            return error(431, ids.wrong)
        if path != "/score":
            return OPTIONS if method == "OPTIONS" else self._other(path, scope["query_string"])
        if self._gate is None:
            return NOT_READY
        if method == "OPTIONS" and not self._raw:
            return EMPTY
        request = Request(
            method, path, scope["query_string"], scope["headers"], body, ids.request, traceparent
        )
        response = await self._gate.score(request, receive)
        if self._collection is not None and response is not None:
            content = body or request.query
            self._collection.request(ids.request, content, response.status, response.body)
        return response

    def _other(self, path: str, query: bytes) -> Response:
        if path == "/":
            return HEALTHY
        if self._swagger is None:
            return NOT_READY
        if path == "/ready":
            return DRAINING if self.draining else READY
        versions = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("version", ["2"])
        return self._swagger.response(versions[0])


def _start(response: Response, more: Headers) -> Dict[str, Any]:
    headers = [*response.headers, *more]
    if response.status not in (204, 304):
        headers.append((b"content-length", b"%d" % len(response.body)))
    return {"type": "http.response.start", "status": response.status, "headers": headers}


async def _body(headers: Dict[bytes, bytes], receive: Receive) -> Optional[bytes]:
    """Return the whole body, or `None` if the client went away; raise `TooLarge` as soon as that is known."""
    if int(headers.get(b"content-length", 0)) > BODY_LIMIT:
        raise TooLarge
    message = await receive()
    if not message.get("more_body") and message["type"] == "http.request":
        return message["body"]  # nearly every body comes at once
    chunks: List[bytes] = []
    size = 0
    while message["type"] == "http.request":
        chunks.append(message["body"])
        size += len(message["body"])
        if size > BODY_LIMIT:
            raise TooLarge
        if not message["more_body"]:
            return b"".join(chunks)
        message = await receive()
    return None


async def _refuse(response: Response, echo: Headers, receive: Receive, send: Send) -> None:
    """Answer before the body was read to its end.

    The answer goes out at once; what still comes is read and forgotten for a while. Closing on a client
    that sends would reset the connection and may destroy the answer on its way.
    """
    await send(_start(response, [*echo, CLOSE]))
    await send({"type": "http.response.body", "body": response.body, "more_body": True})
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(_discard(receive), LINGER)
    await send({"type": "http.response.body", "body": b""})


async def _discard(receive: Receive) -> None:
    while (await receive()).get("more_body"):
        pass
