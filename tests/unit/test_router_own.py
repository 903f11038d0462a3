"""When the router scales itself, and what it tells of it."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from slipway.router.feed import WriteError
from slipway.router.scaling import itself, own
from slipway.router.scaling.itself import Told
from slipway.router.scaling.journal import Journal
from slipway.router.scaling.own import OwnScaler
from slipway.router.scaling.replay import read
from tests.unit.router_itself import NO_NODE, POD, SIZE, Cluster, pod, soon

__all__ = ["soon"]


class Looking:
    """A router that looks at what it is shown."""

    def __init__(self, cluster: Cluster, *others: Told | None) -> None:
        self.cluster = cluster
        self.routing, self.cpu = 0.0001, 0.1
        self.told: Told | None = None
        self.journal = Journal()
        self.others = others
        self.pod, self.changes = POD, 0
        self.owner: Callable[[str], str] = lambda _: POD

    @property
    def peers(self) -> Looking:
        return self

    async def ask(self) -> dict[str, Any]:
        return {str(place): SimpleNamespace(own=one) for place, one in enumerate(self.others)}

    async def routing_seconds(self) -> float:
        return self.routing

    async def cores(self) -> float:
        return self.cpu * self.cluster.threads

    def tell(self, told: Told | None) -> None:
        self.told = told

    async def until(self, look: Callable[[], object]) -> None:
        this = cast("Any", self)
        scaler = OwnScaler(cast("Any", self.cluster), this, this, self.cluster.steps(), SIZE)
        running = asyncio.create_task(scaler.run())
        async with asyncio.timeout(20):
            while not look():  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.002)
        running.cancel()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.journal.text().splitlines()]


def by_step(lines: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    return ((line["step"], line["outcome"]) for line in lines)


def test_the_need_enables_it_then_a_thread_comes_and_the_journal_says_what_it_came_from() -> None:
    looking = Looking(Cluster())
    looking.routing, looking.cpu = 0.05, 0.95
    asyncio.run(looking.until(lambda: looking.cluster.threads == 2))
    enabled, up = looking.lines
    assert [*by_step([enabled, up])] == [("enable", "scaled"), ("up", "scaled")]
    assert (up["router"], up["threads"], up["replicas"]) == (POD, 1, 2)
    assert up["routing_seconds"] == 0.05
    assert up["cpu"] == pytest.approx(0.95)
    assert [reason for _, reason, _ in looking.cluster.told] == ["SelfScalingEnabled", "SuccessfulRescale"]
    assert read(looking.journal.text().splitlines()) == {}, "a replay of services does without"


def test_what_was_refused_is_not_asked_for_again_for_a_while() -> None:
    looking = Looking(Cluster("defers"), None)
    looking.routing, looking.cpu = 0.05, 0.95
    again = itself.OUT_SECONDS
    asyncio.run(looking.until(lambda: looking.told is not None and looking.told.slow_seconds >= again))
    assert [*by_step(looking.lines)] == [
        ("enable", "scaled"),
        ("up", "1800m of CPU: Deferred: no room"),
    ]
    assert looking.told is not None
    assert looking.told.full


def test_a_pod_comes_where_threads_do_not_and_goes_back_when_no_node_takes_it() -> None:
    cluster = Cluster("defers")
    busy = Told(2, full=True, enabled=True, routing_seconds=0.05, cpu=2.0, slow_seconds=99)
    looking = Looking(cluster, busy)
    looking.routing, looking.cpu = 0.05, 0.95

    def wanted() -> bool:
        if cluster.replicas == 3:
            cluster.pods = [pod(), pod("b"), pod("c", **NO_NODE)]
        return looking.lines[-1:] != [] and looking.lines[-1]["step"] == "in"

    asyncio.run(looking.until(wanted))
    assert [line["step"] for line in looking.lines] == ["enable", "up", "out", "in"]
    assert looking.lines[-1]["rule"] == "a pod finds no node: 0/1 nodes"
    assert cluster.replicas == SIZE.replicas


def test_pods_that_are_configured_come_at_once_and_more_go_when_all_are_calm() -> None:
    looking = Looking(Cluster(replicas=1))
    asyncio.run(looking.until(lambda: looking.cluster.replicas == 2))
    calm = Told(1, full=False, enabled=False, routing_seconds=0.0001, cpu=0.1, highest_cpu=0.1)
    looking = Looking(Cluster(replicas=4), calm, calm, calm)
    asyncio.run(looking.until(lambda: looking.cluster.replicas == 3))
    assert [line["step"] for line in looking.lines] == ["in"]


def test_what_cannot_be_written_is_tried_again_after_a_pause_and_the_evidence_stays() -> None:
    tried: list[float] = []

    class Forbidding(Cluster):
        async def scale(self, namespace: str, deployment: str, replicas: int) -> None:
            tried.append(time.monotonic())
            raise WriteError("deployments/scale is forbidden")

    looking = Looking(Forbidding(replicas=1))
    asyncio.run(looking.until(lambda: looking.told is not None and looking.told.highest_cpu is not None))
    assert {*by_step(looking.lines)} == {("out", "deployments/scale is forbidden")}
    assert len(tried) > 1
    assert all(later - sooner >= own.AGAIN_SECONDS for sooner, later in itertools.pairwise(tried))


@pytest.mark.parametrize("error", [WriteError("the API server is away"), TimeoutError()])
def test_the_configured_pods_come_as_soon_as_they_can_be_written(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away(Cluster):
        async def scale(self, namespace: str, deployment: str, replicas: int) -> None:
            if not self.resized:  # the first time
                self.resized.append(0)
                raise error
            await super().scale(namespace, deployment, replicas)

    monkeypatch.setattr(own, "REFUSED_SECONDS", math.inf)
    looking = Looking(Away(replicas=1))
    asyncio.run(looking.until(lambda: looking.cluster.replicas == 2))


def test_the_configured_pods_come_though_one_more_found_no_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "REFUSED_SECONDS", math.inf)
    cluster = Cluster(replicas=3, pods=[pod(), pod("b"), pod("c", **NO_NODE)])
    looking = Looking(cluster)

    def taken_back_then_lost() -> bool:
        if cluster.replicas == 2 and len(looking.lines) == 1:
            cluster.pods, cluster.replicas = [pod()], 1
        return [line["step"] for line in looking.lines] == ["in", "out"]

    asyncio.run(looking.until(taken_back_then_lost))
    assert cluster.replicas == 2


def test_while_a_pod_does_not_answer_or_another_decides_the_number_of_pods_stays() -> None:
    calm = Told(1, full=False, enabled=False, routing_seconds=0.0001, cpu=0.1, highest_cpu=0.1)
    for others, owner in (((calm, calm, None), POD), ((calm, calm, calm), "another")):
        looking = Looking(Cluster(replicas=4), *others)
        looking.owner = lambda _, name=owner: name
        asyncio.run(looking.until(lambda at=looking: at.told is not None and at.told.highest_cpu is not None))
        assert looking.lines == []


def test_what_an_earlier_process_of_the_pod_asked_for_is_taken_back() -> None:
    looking = Looking(Cluster(pods=[pod(cpu="1800m")]))
    asyncio.run(looking.until(lambda: looking.told is not None))
    assert looking.cluster.resized == [900]


def test_a_thread_goes_after_a_calm_time() -> None:
    looking = Looking(Cluster(threads=2, pods=[pod(cpu="1800m")]))
    asyncio.run(looking.until(lambda: looking.cluster.threads == 1 and looking.cluster.resized))
    assert [line["step"] for line in looking.lines] == ["down"]
    assert looking.cluster.resized == [900]


def test_cpu_that_cannot_be_given_back_at_once_is_later_and_the_thread_went_all_the_same() -> None:
    class Away(Cluster):
        tries = 0

        async def resize(self, namespace: str, pod_: str, container: str, cpu: int) -> bool:
            self.tries += 1
            if self.tries <= 2:
                raise WriteError("the API server is away")
            return await super().resize(namespace, pod_, container, cpu)

    looking = Looking(Away(threads=2, pods=[pod(cpu="1800m")]))
    asyncio.run(looking.until(lambda: looking.cluster.resized == [900]))
    assert [*by_step(looking.lines)] == [("down", "scaled")]
    assert next(note for _, _, note in looking.cluster.told).startswith("Scaled from 2 to 1 threads")


def test_a_right_that_is_missing_for_good_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    class Forbidding(Cluster):
        tries = 0

        async def resize(self, namespace: str, pod_: str, container: str, cpu: int) -> bool:
            self.tries += 1
            if self.tries == 4:
                return await super().resize(namespace, pod_, container, cpu)
            raise WriteError("pods/resize is forbidden")

    looking = Looking(Forbidding(pods=[pod(cpu="1800m")]))
    looking.routing, looking.cpu = 0.05, 0.95

    asyncio.run(looking.until(lambda: len(looking.lines) >= 3))
    failed = ("up", "pods/resize is forbidden")
    assert [*by_step(looking.lines)][1:] == [failed, failed]
    assert [one.getMessage() for one in caplog.records if one.levelname == "WARNING"] == [
        "the pod asks for more CPU than it needs: pods/resize is forbidden",
        f"the router itself: Not scaled from 1 to 2 threads of {POD}: pods/resize is forbidden",
    ]
    assert [reason for _, reason, _ in looking.cluster.told] == ["SelfScalingEnabled", "FailedRescale"]


def test_what_a_refused_step_left_asked_for_is_taken_back() -> None:
    """Though the node never gave it, its scheduler keeps it."""
    looking = Looking(Cluster(pods=[pod(wants="1800m")]))
    asyncio.run(looking.until(lambda: looking.cluster.resized == [900]))
