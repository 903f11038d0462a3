"""What is told of web services: what is new, once, on the Deployment that it is about."""

from typing import Any

import pytest

from slipway.router import events
from slipway.router.discovery import discover
from slipway.router.events import Fact, Problem, Told, Trouble, facts, news
from slipway.router.feed import Objects
from slipway.router.state import State
from tests.unit.test_router_discovery import deployment, endpoint_slice, metadata, secret

HERE = ("slipway-services", "echo")
Json = dict[str, Any]


def told(
    before: Objects, now: Objects, running: State | None = None, refusal: str | None = None
) -> list[Told]:
    """Give what a router that carries everything out tells after these objects came."""
    old = facts(before, discover(before), discover(before), None)
    state = discover(now)
    return list(news(old, facts(now, state, running or state, refusal)))


def objects(*addresses: str, serving: str | None = None, replicas: int = 1) -> Objects:
    found = deployment() if serving is None else deployment(serving)
    found["spec"] = {"replicas": replicas}
    return Objects([found], [endpoint_slice(*addresses)], [secret()])


def test_a_service_with_its_first_replica_is_told_to_be_routable_once() -> None:
    routable = Told(HERE, "Normal", "Routable", "Requests for echo have a replica to go to")
    assert told(Objects(), objects("10.0.0.1")) == [routable]
    assert told(objects(), objects("10.0.0.1")) == [routable]
    assert told(objects("10.0.0.1"), objects("10.0.0.1", "10.0.0.2")) == []


def test_a_lost_last_replica_is_a_warning_unless_none_is_wanted() -> None:
    note = "No replica is ready: requests for echo wait for one, at most 700 ms"
    assert told(objects("10.0.0.1"), objects()) == [Told(HERE, "Warning", "NoReadyReplica", note)]
    assert told(objects("10.0.0.1"), objects(replicas=0)) == [Told(HERE, "Normal", "NoReadyReplica", note)]


def test_an_annotation_that_cannot_be_read_is_told_with_its_mistake() -> None:
    (one,) = told(objects("10.0.0.1"), objects("10.0.0.1", serving='{"scoring_timeout_ms": 0}'))
    assert (one.deployment, one.type, one.reason) == (HERE, "Warning", "Misconfigured")
    assert "scoring_timeout_ms = 0: must be greater than 0" in one.note
    assert told(objects(serving="{"), objects(serving="{")) == []


def test_a_younger_deployment_of_the_same_name_is_told_that_the_name_is_taken() -> None:
    younger = deployment(created=2, namespace="another")
    (one,) = told(Objects([deployment()], [], [secret()]), Objects([deployment(), younger], [], [secret()]))
    assert (one.deployment, one.reason) == (("another", "echo"), "NameTaken")
    assert one.note == "the service echo is Deployment slipway-services/echo, which is older"


def test_a_refused_reload_is_told_to_the_services_that_wait_for_it() -> None:
    fine = deployment(name="fine", service="fine")
    both = Objects([deployment(), fine], [], [secret(), secret(service="fine")])
    running = discover(Objects([fine], [], [secret(service="fine")]))
    (one,) = told(Objects([fine], [], [secret(service="fine")]), both, running, "it is Sunday")
    assert one == Told(HERE, "Warning", "ReloadRefused", "it is Sunday")


def test_a_router_that_starts_tells_of_problems_only() -> None:
    there, broken = objects("10.0.0.1"), objects(serving="{")
    for found, reasons in ((there, []), (broken, ["Misconfigured"])):
        state = discover(found)
        first = facts(found, State(), state, None)
        assert [one.reason for one in news(first, facts(found, state, state, None))] == reasons


def test_a_problem_that_comes_back_is_told_again() -> None:
    problem = Fact("echo", frozenset({Problem("Misconfigured", "bad")}))
    assert len(list(news({HERE: Fact("echo")}, {HERE: problem}))) == 1
    assert list(news({HERE: problem}, {HERE: Fact("echo")})) == []


def test_deployments_of_others_are_left_alone() -> None:
    other: Json = {"kind": "Deployment", "metadata": metadata("other") | {"labels": None}}
    assert facts(Objects([other]), State(), State(), None) == {}


def test_trouble_is_told_when_it_begins_changes_or_comes_again_and_as_long_as_it_lasts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trouble = Trouble()
    said = [trouble.news("a", why) for why in ("no right", "no right", "no answer", None, "no answer")]
    assert said == [True, False, True, True, True]
    assert [trouble.news("b", "no answer"), trouble.news("b", "no answer")] == [True, False]
    monkeypatch.setattr(events, "REMIND_SECONDS", 0.0)
    assert [trouble.news("b", "no answer"), trouble.news("b", "no answer")] == [True, True]
