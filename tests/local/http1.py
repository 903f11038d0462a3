"""Clients by HTTP/1.1 of which a test decides what they send, and when. For the router's tests."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator

from tests.local.router_parts import KEY, SECONDS, Json, RouterProcess

HEAD = f"POST /api/v1/service/echo/score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"


class Client:
    """One connection, which may ask or not."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, router: RouterProcess) -> "Client":
        return cls(*await asyncio.open_connection("127.0.0.1", router.port))

    async def begin(self, key: str, size: int, sent: int) -> None:
        """Send a request and a part of its body."""
        head = HEAD.replace(KEY, key)
        self._writer.write(f"{head}content-length: {size}\r\n\r\n".encode() + b"0" * sent)
        await self._writer.drain()

    async def ask(self) -> dict[str, str]:
        """Send a request, and give the answer's headers, its status and body among them."""
        self._writer.write(f"{HEAD}content-length: 2\r\n\r\n{{}}".encode())
        return await asyncio.wait_for(self._answer(), SECONDS)

    async def _answer(self) -> dict[str, str]:
        status, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if line)
        body = await self._reader.readexactly(int(headers["content-length"]))
        return {"status": status.split()[1], "body": body.decode(), **headers}

    async def closed(self) -> bool:
        """Wait until the router ends the connection; tell whether it said nothing before."""
        return await asyncio.wait_for(self._reader.read(), SECONDS) == b""

    def close(self) -> None:
        self._writer.transport.abort()


@contextlib.asynccontextmanager
async def opened(router: RouterProcess, number: int) -> AsyncGenerator[list[Client]]:
    """Give so many connections that were not used yet."""
    found: list[Client] = []
    try:
        while len(found) < number:
            few = min(100, number - len(found))
            found += await asyncio.gather(*(Client.open(router) for _ in range(few)))
        yield found
    finally:
        for one in found:
            one.close()


class SlowClient:
    """A connection that sends a body as slowly as told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def begin(cls, router: RouterProcess, framing: str) -> "SlowClient":
        made = cls(*await asyncio.open_connection("127.0.0.1", router.port))
        head = (
            f"POST /api/v1/service/echo/score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n{framing}"
        )
        await made.send(head.encode() + b"\r\n\r\n")
        return made

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def half_close(self) -> None:
        """Send no more; the answer can still come."""
        self._writer.write_eof()

    def close(self) -> None:
        self._writer.transport.abort()

    async def continues(self) -> bool:
        """Wait for an interim answer, and tell whether it is 100."""
        head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), SECONDS)
        return head.startswith(b"HTTP/1.1 100")

    async def answer(self) -> tuple[int, Json]:
        head = (await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), SECONDS)).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r")[0])
        body = await self._reader.readexactly(length)
        return int(head.split()[1]), json.loads(body)


@contextlib.asynccontextmanager
async def slow_client(router: RouterProcess, framing: str) -> AsyncGenerator[SlowClient]:
    """Begin a request and leave its body to the test."""
    slow = await SlowClient.begin(router, framing)
    try:
        yield slow
    finally:
        slow.close()
