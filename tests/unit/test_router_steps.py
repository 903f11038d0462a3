"""What the router does about itself: a step, and the CPU for it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from slipway.router.options import Size
from slipway.router.scaling.capacity import refused, requested, unplaced
from slipway.router.scaling.steps import Steps
from tests.unit.router_itself import NO_NODE, POD, Cluster, pod, soon, take

__all__ = ["soon"]


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
