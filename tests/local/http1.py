"""A client by HTTP/1.1 of which a test decides what it sends, and when. For the router's tests."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncGenerator
from typing import Self

import httpx

from tests.local.router_parts import KEY, MEGABYTE, SECONDS, RouterProcess

PART = f"content-length: {MEGABYTE}", b"0" * (MEGABYTE - 1)
"""To begin a body of which the last byte does not come."""


class Client:
    """One connection, which may ask or not."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, router: RouterProcess) -> Self:
        return cls(*await asyncio.open_connection(router.address, router.port))

    async def begin(self, framing: str, body: bytes = b"", *, key: str = KEY, service: str = "echo") -> None:
        """Ask a service with a body, or with the first part of one."""
        path = f"/api/v1/service/{service}/score"
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n{framing}\r\n\r\n"
        await self.send(head.encode() + body)

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def ask(self, service: str = "echo") -> httpx.Response:
        """Send a whole request, and give the answer."""
        await self.begin("content-length: 2", b"{}", service=service)
        return await self.answer()

    async def answer(self) -> httpx.Response:
        status, *lines = (await self._head()).split("\r\n")
        headers = httpx.Headers(
            [(name, value) for name, _, value in (line.partition(": ") for line in lines if line)]
        )
        body = await self._reader.readexactly(int(headers["content-length"]))
        return httpx.Response(int(status.split()[1]), headers=headers, content=body)

    async def continues(self) -> bool:
        """Wait for an interim answer, and tell whether it is 100."""
        return (await self._head()).startswith("HTTP/1.1 100")

    async def _head(self) -> str:
        return (await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), SECONDS)).decode()

    async def closed(self) -> bool:
        """Wait until the router ends the connection; tell whether it said nothing before."""
        return await asyncio.wait_for(self._reader.read(), SECONDS) == b""

    def half_close(self) -> None:
        """Send no more; the answer can still come."""
        self._writer.write_eof()

    def reset(self) -> None:
        """Leave so that the other side hears of it at once."""
        own: socket.socket = self._writer.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

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


@contextlib.asynccontextmanager
async def slow_client(router: RouterProcess, framing: str) -> AsyncGenerator[Client]:
    """Begin a request and leave its body to the test."""
    async with opened(router, 1) as [slow]:
        await slow.begin(framing)
        yield slow
