"""Keeps a service's queue alive while it has no replica.

HAProxy refuses all waiting requests at once when a backend loses its last server. So each backend has a
backup server `_hold`, used only when there is no other, with one slot; and that slot is taken for good by
one request of ours, whose both ends are here: it comes in through `control.sock` and goes out to
`hold.sock`, where nobody answers. Requests then wait for the next replica, or for their time to run out.

A reload starts a worker whose slots are free: they are taken again at once, and requests for a service that
has no replica wait for that, from just before the reload; the old worker hands them on. Its slots stay taken
until its queues have run out of time, because a slot that is freed would be given to a waiting request.
"""

import asyncio
import contextlib
import logging
import secrets
from asyncio import StreamReader, StreamWriter
from collections.abc import Iterable

from slipway.router.config import CONTROL_SOCKET, HOLD_SOCKET

log = logging.getLogger(__name__)

PLACE_SECONDS = 2.0
AT_ONCE = 50
"""Slots taken at the same time: fewer than a socket's backlog."""
HEADER = "x-slipway-hold"
REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
    b'connection: close\r\n\r\n{"reason":"no_replica","message":"No replica of the web service is ready.",'
    b'"service":null,"replicas":0,"queued":0}'
)


class Holds:
    """The requests that take the slots, by service."""

    def __init__(self) -> None:
        self._current: dict[str, asyncio.Task[None]] = {}
        self._all: set[asyncio.Task[None]] = set()
        self._arrivals: dict[str, asyncio.Future[StreamWriter]] = {}
        self._server: asyncio.Server | None = None
        self._few = asyncio.Semaphore(AT_ONCE)

    async def open(self) -> None:
        """Listen where the requests end; before HAProxy starts."""
        self._server = await asyncio.start_unix_server(self._sink, HOLD_SOCKET)

    async def place(self, services: Iterable[str]) -> None:
        """Take the slot of each service that has a free one; a failure is logged and can be tried again."""
        missing = [name for name in services if name not in self._current]
        await asyncio.gather(*(self._place(name) for name in missing))
        if missing:
            await self.say(held=True)

    def retire(self, after: float) -> None:
        """Leave all slots to a worker that is stopping, and free them `after` so many seconds."""
        for task in self._current.values():
            asyncio.get_running_loop().call_later(after, task.cancel)
        self._current.clear()

    async def close(self) -> None:
        """Free all slots and stop listening."""
        for task in self._all:
            task.cancel()
        await asyncio.gather(*self._all, return_exceptions=True)
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _place(self, name: str) -> None:
        async with self._few:
            placed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            task = asyncio.create_task(self._occupy(name, placed), name=f"hold {name}")
            self._all.add(task)
            self._current[name] = task
            task.add_done_callback(lambda ended: self._ended(name, ended))
            done, _ = await asyncio.wait([task, placed], timeout=PLACE_SECONDS, return_when="FIRST_COMPLETED")
        if placed not in done:
            log.warning("the queue of %s would not outlive its last replica: no slot was taken", name)
            task.cancel()

    async def say(self, *, held: bool) -> None:
        """Tell the worker whether requests for a service without replicas may go into its queue."""
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_unix_connection(CONTROL_SOCKET)
            writer.write(b"GET %s HTTP/1.0\r\n\r\n" % (b"/held" if held else b"/free"))
            await reader.read()
            writer.close()
            await writer.wait_closed()

    async def _occupy(self, name: str, placed: asyncio.Future[None]) -> None:
        """Be one request that is never answered, until HAProxy or a cancellation ends it."""
        token = secrets.token_hex(16)
        arrival = self._arrivals[token] = asyncio.get_running_loop().create_future()
        writers: list[StreamWriter] = []
        try:
            reader, writer = await asyncio.open_unix_connection(CONTROL_SOCKET)
            writers.append(writer)
            writer.write(f"GET /hold/{name} HTTP/1.1\r\nhost: hold\r\n{HEADER}: {token}\r\n\r\n".encode())
            writers.append(await arrival)
            if not placed.done():
                placed.set_result(None)
            await reader.read()
        except OSError as error:
            log.debug("hold of %s: %s", name, error)
        finally:
            del self._arrivals[token]
            for writer in writers:
                writer.close()

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        self._all.discard(task)
        if self._current.get(name) is task:
            del self._current[name]

    async def _sink(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Take a request in, and answer only one that is not ours."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            tokens = [line.partition(": ")[2] for line in head.splitlines() if line.startswith(f"{HEADER}: ")]
            arrival = self._arrivals.get(tokens[0]) if tokens else None
            if arrival is None or arrival.done():
                # It came while there was neither a replica nor, for some reason, our own request.
                writer.write(REFUSAL)
                await writer.drain()
                writer.close()
            else:
                arrival.set_result(writer)
