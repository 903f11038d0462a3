"""A client by HTTP/2 of which a test decides what it sends, and when. For the router's tests."""

import asyncio
import ssl
from collections import defaultdict
from typing import Self

import h2.connection
import h2.errors
import h2.events

from tests.local.router_parts import HOLD, KEY, SECONDS, RouterProcess

GOAWAY = 7


class Streams:
    """Requests by HTTP/2, all on one connection that stays."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._http = h2.connection.H2Connection()
        self._http.initiate_connection()
        self._begun: set[int] = set()
        self._statuses: dict[int, int] = {}
        self._bodies = defaultdict[int, bytes](bytes)
        self._last_stream: int | None = None
        self.close = writer.close

    @classmethod
    async def open(cls, router: RouterProcess, public: bytes) -> Self:
        context = ssl.create_default_context(cadata=public.decode())
        context.set_alpn_protocols(["h2"])
        port = int(router.environment["TLS_PORT"])
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=context))

    async def begin(
        self, body: bytes = HOLD, size: int | None = None, service: str = "echo", *, sized: bool = True
    ) -> int:
        """Ask a service with a body, or with the first part of one of this size, and give the stream."""
        stream = self._http.get_next_available_stream_id()
        size = len(body) if size is None else size
        path = f"/api/v1/service/{service}/score"
        head = {":method": "POST", ":scheme": "https", ":authority": "a", ":path": path}
        more = {"authorization": f"Bearer {KEY}"} | ({"content-length": str(size)} if sized else {})
        self._http.send_headers(stream, list((head | more).items()))
        self._begun.add(stream)
        begin = 0
        while begin < len(body):
            room = self._http.local_flow_control_window(stream)
            piece = body[begin:][: min(room, self._http.max_outbound_frame_size)]
            if piece:
                self._http.send_data(stream, piece)
                begin += len(piece)
            else:
                await self._receive()
        if size == len(body):
            self._http.end_stream(stream)
        asyncio.get_running_loop().call_soon(self._send)  # what is begun at once is sent at once
        return stream

    async def answer(self, stream: int) -> tuple[int, bytes]:
        """Give the status and the body of an answer."""
        while stream in self._begun:
            await self._receive()
        return self._statuses[stream], self._bodies[stream]

    async def last_stream(self) -> int:
        """Wait until the router says that the connection is about to end, and after which stream."""
        while self._last_stream is None:
            await self._receive()
        return self._last_stream

    def leave(self) -> None:
        """Reset the streams that have no answer yet."""
        for stream in self._begun:
            self._http.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        self._send()
        self._begun.clear()

    def _send(self) -> None:
        self._writer.write(self._http.data_to_send())

    async def _receive(self) -> None:
        """Send what there is, and read a frame. For h2 a GOAWAY is the end, also one that says: soon."""
        self._send()
        head = await asyncio.wait_for(self._reader.readexactly(9), SECONDS)
        payload = await self._reader.readexactly(int.from_bytes(head[:3]))
        if head[3] == GOAWAY:
            self._last_stream = int.from_bytes(payload[:4])
            return
        for event in self._http.receive_data(head + payload):
            match event:
                case h2.events.ResponseReceived(stream_id=int(stream), headers=headers):
                    self._statuses[stream] = int(dict(headers or [])[b":status"])
                case h2.events.DataReceived(stream_id=int(stream), data=bytes(data)):
                    self._bodies[stream] += data
                case h2.events.StreamEnded(stream_id=int(stream)):
                    self._begun.discard(stream)
                case _:
                    pass
