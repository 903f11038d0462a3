"""What is said of a rollout: the one reason why it fails, and what it waits for otherwise."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.kube.rollout import Done, Failed, Rollout, Routed, Waiting, verdict
from tests.unit.rollouts import (
    IMAGE,
    NOW,
    Json,
    ago,
    crashed,
    deployment,
    event,
    pod,
    rollout,
    running,
    waiting,
)

NO_CPU = "0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available"
ADDS = event("TriggeredScaleUp", "pod triggered scale-up: [{services 3->4 (max: 9)}]", warning=False)
STAYS = event(
    "NotTriggerScaleUp", "pod didn't trigger scale-up: 1 max node group size reached", warning=False
)
LATE = deployment(1, Progressing="ProgressDeadlineExceeded")
NOT_FOUND = f'failed to pull and unpack image "{IMAGE}": failed to resolve reference: {IMAGE}: not found'
DENIED = "failed to authorize: failed to fetch anonymous token: 401 Unauthorized"
REFUSAL = {
    "type": "ReplicaFailure",
    "status": "True",
    "reason": "FailedCreate",
    "lastTransitionTime": ago(20),
    "message": 'pods "diabetes-new-a" is forbidden: exceeded quota: small, requested: pods=1, used: pods=0, '
    "limited: pods=0",
}
KILLED = (
    event("Unhealthy", 'Liveness probe failed: Get "http://10.244.0.7:5001/": connection refused', at=9),
    event("Killing", "Container scoring failed liveness probe, will be restarted", at=8, warning=False),
)
TRACEBACK = {"diabetes-new-a/scoring": "Traceback\nRuntimeError: no such model\n"}


@pytest.mark.parametrize(
    ("seen", "reason", "hint"),
    [
        pytest.param(
            rollout(
                1,
                pod(
                    main=waiting(
                        "ImagePullBackOff", f'Back-off pulling image "{IMAGE}": ErrImagePull: {NOT_FOUND}'
                    )
                ),
            ),
            f"image {IMAGE} cannot be pulled: ",
            "push the image",
            id="an image that is not there",
        ),
        pytest.param(
            rollout(
                1,
                pod(main=waiting("ImagePullBackOff", f'Back-off pulling image "{IMAGE}"')),
                events=(event("Failed", f'Failed to pull image "{IMAGE}": {DENIED}'),),
            ),
            f"image {IMAGE} cannot be pulled: {DENIED}",
            "AcrPull",
            id="an image that may not be pulled, said by an event alone",
        ),
        pytest.param(
            rollout(1, pod(main=waiting("InvalidImageName", "couldn't parse image name"))),
            "couldn't parse image name",
            "stack file",
            id="a name that is none of an image",
        ),
        pytest.param(
            rollout(1, pod(scheduled=130, main=waiting("ErrImagePull", "dial tcp: no such host"))),
            "no such host",
            "push the image",
            id="a registry that is away for long",
        ),
        pytest.param(
            rollout(
                1,
                pod(main={**waiting("CrashLoopBackOff", "back-off 10s"), **crashed(3), "restartCount": 2}),
                words=TRACEBACK,
            ),
            "scoring ended with exit 3 (2 restarts)\nTraceback\nRuntimeError: no such model",
            "slipway logs diabetes --previous",
            id="a container that crashes again and again",
        ),
        pytest.param(
            rollout(1, pod(main={**waiting("CrashLoopBackOff"), **crashed(137, "OOMKilled")})),
            "scoring needs more memory than its limit (OOMKilled)",
            "raise memory_gb",
            id="a container that has too little memory",
        ),
        pytest.param(
            rollout(1, pod(main={**waiting("CrashLoopBackOff"), **crashed(137)}), events=KILLED),
            'scoring was restarted: liveness probe failed: Get "http://10.244.0.7:5001/": connection refused',
            "slipway logs diabetes --previous",
            id="a container that its liveness probe ends",
        ),
        pytest.param(
            rollout(
                1,
                pod(
                    init={
                        **waiting("CrashLoopBackOff"),
                        **crashed(1, message="azureml:m:3: no such version"),
                    },
                    main=waiting("PodInitializing"),
                ),
            ),
            "models ended with exit 1\nazureml:m:3: no such version",
            "slipway logs diabetes --previous",
            id="a model that cannot be fetched",
        ),
        pytest.param(
            rollout(1, pod(unscheduled=31, message=NO_CPU)),
            f"no node for it: {NO_CPU}",
            "cpu_cores",
            id="no node, and nobody who adds one",
        ),
        pytest.param(
            rollout(1, pod(unscheduled=12, message=NO_CPU), events=(STAYS,)),
            f"no node for it: {NO_CPU}; pod didn't trigger scale-up: 1 max node group size reached",
            "more nodes",
            id="no node, and the autoscaler adds none",
        ),
        pytest.param(
            rollout(
                1, pod(main=waiting("CreateContainerConfigError", 'secret "diabetes-insights" not found'))
            ),
            'scoring cannot start: secret "diabetes-insights" not found',
            "make what is missing",
            id="a Secret that is missing",
        ),
        pytest.param(
            rollout(1, refusal=REFUSAL),
            'the API server refuses its pods: pods "diabetes-new-a" is forbidden: exceeded quota: small',
            "ResourceQuota",
            id="a quota that is used up",
        ),
        pytest.param(
            rollout(
                1,
                pod(main=running()),
                events=(
                    event("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503"),
                ),
                deployment=LATE,
            ),
            "readiness probe failed: HTTP probe failed with statuscode: 503",
            "slipway logs diabetes",
            id="a readiness probe that fails until the Deployment's deadline",
        ),
        pytest.param(
            rollout(
                1,
                pod(main=waiting("ContainerCreating")),
                events=(event("FailedMount", 'MountVolume.SetUp failed for volume "tls"'),),
                deployment=LATE,
            ),
            'MountVolume.SetUp failed for volume "tls"',
            "slipway status",
            id="a volume that is missing until the deadline",
        ),
        pytest.param(
            rollout(1, deployment=LATE),
            "0 of 1 ready when progressDeadlineSeconds",
            "slipway status",
            id="no pod at all",
        ),
        pytest.param(
            rollout(1, deployment={**deployment(), "spec": {"replicas": 1, "paused": True}}),
            "its rollout is paused",
            "kubectl rollout resume -n slipway-services deployment/diabetes",
            id="a rollout that is paused",
        ),
        pytest.param(
            rollout(1, pod(ready=31), routed=Routed(frozenset())),
            "the router does not reach it",
            "slipway logs router",
            id="a router that does not reach it",
        ),
        pytest.param(
            rollout(
                1,
                pod(ready=6),
                routed=Routed(frozenset({"10.244.0.7:5001"}), "Secret diabetes-keys is missing"),
            ),
            "the router does not serve it: Secret diabetes-keys is missing",
            "slipway logs router",
            id="a router that refuses it",
        ),
    ],
)
def test_what_gets_no_better_by_itself_fails_with_its_one_reason(
    seen: Rollout, reason: str, hint: str
) -> None:
    found = verdict(seen, NOW)
    assert isinstance(found, Failed), found
    assert found.reason.startswith("diabetes: ")
    assert reason in found.reason
    assert hint in found.hint


@pytest.mark.parametrize(
    ("seen", "lines"),
    [
        pytest.param(
            rollout(1, deployment=deployment(generation=4)),
            ["diabetes: the cluster has not begun yet"],
            id="unseen",
        ),
        pytest.param(
            rollout(1, current=None), ["diabetes: the cluster has not begun yet"], id="no ReplicaSet yet"
        ),
        pytest.param(
            rollout(
                2,
                pod(main=waiting("ContainerCreating")),
                events=(event("Pulling", f'Pulling image "{IMAGE}"', warning=False),),
                deployment=deployment(2, Progressing="ProgressDeadlineExceeded"),
            ),
            ["diabetes: 0 of 2 ready", f'diabetes-new-a: pulling image "{IMAGE}"'],
            id="an image that takes longer than the deadline",
        ),
        pytest.param(
            rollout(1, pod(unscheduled=600, message=NO_CPU), events=(ADDS,), deployment=LATE),
            [
                "diabetes: 0 of 1 ready",
                "diabetes-new-a: nodes are being added: pod triggered scale-up: [{services 3->4 (max: 9)}]",
            ],
            id="nodes that take longer than the deadline",
        ),
        pytest.param(
            rollout(1, pod(init=running(), main=waiting("PodInitializing")), deployment=LATE),
            ["diabetes: 0 of 1 ready", "diabetes-new-a: models is at work before the service starts"],
            id="a model that is being fetched",
        ),
        pytest.param(
            rollout(1, pod(unscheduled=5, message=NO_CPU)),
            ["diabetes: 0 of 1 ready", f"diabetes-new-a: no node for it: {NO_CPU}"],
            id="no node yet, the autoscaler may answer",
        ),
        pytest.param(
            rollout(1, pod(unscheduled=40, message=NO_CPU), pod("diabetes-old-a", hash_="old", going=True)),
            ["diabetes: 0 of 1 ready", f"diabetes-new-a: no node for it: {NO_CPU}"],
            id="no node yet, but a pod leaves one",
        ),
        pytest.param(
            rollout(
                1,
                pod(main=running()),
                events=(
                    event("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503"),
                ),
            ),
            [
                "diabetes: 0 of 1 ready",
                "diabetes-new-a: readiness probe failed: HTTP probe failed with statuscode: 503",
            ],
            id="a readiness probe that fails",
        ),
        pytest.param(
            rollout(1, pod(main={**running(), **crashed(1), "restartCount": 1})),
            ["diabetes: 0 of 1 ready", "diabetes-new-a: scoring ended with exit 1"],
            id="a first crash",
        ),
        pytest.param(
            rollout(1, pod(main=waiting("ErrImagePull", "dial tcp: i/o timeout"))),
            [
                "diabetes: 0 of 1 ready",
                f"diabetes-new-a: image {IMAGE} cannot be pulled: dial tcp: i/o timeout",
            ],
            id="a registry that may come back",
        ),
        pytest.param(
            rollout(1, refusal={**REFUSAL, "lastTransitionTime": ago(3)}),
            [
                "diabetes: 0 of 1 ready",
                f"new pods: the API server refuses its pods: {REFUSAL['message']}",
            ],
            id="a refusal that may pass",
        ),
        pytest.param(
            rollout(1, pod(ready=40), pod("diabetes-old-a", hash_="old", ready=900)),
            ["diabetes: 1 of 1 ready"],
            id="an old pod still serves",
        ),
        pytest.param(
            rollout(1, pod(ready=3), routed=Routed(frozenset({"10.244.0.6:5001"}))),
            ["diabetes: waiting for the router to reach every replica"],
            id="a router that knows the old pod",
        ),
        pytest.param(
            rollout(
                1,
                pod(ready=900),
                routed=Routed(frozenset(), "not in HAProxy's configuration yet"),
                began=NOW - timedelta(seconds=2),
            ),
            ["diabetes: waiting for the router to reach every replica"],
            id="a router that has just been told",
        ),
        pytest.param(
            rollout(1, pod(), events=(event("Unhealthy", "Readiness probe failed", of="diabetes-new-b"),)),
            ["diabetes: 0 of 1 ready", "diabetes-new-a: starting"],
            id="another pod's event",
        ),
    ],
)
def test_what_may_still_come_is_waited_for_and_says_what_it_waits_for(
    seen: Rollout, lines: list[str]
) -> None:
    assert verdict(seen, NOW) == Waiting(tuple(lines))


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(rollout(1, pod(ready=1)), id="nobody routes, or nobody can be asked"),
        pytest.param(rollout(1, pod(ready=1), routed=Routed(frozenset({"10.244.0.7:5001"}))), id="routed"),
        pytest.param(rollout(0), id="scaled to zero"),
        pytest.param(
            rollout(1, pod(ready=1), pod("old", hash_="old", ready=900, going=True)), id="an old one leaves"
        ),
    ],
)
def test_when_all_replicas_are_new_ready_and_reached_then_it_is_done(seen: Rollout) -> None:
    assert verdict(seen, NOW) == Done(len(seen.new))


def test_a_router_without_pods_has_failed_for_nobody_is_served_and_nothing_brings_one_back() -> None:
    deployed = deployment(0)
    deployed["metadata"] |= {"name": "slipway-router", "labels": {"app.kubernetes.io/component": "router"}}
    said = "slipway-router: it is scaled to 0, and requests get no answer"
    hint = "kubectl scale -n slipway-services deployment/slipway-router --replicas=1"
    assert verdict(rollout(deployment=deployed), NOW) == Failed(said, hint)


STATES: dict[str, Json] = {
    "ready": {"ready": 60},
    "starting": {"main": waiting("ContainerCreating")},
    "crashing": {"main": {**waiting("CrashLoopBackOff"), **crashed(1)}},
    "no node": {"unscheduled": 90, "message": NO_CPU},
    "no image": {"main": waiting("ErrImagePull", "not found")},
}


@given(
    wanted=st.integers(0, 4),
    new=st.lists(st.sampled_from(sorted(STATES)), max_size=5),
    old=st.lists(st.booleans(), max_size=3),
    late=st.booleans(),
)
def test_it_is_done_just_when_the_new_ones_are_all_there_and_the_old_ones_gone(
    wanted: int, new: list[str], old: list[bool], late: bool
) -> None:
    made: list[Any] = [pod(f"diabetes-new-{n}", **STATES[state]) for n, state in enumerate(new)]
    made += [pod(f"diabetes-old-{n}", hash_="old", ready=900, going=going) for n, going in enumerate(old)]
    reason = "ProgressDeadlineExceeded" if late else "ReplicaSetUpdated"
    given_ = deployment(wanted, Progressing=reason)
    seen = rollout(wanted, *made, deployment=given_)
    found = verdict(seen, NOW)
    complete = new == ["ready"] * wanted and all(old)
    assert isinstance(found, Done) is complete
    broken = {"crashing", "no image"} & set(new) or ("no node" in new and not any(old))
    if broken:
        assert isinstance(found, Failed)
    elif not complete and not late:
        assert isinstance(found, Waiting)
    again = replace(seen, pods=tuple(reversed(seen.pods)))
    assert verdict(again, NOW) == found, "the order of the pods does not matter"
