"""Handing out tokens: HAProxy's backend `_token` asks here, the one thing that is asked of Python by clients.

It takes few requests at once and so many a second, so that the control loop keeps its time. Refusals are put
into words by HAProxy, by the reason in a header of the answer.
"""

import asyncio
import contextlib
import json
import logging
import re
import time
from asyncio import StreamReader, StreamWriter
from datetime import UTC, datetime

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from slipway.kube.read import named
from slipway.router import token_keys
from slipway.router.auth import ALGORITHM
from slipway.router.callers import Callers, Refused
from slipway.router.config import TOKEN_SOCKET
from slipway.router.control import Router
from slipway.router.events import Trouble
from slipway.router.feed import WriteError, Writer
from slipway.router.jose import base64url
from slipway.router.token_keys import TokenKey
from slipway.spec import TOKEN_KEYS_SECRET

LIFETIME = 3600
"""Seconds."""
REFRESH = 1800
"""Seconds after which a client should get the next one: for the rest it does without an API server."""
EARLY = 60
"""Seconds that clocks of nodes may differ by."""
A_SECOND = 50
"""Tokens, at most: each costs about 2 ms of this process."""
CHECK_SECONDS = 1.0
REQUEST_SECONDS = 15.0
SERVICE = re.compile(r"^x-slipway-service: (\S+)", re.MULTILINE)
"""HAProxy's word: no client may set it, and a path has many ways to be written."""
AUTHORIZATION = re.compile(r"^authorization: *(?:bearer +(\S+) *)?", re.IGNORECASE | re.MULTILINE)
STATUS = {"login_missing": 401, "login_wrong": 401, "token_forbidden": 403, "tokens_unavailable": 503}

log = logging.getLogger(__name__)


class Tokens:
    """Answers requests for tokens, and keeps the keys that sign them."""

    def __init__(self, router: Router, callers: Callers, writer: Writer, namespace: str) -> None:
        self._router = router
        self._callers = callers
        self._writer = writer
        self._namespace = namespace
        self._next = 0.0
        self._trouble = Trouble()

    async def listen(self) -> asyncio.Server:
        """Take requests until the returned server is closed."""
        return await asyncio.start_unix_server(self._serve, TOKEN_SOCKET)

    async def run(self) -> None:
        """See that there are keys as long as a service takes tokens."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            if any(one.limits.auth == "token" for one in self._router.state.services.values()):
                with contextlib.suppress(ValueError):  # discovery tells of a Secret that cannot be read
                    await self._renew()

    async def _renew(self) -> None:
        found = named(self._router.objects.secrets, TOKEN_KEYS_SECRET)
        keys = token_keys.read(found)
        since = token_keys.due(keys, time.time())
        if since is None:
            return
        new = await asyncio.to_thread(token_keys.make, since)
        try:
            first = await self._writer.put_secret(
                token_keys.write(token_keys.kept(keys, new), self._namespace, found)
            )
        except WriteError as error:
            if self._trouble.news(TOKEN_KEYS_SECRET, error):
                log.warning("no new key for tokens: %s", error)
            return
        self._trouble.news(TOKEN_KEYS_SECRET, None)
        if first:
            log.info("key %s signs tokens from %s on", new.kid, datetime.fromtimestamp(since, UTC))

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        with contextlib.suppress(
            OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
        ):
            async with asyncio.timeout(REQUEST_SECONDS):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                writer.write(await self._answer(head))
                await writer.drain()
                while await reader.read(65_536):  # HAProxy closes when it has the answer
                    pass
        writer.close()

    async def _answer(self, head: str) -> bytes:
        await self._turn()
        try:
            body = json.dumps(await self._token(head)).encode()
        except Refused as refused:
            if refused.reason == "tokens_unavailable":
                log.warning("a token could not be given: %s", refused)
            return _response(STATUS[refused.reason], f"x-slipway-reason: {refused.reason}")
        return _response(200, "content-type: application/json\r\ncache-control: no-store", body)

    async def _turn(self) -> None:
        """Wait until one more may be answered."""
        now = time.monotonic()
        turn = self._next = max(now, self._next + 1 / A_SECOND)
        await asyncio.sleep(turn - now)

    async def _token(self, head: str) -> dict[str, object]:
        asked, found = SERVICE.search(head), AUTHORIZATION.search(head)
        services = self._router.state.services.values()
        service = next((one for one in services if one.routed and asked and one.endpoint == asked[1]), None)
        if service is None or service.limits.auth != "token":
            raise Refused("tokens_unavailable", "the web service has just changed")
        if found is None:
            raise Refused("login_missing")
        if not found[1]:
            raise Refused("login_wrong")
        name = await self._callers.name(found[1], service)
        key = await self._key()
        log.info("a token of %s for %r", service.endpoint, name)
        return token(key, service.endpoint, name, int(time.time()))

    async def _key(self) -> TokenKey:
        """Give the key that signs, once this router's HAProxy verifies it; the first of all is waited for."""
        deadline = time.monotonic() + 2 * token_keys.START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(ValueError):
                keys = token_keys.read(named(self._router.objects.secrets, TOKEN_KEYS_SECRET))
                known = [key for key in keys if self._router.serving.token_keys.get(key.kid) == key.public]
                if (found := token_keys.signer(known, time.time())) is not None:
                    return found
            await asyncio.sleep(0.1)
        raise Refused("tokens_unavailable", "there is no key to sign it with")


def token(key: TokenKey, service: str, name: str, now: int) -> dict[str, object]:
    """Give a token (RFC 7519) of a service as v1 did, with its times in seconds of the Unix epoch."""
    refresh, expires = now + REFRESH, now + LIFETIME
    claims = {
        "iss": "slipway",
        "sub": name,
        "aud": service,
        "iat": now,
        "nbf": now - EARLY,
        "exp": expires,
    }
    head = {"alg": ALGORITHM, "typ": "JWT", "kid": key.kid}
    signed = f"{base64url(json.dumps(head).encode())}.{base64url(json.dumps(claims).encode())}"
    signature = key.private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    text = f"{signed}.{base64url(signature)}"
    return {
        "token": text,
        "refresh_by": datetime.fromtimestamp(refresh, UTC).isoformat(),
        "accessToken": text,
        "tokenType": "Bearer",
        "refreshAfter": refresh,
        "expiryOn": expires,
    }


def _response(status: int, headers: str, body: bytes = b"") -> bytes:
    head = f"HTTP/1.1 {status} -\r\n{headers}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return head.encode() + body
