"""A router as a real process, and replicas that do as a request's body tells them. For the router's tests."""

import asyncio
import base64
import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar, cast

import httpx
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.processes import memory_mb, tree
from slipway.kube.folder import Folder
from slipway.spec import Served
from tests.ports import free_ports

KEY = "k" * 32
HOLD = b'{"hold": true}'
MEGABYTE = 2**20
LARGEST = 104_857_600
"""The most bytes that a body may have."""
SECONDS = 60.0
"""The most that anything is waited for: no test fails because a machine is busy."""
NAMESPACE = "slipway-services"
Json = dict[str, Any]
P = ParamSpec("P")
T = TypeVar("T")


class Replica:
    """Serves /ready and scores all that it is offered; says how much that ever was at once.

    It has no gate of its own, unlike Slipway's scoring server: what comes is what the router lets through.
    A body `{"sleep": 0.2}` takes that long, `{"hold": true}` until `release`, `{"crash": true}` ends the
    connection, `{"raise": true}` fails as a `run()` that raised does. Any other body is echoed, by its size
    and with the request's headers.
    """

    def __init__(self) -> None:
        self.ready = True
        self.read_delay = 0.0
        self.port = 0
        self.seen: list[object] = []
        self.offered = self.offered_most = 0
        self._released = asyncio.Event()
        self.release = self._released.set
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self, port: int = 0) -> "Replica":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Vanish at once, as a killed process does."""
        if self._server is None:
            return
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving)
        await self._server.wait_closed()
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._request(reader, writer):
                pass
        self._serving.discard(task)
        writer.transport.abort()
        with contextlib.suppress(OSError):  # else asyncio says that nobody heard of a reset
            await writer.wait_closed()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        if path == "/ready":
            await _answer(writer, "200 OK" if self.ready else "503 Service Unavailable", {})
            return True
        self.offered += 1
        self.offered_most = max(self.offered_most, self.offered)
        try:
            await asyncio.sleep(self.read_delay)
            body = await _body(reader, headers)
            return await self._run(writer, method, path, headers, body)
        finally:
            self.offered -= 1

    async def _run(
        self, writer: asyncio.StreamWriter, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> bool:
        try:
            told: object = json.loads(body)
        except ValueError:
            told = None
        wish = cast("Json", told) if isinstance(told, dict) else {}
        self.seen.append(wish.get("id"))
        await asyncio.sleep(wish.get("sleep", 0))
        if wish.get("hold"):
            await self._released.wait()
        if wish.get("crash"):
            return False
        if wish.get("raise"):
            extra = "x-ms-run-function-failed: true\r\n"
            await _answer(writer, "500 Internal Server Error", {"traceback": "ValueError"}, extra)
        else:
            echo = {"method": method, "path": path, "headers": headers, "size": len(body), "port": self.port}
            await _answer(writer, "200 OK", echo)
        return True


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    body = bytearray()
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return bytes(body)


async def _answer(writer: asyncio.StreamWriter, status: str, value: object, extra: str = "") -> None:
    body = json.dumps(value).encode()
    writer.write(f"HTTP/1.1 {status}\r\n{extra}content-length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()


class HasPort(Protocol):
    """Any replica: what the router needs to know is its port."""

    @property
    def port(self) -> int: ...


class RouterProcess:
    """`python -m slipway.router` over a folder of objects."""

    def __init__(self, root: Path, **variables: str) -> None:
        self.folder = Folder(root / "objects")
        self.directory = root / "run"
        self.port, admin_port, peer_port = free_ports(3)
        self.environment = {
            "PATH": os.environ["PATH"],
            "PORT": str(self.port),
            "ADMIN_PORT": str(admin_port),
            "PEER_PORT": str(peer_port),
            "SLIPWAY_RUN_DIR": str(self.directory),
            "SLIPWAY_OBJECTS": str(root / "objects"),
            **variables,
        }
        self.pod = self.environment.get("POD_NAME", "")
        self.address = self.environment.get("POD_IP", "127.0.0.1")
        self.admin_port = int(self.environment["ADMIN_PORT"])
        self.peer_port = int(self.environment["PEER_PORT"])
        self._log = root / "router.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.admin = httpx.AsyncClient(
            base_url=f"http://{self.address}:{self.admin_port}", timeout=SECONDS, trust_env=False
        )

    def start(self, stdout: int | None = None) -> None:
        """Start it; its log, and what it writes on stdout unless that goes elsewhere, is `log`."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "slipway.router"],
                env=self.environment,
                stdout=stdout or log,
                stderr=log,
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def uri(self, service: str, path: str = "score") -> str:
        return f"http://{self.address}:{self.port}/api/v1/service/{service}/{path}"

    def deploy(
        self,
        name: str,
        *replicas: HasPort,
        keys: tuple[str, str] | None = (KEY, "2" * 32),
        created: str | None = None,
        **serving: object,
    ) -> None:
        """Write a service's Secret, Deployment and slices: in this order, as a router may look in between."""
        if keys is not None:
            self.keys(name, *keys)
        labels = {"slipway/webservice": name}
        values = Served.model_validate({"num_replicas": 1, "autoscale_enabled": False, **serving})
        self.folder.put(
            {
                "kind": "Deployment",
                "metadata": {
                    "name": name,
                    "namespace": NAMESPACE,
                    "labels": labels,
                    "annotations": {"slipway/serving": values.model_dump_json()},
                    **({"creationTimestamp": created} if created is not None else {}),
                },
                "spec": {},
            }
        )
        self.scale(name, *replicas)

    def scale(self, name: str, *replicas: HasPort) -> None:
        """Let exactly these be the ready endpoints of a service, one slice each."""
        wanted = {f"{name}-{replica.port}": replica for replica in replicas}
        for pod, replica in wanted.items():
            self.folder.put(
                {
                    "kind": "EndpointSlice",
                    "metadata": {"name": pod, "namespace": NAMESPACE, "labels": {"slipway/webservice": name}},
                    "addressType": "IPv4",
                    "ports": [{"name": "http", "port": replica.port, "protocol": "TCP"}],
                    "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
                }
            )
        for found in self.folder.list("EndpointSlice"):
            labels, pod = found["metadata"]["labels"], found["metadata"]["name"]
            if labels.get("slipway/webservice") == name and pod not in wanted:
                self.folder.delete("EndpointSlice", NAMESPACE, pod)

    def keys(self, name: str, primary: str, secondary: str) -> None:
        data = {"primary": primary, "secondary": secondary}
        self.folder.put(
            {
                "kind": "Secret",
                "metadata": {
                    "name": f"{name}-keys",
                    "namespace": "slipway",
                    "labels": {"slipway/webservice": name},
                },
                "data": {slot: base64.b64encode(key.encode()).decode() for slot, key in data.items()},
            }
        )

    async def status(self) -> Json:
        return (await self.admin.get("/status")).json()

    async def metrics(self) -> dict[tuple[str, ...], float]:
        """Give what `/metrics` says, by its name and the values of its labels."""
        families = text_string_to_metric_families((await self.admin.get("/metrics")).text)
        return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}

    async def until_metrics(self, expected: Mapping[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
        """Wait until metrics have these values, and give all."""
        found: dict[tuple[str, ...], float] = {}

        async def look() -> bool | None:
            found.update(await self.metrics())
            return expected.items() <= found.items() or None

        await until(look, SECONDS, lambda: f"{found}\n{self.log}")
        return found

    def access_log(self) -> list[Json]:
        """Give the lines of the access log."""
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    async def until(self, condition: Callable[[Json], bool], seconds: float = SECONDS) -> Json:
        """Wait until the status fulfils a condition and return it."""

        async def look() -> Json | None:
            assert self.process is None or self.process.poll() is None, self.log
            with contextlib.suppress(httpx.TransportError):
                if (await self.admin.get("/ready")).status_code == 200:
                    status = await self.status()
                    return status if condition(status) else None
            return None

        return await until(look, seconds, lambda: self.log)

    async def up(self, name: str, replicas: int, seconds: float = SECONDS) -> Json:
        """Wait until a service has exactly so many replicas that are up."""

        def condition(status: Json) -> bool:
            service = status["services"].get(name, {})
            return service.get("up") == service.get("replicas") == replicas and service["error"] is None

        return await self.until(condition, seconds)

    async def serve(
        self,
        name: str,
        *replicas: HasPort,
        keys: tuple[str, str] | None = (KEY, "2" * 32),
        **serving: object,
    ) -> Json:
        """Start with a service whose replicas are all up."""
        self.deploy(name, *replicas, keys=keys, created=None, **serving)
        self.start()
        return await self.up(name, len(replicas))

    async def close(self) -> None:
        await self.admin.aclose()
        if self.process is not None:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
                await asyncio.sleep(0.1)  # two signals at once would be one
                self.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.to_thread(self.process.wait, SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise


def taken(status: Json) -> int:
    """Count the requests that the service `echo` has, running or waiting."""
    echo = status["services"]["echo"]
    return echo["busy"] + echo["queued"]


def memory(router: RouterProcess) -> float:
    """Give the bytes that the router and its HAProxy have in memory."""
    assert router.process is not None
    return memory_mb(tree(router.process.pid)) * MEGABYTE


def worker_of(master: int) -> int:
    """Give the process of HAProxy that has the requests, the newest one."""
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    return int(children[-1])


async def counted(router: RouterProcess, name: str, **labels: str) -> float:
    """Sum up one of HAProxy's own counters, over all that has these labels."""
    text = (await router.admin.get("/metrics/haproxy")).text
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
    assert any(one.name == name for one in samples), text
    return sum(one.value for one in samples if one.name == name and labels.items() <= one.labels.items())


async def until(look: Callable[[], Awaitable[T | None]], seconds: float, explain: Callable[[], str]) -> T:
    """Look again and again until there is a result."""
    deadline = time.monotonic() + seconds
    while (found := await look()) is None:
        assert time.monotonic() < deadline, f"nothing within {seconds} s\n{explain()}"
        await asyncio.sleep(0.02)
    return found


@contextlib.asynccontextmanager
async def running(root: Path, **variables: str) -> AsyncGenerator[RouterProcess]:
    """Give a router that is started by the test, and ended whatever the test did."""
    router = RouterProcess(root, **variables)
    try:
        yield router
    finally:
        await router.close()


@contextlib.asynccontextmanager
async def replicas(number: int = 1) -> AsyncGenerator[list[Replica]]:
    """Give replicas that are stopped in the end, as far as they still run."""
    found = [await Replica().start() for _ in range(number)]
    try:
        yield found
    finally:
        for replica in found:
            await replica.stop()


def scenario(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Let a coroutine be a test."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


@contextlib.asynccontextmanager
async def client() -> AsyncGenerator[httpx.AsyncClient]:
    """Give a client with a valid key and a connection for every request in flight."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=None)
    async with httpx.AsyncClient(
        headers={"authorization": f"Bearer {KEY}"}, timeout=SECONDS, limits=limits, trust_env=False
    ) as found:
        yield found


async def most_offered(http: httpx.AsyncClient, uris: Sequence[str], found: Sequence[Replica]) -> list[int]:
    """Ask for more at once than fits into all replicas; give how much of it each was offered at once."""
    for replica in found:
        replica.offered_most = 0
    begun = [http.post(uri, json={"sleep": 0.02}) for uri in uris for _ in range(10 * len(found))]
    assert set(statuses(await asyncio.gather(*begun))) == {200}
    return [replica.offered_most for replica in found]


async def chunks(size: int) -> AsyncGenerator[bytes]:
    """Give a body of unknown size, in pieces of a megabyte."""
    piece = b"0" * 2**20
    while size > 0:
        yield piece[:size]
        size -= len(piece)


def assert_refusal(
    response: httpx.Response, status: int, reason: str, *, service: str | None, retry: bool = False
) -> Json:
    """Check the one shape that all refusals have, and return the body."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert len(response.headers["x-ms-request-id"]) == 32
    assert ("retry-after" in response.headers) is retry
    body: Json = response.json()
    assert body["reason"] == reason
    assert body["service"] == service
    assert body["message"].endswith(".")
    assert isinstance(body["replicas"], int)
    assert isinstance(body["queued"], int)
    return body


def statuses(responses: Iterable[httpx.Response]) -> list[int]:
    return [response.status_code for response in responses]
