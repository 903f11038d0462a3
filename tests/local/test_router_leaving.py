"""Clients that leave before their answer, at a router that does not own the web service."""

import asyncio
import contextlib
from pathlib import Path
from typing import Self

import pytest

from tests.certificates import certificate
from tests.local.http1 import Client
from tests.local.http2 import Streams
from tests.local.router_parts import (
    HOLD,
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

    def __init__(self, router: RouterProcess) -> None:
        self._router = router
        self._begun: list[Client] = []
        self.close = self.leave

    @classmethod
    async def open(cls, router: RouterProcess, _: bytes) -> Self:
        return cls(router)

    async def begin(self, body: bytes = HOLD, size: int | None = None) -> None:
        one = await Client.open(self._router)
        self._begun.append(one)
        await one.begin(f"content-length: {len(body) if size is None else size}", body)

    def leave(self) -> None:
        """Reset the connections."""
        for one in self._begun:
            one.reset()
        self._begun.clear()


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

            with contextlib.closing(await protocol.open(other, public)) as leaving:
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
