"""Two routers over the same objects: one scales a service, by the requests of both."""

import asyncio
from pathlib import Path

from tests.local.router_parts import NAMESPACE, client, replicas, scenario
from tests.local.router_pods import pods
from tests.local.test_router_scaling_loop import SCALED, arrivals, asked, journal, journal_until


@scenario
async def test_the_owner_alone_scales_by_the_requests_of_another_and_removes_nothing_when_that_is_silent(
    tmp_path: Path,
) -> None:
    addresses = {"a": "127.0.0.1", "b": "127.0.0.1"}
    async with pods(tmp_path, addresses) as both, replicas() as [replica], client() as http:
        mine, other = both.order("echo")
        both.first.deploy("echo", replica, **SCALED)
        await both.start()
        for router in (mine, other):
            await router.up("echo", 1)
        await mine.until(lambda status: status["services"]["echo"]["scaling"] is not None)
        await other.until(lambda status: status["services"]["echo"]["scaling"] == {"owner": mine.pod})
        load = [asyncio.create_task(http.post(other.uri("echo"), json={"sleep": 0.4})) for _ in range(60)]
        lines = await journal_until(mine, lambda lines: "scaled" in (line["outcome"] for line in lines))
        assert asked(both.first) > 1
        assert {line["outcome"] for line in lines} == {"kept", "scaled"}
        assert arrivals(lines) > 0
        assert lines[-1]["busy"] == 1
        assert await journal(other) == []
        for task in load:
            task.cancel()

        assert other.process is not None
        other.process.kill()
        await mine.until(lambda status: not status["services"]["echo"]["scaling"]["complete"])
        both.first.folder.update(
            "Deployment", NAMESPACE, "echo", lambda obj: {**obj, "spec": {"replicas": 20}}
        )
        rule = "keep: a router does not answer"
        await mine.until(lambda status: status["services"]["echo"]["scaling"]["rule"] == rule)
        assert asked(both.first) == 20, "more than its maximum"
        both.know(mine.pod)
        await mine.until(lambda _: asked(both.first) == 10)
