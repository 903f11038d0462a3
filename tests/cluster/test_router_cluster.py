"""The router as a pod of a real cluster: what it finds, how soon, and what it does while nobody tells it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import subprocess
import time
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from slipway.kube.client import connect
from slipway.spec import Serving
from tests.cluster.alerts import RUNBOOK, check
from tests.cluster.kubernetes.cluster import Cluster
from tests.cluster.kubernetes.stack import Stack, deployed, new_stack
from tests.cluster.processes import until as wait_for
from tests.cluster.prometheus import prometheus
from tests.cluster.test_router_rights import AT_HOME, EVERYWHERE, granted
from tests.local.router_parts import scenario, until
from tests.ports import free_port

Json = dict[str, Any]
SERVICES = "slipway-services"
SECONDS = 30.0
AWAY_SECONDS = float(os.environ.get("SLIPWAY_TEST_AWAY_SECONDS", "60"))
"""How long the API server is away."""
ECHO = {
    "name": "echo",
    "source_directory": "examples/echo",
    "entry_script": "score.py",
    "num_replicas": 2,
    "max_request_wait_time": 5000,  # a busy machine fails no request
}


@pytest.fixture(scope="module", name="stack")
def _stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    with deployed(
        new_stack(cluster, tmp_path_factory.mktemp("router") / "project", [ECHO], replicas=1)
    ) as made:
        yield made


class Router:
    """The stack's router, from outside."""

    def __init__(self, stack: Stack) -> None:
        self.cluster = stack.cluster
        pod = self.get("pods", "-l=app.kubernetes.io/name=slipway-router", namespace="slipway")["items"][0]
        self.pod: str = pod["metadata"]["name"]
        address = pod["status"]["podIP"]
        self.http = httpx.AsyncClient(base_url=f"http://{address}:8080", timeout=30, trust_env=False)
        self.admin = httpx.AsyncClient(base_url=f"http://{address}:8081", timeout=5, trust_env=False)
        self.key = key(self.get("secret", "echo-keys", namespace="slipway"))

    def get(self, *what: str, namespace: str = SERVICES) -> Json:
        return json.loads(self.cluster.kubectl("get", *what, f"--namespace={namespace}", "--output=json"))

    async def score(
        self, service: str = "echo", body: Json | None = None, key: str | None = None
    ) -> int | str:
        """Give 200, or why not."""
        headers = {"authorization": f"Bearer {key or self.key}"}
        path = f"/api/v1/service/{service}/score"
        response = await self.http.post(path, json=body or {}, headers=headers)
        return response.status_code if response.status_code == 200 else response.json()["reason"]

    async def status(self) -> Json:
        return (await self.admin.get("/status")).json()

    async def until(self, condition: Callable[[Json], bool]) -> Json:
        shown: list[Json] = []

        async def look() -> Json | None:
            shown[:] = [await self.status()]
            return shown[0] if condition(shown[0]) else None

        return await until(look, SECONDS, lambda: json.dumps(shown))

    async def until_score(self, answer: int | str, **asked: Any) -> float:
        """Score until the answer is this; give the time when it was."""

        async def look() -> float | None:
            return time.monotonic() if await self.score(**asked) == answer else None

        return await until(look, SECONDS, str)

    async def requests_to(self, server: str) -> int | None:
        """Give how many requests a replica ever got; None: the process that takes requests has it no more."""
        text = (await self.admin.get("/metrics/haproxy", params={"scope": "server"})).text
        start = f'haproxy_server_sessions_total{{proxy="echo",server="{server}"}} '
        counts = (int(line.removeprefix(start)) for line in text.splitlines() if line.startswith(start))
        return next(counts, None)


@contextlib.asynccontextmanager
async def reached(stack: Stack) -> AsyncGenerator[Router]:
    router = Router(stack)
    async with router.http, router.admin:
        await router.until(lambda status: status["services"]["echo"]["up"] == 2)
        yield router


@contextlib.asynccontextmanager
async def load(router: Router, every: float = 0.05) -> AsyncGenerator[list[int | str]]:
    """Score in steady steps, whatever the answers; give them, all in the end."""
    answers: list[int | str] = []
    tasks: set[asyncio.Task[None]] = set()

    async def one() -> None:
        answers.append(await router.score())

    async def steadily() -> None:
        while True:
            task = asyncio.create_task(one())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            await asyncio.sleep(every)

    work = asyncio.create_task(steadily())
    try:
        yield answers
    finally:
        work.cancel()
        await asyncio.gather(work, *tasks, return_exceptions=True)


def key(secret: Json, which: str = "primary") -> str:
    return base64.b64decode(secret["data"][which]).decode()


def copied(stack: Stack, name: str, annotation: str, namespace: str = SERVICES) -> str:
    """Give echo's Deployment and Service under another name, whose pods are its own."""
    found: list[Json] = []
    for obj in yaml.safe_load_all(stack.applied):
        if obj["kind"] in ("Deployment", "Service") and obj["metadata"]["name"] == "echo":
            copy = json.loads(json.dumps(obj).replace('"echo"', f'"{name}"'))
            copy["metadata"]["namespace"] = namespace
            if obj["kind"] == "Deployment":
                copy["metadata"]["annotations"] = {"slipway/serving": annotation}
                copy["spec"]["replicas"] = 1
            found.append(copy)
    return yaml.safe_dump_all(found)


