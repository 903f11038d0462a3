"""The scaling loop when something fails around it: the real router and HAProxy over a folder of objects."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slipway.kube.folder import Object
from slipway.router.feed import EventType, WriteError
from slipway.router.peers import Peers
from slipway.router.scaling.loop import Scaler
from tests.local.router_parts import (
    NAMESPACE,
    SECONDS,
    RouterProcess,
    client,
    replicas,
    running,
    scenario,
    until,
)
from tests.local.test_router_control import Running, objects
from tests.local.test_router_control import running as in_this_process

Json = dict[str, Any]
SCALED: Json = {"num_replicas": None, "autoscale_enabled": True, "max_request_wait_time": 20_000}


def asked(router: RouterProcess, name: str = "echo") -> int:
    found = router.folder.get("Deployment", NAMESPACE, name)
    assert found is not None
    return found["spec"].get("replicas", 1)


def pod(name: str, *conditions: Json) -> Object:
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"slipway/webservice": "echo"}},
        "status": {"conditions": list(conditions)},
    }


@scenario
async def test_when_pods_find_no_node_then_no_more_are_asked_for_and_an_event_says_so(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        stuck = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no cpu"}
        router.folder.put(pod("echo-1", stuck))
        router.deploy("echo", replica, **SCALED)
        router.start()
        await router.until(lambda status: status["services"]["echo"]["scaling"] is not None)
        load = [asyncio.create_task(http.post(router.uri("echo"), json={"sleep": 0.4})) for _ in range(60)]
        said = "pods wait for a node"
        status = await router.until(lambda status: said in str(status["services"]["echo"]["scaling"]))
        assert status["services"]["echo"]["scaling"]["unschedulable"] == ["no cpu"]

        async def told() -> list[Object] | None:
            return router.folder.list("Event") or None

        (event,) = await until(told, SECONDS, lambda: router.log)
        assert (event["type"], event["reason"]) == ("Warning", "FailedScheduling")
        assert event["note"] == (
            "1 of 1 replicas find no node, and no more are asked for until they do: no cpu"
        )
        assert asked(router) == 1
        router.folder.put(pod("echo-1"))
        await router.until(lambda _: asked(router) > 1)
        for task in load:
            task.cancel()


@scenario
async def test_requests_are_counted_once_over_reloads_and_a_restart_of_haproxy(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as first:
        await router.serve("echo", replica, **SCALED, autoscale_max_replicas=1)
        await asyncio.gather(*(first.post(router.uri("echo"), json={"sleep": 0.01}) for _ in range(20)))
        slow = asyncio.create_task(first.post(router.uri("echo"), json={"hold": True}))
        await router.until(lambda status: status["services"]["echo"]["busy"] == 1)
        router.deploy("fraud")
        await router.up("fraud", 0)
        now = len(await journal(router))
        lines = await journal_until(router, lambda lines: len(lines) >= now + 2)
        assert lines[-1]["busy"] == 1, "a request in a worker that only finishes is busy"
        replica.release()
        assert (await slow).status_code == 200
        async with client() as second:
            await asyncio.gather(*(second.post(router.uri("echo"), json={}) for _ in range(10)))
            await journal_until(router, lambda lines: arrivals(lines) == 31)
            os.kill((await router.status())["haproxy_pid"], signal.SIGKILL)
            await router.until(lambda status: status["restarts"] == 1)
            await router.up("echo", 1)
        async with client() as third:
            await asyncio.gather(*(third.post(router.uri("echo"), json={}) for _ in range(5)))
        lines = await journal_until(router, lambda lines: arrivals(lines) >= 36)
        assert (arrivals(lines), sum(line["refused"] for line in lines)) == (36, 0)


@scenario
async def test_a_router_that_finishes_its_requests_scales_nothing_for_its_load_goes_elsewhere(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        await router.serve("echo", replica, **SCALED)
        assert router.process is not None
        slow = asyncio.create_task(http.post(router.uri("echo"), json={"sleep": 5}))
        await router.until(lambda status: status["services"]["echo"]["busy"] == 1)
        router.process.send_signal(signal.SIGTERM)

        async def stopping() -> bool | None:
            return (await router.admin.get("/ready")).status_code == 503 or None

        await until(stopping, SECONDS, lambda: router.log)
        router.folder.update("Deployment", NAMESPACE, "echo", lambda obj: {**obj, "spec": {"replicas": 20}})
        assert (await slow).status_code == 200
        await asyncio.to_thread(router.process.wait, SECONDS)
        assert asked(router) == 20, "more than its maximum, and left as it is"


async def journal(router: RouterProcess) -> list[Json]:
    text = (await router.admin.get("/journal?service=echo")).text
    return [json.loads(line) for line in text.splitlines()]


async def journal_until(router: RouterProcess, condition: Callable[[list[Json]], bool]) -> list[Json]:
    async def look() -> list[Json] | None:
        lines = await journal(router)
        return lines if condition(lines) else None

    return await until(look, SECONDS, lambda: router.log)


def arrivals(lines: list[Json]) -> int:
    return sum(line["arrivals"] for line in lines)


class Refusing:
    """A writer whose `scale` fails for the service `echo`, or hangs; it keeps what it is told."""

    def __init__(self, hangs: bool) -> None:
        self.hangs = hangs
        self.scaled: list[str] = []
        self.events: list[tuple[EventType, str, str]] = []

    async def scale(self, namespace: str, deployment: str, replicas: int) -> None:
        self.scaled.append(deployment)
        if deployment == "echo":
            if self.hangs:
                await asyncio.Event().wait()
            raise WriteError(f"forbidden in {namespace}: {replicas}")

    async def put_secret(self, secret: Object) -> bool:
        raise AssertionError(secret)

    async def event(self, regarding: Object, type: EventType, reason: str, note: str) -> None:  # noqa: A002 - the port's
        assert regarding["kind"] == "Deployment"
        self.events.append((type, reason, note))

    async def resize(self, namespace: str, pod: str, container: str, cpu: int) -> bool:
        raise WriteError("pods/resize is forbidden")


class Counting(Peers):
    """Counts how often the loop looked at other objects."""

    found = 0

    def find(self, slices: Iterable[Object]) -> None:
        self.found += 1
        super().find(slices)


@contextlib.asynccontextmanager
async def looking(one: Running, writer: Refusing, peers: Peers) -> AsyncGenerator[Scaler]:
    scaler = Scaler(one.router, one.haproxy, writer, peers)
    task = asyncio.create_task(scaler.run())
    try:
        yield scaler
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def scaling(folder: Path, writer: Refusing) -> AsyncGenerator[Scaler]:
    """A loop in this process, over two services that ask for more replicas than they may."""
    async with in_this_process(folder) as one:
        given = objects(echo=[1001], fraud=[1002])
        for deployment in given.deployments:
            deployment |= {"kind": "Deployment", "spec": {"replicas": 20}}
        await one.feed.queue.put(given)
        await one.until_reloads(1)
        async with looking(one, writer, Peers("")) as scaler:
            yield scaler


@scenario
async def test_when_scaling_is_refused_then_journal_and_event_say_why_and_it_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    writer = Refusing(hangs=False)
    async with scaling(tmp_path, writer) as scaler:

        async def again() -> bool | None:
            return writer.scaled.count("echo") == 2 or None

        await until(again, SECONDS, lambda: repr(writer.scaled))
        first, *_ = (json.loads(line) for line in scaler.journal.text("echo").splitlines())
        assert (first["replicas"], first["wanted"]) == (20, 10)
        assert first["outcome"] == "forbidden in slipway-services: 10"
        note = "Not scaled from 20 to 10 replicas; autoscale_max_replicas: forbidden in slipway-services: 10"
        assert [event[2] for event in writer.events if event[1] == "FailedRescale"] == [note], "only once"
        assert ("Normal", "SuccessfulRescale") in [event[:2] for event in writer.events], "of the other"


@scenario
async def test_when_a_write_hangs_then_the_other_services_are_scaled_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    writer = Refusing(hangs=True)
    async with scaling(tmp_path, writer) as scaler:

        async def others() -> bool | None:
            return (len(scaler.journal.text("fraud").splitlines()) >= 1 and "echo" in writer.scaled) or None

        await until(others, SECONDS, lambda: repr(writer.scaled))
        assert scaler.journal.text("echo") == ""
        assert writer.scaled.count("echo") == 1


@scenario
async def test_when_a_service_comes_back_then_it_is_told_anew_that_its_pods_find_no_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    writer, peers = Refusing(hangs=False), Counting("")
    given = objects(echo=[1001])
    given.deployments[0]["kind"] = "Deployment"
    stuck = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no cpu"}
    async with in_this_process(tmp_path) as one, looking(one, writer, peers):

        async def until_told(times: int) -> None:
            async def told() -> bool | None:
                return [reason for _, reason, _ in writer.events] == ["FailedScheduling"] * times or None

            await until(told, SECONDS, lambda: repr(writer.events))

        async def looked() -> bool | None:
            return peers.found == before + 1 or None

        await one.feed.queue.put(replace(given, pods=[pod("echo-1", stuck)]))
        await until_told(1)
        before = peers.found
        await one.feed.queue.put(objects())
        await until(looked, SECONDS, lambda: str(peers.found))
        await one.feed.queue.put(replace(given, pods=[pod("echo-1", stuck)]))
        await until_told(2)
