"""Versions of one web service behind three routers: each shares by percentage, whoever owns which version."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Generator
from typing import Any

import httpx
import pytest

from components.router import ADMIN_PORT
from slipway.versions import MODEL_DEPLOYMENT
from tests.cluster.kubernetes.cluster import Cluster
from tests.cluster.kubernetes.stack import Stack, deployed, key, router_url
from tests.cluster.load import load
from tests.cluster.processes import until
from tests.cluster.routers import RouterPod, router_pods, three_routers
from tests.local.test_router_versions import improbable

NAME, NAMESPACE = "model", "slipway-versions"
PERCENT = {"blue": 50.0, "green": 30.0, "red": 20.0}
RATE = 30.0
REQUESTS = 400
"""Sent to each router."""


def service(**percent: float) -> dict[str, Any]:
    """Give the web service with these percentages; blue is the default."""
    return {
        "name": NAME,
        "namespace": NAMESPACE,
        "source_directory": "examples/echo",
        "entry_script": "score.py",
        "num_replicas": 1,
        "replica_max_concurrent_requests": 4,
        "max_request_wait_time": 10_000,  # a busy machine fails no request
        "cpu_cores": 0.05,
        "memory_gb": 0.25,
        "versions": {
            name: {"traffic_percentile": part, "is_default": name == "blue"} for name, part in percent.items()
        },
    }


@pytest.fixture(name="stack", scope="module")
def _stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    folder = tmp_path_factory.mktemp("versions") / "project"
    with deployed(three_routers(cluster, folder, service(**PERCENT))) as made:
        yield made


@pytest.fixture(name="pods", scope="module")
def _pods(stack: Stack) -> list[RouterPod]:
    until(lambda: len(router_pods(stack.cluster)) == 3)
    return list(router_pods(stack.cluster).values())


@pytest.fixture(name="headers", scope="module")
def _headers(stack: Stack) -> dict[str, str]:
    return {"Authorization": f"Bearer {key(stack.cluster, NAME)}"}


def scale(stack: Stack, pods: list[RouterPod], version: str, replicas: int) -> None:
    """Give a version so many replicas, and wait until each router knows it."""
    stack.cluster.kubectl(
        "scale", f"deployment/{NAME}-{version}", f"--replicas={replicas}", f"-n={NAMESPACE}"
    )
    for pod in pods:
        until(lambda pod=pod: status(pod)["services"][f"{NAME}-{version}"]["up"] == replicas)


def status(pod: RouterPod) -> dict[str, Any]:
    return httpx.get(f"http://{pod.address}:{ADMIN_PORT}/status", trust_env=False).json()


def seen(pod: RouterPod, headers: dict[str, str], number: int = REQUESTS) -> dict[str, int]:
    """Send requests to a router; count the versions that answered."""
    found: Counter[str] = Counter()

    async def send(http: httpx.AsyncClient) -> None:
        for _ in range(number // 8):
            answer = await http.post(pod.uri(NAME), json={}, headers=headers)
            assert answer.status_code == 200, answer.text
            found[answer.headers[MODEL_DEPLOYMENT]] += 1

    async def send_all() -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            await asyncio.gather(*(send(http) for _ in range(8)))

    asyncio.run(send_all())
    return found


def shares(percent: dict[str, float]) -> dict[str, float]:
    return {name: part / 100 for name, part in percent.items()}


def test_each_router_shares_requests_as_the_percentages_say(
    stack: Stack, pods: list[RouterPod], headers: dict[str, str]
) -> None:
    for pod in pods:
        until(lambda pod=pod: all(one["up"] == 1 for one in status(pod)["services"].values()))
        found = seen(pod, headers)
        assert not improbable(found, shares(PERCENT)), found


def test_a_header_pins_a_request_to_a_version_at_each_router(
    pods: list[RouterPod], headers: dict[str, str]
) -> None:
    for pod in pods:
        for version in PERCENT:
            pinned = {**headers, MODEL_DEPLOYMENT: version}
            answers = [httpx.post(pod.uri(NAME), json={}, headers=pinned, trust_env=False) for _ in range(10)]
            assert {(one.status_code, one.headers[MODEL_DEPLOYMENT]) for one in answers} == {(200, version)}
        odd = {**headers, MODEL_DEPLOYMENT: "grey"}
        refused = httpx.post(pod.uri(NAME), json={}, headers=odd, trust_env=False)
        assert (refused.status_code, refused.json()["reason"]) == (404, "unknown_version")


def test_a_version_without_a_ready_replica_gets_nothing_and_no_request_fails(
    stack: Stack, pods: list[RouterPod], headers: dict[str, str], say: Any
) -> None:
    uris = [f"{router_url(stack.cluster)}/api/v1/service/{NAME}/score"]
    with load(uris, headers, RATE, kept=9, seconds=0) as answers:
        answers.wait(30)
        scale(stack, pods, "red", 0)
        for pod in pods:
            found = seen(pod, headers, 80)
            assert found.keys() == {"blue", "green"}, found
        scale(stack, pods, "red", 1)
        for pod in pods:
            assert seen(pod, headers, 80).keys() == PERCENT.keys()
    say(f"a version goes and comes: {answers.failed()} of {len(answers.all)} failed")
    assert answers.failed() == {}


def test_percentages_change_under_load_without_a_reload_or_a_failure(
    stack: Stack, pods: list[RouterPod], headers: dict[str, str], say: Any
) -> None:
    reloads = [status(pod)["reloads"] for pod in pods]
    uris = [f"{router_url(stack.cluster)}/api/v1/service/{NAME}/score"]
    with load(uris, headers, RATE, kept=9, seconds=0) as answers:
        answers.wait(30)
        changed = {"blue": 10.0, "green": 30.0, "red": 60.0}
        stack.webservices = [service(**changed)]
        stack.write()
        stack.apply()
        for pod in pods:
            found = seen(pod, headers)
            assert not improbable(found, shares(changed)), found
    say(f"percentages change: {answers.failed()} of {len(answers.all)} failed")
    assert answers.failed() == {}
    assert [status(pod)["reloads"] for pod in pods] == reloads
