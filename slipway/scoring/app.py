"""The ASGI application: routes, request ids, bodies and their limit. Everything else is behind the gate.

One plain callable and no framework, because a trivial model's cost is this file. The whole body is read
before the gate, so that a slow upload holds no slot. Left out: authentication, which is the router's.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Awaitable, Callable, Dict, List, Optional
from urllib.parse import parse_qs

from slipway.scoring.config import BODY_LIMIT
from slipway.scoring.contract import Request, identify
from slipway.scoring.gate import Gate, Receive
from slipway.scoring.response import JSON, TEXT, Headers, Response, error
from slipway.scoring.swagger import Swagger

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
CLOSE = (b"connection", b"close")


class TooLarge(Exception):
    """The body exceeds `BODY_LIMIT`."""


class App:
    """Serves from the start; `open` tells that `init()` is done, `draining` that the end has begun."""

    def __init__(self, server_version: str) -> None:
        self.draining = False
        self._server_version: Headers = (
            [(b"x-ms-server-version", server_version.encode("latin-1"))] if server_version else []
        )
        self._gate: Optional[Gate] = None
        self._swagger: Optional[Swagger] = None
        self._raw = False

    def open(self, gate: Gate, swagger: Swagger, *, raw: bool) -> None:
        """Let requests in. With `raw`, `run()` sees every method."""
        self._gate, self._swagger, self._raw = gate, swagger, raw

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: Dict[bytes, bytes] = dict(scope["headers"])
        wrong_id, echo = identify(headers)
        echo += self._server_version
        body = b""
        if scope["method"] not in ("GET", "HEAD"):
            try:
                received = await _body(headers, receive)
            except TooLarge:
                await _refuse(TOO_LARGE, echo, receive, send)
                return
            if received is None:
                return
            body = received
        response: Optional[Response]
        if wrong_id is not None:
            response = error(431, wrong_id)
        elif scope["path"] == "/score":
            response = await self._score(scope, body, receive)
        else:
            response = self._other(scope["path"], scope["method"], scope["query_string"])
        if response is not None:
            if self.draining:
                echo.append(CLOSE)
            await send(_start(response, echo))
            await send({"type": "http.response.body", "body": response.body})

    async def _score(self, scope: Scope, body: bytes, receive: Receive) -> Optional[Response]:
        method: str = scope["method"]
        if method not in ("POST", "GET", "OPTIONS", "HEAD"):
            return NOT_ALLOWED
        if self._gate is None:
            return NOT_READY
        if method == "OPTIONS" and not self._raw:
            return EMPTY
        request = Request(method, scope["path"], scope["query_string"], scope["headers"], body)
        return await self._gate.score(request, receive)

    def _other(self, path: str, method: str, query: bytes) -> Response:
        if path not in ("/", "/ready", "/swagger.json"):
            return NOT_FOUND
        if method not in ("GET", "HEAD"):
            return NOT_ALLOWED
        if path == "/":
            return HEALTHY
        if self._swagger is None:
            return NOT_READY
        if path == "/ready":
            return DRAINING if self.draining else READY
        return self._swagger.response(parse_qs(query.decode("latin-1")).get("version", ["2"])[0])


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
