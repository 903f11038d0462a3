"""Versions of one web service: who is asked, how often, and what the others take over."""

import asyncio
import contextlib
import math
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx

from slipway.versions import MODEL_DEPLOYMENT
from tests.local.router_parts import (
    KEY,
    LARGEST,
    SECONDS,
    HasPort,
    Json,
    RouterProcess,
    assert_refusal,
    client,
    replicas,
    running,
    scenario,
    until,
)
from tests.local.router_pods import pods

REQUESTS = 100_000
ALPHA = 1e-6
"""Probability with which a router that shares rightly fails a test of its shares."""
PIPELINE = 100


def deploy(
    router: RouterProcess, name: str, *found: HasPort, endpoint: str = "model", **serving: Any
) -> None:
    """Deploy a version; what is no traffic of it is serving."""
    traffic = {
        field: serving.pop(field) for field in ("traffic_percentile", "is_default") if field in serving
    }
    version = {"endpoint": endpoint, "name": name, **traffic}
    router.deploy(f"{endpoint}-{name}", *found, keys=None, version=version, **serving)


def improbable(seen: dict[str, int], shares: dict[str, float]) -> bool:
    """Test seen numbers of three against their shares: chi-square of two degrees of freedom, at `ALPHA`."""
    assert len(shares) == 3
    total = sum(seen.values())
    square = sum((seen[name] - total * share) ** 2 / (total * share) for name, share in shares.items())
    return math.exp(-square / 2) < ALPHA  # its distribution with two degrees of freedom


class Quick(asyncio.Protocol):
    """A replica that answers at once and reads nothing."""

    port = 0

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok" * data.count(b"\r\n\r\n"))


class Listening:
    """Where it listens."""

    def __init__(self, port: int) -> None:
        self.port = port


@contextlib.asynccontextmanager
async def quick(number: int) -> AsyncGenerator[list[HasPort]]:
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Quick, "127.0.0.1", 0) for _ in range(number)]
    try:
        yield [Listening(server.sockets[0].getsockname()[1]) for server in servers]
    finally:
        for server in servers:
            server.close()