@contextlib.contextmanager
def applied(cluster: Cluster, objects: str) -> Generator[None]:
    cluster.kubectl("apply", "--server-side", "--validate=strict", "--filename=-", stdin=objects)
    try:
        yield
    finally:
        cluster.kubectl("delete", "--filename=-", "--ignore-not-found", "--wait=false", stdin=objects)


OPEN = Serving(auth_enabled=False, num_replicas=1, autoscale_enabled=False)


@scenario
async def test_a_new_service_is_routable_within_a_second_of_its_first_ready_pod(stack: Stack) -> None:
    async with reached(stack) as router, connect(stack.cluster.kubeconfig, stack.cluster.context) as client:

        async def first_ready(version: str) -> float:
            labels = "slipway/webservice=fresh"
            async for event in client.watch("Pod", version, SERVICES, labels=labels):
                conditions = event.object.get("status", {}).get("conditions", ())
                if any(one["type"] == "Ready" and one["status"] == "True" for one in conditions):
                    return time.monotonic()
            raise AssertionError("the watch ended")

        async def told() -> bool | None:
            return "Routable" in stack.cluster.kubectl("events", f"--namespace={SERVICES}") or None

        version = (await client.list("Pod", SERVICES)).version
        with applied(stack.cluster, copied(stack, "fresh", OPEN.model_dump_json())):
            async with asyncio.timeout(SECONDS):
                ready = asyncio.create_task(first_ready(version))
                scored = await router.until_score(200, service="fresh")
                assert scored - await ready < 1
            await until(told, SECONDS, str)
        await router.until(lambda status: "fresh" not in status["services"])


@scenario
async def test_a_terminating_pod_gets_no_new_request_and_answers_those_that_it_has(stack: Stack) -> None:
    async with reached(stack) as router:
        servers: list[str] = (await router.status())["services"]["echo"]["serving"]
        slow = [asyncio.create_task(router.score(body={"seconds": 5})) for _ in servers]
        await router.until(lambda status: status["services"]["echo"]["busy"] == 2)
        leaves = servers[0]
        pods = router.get("pods", "-l=slipway/webservice=echo")["items"]
        (pod,) = [one for one in pods if one["status"]["podIP"] == leaves.partition(":")[0]]
        stack.cluster.kubectl("delete", "pod", pod["metadata"]["name"], f"-n={SERVICES}", "--wait=false")
        begin = time.monotonic()
        await router.until(lambda status: leaves not in status["services"]["echo"]["serving"])
        assert time.monotonic() - begin < 1
        had = await router.requests_to(leaves)
        assert not any(task.done() for task in slow)
        async with asyncio.timeout(SECONDS):
            quick = await asyncio.gather(*(router.score() for _ in range(2)))
            assert await asyncio.gather(*slow) == [200, 200]
        assert set(quick) <= {200, "queue_timeout"}  # the other was busy for longer than they may wait
        assert await router.requests_to(leaves) in (had, None)
        await router.until(lambda status: status["services"]["echo"]["up"] == 2)


@scenario
async def test_while_services_roll_no_request_fails(stack: Stack) -> None:
    async with reached(stack) as router, load(router) as answers:
        await asyncio.to_thread(
            stack.cluster.kubectl, "rollout", "restart", "deployment/echo", f"-n={SERVICES}"
        )
        await asyncio.to_thread(rolled_out, stack, 60)
        await router.until(lambda status: status["services"]["echo"]["up"] == 2)
    assert set(answers) == {200}


@scenario
async def test_while_the_api_server_is_away_requests_go_on_and_then_all_is_caught_up_with(
    stack: Stack, tmp_path: Path
) -> None:
    component = stack.cluster.component("kube-apiserver")
    async with reached(stack) as router:
        fine = (await router.admin.get("/metrics")).text
        async with load(router) as answers:
            await asyncio.to_thread(component.stop)
            try:
                await asyncio.sleep(AWAY_SECONDS)
                behind = (await router.status())["behind"]
                away = (await router.admin.get("/metrics")).text
                assert "does not answer" in behind["error"]
                assert behind["since"] < time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - 50))
            finally:
                component.start()
            await asyncio.to_thread(stack.cluster.wait_ready)
            await router.until(lambda status: status["behind"] is None)
            ended = (await router.admin.get("/metrics")).text
        assert set(answers) == {200}
        scrapes = [{"router": text} for text in [fine] * 5 + [away] * 5 + [ended] * 5]
        check(tmp_path, scrapes, {5: [], 10: ["SlipwayRouterBehind"], 15: []})
        stack.cluster.kubectl("scale", "deployment/echo", "--replicas=3", f"-n={SERVICES}")
        # Kubernetes' own parts take their time until they do anything again.
        await asyncio.to_thread(rolled_out, stack, 120)
        await router.until(lambda status: status["services"]["echo"]["up"] == 3)
        stack.cluster.kubectl("scale", "deployment/echo", "--replicas=2", f"-n={SERVICES}")
        await router.until(lambda status: status["services"]["echo"]["up"] == 2)


