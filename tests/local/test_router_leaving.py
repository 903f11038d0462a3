"""Clients that leave before their answer, at a router that does not own the web service."""

import asyncio
import socket
import struct
from pathlib import Path
from typing import Self

import pytest

from tests.certificates import certificate
from tests.local.http2 import Streams
from tests.local.router_parts import (
    HOLD,
    KEY,
    SECONDS,
    RouterProcess,
    client,
    counted,
    replicas,
    scenario,
    taken,
    until,
)
from tests.local.router_pods import pods
from tests.local.test_router_https import of
from tests.local.test_router_tls import put

PART = b"0" * 20_000


class Plain:
    """Requests by HTTP/1.1, each on its connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []

    @classmethod
    async def open(cls, router: RouterProcess, _: bytes) -> Self:
        return cls(router.port)

    async def begin(self, body: bytes = HOLD, size: int | None = None) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        head = f"POST /api/v1/service/echo/score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
        size = len(body) if size is None else size
        writer.write(f"{head}content-length: {size}\r\n\r\n".encode() + body)
        self._writers.append(writer)

    def leave(self) -> None:
        """Reset the connections."""
        for writer in self._writers:
            linger: socket.socket = writer.get_extra_info("socket")
            linger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        self._writers = []


@pytest.mark.parametrize("protocol", [Plain, Streams])
def test_when_clients_of_another_router_leave_then_only_the_owner_tells_and_their_room_is_free_again(
    tmp_path: Path, protocol: type[Plain | Streams]
) -> None:
    @scenario
    async def look() -> None:
        public, key = certificate()
        addresses = {"a": "127.0.0.1", "b": "127.0.0.1"}
        async with (
            replicas() as [replica],
            pods(tmp_path, addresses, ROUTER_MEMORY="64") as both,
            client() as http,
        ):
            for router in both.routers.values():
                router.environment.update(of("tls", TLS_HTTP="serve"))
            put(both.first, public, key, name="tls")
            both.first.deploy("echo", replica, max_request_wait_time=60_000)
            await both.start()
            for router in both.routers.values():
                await router.up("echo", 1)
            owner, other = both.order("echo")

            async def owned() -> float:
                """Count the owner's requests, with those whose bodies still come and the router's own."""
                return await counted(owner, "haproxy_backend_current_sessions", proxy="echo")

            async def until_owned(number: float) -> None:
                async def look() -> bool | None:
                    return await owned() == number or None

                await until(look, SECONDS, lambda: owner.log)

            leaving = await protocol.open(other, public)

            for _ in range(2):
                await leaving.begin()
            await owner.until(lambda status: taken(status) == 2)
            leaving.leave()
            before = await owned()
            for number in range(12):  # more than there is room for at once
                await leaving.begin(PART, (1_000_000, 2_000_000)[number % 2])
                await until_owned(before + 1)
                leaving.leave()
                await until_owned(before)
            unreadable = ("slipway_refusals_total", "echo", "body_unreadable")
            await owner.until_metrics({unreadable: 12})
            waiting = asyncio.create_task(http.post(owner.uri("echo"), content=b"0" * 1_000_000))
            await owner.until(lambda status: taken(status) == 3)  # the replica still has the first
            replica.release()
            assert (await waiting).status_code == 200
            assert replica.offered_most == 1
            assert (await http.post(other.uri("echo"), content=b"0" * 1_000_000)).status_code == 200
            await owner.until(lambda status: taken(status) == 0)

            found = {where: await where.metrics() for where in (owner, other)}
            refused = [
                (where.pod, *name[1:], value)
                for where, metrics in found.items()
                for name, value in metrics.items()
                if name[0] == "slipway_refusals_total" and value
            ]
            assert refused == [(owner.pod, *unreadable[1:], 12)]
            told = [line["request_id"] for line in owner.access_log() if line["reason"] == "body_unreadable"]
            assert len(told) == len(set(told)) == 12
            assert other.access_log() == []

    look()
