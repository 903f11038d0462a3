"""The router scales itself on a real cluster: CPU in place, and pods, only where there is room."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from slipway.kube.client import connect
from slipway.router.feed import Objects
from slipway.router.options import Size
from slipway.router.scaling.steps import Refused, Steps
from slipway.router.watches import ClusterFeed
from slipway.router.writes import ClusterWriter
from tests.cluster.kubernetes.cluster import Cluster
from tests.cluster.kubernetes.stack import Stack, deployed, new_stack
from tests.cluster.test_router_cluster import ECHO, Router, load
from tests.local.router_parts import scenario, until

REPLICAS, CPU = 2, 200
AS_ON_AZURE = (
    '__import__("dataclasses").replace(router_size(settings), scales_itself="when telemetry shows the need", '
    "limit=type(router_size(settings).limit)(2000, 512))"
)
"""In the program's copy: the router of this stack, which is without Azure, scales itself, too."""
SECONDS = 90.0
Json = dict[str, Any]


def scale_itself(stack: Stack) -> None:
    """Let the router of a stack that is not deployed yet scale itself."""
    replace(stack.folder / "components/platform.py", "size=router_size(settings)", f"size={AS_ON_AZURE}")


def replace(file: Path, text: str, by: str) -> None:
    """Change a text that is there."""
    before = file.read_text()
    assert text in before
    file.write_text(before.replace(text, by))


@pytest.fixture(scope="module", name="stack")
def _stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    made = new_stack(
        cluster,
        tmp_path_factory.mktemp("itself") / "project",
        [ECHO],
        replicas=REPLICAS,
        cpu_cores=CPU / 1000,
    )
    scale_itself(made)
    with deployed(made):
        yield made


@dataclass
class Itself:
    """The router's Deployment and pods."""

    cluster: Cluster

    def kubectl(self, *arguments: str) -> str:
        return self.cluster.kubectl("--namespace=slipway", *arguments)

    @property
    def replicas(self) -> int:
        return int(self.kubectl("get", "deployment/slipway-router", "-o=jsonpath={.spec.replicas}"))

    @property
    def pods(self) -> list[Json]:
        listed: Json = json.loads(
            self.kubectl("get", "pods", "-l=app.kubernetes.io/name=slipway-router", "-o=json")
        )
        return [pod for pod in listed["items"] if "deletionTimestamp" not in pod["metadata"]]

    def status(self, pod: str) -> Json:
        return next(one["status"] for one in self.pods if one["metadata"]["name"] == pod)[
            "containerStatuses"
        ][0]

    def cpu(self, pod: str) -> str:
        return self.status(pod)["resources"]["requests"]["cpu"]

    async def journal(self) -> list[Json]:
        """Give all lines that the pods have of the router itself."""
        found: list[Json] = []
        for pod in self.pods:
            with contextlib.suppress(httpx.HTTPError):
                url = f"http://{pod['status'].get('podIP')}:8081/journal"
                async with httpx.AsyncClient(trust_env=False, timeout=5) as http:
                    text = (await http.get(url)).text
                found += [line for line in map(json.loads, text.splitlines()) if "router" in line]
        return found

    async def until_pods(self, number: int) -> None:
        async def look() -> bool | None:
            ready = self.kubectl("get", "deployment/slipway-router", "-o=jsonpath={.status.readyReplicas}")
            return (self.replicas == number and ready == str(number) and len(self.pods) == number) or None

        await until(look, SECONDS, lambda: str([pod["status"] for pod in self.pods]))


@contextlib.asynccontextmanager
async def stepping(itself: Itself, pod: str, size: Size) -> AsyncGenerator[Steps]:
    """Take steps for a pod from here, with what its router would see of the cluster."""
    router = SimpleNamespace(threads=1, objects=Objects(), error=None)

    async def follow(feed: ClusterFeed) -> None:
        while True:
            router.objects = await feed.next()

    async with (
        connect(itself.cluster.kubeconfig, itself.cluster.context) as client,
        ClusterFeed(client, "slipway") as feed,
    ):
        router.objects = await feed.next()
        following = asyncio.create_task(follow(feed))
        yield Steps(cast("Any", router), ClusterWriter(client), pod, size)
        following.cancel()


