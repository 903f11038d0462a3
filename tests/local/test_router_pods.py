"""Several router pods are one router: each service has one queue, at its owner, whoever takes a request."""

import asyncio
import contextlib
import signal
import ssl
import time
from collections import Counter
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from slipway.router.auth import FAILURES
from slipway.router.authority import issue, renewed
from slipway.spec import AUTHORITY_SECRET
from tests.local.http1 import PART, opened, slow_client
from tests.local.router_parts import (
    HOLD,
    KEY,
    LARGEST,
    MEGABYTE,
    SECONDS,
    Replica,
    RouterProcess,
    assert_refusal,
    chunks,
    client,
    counted,
    memory,
    most_offered,
    replicas,
    scenario,
    statuses,
    taken,
    until,
)
from tests.local.router_pods import Balancer, Pods, pods
from tests.local.test_router_refusals import knock

RATE = 50
NAMES = [f"model-{number}" for number in range(8)]


@contextlib.asynccontextmanager
async def three(root: Path, *found: Replica, wait_ms: int = 20_000) -> AsyncGenerator[Pods]:
    """Give three routers, of which each knows the others, and a web service `echo`."""
    async with pods(root) as all_of:
        all_of.first.deploy("echo", *found, max_request_wait_time=wait_ms)
        await all_of.start()
        for router in all_of.routers.values():
            await router.up("echo", len(found))
        yield all_of


@scenario
async def test_whichever_router_takes_a_request_one_queue_orders_them_all_and_n_holds(tmp_path: Path) -> None:
    async with replicas() as [replica], three(tmp_path, replica) as all_of, client() as http:
        owner, *others = all_of.order("echo")
        tasks: list[asyncio.Task[httpx.Response]] = []
        for number in range(12):
            uri = (owner, *others)[number % 3].uri("echo")
            body = {"id": number, "hold": number == 0}
            tasks.append(asyncio.create_task(http.post(uri, json=body)))
            await owner.until(lambda status, number=number: taken(status) == number + 1)
        replica.release()
        assert Counter(answer.status_code for answer in await asyncio.gather(*tasks)) == {200: 12}
        assert replica.seen == list(range(12))
        assert replica.offered_most == 1


@scenario
async def test_what_the_owner_refuses_comes_back_as_it_is_and_is_counted_there_alone(tmp_path: Path) -> None:
    async with (
        replicas() as [replica],
        three(tmp_path, replica, wait_ms=200) as all_of,
        client() as http,
    ):
        owner, other, _ = all_of.order("echo")
        busy = asyncio.create_task(http.post(owner.uri("echo"), json={"hold": True}))
        await owner.until(lambda status: taken(status) == 1)
        refused = await http.post(other.uri("echo"), json={})
        body = assert_refusal(refused, 503, "queue_timeout", service="echo", retry=True)
        assert body["replicas"] == 1
        nobody = await http.post(other.uri("echo"), headers={"authorization": "Bearer wrong"})
        assert_refusal(nobody, 401, "key_wrong", service="echo")
        failed = await http.post(other.uri("echo", "nothing"))
        assert_refusal(failed, 404, "unknown_path", service="echo")
        for reason in ("queue_timeout", "key_wrong"):
            name = ("slipway_refusals_total", "echo", reason)
            await owner.until_metrics({name: 1})
            assert not (await other.metrics()).get(name)
        replica.release()
        assert (await busy).status_code == 200


@scenario
async def test_who_fails_often_by_any_router_gets_429_of_the_owner_and_a_right_key_is_always_let_in(
    tmp_path: Path,
) -> None:
    async with replicas() as [replica], three(tmp_path, replica) as all_of:
        owner, other, third = all_of.order("echo")
        often = statuses(await knock(other, "guess", 2 * FAILURES))
        assert often == [401] * FAILURES + [429] * FAILURES
        for router in (owner, other, third):  # the owner counts, by the client's address
            assert statuses(await knock(router, "guess", 1)) == [429]
            assert statuses(await knock(router, "guess", 1, "127.0.0.2")) == [401]
            assert statuses(await knock(router, KEY, 1)) == [200]
        assert replica.seen == [None] * 3


