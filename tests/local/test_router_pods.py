"""Several router pods are one router: each service has one queue, at its owner, whoever takes a request."""

import asyncio
from pathlib import Path

import httpx

from tests.local.router_parts import client, replicas, scenario
from tests.local.router_pods import pods


@scenario
async def test_whichever_router_takes_a_request_one_queue_orders_them_all_and_n_holds(tmp_path: Path) -> None:
    async with pods(tmp_path) as all_of, replicas() as [replica], client() as http:
        all_of.first.deploy("echo", replica, max_request_wait_time=30_000)
        await all_of.start()
        owner, *others = all_of.order("echo")
        for router in (owner, *others):
            await router.up("echo", 1)
        tasks: list[asyncio.Task[httpx.Response]] = []
        for number in range(12):
            router = (owner, *others)[number % 3]
            body = {"id": number, "sleep": 0.05}
            tasks.append(asyncio.create_task(http.post(router.uri("echo"), json=body)))
            await owner.until(
                lambda status, at=number: (
                    status["services"]["echo"]["busy"]
                    + status["services"]["echo"]["queued"]
                    + len(replica.seen)
                    - replica.running
                    > at
                )
            )
        answers = await asyncio.gather(*tasks)
        assert {answer.status_code for answer in answers} == {200}
        assert replica.seen == list(range(12))
        assert replica.offered_most == 1