async def answers(router: RouterProcess, number: int) -> Counter[str]:
    """Send so many requests, many on one connection, and count the versions that answered."""
    request = (
        f"GET /api/v1/service/model/swagger.json HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\r\n"
    ).encode()
    found: Counter[str] = Counter()

    async def send(times: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", router.port)
        for _ in range(times):
            writer.write(request * PIPELINE)
            for _ in range(PIPELINE):
                head = await reader.readuntil(b"\r\n\r\n")
                assert await reader.readexactly(2) == b"ok", head
                _, _, rest = head.partition(f"{MODEL_DEPLOYMENT}: ".encode())
                found[rest.partition(b"\r\n")[0].decode()] += 1
        writer.close()

    await asyncio.gather(*(send(number // PIPELINE // 8) for _ in range(8)))
    return found


@scenario
async def test_100000_requests_match_the_percentages_and_change_with_them_without_a_reload(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, SLIPWAY_HTTP_REUSE="always") as router, quick(3) as (one, two, three):
        serving: Json = {"replica_max_concurrent_requests": 100, "max_request_wait_time": 30_000}
        deploy(router, "blue", one, traffic_percentile=60, is_default=True, **serving)
        deploy(router, "green", two, traffic_percentile=12.5, **serving)
        deploy(router, "red", three, traffic_percentile=2.5, **serving)
        router.keys("model", KEY, "2" * 32)
        router.start()
        for name in ("model-blue", "model-green", "model-red"):
            await router.up(name, 1)
        reloads = (await router.status())["reloads"]

        seen = await answers(router, REQUESTS)
        assert seen.total() == REQUESTS
        assert not improbable(seen, {"blue": 0.85, "green": 0.125, "red": 0.025}), seen

        commands = (await router.status())["commands"]
        deploy(router, "blue", one, traffic_percentile=0, is_default=False, **serving)
        deploy(router, "green", two, traffic_percentile=90, is_default=True, **serving)
        deploy(router, "red", three, traffic_percentile=5, **serving)
        deploy(router, "blue", one, traffic_percentile=5, **serving)
        await router.until(lambda status: status["commands"] > commands)

        async def changed() -> bool | None:
            text = (router.directory / "versions.map").read_text()
            return "model model-green=900000,model-blue=50000,model-red=50000\n" in text or None

        await until(changed, SECONDS, lambda: router.log)
        seen = await answers(router, REQUESTS)
        assert not improbable(seen, {"blue": 0.05, "green": 0.9, "red": 0.05}), seen
        assert (await router.status())["reloads"] == reloads


@scenario
async def test_a_header_pins_a_request_to_a_version_and_one_that_is_not_there_is_refused_by_name(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as router, replicas(2) as (one, two), client() as http:
        deploy(router, "blue", one, traffic_percentile=100, is_default=True)
        deploy(router, "green", two)
        router.keys("model", KEY, "2" * 32)
        router.deploy("plain", one)
        router.start()
        for name in ("model-blue", "model-green", "plain"):
            await router.up(name, 1)

        async def ask(pin: str | None, service: str = "model", size: int = 10) -> httpx.Response:
            headers = {} if pin is None else {MODEL_DEPLOYMENT: pin}
            return await http.post(router.uri(service), content=b"1" * size, headers=headers)

        for size in (10, 2_000_000):  # the second takes the detour of large bodies
            for pin, version, replica in (
                (None, "blue", one),
                ("green", "green", two),
                ("blue", "blue", one),
            ):
                answer = await ask(pin, size=size)
                assert answer.headers[MODEL_DEPLOYMENT] == version
                assert (answer.json()["port"], answer.json()["size"]) == (replica.port, size)
            body = assert_refusal(await ask("red", size=size), 404, "unknown_version", service="model")
            assert body["version"] == "red"
        for odd in ("", "Green", "blue, green", 'x", "reason": "'):
            body = assert_refusal(await ask(odd), 404, "unknown_version", service="model")
            assert body.get("version", odd) == odd
        assert_refusal(await ask(None, service="model-blue"), 404, "unknown_service", service="model-blue")

        answer = await ask("green", service="plain")  # as v1's web services did, it knows of no versions
        assert (answer.status_code, MODEL_DEPLOYMENT in answer.headers) == (200, False)
        answer = await http.post(router.uri("model"), content=b"1", headers={"authorization": "Bearer wrong"})
        assert_refusal(answer, 401, "key_wrong", service="model-blue")
        assert answer.headers[MODEL_DEPLOYMENT] == "blue"


@scenario
async def test_what_is_refused_before_a_version_is_chosen_counts_for_the_web_service(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas(2) as (one, two), client() as http:
        deploy(router, "blue", one, traffic_percentile=100, is_default=True)
        deploy(router, "green", two)
        router.keys("model", KEY, "2" * 32)
        router.start()
        for name in ("model-blue", "model-green"):
            await router.up(name, 1)
        pinned = await http.post(router.uri("model"), headers={MODEL_DEPLOYMENT: "red"})
        assert_refusal(pinned, 404, "unknown_version", service="model")
        refused = await http.post(router.uri("model"), content=bytes(LARGEST + 1))
        assert_refusal(refused, 413, "body_too_large", service="model")
        for name, reason in (
            ("model", "no_tokens"),
            ("nobody", "unknown_service"),
            ("_token", "unknown_service"),
        ):
            assert_refusal(await http.post(router.uri(name, "token")), 404, reason, service=name)
        total = "slipway_refusals_total"
        reasons = ("unknown_version", "body_too_large", "no_tokens")
        counted = {(total, "model", reason): 1.0 for reason in reasons} | {
            (total, "", "unknown_service"): 2.0
        }
        found = await router.until_metrics(counted)
        assert {one for one in found if one[0] == total and found[one]} == counted.keys()


@scenario
async def test_a_version_without_a_replica_gets_nothing_until_it_has_one(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas(3) as (one, two, three), client() as http:
        deploy(router, "blue", one, traffic_percentile=20, is_default=True)
        deploy(router, "green", two, traffic_percentile=40)
        deploy(router, "red", traffic_percentile=40)
        deploy(router, "dark", three)
        router.keys("model", KEY, "2" * 32)
        router.start()
        for name, number in (("blue", 1), ("green", 1), ("red", 0), ("dark", 1)):
            await router.up(f"model-{name}", number)

        async def ask(number: int = 200) -> Counter[str]:
            found = [await http.post(router.uri("model"), content=b"1") for _ in range(number)]
            assert {answer.status_code for answer in found} == {200}
            return Counter(answer.headers[MODEL_DEPLOYMENT] for answer in found)

        seen = await ask()
        assert seen.keys() == {"blue", "green"}
        assert seen["blue"] > seen["green"]  # the default takes what red would get
        await two.stop()  # which no object says
        with contextlib.suppress(AssertionError):
            await ask(50)  # HAProxy notices by the first that it cannot connect
        assert (await ask()).keys() == {"blue"}
        router.scale("model-red", await two.start())
        await router.up("model-red", 1)
        await one.stop()
        with contextlib.suppress(AssertionError):
            await ask(50)
        assert (await ask()).keys() == {"red"}  # not dark, which has no share


@scenario
async def test_a_service_that_gets_versions_and_loses_them_again_loses_no_request(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas(3) as (one, two, three), client() as http:
        serving: Json = {"replica_max_concurrent_requests": 4, "max_request_wait_time": 5000}
        router.deploy("model", one, created="2026-01-01T00:00:00Z", **serving)
        router.start()
        await router.up("model", 1)
        found: list[tuple[int, str]] = []
        ended = asyncio.Event()

        async def send() -> None:
            while not ended.is_set():
                answer = await http.post(router.uri("model"), json={"sleep": 0.005})
                found.append((answer.status_code, answer.headers.get(MODEL_DEPLOYMENT, "")))

        async def seen(versions: set[str]) -> None:
            async def look() -> bool | None:
                return {version for _, version in found[-100:]} == versions or None

            await until(look, SECONDS, lambda: router.log)

        sending = [asyncio.create_task(send()) for _ in range(4)]
        deploy(router, "blue", two, traffic_percentile=50, created="2026-01-02T00:00:00Z", **serving)
        deploy(router, "green", three, is_default=True, created="2026-01-02T00:00:00Z", **serving)
        for name in ("model-blue", "model-green"):
            await router.up(name, 1)
        await seen({""})  # the older one goes on
        router.folder.delete("Deployment", "slipway-services", "model")
        await seen({"blue", "green"})
        router.deploy("model", one, created="2026-01-03T00:00:00Z", **serving)
        await router.up("model", 1)
        await seen({"blue", "green"})
        for name in ("model-blue", "model-green"):
            router.folder.delete("Deployment", "slipway-services", name)
        await seen({""})
        ended.set()
        await asyncio.gather(*sending)
        assert {status for status, _ in found} == {200}


@scenario
async def test_versions_are_chosen_where_a_request_comes_in_and_served_where_each_is_owned(
    tmp_path: Path,
) -> None:
    async with pods(tmp_path) as all_of, replicas(3) as (one, two, three), client() as http:
        deploy(all_of.first, "blue", one, traffic_percentile=40, is_default=True)
        deploy(all_of.first, "green", two, traffic_percentile=30)
        deploy(all_of.first, "red", three, traffic_percentile=30)
        all_of.first.keys("model", KEY, "2" * 32)
        await all_of.start()
        for router in all_of.routers.values():
            for name in ("model-blue", "model-green", "model-red"):
                await router.up(name, 1)
        for router in all_of.routers.values():
            seen: Counter[str] = Counter()
            for _ in range(100):
                answer = await http.post(router.uri("model"), content=b"1")
                assert answer.status_code == 200, answer.text
                seen[answer.headers[MODEL_DEPLOYMENT]] += 1
            assert seen.keys() == {"blue", "green", "red"}  # one is missing in one of 10^14 runs
            for pin, replica in (("blue", one), ("green", two), ("red", three)):
                answer = await http.post(router.uri("model"), content=b"1", headers={MODEL_DEPLOYMENT: pin})
                assert (answer.json()["port"], answer.headers[MODEL_DEPLOYMENT]) == (replica.port, pin)