@scenario
async def test_a_request_reaches_the_model_the_same_by_any_router_and_none_can_claim_to_come_from_one(
    tmp_path: Path,
) -> None:
    async with replicas() as [replica], three(tmp_path, replica) as all_of, client() as http:
        all_of.first.deploy("fraud", replica)
        for router in all_of.routers.values():
            await router.up("fraud", 1)
        forged = {"x-slipway-handed": "fraud/6.6.6.6", "x-slipway-anything": "1"}
        seen: list[object] = []
        for router in all_of.order("echo"):
            answer = await http.post(
                router.uri("echo"), content=b"x" * 100, headers={"x-other": "1", **forged}
            )
            echo = answer.json()
            assert answer.headers["x-ms-request-id"].lower() == echo["headers"].pop("x-ms-request-id")
            assert echo["headers"].pop("host").startswith("127.0.0.1:")
            assert not any(name.startswith("x-slipway") for name in echo["headers"])
            seen.append(echo)
        assert seen[0] == seen[1] == seen[2]
        assert await answered(all_of.order("echo")[0], "fraud") == 0


async def answered(router: RouterProcess, service: str) -> float:
    """Give how many requests that a router had queued for a service were answered with 200."""
    return await counted(router, "haproxy_backend_http_responses_total", proxy=service, code="2xx")


@scenario
async def test_requests_go_to_the_owner_over_a_connection_that_is_there(tmp_path: Path) -> None:
    async with replicas() as [replica], three(tmp_path, replica) as all_of, client() as http:
        other = all_of.order("echo")[1]

        async def send() -> float | None:
            """Give the connections to other routers, once there are some."""
            assert (await http.post(other.uri("echo"), json={})).status_code == 200
            return await counted(other, "haproxy_server_connection_attempts_total", proxy="_peers") or None

        assert await until(send, SECONDS, lambda: other.log) == 1
        assert [await send() for _ in range(4)] == [1] * 4


@scenario
async def test_a_large_body_goes_through_and_one_too_large_is_refused_by_any_router(tmp_path: Path) -> None:
    async with replicas() as [replica], three(tmp_path, replica) as all_of, client() as http:
        for router in all_of.order("echo"):
            big = await http.post(router.uri("echo"), content=chunks(20_000_000))
            assert big.json()["size"] == 20_000_000
            sized = {"content-length": str(LARGEST)}
            assert (await http.post(router.uri("echo"), content=chunks(LARGEST), headers=sized)).json()[
                "size"
            ] == LARGEST
            refused = await http.post(router.uri("echo"), content=chunks(LARGEST + 1))
            assert_refusal(refused, 413, "body_too_large", service="echo")


@scenario
async def test_larger_bodies_for_another_router_take_memory_only_so_far_and_leave_the_rest_its_own(
    tmp_path: Path,
) -> None:
    addresses = {"a": "127.0.0.1", "b": "127.0.0.1"}
    async with (
        replicas() as [replica],
        pods(tmp_path, addresses, ROUTER_MEMORY="64") as both,
        client() as http,
    ):
        names = ("echo", *NAMES)
        for name in names:
            both.first.deploy(name, replica)
        await both.start()
        for router in both.routers.values():
            for name in names:
                await router.up(name, 1)
        owner, other = both.order("echo")
        mine = next(name for name in NAMES if both.order(name)[0] is other)
        before = memory(other)
        async with opened(other, 200) as many:
            await asyncio.gather(*(one.begin(*PART, key="wrong") for one in many))
            full = await http.post(other.uri("echo"), content=b"0" * MEGABYTE)
            assert_refusal(full, 503, "too_many_uploads", service="echo", retry=True)
            for router, name in ((other, mine), (owner, "echo")):
                assert (await http.post(router.uri(name), content=b"0" * MEGABYTE)).status_code == 200
            assert (await http.post(other.uri("echo"), json={})).status_code == 200
            assert memory(other) - before < 100 * MEGABYTE

        async def served() -> bool | None:
            return (await http.post(other.uri("echo"), content=b"0" * MEGABYTE)).status_code == 200 or None

        await until(served, SECONDS, lambda: other.log)


@scenario
async def test_a_body_that_cannot_be_read_is_the_clients_fault_by_any_router(tmp_path: Path) -> None:
    async with replicas() as [replica], three(tmp_path, replica) as all_of:
        for router in all_of.order("echo"):
            async with slow_client(router, "transfer-encoding: chunked") as odd:
                await odd.send(b"5\r\nhello\r\n")
                await asyncio.sleep(0.2)  # in one piece with its headers it would be none of HTTP
                await odd.send(b"no length\r\n")
                answer = await odd.answer()
                assert (answer.status_code, answer.json()["reason"]) == (400, "body_unreadable")


