"""The Deployment controller's decisions: they converge, and never go beyond their limits on the way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.kube.folder import Object
from slipway.local.rollout import Limits, PodView, Step, limits, plan, status, template_hash

SURGE = Limits(surge=1, unavailable=0)


def pods(*views: tuple[str, bool]) -> list[PodView]:
    return [PodView(f"p{age}", hash_, age, ready) for age, (hash_, ready) in enumerate(views)]


@pytest.mark.parametrize(
    ("wanted", "there", "step"),
    [
        pytest.param(2, [], Step(create=2), id="none yet: create all"),
        pytest.param(1, [("old", True)], Step(create=1), id="new one first"),
        pytest.param(1, [("old", True), ("new", False)], Step(), id="wait until it is ready"),
        pytest.param(1, [("old", True), ("new", True)], Step(stop=("p0",)), id="then the old one goes"),
        pytest.param(
            1, [("old", False)], Step(create=1, stop=("p0",)), id="an old one that serves nobody goes at once"
        ),
        pytest.param(2, [("old", True), ("old", True)], Step(create=1), id="surge of one"),
        pytest.param(0, [("new", True)], Step(stop=("p0",)), id="scaled to zero"),
        pytest.param(
            1, [("new", True), ("new", False)], Step(stop=("p1",)), id="surplus: what is not ready goes first"
        ),
        pytest.param(1, [("new", True), ("new", True)], Step(stop=("p1",)), id="surplus: then the youngest"),
    ],
)
def test_each_step_follows_from_what_is_there(wanted: int, there: list[tuple[str, bool]], step: Step) -> None:
    assert plan(wanted, "new", SURGE, pods(*there)) == step


def test_when_pods_hold_what_the_next_needs_then_it_waits_until_they_are_gone() -> None:
    one_by_one = Limits(0, 1, wait_for_gone=True)
    assert plan(1, "new", one_by_one, pods(("old", True))) == Step(stop=("p0",))
    stopping = [PodView("p0", "old", 0, ready=True, stopping=True)]
    assert plan(1, "new", one_by_one, stopping) == Step()
    assert plan(1, "new", one_by_one, []) == Step(create=1)


@given(
    wanted=st.integers(0, 5),
    surge=st.integers(0, 3),
    unavailable=st.integers(0, 3),
    wait_for_gone=st.booleans(),
    start=st.lists(st.tuples(st.sampled_from(["old", "older", "new"]), st.booleans()), max_size=8),
    lucky=st.lists(st.booleans(), max_size=100),
)
def test_from_anywhere_it_converges_within_its_limits(
    wanted: int,
    surge: int,
    unavailable: int,
    wait_for_gone: bool,
    start: list[tuple[str, bool]],
    lucky: list[bool],
) -> None:
    """Play the world: pods get ready and stopped ones vanish, in any order, one a round."""
    allowed = Limits(surge, unavailable if surge or unavailable else 1, wait_for_gone)
    there = pods(*start)
    age, luck = len(there), iter(lucky)
    for _ in range(200):
        ready_before = sum(pod.ready for pod in there if not pod.stopping)
        live_before = sum(not pod.stopping for pod in there)
        step = plan(wanted, "new", allowed, there)
        there = [PodView(p.name, p.hash, p.age, p.ready, p.stopping or p.name in step.stop) for p in there]
        for _ in range(step.create):
            there.append(PodView(f"p{age}", "new", age))
            age += 1
        live = [pod for pod in there if not pod.stopping]
        if step.create:
            assert len(live) <= max(live_before, wanted + surge)
        if step.stop:
            assert sum(pod.ready for pod in live) >= min(ready_before, wanted - allowed.unavailable)
        if step == Step() and not next(luck, False):
            waiting = [pod for pod in there if pod.stopping or not pod.ready]
            if not waiting:
                break
            one = waiting[0]
            there.remove(one)
            if not one.stopping:
                there.append(PodView(one.name, one.hash, one.age, ready=True))
    assert sorted((pod.hash, pod.ready) for pod in there) == [("new", True)] * wanted


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        pytest.param({}, Limits(1, 0), id="defaults: 25 % of 3, up and down"),
        pytest.param(
            {"rollingUpdate": {"maxSurge": "50%", "maxUnavailable": "50%"}}, Limits(2, 1), id="percentages"
        ),
        pytest.param({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}, Limits(0, 1), id="both zero"),
        pytest.param({"type": "Recreate"}, Limits(0, 3, wait_for_gone=True), id="recreate"),
    ],
)
def test_the_strategy_gives_the_limits(strategy: Object, expected: Limits) -> None:
    assert limits({"replicas": 3, "strategy": strategy}, fixed_ports=False) == expected


def test_when_template_or_image_differ_then_the_hash_does() -> None:
    template: Object = {"spec": {"containers": [{"image": "a"}]}}
    other: Object = {"spec": {"containers": [{"image": "a", "args": ["x"]}]}}
    hashes = [
        template_hash(template, {"a": 1}),
        template_hash(template, {"a": 2}),
        template_hash(other, {"a": 1}),
    ]
    assert len(set(hashes)) == 3
    assert template_hash(template, {"a": 1, "unused": 3}) == hashes[0]


def test_when_the_status_is_the_same_then_its_times_stay() -> None:
    deployment: Object = {"metadata": {"generation": 4}, "spec": {"replicas": 2}}
    there = pods(("old", True), ("new", True), ("new", False))
    first = status(deployment, "new", SURGE, there, "t1")
    assert {k: v for k, v in first.items() if k != "conditions"} == {
        "observedGeneration": 4,
        "replicas": 3,
        "updatedReplicas": 2,
        "readyReplicas": 2,
        "availableReplicas": 2,
        "unavailableReplicas": 0,
    }
    assert status({**deployment, "status": first}, "new", SURGE, there, "t2") == first
    done = status({**deployment, "status": first}, "new", SURGE, pods(("new", True), ("new", True)), "t3")
    reasons = {c["type"]: (c["reason"], c["lastTransitionTime"]) for c in done["conditions"]}
    assert reasons == {
        "Available": ("MinimumReplicasAvailable", "t1"),
        "Progressing": ("NewReplicaSetAvailable", "t3"),
    }
