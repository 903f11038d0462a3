"""What the router does about itself: a step, the CPU for it, and what it tells of both."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from slipway.kube.folder import Object
from slipway.router.feed import Objects, WriteError
from slipway.router.options import Size
from slipway.router.scaling import itself, own, steps
from slipway.router.scaling.capacity import refused, requested, unplaced
from slipway.router.scaling.itself import Told
from slipway.router.scaling.journal import Journal
from slipway.router.scaling.own import OwnScaler
from slipway.router.scaling.replay import read
from slipway.router.scaling.steps import Steps

POD = "slipway-router-a"
SIZE = Size(replicas=2, cpu=900, most_cpu=2000)
NO_NODE: dict[str, Any] = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/1 nodes",
}


def pod(
    name: str = POD,
    cpu: str | None = "900m",
    wants: str | None = None,
    generation: int = 0,
    **condition: object,
) -> Object:
    """Give a pod with so much CPU, that asks for it or for another amount."""

    def resources(amount: str | None) -> Object:
        return {"name": "router", "resources": {"requests": {"cpu": amount}} if amount is not None else None}

    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "slipway", "generation": generation},
        "spec": {"containers": [resources(wants or cpu or "900m")]},
        "status": {
            "containerStatuses": [resources(cpu)],
            "conditions": [condition] if condition else [],
        },
    }


@dataclass
class Cluster:
    """A router, its pods and who may write of them; a node gives CPU as it is told."""

    node: str = "gives"
    """Or `defers`, `is silent`, `cannot resize`."""
    threads: int = 1
    replicas: int = 2
    pods: list[Object] = field(default_factory=lambda: [pod()])
    resized: list[int] = field(default_factory=list[int])
    told: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    ready: bool = True
    error: str | None = None

    @property
    def serving(self) -> Any:
        return SimpleNamespace(threads=self.threads)

    @property
    def objects(self) -> Objects:
        deployment = {
            "kind": "Deployment",
            "metadata": {"name": "slipway-router", "namespace": "slipway", "uid": "1"},
            "spec": {"replicas": self.replicas},
        }
        return Objects(own_deployments=[deployment], own_pods=self.pods)

    async def scale(self, namespace: str, deployment: str, replicas: int) -> None:
        assert (namespace, deployment) == ("slipway", "slipway-router")
        self.replicas = replicas

    async def resize(self, namespace: str, pod_: str, container: str, cpu: int) -> bool:
        assert (namespace, pod_, container) == ("slipway", POD, "router")
        if self.node == "cannot resize":
            return False
        if self.node == "forbids":
            raise WriteError("pods is forbidden")
        self.resized.append(cpu)
        if self.node == "defers" and cpu > SIZE.cpu:
            said: dict[str, Any] = {
                "type": "PodResizePending",
                "status": "True",
                "reason": "Deferred",
                "message": "no room",
            }
            self.pods = [pod(wants=f"{cpu}m", **said)]
        elif self.node == "is silent" and cpu > SIZE.cpu:
            self.pods = [pod(wants=f"{cpu}m")]
        else:
            self.pods = [pod(cpu=f"{cpu}m")]
        return True

    async def event(self, regarding: Object, type: str, reason: str, note: str) -> None:  # noqa: A002 - Kubernetes' name
        assert regarding["metadata"]["uid"] == "1"
        self.told.append((type, reason, note))

    def steps(self) -> Steps:
        return Steps(cast("Any", self), cast("Any", self), POD, SIZE)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second be a hundredth."""
    monkeypatch.setattr(steps, "LOOK_SECONDS", 0.001)
    for module in (itself, own, steps):
        for name in ("GRANT", "TICK", "ASK", "AGAIN", "REFUSED", "WINDOW", "ENABLE", "OUT", "CALM"):
            with contextlib.suppress(AttributeError):
                seconds = getattr(module, f"{name}_SECONDS")
                monkeypatch.setattr(module, f"{name}_SECONDS", seconds / 100)


def take(cluster: Cluster, *names: itself.Step) -> list[str | None]:
    async def scenario() -> list[str | None]:
        taker = cluster.steps()
        found: list[str | None] = []
        for name in names:
            why = await taker.take(itself.Decision(name, "because"))
            found.append(None if why is None else str(why))
            await taker.settle()
        return found

    return asyncio.run(scenario())


def test_a_thread_comes_with_its_cpu_and_goes_with_it() -> None:
    cluster = Cluster()
    assert take(cluster, "up", "down") == [None, None]
    assert cluster.resized == [1800, 900]
    assert cluster.told == [
        ("Normal", "SuccessfulRescale", f"Scaled from 1 to 2 threads of {POD}; because"),
        ("Normal", "SuccessfulRescale", f"Scaled from 2 to 1 threads of {POD}; because"),
    ]