@contextlib.asynccontextmanager
async def under_load(stack: Stack) -> AsyncGenerator[Itself]:
    """Send requests all the time, of which none may fail."""
    itself = Itself(stack.cluster)
    await itself.until_pods(REPLICAS)
    router = Router(stack)
    async with router.http, router.admin:
        await router.until(lambda status: status["services"]["echo"]["up"] == 2)
        async with load(router) as answers:
            yield itself
    assert answers
    assert set(answers) == {200}, answers


@scenario
async def test_the_configured_pods_come_though_nothing_that_is_applied_says_how_many(stack: Stack) -> None:
    assert "slipway/scales-itself: 'true'" in stack.applied
    itself = Itself(stack.cluster)
    await itself.until_pods(REPLICAS)
    assert [(line["step"], line["outcome"]) for line in await itself.journal()] == [("out", "scaled")]
    stack.apply()
    assert itself.replicas == REPLICAS


@scenario
async def test_a_pod_gets_cpu_where_it_runs_and_gives_it_back(stack: Stack) -> None:
    async with under_load(stack) as itself:
        pod = itself.pods[0]["metadata"]["name"]
        async with stepping(itself, pod, Size(2, CPU, 2000)) as steps:
            await steps.request(2)
            assert itself.cpu(pod) == f"{2 * CPU}m"
            await steps.request(1)
            assert itself.cpu(pod) == f"{CPU}m"
        assert itself.status(pod)["restartCount"] == 0


@scenario
async def test_cpu_that_no_node_has_is_taken_back(stack: Stack) -> None:
    async with under_load(stack) as itself:
        pod = itself.pods[0]["metadata"]["name"]
        itself.kubectl(
            *("patch", "pod", pod, "--subresource=resize", "--patch"),
            '{"spec":{"containers":[{"name":"router","resources":{"limits":{"cpu":"1000"}}}]}}',
        )
        async with stepping(itself, pod, Size(2, CPU, 999_000)) as steps:
            with pytest.raises(Refused, match=r"800000m of CPU: (Infeasible|Deferred): "):
                await steps.request(4000)
            await steps.settle()
        assert itself.cpu(pod) == f"{CPU}m"
        assert itself.status(pod)["restartCount"] == 0


@scenario
async def test_a_pod_that_finds_no_node_is_not_asked_for_any_more(stack: Stack) -> None:
    async with under_load(stack) as itself:
        node = itself.pods[0]["spec"]["nodeName"]
        itself.cluster.kubectl("cordon", node)
        try:
            itself.kubectl("scale", "deployment/slipway-router", f"--replicas={REPLICAS + 1}")
            await itself.until_pods(REPLICAS)
        finally:
            itself.cluster.kubectl("uncordon", node)
        (line,) = [one for one in await itself.journal() if one["step"] == "in"]
        assert line["rule"].startswith("a pod finds no node: 0/1 nodes are available")
        assert (line["replicas"], line["outcome"]) == (REPLICAS + 1, "scaled")
        events: Json = json.loads(itself.kubectl("get", "events", "-o=json"))
        said = [one["message"] for one in events["items"] if one["reason"] == "SuccessfulRescale"]
        assert f"Scaled from 3 to 2 pods of the router; {line['rule']}" in said


@scenario
async def test_a_process_that_begins_again_in_its_pod_asks_for_one_threads_cpu(stack: Stack) -> None:
    itself = Itself(stack.cluster)
    await itself.until_pods(REPLICAS)
    pod = itself.pods[0]["metadata"]["name"]
    async with stepping(itself, pod, Size(2, CPU, 2000)) as steps:
        await steps.request(2)
        itself.kubectl("exec", pod, "--", "sh", "-c", "kill 1")

        async def look() -> bool | None:
            status = itself.status(pod)
            return (status["restartCount"] == 1 and itself.cpu(pod) == f"{CPU}m") or None

        await until(look, SECONDS, lambda: str(itself.status(pod)))
