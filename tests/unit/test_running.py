"""What runs, as the commands see it: replicas that stay, what routers say, whose pods and logs are whose."""

import asyncio
import dataclasses
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from slipway.kube.rollout import Rollout, Routed
from slipway.local.state import LocalError, State
from slipway.running.backend import Lines, LogOptions, Look, loads, routed
from slipway.running.cluster import rollouts
from slipway.running.follow import follow
from slipway.running.local import Local, scaled
from slipway.running.pod_logs import processes
from slipway.spec import SERVING, Serving
from tests.unit import rollouts as rollouts_


def deployment(replicas: int, **serving: Any) -> dict[str, Any]:
    annotation = Serving.model_validate(serving).model_dump_json()
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "two", "namespace": "services", "annotations": {SERVING: annotation}},
        "spec": {"replicas": replicas},
    }


@pytest.mark.parametrize(
    ("serving", "wanted", "current", "given"),
    [
        ({}, 1, 4, None),
        ({"autoscale_min_replicas": 3}, 3, 1, 3),
        ({"autoscale_max_replicas": 2}, 1, 4, 2),
        ({"num_replicas": 2}, 2, 4, 2),
        ({"autoscale_min_replicas": 0}, 0, 0, None),
        ({"autoscale_min_replicas": 0}, 0, None, 0),
        ({"autoscale_min_replicas": 3}, 3, None, 3),
    ],
)
def test_replicas_that_scaling_chose_are_not_asked_for_within_the_bounds_and_fixed_ones_are(
    serving: dict[str, Any], wanted: int, current: int | None, given: int | None, tmp_path: Path
) -> None:
    state = State(tmp_path)
    if current is not None:
        state.objects.put(deployment(current))
    assert scaled(deployment(wanted, **serving), state)["spec"].get("replicas") == given


def report(**services: Any) -> dict[str, Any]:
    return {"services": services}


def test_a_replica_is_served_where_every_router_sends_requests_to_it() -> None:
    first = report(two={"serving": ["10.0.0.1:5001", "10.0.0.2:5001"], "queued": 3, "busy": 1, "error": None})
    second = report(two={"serving": ["10.0.0.2:5001"], "queued": 1, "busy": 2, "error": "no key"})
    found = loads([first, second])
    assert found["two"] == {
        "serving": frozenset({"10.0.0.2:5001"}),
        "queued": 4,
        "busy": 3,
        "error": "no key",
    }
    assert routed(loads([first]), "two") == Routed(frozenset({"10.0.0.1:5001", "10.0.0.2:5001"}))
    assert routed(loads([first, report()]), "two") == Routed(frozenset()), "one router does not know it"
    assert routed({}, "two") == Routed(frozenset()), "no router does"


def test_what_a_router_says_of_itself_is_its_own_error() -> None:
    told = {"error": "HAProxy refuses the configuration", "warnings": ["a certificate ends"]}
    behind = {"behind": {"since": "2026-11-30T15:49:31+00:00", "error": "Pod: forbidden"}}
    found = loads([{**report(), **told}, {**report(), **told, **behind}, {**report(), "behind": None}])
    said = "HAProxy refuses the configuration; a certificate ends; what it knows may be old: Pod: forbidden"
    assert found == {"slipway-router": {"error": said}}


class Looks(Local):
    """Looks at what a test says, 20 seconds apart; `clock` is the module's."""

    def __init__(self, clock: MagicMock, *looks: Look) -> None:
        self._clock, self._looks = clock, looks

    async def looks(self) -> AsyncGenerator[Look]:
        for number, look in enumerate(self._looks):
            self._clock.now.return_value = rollouts_.NOW + timedelta(seconds=20 * number)
            yield look


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    made = MagicMock()
    made.now.return_value = rollouts_.NOW
    monkeypatch.setattr("slipway.running.follow.datetime", made)
    return made


def router(**state: Any) -> Rollout:
    obj = rollouts_.deployment(1)
    labels = {"app.kubernetes.io/component": "router"}
    obj["metadata"] |= {"name": "slipway-router", "uid": "r", "labels": labels}
    return Rollout(obj, "new", [rollouts_.pod("slipway-router-new-a", address="10.244.0.8", **state)])


def service(*reached: str) -> Rollout:
    return rollouts_.rollout(1, rollouts_.pod(ready=60), routed=Routed(frozenset(reached)))


REACHED = service("10.244.0.7:5001")


@pytest.mark.parametrize("names", [[], ["diabetes"]])
def test_while_the_router_is_on_its_way_no_replica_is_blamed_for_not_being_reached(
    names: list[str], clock: MagicMock
) -> None:
    said: list[str] = []
    pulling = router(main=rollouts_.waiting("ContainerCreating"))
    looks = [
        *[Look([service(), pulling])] * 3,
        *(Look([one, router(ready=0)]) for one in (service(), REACHED)),
    ]
    done = asyncio.run(follow(Looks(clock, *looks), names, said.append))
    assert done[0] == REACHED
    assert "slipway-router: 0 of 1 ready" in said
    assert "diabetes: waiting for the router to reach every replica" in said


