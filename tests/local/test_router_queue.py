"""One queue a service: in order, exactly N at a replica, and alive while there is no replica."""

import asyncio
from pathlib import Path

import httpx

from tests.local.router_parts import client, most_offered, replicas, running, scenario, statuses, taken


@scenario
async def test_when_requests_wait_then_they_are_served_in_the_order_of_their_arrival(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        await router.serve("echo", replica, max_request_wait_time=10_000)
        tasks: list[asyncio.Task[httpx.Response]] = []
        for number in range(25):
            body = {"id": number, "hold": number == 0}
            tasks.append(asyncio.create_task(http.post(router.uri("echo"), json=body)))
            await router.until(lambda status, number=number: taken(status) == number + 1)
        replica.release()
        assert set(statuses(await asyncio.gather(*tasks))) == {200}
        assert replica.seen == list(range(25))


@scenario
async def test_when_many_requests_come_at_once_then_no_replica_is_offered_more_than_its_limit(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as router, replicas(3) as three, client() as http:
        await router.serve("echo", *three, replica_max_concurrent_requests=2, max_request_wait_time=20_000)
        assert await most_offered(http, [router.uri("echo")] * 4, three) == [2, 2, 2]


@scenario
async def test_when_the_last_replica_leaves_then_the_queue_waits_for_the_next_one(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas(2) as [first, second], client() as http:
        await router.serve("echo", first, max_request_wait_time=10_000)
        running_one = asyncio.create_task(http.post(router.uri("echo"), json={"hold": True}))
        await router.until(lambda status: status["services"]["echo"]["busy"] == 1)
        waiting = [asyncio.create_task(http.post(router.uri("echo"), json={})) for _ in range(5)]
        await router.until(lambda status: status["services"]["echo"]["queued"] == 5)
        router.scale("echo")
        await router.up("echo", 0)
        first.release()
        assert (await running_one).json()["port"] == first.port  # it finishes what it has
        late = asyncio.create_task(http.post(router.uri("echo"), json={}))
        await router.until(lambda status: status["services"]["echo"]["queued"] == 6)
        router.scale("echo", second)
        ports = [response.json()["port"] for response in await asyncio.gather(*waiting, late)]
        assert ports == [second.port] * 6
        assert (await router.status())["reloads"] == 0


@scenario
async def test_when_the_last_replica_dies_then_only_its_own_request_fails(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas(2) as [first, second], client() as http:
        await router.serve("echo", first, max_request_wait_time=10_000)
        own = asyncio.create_task(http.post(router.uri("echo"), json={"hold": True}))
        await router.until(lambda status: status["services"]["echo"]["busy"] == 1)
        waiting = [asyncio.create_task(http.post(router.uri("echo"), json={})) for _ in range(5)]
        await router.until(lambda status: status["services"]["echo"]["queued"] == 5)
        await first.stop()
        assert (await own).json()["reason"] == "replica_failed"
        await router.until(lambda status: status["services"]["echo"]["up"] == 0)
        router.scale("echo", second)
        assert set(statuses(await asyncio.gather(*waiting))) == {200}


@scenario
async def test_when_a_reload_would_strand_a_queue_then_it_waits_for_it(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas(1) as [replica], client() as http:
        await router.serve("echo", max_request_wait_time=8000)
        waiting = [asyncio.create_task(http.post(router.uri("echo"), json={})) for _ in range(3)]
        await router.until(lambda status: status["services"]["echo"]["queued"] == 3)
        router.deploy("fraud", replica)
        await router.until(lambda status: "fraud" in status["services"])
        assert (await router.status())["reloads"] == 0
        router.scale("echo", replica)
        assert set(statuses(await asyncio.gather(*waiting))) == {200}
        await router.up("fraud", 1)
        await router.until(lambda status: status["reloads"] == 1)


@scenario
async def test_when_there_was_a_reload_then_a_queue_still_outlives_its_last_replica(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas(1) as [replica], client() as http:
        await router.serve("echo", max_request_wait_time=8000)
        for name in ("one", "two", "three"):
            router.deploy(name)
            await router.up(name, 0)
        await router.until(lambda status: status["reloads"] == 3)
        for name in ("echo", "three"):
            router.scale(name)
            waiting = [asyncio.create_task(http.post(router.uri(name), json={})) for _ in range(3)]
            if name == "echo":
                await router.until(lambda status: status["services"]["echo"]["queued"] == 3)
                router.scale(name, replica)
            assert set(statuses(await asyncio.gather(*waiting))) == ({200} if name == "echo" else {503})


@scenario
async def test_when_clients_go_away_queued_or_running_then_the_others_are_served_within_the_limit(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        await router.serve("echo", replica, max_request_wait_time=10_000)
        gone = [asyncio.create_task(http.post(router.uri("echo"), json={"hold": True})) for _ in range(3)]
        await router.until(lambda status: status["services"]["echo"]["queued"] == 2)
        stay = [asyncio.create_task(http.post(router.uri("echo"), json={"sleep": 0.05})) for _ in range(5)]
        await router.until(lambda status: status["services"]["echo"]["queued"] == 7)
        for task in gone:  # one runs, two wait
            task.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        replica.release()
        assert set(statuses(await asyncio.gather(*stay))) == {200}
        assert replica.offered_most == 1
        await router.until(lambda status: taken(status) == 0)


@scenario
async def test_when_there_are_many_services_then_the_queue_of_each_is_held(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        names = [f"service-{number}" for number in range(250)]
        for name in names:
            router.deploy(name, max_request_wait_time=8000)
        router.start()
        await router.until(lambda status: len(status["services"]) == 250)
        waiting = [asyncio.create_task(http.post(router.uri(name), json={})) for name in names[::10]]
        await router.until(lambda status: all(status["services"][name]["queued"] for name in names[::10]))
        for name in names[::10]:
            router.scale(name, replica)
        assert set(statuses(await asyncio.gather(*waiting))) == {200}
        assert "no slot was taken" not in router.log
