"""Ten thousand odd requests: the router lives on, no model gets one that has no key, nor a header of ours."""

import asyncio
import contextlib
import itertools
from collections import Counter
from pathlib import Path

from tests.local.odd_requests import Maker
from tests.local.router_parts import KEY, RouterProcess, running, scenario

NUMBER, AT_ONCE = 10_000, 16
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


async def send(router: RouterProcess, data: bytes) -> str:
    """Send bytes, and read until the router closes or has nothing more to say; give the first status."""
    said = b""
    with contextlib.suppress(OSError, TimeoutError):
        reader, writer = await asyncio.open_connection("127.0.0.1", router.port)
        try:
            writer.write(data)
            async with asyncio.timeout(ANSWER_SECONDS):
                await writer.drain()
                while more := await reader.read(2**16):
                    said = said or more
        finally:
            writer.close()
    return said[9:12].decode(errors="replace")


@scenario
async def test_odd_requests_crash_nothing_reach_no_model_without_a_key_and_pass_no_header_of_ours_on(
    tmp_path: Path,
) -> None:
    closed, unlocked = Recorder(), Recorder()
    async with await closed.start(), await unlocked.start(), running(tmp_path) as router:
        router.deploy("echo", closed, replica_max_concurrent_requests=AT_ONCE)
        router.deploy("tokens", closed, auth_enabled=False, token_auth_enabled=True)
        router.deploy(
            "open", unlocked, keys=None, auth_enabled=False, replica_max_concurrent_requests=AT_ONCE
        )
        router.start()
        for name in ("echo", "tokens", "open"):
            await router.up(name, 1)
        before = await router.status()
        requests = iter(itertools.islice(Maker(SEED), NUMBER))

        statuses = Counter[str]()

        async def work() -> None:
            for one in requests:
                statuses[await send(router, one)] += 1

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        assert {"200", "400", "404", "405", "429"} <= statuses.keys(), statuses
        assert closed.heads == []
        assert unlocked.heads, "none of the requests was whole"
        for head in unlocked.heads:
            assert b"\nx-slipway-" not in head.lower(), head
            assert head.lower().count(b"\nx-ms-request-id:") == 1, head
        good = f"POST /api/v1/service/echo/score HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\n"
        await send(router, f"{good}content-length: 0\r\nx-slipway-client: 1\r\n\r\n".encode())
        (head,) = closed.heads
        assert b"authorization" not in head.lower()
        assert b"x-slipway-" not in head.lower()
        after = await router.status()
        assert after["haproxy_pid"] == before["haproxy_pid"]
        assert (after["restarts"], after["error"]) == (0, None)
        assert await router.up("echo", 1)
