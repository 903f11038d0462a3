"""Two routers over the same objects: one scales a service, by the requests of both."""

import asyncio
from pathlib import Path

from slipway.router.ownership import owner
from tests.local.router_parts import NAMESPACE, RouterProcess, client, replicas, running, scenario
from tests.local.test_router_scaling_loop import SCALED, asked, journal

PODS = {"a": "127.0.0.1", "b": "127.0.0.2"}
OWNER = owner("echo", PODS)


def know_each_other(router: RouterProcess, *ready: str) -> None:
    endpoints = [
        {
            "addresses": [address],
            "conditions": {"ready": pod in ready},
            "targetRef": {"kind": "Pod", "name": pod},
        }
        for pod, address in PODS.items()
    ]
    labels = {"kubernetes.io/service-name": "slipway-router"}
    metadata = {"name": "slipway-router", "namespace": "slipway", "labels": labels}
    router.folder.put({"kind": "EndpointSlice", "metadata": metadata, "endpoints": endpoints})


@scenario
async def test_the_owner_alone_scales_by_the_requests_of_another_and_removes_nothing_when_that_is_silent(
    tmp_path: Path,
) -> None:
    async with running(tmp_path / "a", POD_NAME="a") as first:
        shared = {
            "SLIPWAY_OBJECTS": first.environment["SLIPWAY_OBJECTS"],
            "ADMIN_PORT": str(first.admin_port),
        }
        async with (
            running(tmp_path / "b", POD_NAME="b", POD_IP=PODS["b"], **shared) as second,
            replicas() as [replica],
            client() as http,
        ):
            (tmp_path / "b").mkdir()
            both = {"a": first, "b": second}
            mine, other = both.pop(OWNER), next(iter(both.values()))
            first.deploy("echo", replica, **SCALED)
            know_each_other(first, *PODS)
            for router in (first, second):
                router.start()
            for router in (first, second):
                await router.up("echo", 1)
            await mine.until(lambda status: status["services"]["echo"]["scaling"] is not None)
            await other.until(lambda status: status["services"]["echo"]["scaling"] == {"owner": OWNER})
            load = [asyncio.create_task(http.post(other.uri("echo"), json={"sleep": 0.4})) for _ in range(60)]
            await mine.until(lambda _: asked(first) > 1)
            lines = await journal(mine)
            assert {line["outcome"] for line in lines} == {"kept", "scaled"}
            assert lines[-1]["arrivals"] > 0
            assert lines[-1]["busy"] == 1
            assert await journal(other) == []
            for task in load:
                task.cancel()

            assert other.process is not None
            other.process.kill()
            await mine.until(lambda status: not status["services"]["echo"]["scaling"]["complete"])
            first.folder.update(
                "Deployment", NAMESPACE, "echo", lambda obj: {**obj, "spec": {"replicas": 20}}
            )
            rule = "keep: a router does not answer"
            await mine.until(lambda status: status["services"]["echo"]["scaling"]["rule"] == rule)
            assert asked(first) == 20, "more than its maximum"
            know_each_other(first, OWNER)
            await mine.until(lambda _: asked(first) == 10)