@scenario
async def test_a_service_without_replicas_keeps_its_queue_at_the_owner(tmp_path: Path) -> None:
    async with replicas() as [replica], three(tmp_path) as all_of, client() as http:
        waiting = [
            asyncio.create_task(http.post(router.uri("echo"), json={})) for router in all_of.order("echo") * 2
        ]
        await all_of.order("echo")[0].until(lambda status: taken(status) == 6)
        all_of.first.scale("echo", replica)
        assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200] * 6


@scenario
async def test_a_service_that_its_owner_learns_of_last_is_served_by_all(tmp_path: Path) -> None:
    async with replicas() as [replica], three(tmp_path, replica) as all_of, client() as http:
        owner, other, _ = all_of.order("late")
        assert owner.process is not None
        all_of.first.deploy("late", replica)
        await other.up("late", 1)
        assert (await http.post(other.uri("late"), json={})).status_code == 200


@scenario
async def test_while_routers_differ_in_whose_a_service_is_then_n_holds_and_no_request_fails(
    tmp_path: Path,
) -> None:
    async with replicas() as [replica], three(tmp_path, replica) as all_of, client() as http:
        owner, second, deaf = all_of.order("echo")
        assert deaf.process is not None
        deaf.process.send_signal(signal.SIGSTOP)  # its HAProxy goes on
        try:
            all_of.know(second.pod, deaf.pod)
            for router in (owner, second):  # the one goes by the other, which goes by nobody
                await all_of.joined(router, 1 + (router is owner))
            posts = [http.post((second, deaf)[at % 2].uri("echo"), json={"sleep": 0.05}) for at in range(20)]
            assert Counter(answer.status_code for answer in await asyncio.gather(*posts)) == {200: 20}
            assert [await answered(router, "echo") for router in (owner, second)] == [10, 10]
            assert replica.offered_most == 2, "one by each"
        finally:
            deaf.process.send_signal(signal.SIGCONT)


@scenario
async def test_when_the_owner_is_killed_then_only_what_it_held_fails_and_the_rest_is_served_within_a_second(
    tmp_path: Path,
) -> None:
    async with replicas(4) as found, three(tmp_path, *found) as all_of, client() as http:
        owner, *others = all_of.order("echo")
        assert await most_offered(http, [other.uri("echo") for other in others], found) == [1] * 4
        answers: list[tuple[float, float, httpx.Response]] = []

        async def send(number: int) -> None:
            began = time.monotonic()
            answer = await http.post(others[number % 2].uri("echo"), json={"sleep": 0.02})
            answers.append((began, time.monotonic(), answer))

        killed = 0.0
        async with asyncio.TaskGroup() as group:
            for number in range(4 * RATE):
                if number == 2 * RATE:
                    assert owner.process is not None
                    killed = time.monotonic()
                    owner.process.kill()
                group.create_task(send(number))
                await asyncio.sleep(1 / RATE)
        failed = [(began, answer) for began, _, answer in answers if answer.status_code != 200]
        assert {answer.json()["reason"] for _, answer in failed} <= {"owner_failed"}
        assert all(began < killed + 0.05 for began, _ in failed), "what came later was lost"
        took = [(ended < killed, ended - began) for began, ended, _ in answers]
        busy = max(seconds for before, seconds in took if before)  # of the machine, not of the router
        assert max(seconds for _, seconds in took) < busy + 1
        assert await most_offered(http, [other.uri("echo") for other in others], found) == [1] * 4


@scenario
async def test_when_the_owner_is_killed_then_what_it_had_on_connections_that_served_before_is_answered_too(
    tmp_path: Path,
) -> None:
    many = 8
    async with replicas() as [replica], pods(tmp_path) as all_of, client() as http:
        all_of.first.deploy("echo", replica, replica_max_concurrent_requests=many)
        await all_of.start()
        for router in all_of.routers.values():
            await router.up("echo", 1)
        owner, other, _ = all_of.order("echo")

        async def connections() -> float:
            return await counted(other, "haproxy_server_connection_attempts_total", proxy="_peers")

        await asyncio.gather(*(http.post(other.uri("echo"), json={"sleep": 1}) for _ in range(many)))
        before = await connections()
        assert before >= many
        asked = f"content-length: {LARGEST}\r\nexpect: 100-continue"
        async with (
            slow_client(other, asked) as polite,
            slow_client(other, f"content-length: {LARGEST}") as slow,
            slow_client(other, f"content-length: {len(HOLD)}") as half,
        ):
            assert await polite.continues()
            for sender in (polite, slow):
                await sender.send(b"0" * 3_000_000)
            await half.send(HOLD)
            half.half_close()
            posts = [
                asyncio.create_task(http.post(other.uri("echo"), json={"id": number, "hold": True}))
                for number in range(many - 3)
            ]
            await owner.until(lambda status: taken(status) == many)
            assert await connections() == before
            assert owner.process is not None
            owner.process.kill()
            for answer in await asyncio.gather(*posts):
                assert_refusal(answer, 502, "owner_failed", service=None)
            for sender in (polite, slow, half):
                assert_refusal(await sender.answer(), 502, "owner_failed", service=None)
        # Who sends no more may have left: that nobody counts.
        await other.until_metrics({("slipway_refusals_total", "", "owner_failed"): many - 1})
        assert Counter(replica.seen[many:]) == Counter([None, *range(many - 3)])


