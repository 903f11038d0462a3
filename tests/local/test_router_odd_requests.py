"""Ten thousand odd requests: the router lives on, no model gets one that has no key, nor a header of ours."""

import asyncio
import contextlib
import io
import itertools
import json
import ssl
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hpack import Decoder

from tests.certificates import certificate
from tests.local.odd_http2 import DATA, END_STREAM, HEADERS, Http2Maker
from tests.local.odd_requests import Maker
from tests.local.router_parts import KEY, running, scenario
from tests.local.test_router_https import of
from tests.local.test_router_tls import put, trusting

NUMBER, BY_HTTP_2, AT_ONCE = 10_000, 2_000, 24
SEED = 1
ANSWER_SECONDS = 0.3
"""For what HAProxy waits for the rest of."""


class Recorder:
    """A replica that keeps the bytes of whatever comes, and answers each head."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.port = 0

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", limit=2**22)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                if not head.startswith(b"GET /ready "):
                    self.heads.append(head)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                if b"\r\ncontent-length:" in head.lower() or b"\r\ntransfer-encoding:" in head.lower():
                    break  # what follows is a body: no head, whatever it looks like
        with contextlib.suppress(OSError, TimeoutError):
            await writer.drain()
            async with asyncio.timeout(ANSWER_SECONDS):
                while await reader.read(2**16):
                    pass
        writer.close()


class Answer(NamedTuple):
    """What the router said to a request."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


async def send(port: int, data: bytes, tls: ssl.SSLContext | None = None) -> bytes:
    """Send bytes, and read until the router closes or has nothing more to say."""
    said = b""
    with contextlib.suppress(OSError, TimeoutError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
        try:
            writer.write(data)
            async with asyncio.timeout(ANSWER_SECONDS):
                await writer.drain()
                while more := await reader.read(2**16):
                    said += more
        finally:
            writer.close()
    return said


def by_http_1(said: bytes) -> Iterator[Answer]:
    """Give the first answer, if there is one."""
    said = said.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    head, _, rest = said.partition(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    if len(line.split(" ")) > 1:
        headers = [(name.lower(), value) for name, _, value in (one.partition(": ") for one in lines)]
        yield Answer(line.split(" ")[1], headers, rest[: int(dict(headers).get("content-length", 0))])


def by_http_2(said: bytes) -> Iterator[Answer]:
    """Give the answers that are whole."""
    decoder = Decoder()
    headers, bodies = dict[bytes, list[tuple[str, str]]](), defaultdict[bytes, bytes](bytes)
    rest = io.BytesIO(said)
    while len(head := rest.read(9)) == 9:
        kind, flags, stream = head[3], head[4], head[5:]
        payload = rest.read(int.from_bytes(head[:3], "big"))
        if kind == HEADERS:
            headers[stream] = [(str(name), str(value)) for name, value in decoder.decode(payload)]
        elif kind == DATA:
            bodies[stream] += payload
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            yield Answer(dict(headers[stream])[":status"], headers[stream], bodies[stream])


def check(answer: Answer) -> str:
    """Check that an answer is a score or explained; give what it is, in a word."""
    names = Counter(name for name, _ in answer.headers)
    assert not any(name.startswith("x-slipway-") for name in names), answer
    if answer.status == "200":
        return answer.status
    if answer.body.startswith(b"<html>"):  # HAProxy's own words, for headers that it could not read
        assert answer.status in ("400", "413", "422"), answer
        return f"{answer.status} unread"
    assert dict(answer.headers)["content-type"] == "application/json", answer
    refusal = json.loads(answer.body)
    assert refusal["message"].endswith("."), answer
    assert names["x-ms-request-id"] == 1, answer
    return f"{answer.status} {refusal['reason']}"


@scenario
async def test_odd_requests_crash_nothing_reach_no_model_without_a_key_and_pass_no_header_of_ours_on(
    tmp_path: Path,
) -> None:
    closed, unlocked = Recorder(), Recorder()
    public, key = certificate()
    tls = trusting(public)
    tls.set_alpn_protocols(["h2"])
    variables = of("tls", TLS_HTTP="serve")
    async with await closed.start(), await unlocked.start(), running(tmp_path, **variables) as router:
        put(router, public, key, name="tls")
        router.deploy("echo", closed, replica_max_concurrent_requests=AT_ONCE)
        router.deploy("tokens", closed, auth_enabled=False, token_auth_enabled=True)
        router.deploy(
            "open", unlocked, keys=None, auth_enabled=False, replica_max_concurrent_requests=AT_ONCE
        )
        router.start()
        for name in ("echo", "tokens", "open"):
            await router.up(name, 1)
        before = await router.status()
        by_1, by_2 = Counter[str](), Counter[str]()
        texts = itertools.islice(Maker(SEED), NUMBER - BY_HTTP_2)
        frames = itertools.islice(Http2Maker(SEED), BY_HTTP_2)

        async def work_1() -> None:
            for one in texts:
                for answer in by_http_1(await send(router.port, one)):
                    if b"HEAD " not in one:
                        by_1[check(answer)] += 1

        async def work_2() -> None:
            for one in frames:
                for answer in by_http_2(await send(int(router.environment["TLS_PORT"]), one, tls)):
                    if answer.body:  # an answer to HEAD has none
                        by_2[check(answer)] += 1

        await asyncio.gather(*(work() for _ in range(AT_ONCE // 2) for work in (work_1, work_2)))
        usual = {"200", "404", "405", "429"}
        assert usual | {"400"} <= {one[:3] for one in by_1}, by_1
        assert usual <= {one[:3] for one in by_2}, by_2
        wrong = ("router_error", "tokens_unavailable")
        assert not [one for one in by_1 + by_2 if one.endswith(wrong)], by_1 + by_2
        assert closed.heads == []
        assert unlocked.heads, "none of the requests was whole"
        for head in unlocked.heads:
            assert b"\nx-slipway-" not in head.lower(), head
            assert head.lower().count(b"\nx-ms-request-id:") == 1, head
        good = f"POST /api/v1/service/echo/score HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\n"
        await send(router.port, f"{good}content-length: 0\r\nx-slipway-handed: 1\r\n\r\n".encode())
        (head,) = closed.heads
        assert b"authorization" not in head.lower()
        assert b"x-slipway-" not in head.lower()
        after = await router.status()
        assert after["haproxy_pid"] == before["haproxy_pid"]
        assert (after["restarts"], after["error"]) == (0, None)
        assert await router.up("echo", 1)
