"""The router scales a service of a real cluster, and says so."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
from collections.abc import Generator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from slipway.router.scaling.journal import Entry
from slipway.router.scaling.replay import Policy, read, recorded
from slipway.router.scaling.simulation import simulate
from slipway.spec import ROUTER_NAMESPACE
from tests.cluster.kubernetes.cluster import Cluster
from tests.cluster.kubernetes.stack import Stack, deployed, new_stack, router_url
from tests.cluster.load import play
from tests.cluster.processes import until
from tests.local.router_parts import statuses

SERVICE = "scaled"
TRACED = "traced"
NAMESPACE = "slipway-scaled"
TRACE = ((10, 2.0), (30, 20.0), (50, 2.0))
"""A step and back: seconds, and requests a second."""
TRACE_SECONDS = sum(seconds for seconds, _ in TRACE)
SERVICE_SECONDS = 0.2
"""What a request of the trace takes in a replica."""
SIZES = {"cpu_cores": 0.05, "memory_gb": 0.25}
Json = dict[str, Any]


class Scaled:
    """An echo service without a replica at first."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.url = ""

    def kubectl(self, *arguments: str) -> str:
        return self.stack.cluster.kubectl(*arguments, f"--namespace={NAMESPACE}")

    def get(self) -> Json:
        return json.loads(self.kubectl("get", "deployment", SERVICE, "-o", "json"))

    @property
    def replicas(self) -> int:
        return self.get()["spec"]["replicas"]

    def notes(self, reason: str) -> list[str]:
        """What Events with this reason say of the Deployment."""
        listed = json.loads(self.kubectl("get", "events", "-o", "json"))["items"]
        return [event["message"] for event in listed if event["reason"] == reason]

    async def score(self, number: int, seconds: float) -> list[int]:
        """Send so many requests at once."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        async with httpx.AsyncClient(timeout=120, limits=limits, trust_env=False) as http:
            uri = f"{self.url}/api/v1/service/{SERVICE}/score"
            return statuses(
                await asyncio.gather(*(http.post(uri, json={"seconds": seconds}) for _ in range(number)))
            )


@pytest.fixture(scope="module")
def scaled(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Generator[Scaled]:
    echo = {
        "namespace": NAMESPACE,
        "source_directory": "examples/echo",
        "entry_script": "score.py",
        "auth_enabled": False,
    }
    bounds = {"autoscale_min_replicas": 0, "autoscale_max_replicas": 3, "max_request_wait_time": 60_000}
    services = [{"name": SERVICE} | echo | bounds, {"name": TRACED} | echo | SIZES]
    with deployed(
        new_stack(cluster, tmp_path_factory.mktemp("scaled") / "project", services, replicas=1)
    ) as stack:
        one = Scaled(stack)
        one.kubectl("scale", f"deployment/{SERVICE}", "--replicas=0")
        until(lambda: f"/{SERVICE}/score" in stack.slipway("status"))
        one.url = router_url(cluster)
        yield one


def test_the_first_request_waits_for_the_first_replica_and_an_event_says_that_it_was_made(
    scaled: Scaled,
) -> None:
    until(lambda: not scaled.get()["status"].get("replicas"))
    assert asyncio.run(scaled.score(1, 0)) == [200]
    assert scaled.replicas >= 1
    until(lambda: any(note.startswith("Scaled from 0 to ") for note in scaled.notes("SuccessfulRescale")))


def test_a_burst_scales_to_its_size_and_the_same_stack_applied_again_leaves_it(scaled: Scaled) -> None:
    answers = asyncio.run(scaled.score(40, 0.3))
    assert set(answers) == {200}
    assert scaled.replicas == 3
    scaled.stack.apply()
    assert scaled.replicas == 3


def test_the_journal_is_played_again_from_where_the_router_runs(scaled: Scaled) -> None:
    said = scaled.stack.slipway("replay", "--service", SERVICE, "--set", "autoscale_min_replicas=1")
    assert said.startswith(f"{SERVICE}: ")
    assert "autoscale_min_replicas=1 " in said


def test_where_another_autoscaler_has_the_deployment_the_router_gives_way_and_says_so(scaled: Scaled) -> None:
    scaled.kubectl("autoscale", f"deployment/{SERVICE}", "--min=2", "--max=2", "--name=other")
    said = f"HorizontalPodAutoscaler {NAMESPACE}/other scales this Deployment, so the router does not"
    until(lambda: said in scaled.notes("AutoscalerConflict"))
    until(lambda: scaled.replicas == 2)
    assert set(asyncio.run(scaled.score(40, 0.3))) == {200}
    assert scaled.replicas == 2
    scaled.kubectl("delete", "horizontalpodautoscaler", "other")


def test_a_step_and_back_costs_and_misses_what_the_simulation_says(scaled: Scaled) -> None:
    """The same requests in both; docs/scaling.md tells the bounds, and what was seen."""
    began = datetime.now(UTC)
    answers = play(f"{scaled.url}/api/v1/service/{TRACED}/score", arrivals(), SERVICE_SECONDS)
    failed = answers.failed()
    assert set(failed) <= {"queue_timeout"}
    journal = scaled.stack.cluster.kubectl("get", "--raw", f"{router_admin(scaled)}/journal?service={TRACED}")
    end = began + timedelta(seconds=TRACE_SECONDS)
    entries = [one for one in read(journal.splitlines())[TRACED] if began <= one.time <= end]
    real, missed = recorded(entries), sum(failed.values())

    first, serving, startup = min(answers.all).sent, entries[0].serving, startup_seconds(entries)
    seconds = entries[-1].service_seconds or 0.0  # a request's way through the server, too
    requests = [(one.sent - first, seconds) for one in sorted(answers.all)]
    policy = Policy(serving, startup)
    simulated = simulate(
        requests,
        policy,
        seconds=TRACE_SECONDS,
        slots=serving.replica_max_concurrent_requests,
        wait_seconds=serving.max_request_wait_time / 1000,
        startup_seconds=startup,
        replicas=entries[0].replicas,
        step_seconds=1.0,
    )
    peak, simulated_peak = (max(count for _, count in curve) for curve in (real.replicas, policy.curve))
    print(f"{len(requests)} requests of {seconds:.3f} s, a replica starts in {startup:.1f} s")
    print(f"real: {missed} missed, {real.replica_seconds:.0f} replica-seconds, up to {peak}")
    print(
        f"simulated: {simulated.missed} missed, {simulated.replica_seconds:.0f} replica-seconds, "
        f"up to {simulated_peak}"
    )
    assert peak > real.replicas[-1][1], "up and down again"
    assert abs(peak - simulated_peak) <= 1
    assert simulated.replica_seconds == pytest.approx(real.replica_seconds, rel=0.15)
    assert abs(missed - simulated.missed) <= 0.05 * len(requests)


def startup_seconds(entries: Sequence[Entry]) -> float:
    """Give the mean time from when a replica was asked for to when it took requests."""
    added = range(entries[0].replicas + 1, max(one.ready for one in entries) + 1)
    asked = (next(one.time for one in entries if one.wanted >= number) for number in added)
    ready = (next(one.time for one in entries if one.ready >= number) for number in added)
    return statistics.mean((end - begin).total_seconds() for begin, end in zip(asked, ready, strict=True))


def arrivals() -> list[float]:
    """Draw when the trace's requests come: at chance, as independent users send them."""
    chance, begin, times = random.Random(6), 0.0, list[float]()
    for seconds, rate in TRACE:
        at = begin
        begin += seconds
        while (at := at + chance.expovariate(rate)) < begin:
            times.append(at)
    return times


def router_admin(scaled: Scaled) -> str:
    """Give the path at the API server that leads to the one router's admin port."""
    selector = "--selector=app.kubernetes.io/name=slipway-router"
    get = ["get", "pods", f"--namespace={ROUTER_NAMESPACE}", selector, "--output=name"]
    (pod,) = scaled.stack.cluster.kubectl(*get).split()
    return f"/api/v1/namespaces/{ROUTER_NAMESPACE}/{pod.replace('pod/', 'pods/')}:8081/proxy"
