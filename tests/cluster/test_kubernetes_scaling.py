"""The router scales a service of a real cluster, and says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from typing import Any

import httpx
import pytest

from slipway.images.cache import Cache
from tests.cluster.debian import push_base
from tests.cluster.kubernetes.cluster import Cluster
from tests.cluster.kubernetes.stack import Stack, push_router, router_url
from tests.cluster.processes import until
from tests.local.router_parts import statuses

SERVICE = "scaled"
NAMESPACE = "slipway-scaled"
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
    base = push_base(cluster.registry, Cache())
    router = {"replicas": 1, "image": push_router(cluster, base)}
    service = {
        "name": SERVICE,
        "namespace": NAMESPACE,
        "source_directory": "examples/echo",
        "entry_script": "score.py",
        "auth_enabled": False,
        "autoscale_min_replicas": 0,
        "autoscale_max_replicas": 3,
        "max_request_wait_time": 60_000,
    }
    stack = Stack(cluster, tmp_path_factory.mktemp("scaled") / "project", base, router, [service])
    one = Scaled(stack)
    stack.write()
    stack.apply()
    try:
        one.kubectl("scale", f"deployment/{SERVICE}", "--replicas=0")
        stack.wait()
        until(lambda: f"/{SERVICE}/score" in stack.slipway("status"))
        one.url = router_url(cluster)
        yield one
    finally:
        stack.delete()


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
    said = scaled.stack.slipway("replay", "--set", "autoscale_min_replicas=1")
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
