"""What a Deployment, its pods and other autoscalers say to the router's autoscaler."""

from typing import Any

import pytest

from slipway.router.feed import Objects
from slipway.router.scaling.targets import Target, targets
from slipway.router.state import Service

Json = dict[str, Any]
SERVICE = Service("echo", deployment=("services", "echo"))


def deployment(replicas: int | None = 2, namespace: str = "services") -> Json:
    return {
        "kind": "Deployment",
        "metadata": {"name": "echo", "namespace": namespace},
        "spec": {} if replicas is None else {"replicas": replicas},
    }


def pod(*conditions: Json, created: int = 0, restarts: int = 0, service: str = "echo", **more: str) -> Json:
    return {
        "metadata": {
            "namespace": "services",
            "name": "echo-1",
            "labels": {"slipway/webservice": service},
            "creationTimestamp": at(created),
            **more,
        },
        "status": {"conditions": list(conditions), "containerStatuses": [{"restartCount": restarts}]},
    }


def at(second: int) -> str:
    return f"2026-11-30T08:{second // 60:02}:{second % 60:02}Z"


def ready(second: int) -> Json:
    return {"type": "Ready", "status": "True", "lastTransitionTime": at(second)}


STUCK = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/3 nodes are available",
}
PLACED = {"type": "PodScheduled", "status": "True"}
UNREADY = {"type": "Ready", "status": "False", "lastTransitionTime": at(9)}


def autoscaler(name: str = "echo", namespace: str = "services", **labels: str) -> Json:
    return {
        "metadata": {"name": "hpa", "namespace": namespace, "labels": labels},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}},
    }


def found(*pods: Json, replicas: int | None = 2, autoscalers: tuple[Json, ...] = ()) -> Target:
    objects = Objects(
        [deployment(replicas, "other"), deployment(replicas)], pods=pods, autoscalers=autoscalers
    )
    return targets([SERVICE], objects)["echo"]


@pytest.mark.parametrize(("replicas", "read"), [(0, 0), (3, 3), (None, 1)])
def test_replicas_are_those_of_its_own_deployment(replicas: int | None, read: int) -> None:
    target = found(replicas=replicas)
    assert (target.replicas, target.deployment["metadata"]["namespace"]) == (read, "services")


def test_a_deployment_that_is_gone_is_no_target() -> None:
    assert targets([SERVICE], Objects([deployment(namespace="other")])) == {}


def test_pods_without_a_node_are_those_that_the_scheduler_gave_up_on() -> None:
    leaving = pod(STUCK, deletionTimestamp=at(9))
    assert found(pod(STUCK), pod(PLACED), pod(), pod(STUCK, service="fraud"), leaving).unschedulable == (
        "0/3 nodes are available",
    )


@pytest.mark.parametrize(
    ("other", "rival"),
    [
        (autoscaler(), "HorizontalPodAutoscaler services/hpa"),
        (
            autoscaler(**{"scaledobject.keda.sh/name": "by-queue"}),
            "HorizontalPodAutoscaler services/hpa of KEDA's ScaledObject by-queue",
        ),
        (autoscaler(name="fraud"), None),
        (autoscaler(namespace="other"), None),
    ],
)
def test_another_autoscaler_is_one_whose_target_is_this_deployment(other: Json, rival: str | None) -> None:
    assert found(autoscalers=(other,)).rival == rival


def test_the_start_up_time_is_the_middle_of_the_latest_pods_that_came_up_without_a_restart() -> None:
    old = [pod(ready(60), created=0)] * 5
    new = [pod(ready(100 + seconds), created=100) for seconds in (1, 2, 3, 8, 50)]
    assert found(*old, *new).startup_seconds == 3
    assert found(pod(ready(7))).startup_seconds == 7
    again = {"type": "ContainersReady", "status": "True", "lastTransitionTime": at(7)}
    assert found(pod(again, ready(3599))).startup_seconds == 7, "its node was away meanwhile"
    assert found(pod(ready(7), restarts=1), pod(UNREADY), pod()).startup_seconds is None