@pytest.mark.parametrize(("node", "why"), [("defers", "Deferred: no room"), ("is silent", "did not answer")])
def test_what_the_node_does_not_give_now_is_taken_back_and_no_thread_comes(node: str, why: str) -> None:
    cluster = Cluster(node)
    (said,) = take(cluster, "up")
    assert said is not None
    assert why in said
    assert cluster.threads == 1
    assert cluster.resized == [1800, 900]
    assert cluster.told == [("Warning", "FailedRescale", f"Not scaled from 1 to 2 threads of {POD}: {said}")]


def test_when_haproxy_does_not_take_the_thread_its_cpu_is_given_back() -> None:
    class Stubborn(Cluster):
        @property
        def serving(self) -> Any:
            return SimpleNamespace(threads=1)

    cluster = Stubborn(error="HAProxy does not reload")
    assert take(cluster, "up") == ["HAProxy does not reload"]
    assert (cluster.threads, cluster.resized) == (1, [1800, 900])


def test_without_the_right_no_thread_comes() -> None:
    cluster = Cluster("forbids")
    assert take(cluster, "up") == ["pods is forbidden"]
    assert cluster.threads == 1


@pytest.mark.parametrize(
    "cluster", [Cluster("cannot resize"), Cluster(pods=[pod(cpu=None)]), Cluster(pods=[])]
)
def test_where_no_pod_can_be_resized_the_thread_comes_alone(cluster: Cluster) -> None:
    assert take(cluster, "up") == [None]
    assert (cluster.threads, cluster.resized) == (2, [])


def test_a_pod_never_asks_for_all_of_its_limit_unless_it_always_did() -> None:
    """Or its class would change, which no pod's may."""
    asked: list[list[int]] = []
    for size in (Size(2, 1000, 2000), Size(2, 2000, 2000)):
        cluster = Cluster(pods=[pod(cpu=f"{size.cpu}m")])
        asyncio.run(Steps(cast("Any", cluster), cast("Any", cluster), POD, size).request(2))
        asked.append(cluster.resized)
    assert asked == [[1999], []]


def test_a_pod_comes_and_goes_by_the_deployments_number() -> None:
    cluster = Cluster()
    assert take(cluster, "out", "in", "in") == [None, None, None]
    assert cluster.replicas == 1
    assert next(note for _, _, note in cluster.told) == "Scaled from 2 to 3 pods of the router; because"


def test_what_a_pods_status_says_of_its_cpu() -> None:
    assert [requested(pod(cpu=cpu)) for cpu in ("900m", "2", "0.5", None)] == [900, 2000, 500, None]
    assert requested({}) is None
    pending: dict[str, Any] = {"status": "True", "message": "m"}
    assert refused(pod(), pod()) is None
    assert refused(pod(type="PodResizePending", reason="Infeasible", **pending), pod()) == "Infeasible: m"
    assert refused(pod(type="PodResizeInProgress", reason="Error", **pending), pod()) == "Error: m"
    assert refused(pod(type="PodResizeInProgress", **pending), pod()) is None
    assert refused(pod(type="PodResizePending", reason="Deferred", status="False"), pod()) is None


def test_what_a_node_said_of_an_earlier_request_is_no_answer_to_this_one() -> None:
    said: dict[str, Any] = {"type": "PodResizePending", "status": "True", "reason": "Deferred"}
    before = pod(**said, message="earlier")
    assert refused(before, before) is None
    assert refused(pod(**said, message="now"), before) == "Deferred: now"
    before = pod(generation=3, **said, message="m", observedGeneration=2)
    late = pod(generation=4, **said, message="another", observedGeneration=3)
    assert refused(late, before) is None
    assert refused(pod(generation=4, **said, message="m", observedGeneration=4), before) == "Deferred: m"


def test_a_thread_comes_though_an_earlier_refusal_still_stands_when_its_cpu_is_asked_for() -> None:
    class Slow(Cluster):
        async def resize(self, namespace: str, pod_: str, container: str, cpu: int) -> bool:
            asyncio.get_running_loop().call_later(0.02, lambda: setattr(self, "pods", [pod(cpu=f"{cpu}m")]))
            return True

    said: dict[str, Any] = {
        "type": "PodResizePending",
        "status": "True",
        "reason": "Deferred",
        "message": "no room",
    }
    cluster = Slow(pods=[pod(**said)])
    assert take(cluster, "up") == [None]
    assert cluster.threads == 2


def test_a_pod_without_a_node_counts_when_no_other_is_on_its_way_out() -> None:
    waiting = pod("b", **NO_NODE)
    going = {**pod("c"), "metadata": {"name": "c", "deletionTimestamp": "now"}}
    assert unplaced([pod(), waiting], 2) == "0/1 nodes"
    assert unplaced([pod(), waiting, going], 2) == "0/1 nodes"
    assert unplaced([pod(), waiting], 1) is None
    assert unplaced([pod()], 1) is None


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


def test_what_a_refused_step_left_asked_for_is_taken_back() -> None:
    """Though the node never gave it, its scheduler keeps it."""
    looking = Looking(Cluster(pods=[pod(wants="1800m")]))
    asyncio.run(looking.until(lambda: looking.cluster.resized == [900]))
