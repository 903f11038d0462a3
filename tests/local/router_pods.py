"""Several routers of one cluster, as processes over the same objects, and a plain balancer before them."""

import asyncio
import base64
import contextlib
import itertools
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from slipway.router.authority import renewed
from slipway.router.ownership import ranking
from slipway.spec import AUTHORITY_SECRET
from tests.local.router_parts import SECONDS, RouterProcess, until
from tests.ports import free_port

PEERS = 'haproxy_server_status{proxy="_peers"'
ADDRESSES = dict.fromkeys("abc", "127.0.0.1")


class Pods:
    """Routers by their pods' names; they know each other by the EndpointSlices that are written here."""

    def __init__(self, root: Path, addresses: Mapping[str, str], **variables: str) -> None:
        shared = {"SLIPWAY_OBJECTS": str(root / "objects"), **variables}
        self.routers: dict[str, RouterProcess] = {}
        for name, address in addresses.items():
            (root / name).mkdir()
            self.routers[name] = RouterProcess(root / name, POD_NAME=name, POD_IP=address, **shared)
        self.first = next(iter(self.routers.values()))
        self.first.folder = RouterProcess(root).folder

    def order(self, service: str) -> list[RouterProcess]:
        """Give the routers by whose a service is, the owner first."""
        return [self.routers[name] for name in ranking(service, self.routers)]

    async def start(self) -> None:
        """Start all, with an authority that is there, and wait until each knows the others."""
        made = renewed({}, datetime.now(UTC)) or {}
        data = {name: base64.b64encode(text.encode()).decode() for name, text in made.items()}
        self.first.folder.put(
            {"kind": "Secret", "metadata": {"name": AUTHORITY_SECRET, "namespace": "slipway"}, "data": data}
        )
        self.know(*self.routers)
        for router in self.routers.values():
            router.start()
        for router in self.routers.values():
            await router.until(lambda _: True)
        for router in self.routers.values():
            await self.joined(router, len(self.routers) - 1)

    async def joined(self, router: RouterProcess, others: int) -> None:
        """Wait until a router's HAProxy hands requests to so many others."""

        async def look() -> bool | None:
            with contextlib.suppress(httpx.TransportError):
                text = (await router.admin.get("/metrics/haproxy", params={"scope": "server"})).text
                rows = [line for line in text.splitlines() if line.startswith(PEERS) and "_self" not in line]
                return sum('state="UP"' in row and row.endswith(" 1") for row in rows) == others or None
            return None

        await until(look, SECONDS, lambda: router.log)

    def know(self, *ready: str) -> None:
        """Let these be the routers that are ready."""
        for name, router in self.routers.items():
            ports = [{"name": "admin", "port": router.admin_port}, {"name": "peer", "port": router.peer_port}]
            target = {"kind": "Pod", "name": name}
            endpoint = {
                "addresses": [router.address],
                "conditions": {"ready": name in ready},
                "targetRef": target,
            }
            labels = {"kubernetes.io/service-name": "slipway-router-peers"}
            metadata = {"name": f"slipway-router-{name}", "namespace": "slipway", "labels": labels}
            slices = {"kind": "EndpointSlice", "metadata": metadata, "ports": ports, "endpoints": [endpoint]}
            self.first.folder.put(slices)

    async def close(self) -> None:
        await asyncio.gather(*(router.close() for router in self.routers.values()))


@contextlib.asynccontextmanager
async def pods(
    root: Path, addresses: Mapping[str, str] = ADDRESSES, **variables: str
) -> AsyncGenerator[Pods]:
    """Give routers that are started by the test, and ended whatever the test did."""
    found = Pods(root, addresses, **variables)
    try:
        yield found
    finally:
        await found.close()


class Balancer:
    """Hands each connection to the next port that takes it, as a load balancer of layer 4 does."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.ports = list(ports)
        self.port = free_port()
        self._next = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def uri(self, service: str, path: str = "score") -> str:
        return f"http://127.0.0.1:{self.port}/api/v1/service/{service}/{path}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            back_reader, back_writer = await self._connect()
            await asyncio.gather(_copy(reader, back_writer), _copy(back_reader, writer))
        except OSError:
            writer.close()
        finally:
            self._tasks.discard(task)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for _ in self.ports:
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(
                    "127.0.0.1", self.ports[next(self._next) % len(self.ports)]
                )
        raise OSError("no router takes a connection")


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