@scenario
async def test_when_all_routers_are_replaced_one_after_the_other_then_no_request_fails(
    tmp_path: Path,
) -> None:
    async with (
        replicas(4) as found,
        three(tmp_path, *found) as all_of,
        Balancer([]) as balancer,
        client() as http,
    ):
        balancer.ports = [router.port for router in all_of.routers.values()]
        refused: list[httpx.Response] = []
        sent, stop = 0, asyncio.Event()

        async def load(keep_alive: int) -> None:
            nonlocal sent
            limits = httpx.Limits(max_keepalive_connections=keep_alive)
            headers = {"authorization": f"Bearer {KEY}"}
            async with httpx.AsyncClient(headers=headers, timeout=30, limits=limits, trust_env=False) as one:
                while not stop.is_set():
                    answer = await one.post(balancer.uri("echo"), json={"sleep": 0.02})
                    sent += 1
                    if answer.status_code != 200:
                        refused.append(answer)

        async with asyncio.TaskGroup() as group:
            for number in range(6):
                group.create_task(load(number % 2))
            for name, router in all_of.routers.items():
                all_of.know(*(all_of.routers.keys() - {name}))
                assert router.process is not None
                router.process.terminate()
                balancer.ports.remove(router.port)
                await asyncio.to_thread(router.process.wait, 60)
                assert router.process.returncode == 0
                router.start()
                await router.up("echo", 4)
                all_of.know(*all_of.routers)
                balancer.ports.append(router.port)
                for each in all_of.routers.values():
                    await all_of.joined(each, 2)
            stop.set()
        assert [answer.text for answer in refused] == []
        assert sent > 100
        assert not any("a command failed" in router.log for router in all_of.routers.values())
        uris = [router.uri("echo") for router in all_of.routers.values()]
        assert await most_offered(http, uris, found) == [1] * 4


@scenario
async def test_a_router_takes_nothing_from_who_has_no_certificate_of_its_authority(tmp_path: Path) -> None:
    async with replicas() as [replica], three(tmp_path, replica) as all_of, client() as http:
        owner, other, _ = all_of.order("echo")
        now = datetime.now(UTC)
        foreign = issue(renewed({}, now) or {}, "a", now)
        assert foreign is not None
        certificate = tmp_path / "foreign.pem"
        certificate.write_text(foreign.certificate)
        for file in (None, certificate):
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            if file is not None:
                context.load_cert_chain(file)
            headers = {"x-slipway-handed": "echo/127.0.0.1", "authorization": f"Bearer {KEY}"}
            for scheme, http2 in (("http", False), ("https", False), ("https", True)):
                async with httpx.AsyncClient(
                    verify=context, http1=not http2, http2=http2, trust_env=False
                ) as stranger:
                    uri = f"{scheme}://127.0.0.1:{owner.peer_port}/api/v1/service/echo/score"
                    with pytest.raises((httpx.TransportError, ssl.SSLError)):
                        await stranger.post(uri, headers=headers)
        assert replica.seen == []
        assert (await http.post(other.uri("echo"), json={})).status_code == 200
        key = other.directory / "peer.pem"
        assert key.stat().st_mode & 0o777 == 0o600
        assert replica.seen == [None]


@scenario
async def test_when_the_authority_is_lost_then_another_is_made_and_no_request_fails(tmp_path: Path) -> None:
    async with replicas() as [replica], three(tmp_path, replica) as all_of, client() as http:
        owner, other, _ = all_of.order("echo")
        old = (other.directory / "authorities.pem").read_text()
        all_of.first.folder.delete("Secret", "slipway", AUTHORITY_SECRET)

        async def renewed_everywhere() -> bool | None:
            assert (await http.post(other.uri("echo"), json={})).status_code == 200
            texts = {(one.directory / "authorities.pem").read_text() for one in all_of.routers.values()}
            return True if len(texts) == 1 and texts != {old} else None

        await until(renewed_everywhere, SECONDS, lambda: owner.log)