def test_when_the_router_cannot_come_then_that_is_the_reason_also_where_a_service_alone_is_waited_for(
    clock: MagicMock,
) -> None:
    broken = router(main=rollouts_.waiting("CrashLoopBackOff", **rollouts_.crashed(1)))
    with pytest.raises(LocalError, match="slipway-router: scoring ended with exit 1"):
        asyncio.run(follow(Looks(clock, Look([service(), broken])), ["diabetes"], print))


def test_when_no_router_is_wanted_then_that_is_the_reason_at_once(clock: MagicMock) -> None:
    gone = dataclasses.replace(router(), pods=())
    gone.deployment["spec"]["replicas"] = 0
    with pytest.raises(LocalError, match="slipway-router: it is scaled to 0"):
        asyncio.run(follow(Looks(clock, Look([service(), gone])), ["diabetes"], print))


def test_when_a_router_that_is_there_does_not_reach_a_replica_then_that_is_the_reason(
    clock: MagicMock,
) -> None:
    look = Look([service(), router(ready=60)])
    with pytest.raises(LocalError, match="diabetes: the router does not reach it"):
        asyncio.run(follow(Looks(clock, look, look, look), ["diabetes"], print))


def test_logs_here_name_their_sources_before_their_lines_as_in_a_cluster(tmp_path: Path) -> None:
    state = State(tmp_path)
    folder = state.logs / "slipway-services/diabetes"
    folder.mkdir(parents=True)
    for name in ("a", "b"):
        (folder / f"{name}.log").write_text(f"of {name}\n")

    async def read() -> list[Lines]:
        logs = Local(state).logs(rollouts_.deployment(2), LogOptions(10))
        return [one async for one in logs]

    first, *_, last = asyncio.run(read())
    assert [first, last] == [Lines("a", b""), Lines("b", b"of b\n")]
    assert {one.source for one in asyncio.run(read())[:2]} == {"a", "b"}


def owned(obj: dict[str, Any], by: str, **labels: str) -> dict[str, Any]:
    metadata = dict(obj["metadata"])
    metadata["ownerReferences"] = [{"uid": by, "controller": True}]
    metadata["labels"] = metadata.get("labels", {}) | labels
    return {**obj, "metadata": metadata}


def replica_set(revision: str, hash_: str, **conditions: str) -> dict[str, Any]:
    metadata = {"name": hash_, "uid": hash_, "annotations": {"deployment.kubernetes.io/revision": revision}}
    listed = [{"type": kind, "status": status} for kind, status in conditions.items()]
    made = {"kind": "ReplicaSet", "metadata": metadata, "status": {"conditions": listed}}
    return owned(made, "d", **{"pod-template-hash": hash_})


def test_pods_belong_to_a_deployment_by_their_replica_set_and_the_newest_is_that_of_its_revision() -> None:
    obj = rollouts_.deployment(1)
    obj["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "2"}
    sets = [replica_set("1", "old"), replica_set("2", "new", ReplicaFailure="True")]
    pods = [owned(rollouts_.pod(name), by) for name, by in (("a", "new"), ("b", "old"), ("c", "other"))]
    (found,) = rollouts([obj], sets, pods, [])
    assert found.current == "new"
    assert [pod["metadata"]["name"] for pod in found.pods] == ["a", "b"]
    assert found.refusal == {"type": "ReplicaFailure", "status": "True"}
    (unborn,) = rollouts([{**obj, "metadata": {**obj["metadata"], "annotations": {}}}], sets, pods, [])
    assert unborn.current is None, "the controller has not said which revision it is"


@pytest.mark.parametrize(
    ("status", "latest", "before"),
    [
        pytest.param({"state": {"waiting": {}}}, [], [], id="not started"),
        pytest.param({"state": {"running": {}}, "containerID": "b"}, ["b"], [], id="running"),
        pytest.param(
            {
                "state": {"running": {}},
                "containerID": "b",
                "lastState": {"terminated": {"containerID": "a"}},
            },
            ["b"],
            ["a"],
            id="restarted",
        ),
        pytest.param(
            {
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "containerID": "a",
                "lastState": {"terminated": {"containerID": "a"}},
            },
            ["a"],
            ["a"],
            id="crashed",
        ),
    ],
)
def test_a_log_is_there_of_each_process_that_has_started(
    status: dict[str, Any], latest: list[str], before: list[str]
) -> None:
    pod = rollouts_.pod(main=status)
    assert [one.id for one in processes(pod, previous=False)] == latest
    assert [one.id for one in processes(pod, previous=True)] == before