@scenario
async def test_a_new_key_is_let_in_and_the_old_one_kept_out_within_a_second(stack: Stack) -> None:
    async with reached(stack) as router:
        fresh = "n" * 32
        data = {"data": {"primary": base64.b64encode(fresh.encode()).decode()}}
        begin = time.monotonic()
        where = ("secret", "echo-keys", "--namespace=slipway", "--type=merge")
        await asyncio.to_thread(stack.cluster.kubectl, "patch", *where, f"--patch={json.dumps(data)}")
        patched = time.monotonic()
        assert await router.until_score(200, key=fresh) - patched < 1
        assert await router.until_score("key_wrong") - begin < 2


@scenario
async def test_a_bad_annotation_breaks_its_own_service_only_and_describe_says_why(stack: Stack) -> None:
    async with reached(stack) as router:
        with applied(stack.cluster, copied(stack, "bad", '{"scoring_timeout_ms": 0}')):
            async with load(router) as answers:
                status = await router.until(lambda status: "bad" in status["services"])
                said = "scoring_timeout_ms = 0: must be greater than 0"
                assert said in status["services"]["bad"]["error"]
                await described(stack, "bad", SERVICES, "Misconfigured", said)
        assert set(answers) == {200}


@scenario
async def test_a_name_that_is_taken_is_told_to_the_younger_deployment(stack: Stack) -> None:
    async with reached(stack) as router:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "elsewhere"}}
        objects = (
            yaml.safe_dump(namespace) + "---\n" + copied(stack, "echo", OPEN.model_dump_json(), "elsewhere")
        )
        with applied(stack.cluster, objects):
            said = f"the service echo is Deployment {SERVICES}/echo, which is older"
            await described(stack, "echo", "elsewhere", "NameTaken", said)
            assert said in str((await router.status())["ignored"])
            assert await router.score() == 200


@scenario
async def test_prometheus_finds_the_router_by_its_annotations_and_tells_of_a_real_fault(
    stack: Stack, tmp_path: Path
) -> None:
    async with reached(stack) as router:
        with prometheus(stack.cluster, tmp_path) as one:

            async def healthy() -> bool | None:
                return one.healthy() == [router.pod] or None

            async def firing() -> bool | None:
                return one.firing() == {"SlipwayRouterRestarts"} or None

            await until(healthy, SECONDS, lambda: str(one.ask("targets")))
            pid = (await router.status())["haproxy_pid"]
            kill = f"import os, signal; os.kill({pid}, signal.SIGKILL)"
            within = ("exec", router.pod, "--namespace=slipway", "--", "python3", "-c", kill)
            await asyncio.to_thread(stack.cluster.kubectl, *within)
            await until(firing, SECONDS, lambda: str(one.ask("alerts")))
        await router.until(lambda status: status["services"]["echo"]["up"] == 2)


def test_the_commands_of_the_runbook_show_what_it_says(stack: Stack) -> None:
    found: list[str] = re.findall(r"`kubectl ([\w-]+ .+?)`", RUNBOOK.read_text())
    commands = [line.split() for line in found]
    shown = [stack.cluster.kubectl(*line) for line in commands if line[0] != "port-forward"]
    pod = Router(stack).pod
    assert all(any(word in one for one in shown) for word in (pod, "Replicas:", "ok"))
    (forward,) = [line for line in commands if line[0] == "port-forward"]
    local = free_port()
    told = {"POD": pod, "8081": f"{local}:8081"}  # on this machine others may have 8081
    line = [told.get(word, word) for word in forward]
    with subprocess.Popen(stack.cluster.kubectl_command(*line), stdout=subprocess.DEVNULL) as forwarding:
        try:
            wait_for(lambda: answers(f"http://127.0.0.1:{local}/status"))
        finally:
            forwarding.terminate()


def answers(url: str) -> bool:
    try:
        return {"behind", "error"} <= httpx.get(url, trust_env=False).json().keys()
    except httpx.TransportError:
        return False


def rolled_out(stack: Stack, seconds: int) -> None:
    """Wait until echo's replicas are there."""
    stack.cluster.kubectl("rollout", "status", "deployment/echo", f"-n={SERVICES}", f"--timeout={seconds}s")


async def described(stack: Stack, name: str, namespace: str, *words: str) -> None:
    """Wait until `kubectl describe` has all these words."""
    shown: list[str] = []

    async def look() -> bool | None:
        command = ("describe", "deployment", name, f"--namespace={namespace}")
        shown[:] = [await asyncio.to_thread(stack.cluster.kubectl, *command)]
        return all(word in shown[0] for word in words) or None

    await until(look, SECONDS, lambda: shown[0])


@scenario
async def test_the_routers_account_may_do_what_the_table_says_and_no_more(stack: Stack) -> None:
    found = await asyncio.to_thread(granted, stack.cluster, "slipway", "slipway-router", "slipway")
    assert found == (EVERYWHERE | AT_HOME) - {("", "pods/resize", "patch")}  # it does not scale itself
