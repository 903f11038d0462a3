"""What becomes of requests when something goes wrong in a cluster, counted from outside under steady load.

docs/faults.md tells it to users.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from slipway.spec import ROUTER_NAMESPACE
from tests.cluster.kubernetes.cluster import Cluster
from tests.cluster.kubernetes.stack import Stack, key, new_stack, router_url
from tests.cluster.load import PATIENCE, Answers, load
from tests.cluster.processes import until
from tests.cluster.statuses import statuses

NAME, NAMESPACE = "faults", "slipway-faults"
RATE = 20.0
"""Requests a second: a third of what two replicas can do."""
SCORE = """import json
import time

held = []


def init():
    pass


def run(data):
    asked = json.loads(data)
    time.sleep(asked.get("seconds", 0))
    held.append(b"x" * asked.get("bytes", 0))
    return "version 1"
"""
ROUTERS = ["--namespace", ROUTER_NAMESPACE, "--selector", "app.kubernetes.io/name=slipway-router"]
REPLICAS = ["--namespace", NAMESPACE, "--selector", f"slipway/webservice={NAME}"]


@pytest.fixture(name="stack", scope="module")
def _stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    folder = tmp_path_factory.mktemp("faults") / "project"
    made = new_stack(cluster, folder, replicas=2, cpu_cores=0.2, memory_gb=0.4)
    (made.folder / NAME).mkdir()
    try:
        deploy(made, SCORE)
        made.wait()
        yield made
    finally:
        made.delete()


@dataclass
class Fault:
    """Something that goes wrong while requests come."""

    answers: Answers
    began: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    """When the cause was gone; 0: it began and was over at once."""

    def wait(self, count: int) -> None:
        self.answers.wait(count)

    def failed(self) -> dict[str, int]:
        return self.answers.failed()

    def ends(self) -> None:
        """Say that what comes now is the way back."""
        self.ended = time.monotonic()


@pytest.fixture(name="fault")
def _fault(stack: Stack, request: pytest.FixtureRequest, say: Callable[[str], None]) -> Generator[Fault]:
    """Give what comes of a steady load, which has begun well and must end well, and tell what was seen.

    Its parameter is the number of connections that are kept.
    """
    headers = {"Authorization": f"Bearer {key(stack.cluster, NAME)}"}
    with (
        statuses(stack) as status,
        load([uri(stack)], headers, RATE, kept=getattr(request, "param", 0)) as answers,
    ):
        answers.wait(40)
        status.wait_well()
        assert answers.failed() == {}
        fault = Fault(answers)
        yield fault
        answers.wait(40)
        status.wait_well()
    since, gone = (fault.ended, "its cause was gone") if fault.ended else (fault.began, "it began")
    until = (answers.failed_until() or fault.began) - fault.began
    say(f"{request.node.name}: {answers.failed()} of {len(answers.all)} failed, the last after {until:.1f} s")
    well = status.well_after(fault.began, since)
    say("  all well throughout" if well is None else f"  all well {well:.1f} s after {gone}")
    for line in status.told(fault.began):
        say(f"  {line}")


def deploy(stack: Stack, script: str) -> None:
    (stack.folder / NAME / "score.py").write_text(script)
    service = {"name": NAME, "namespace": NAMESPACE, "source_directory": NAME, "entry_script": "score.py"}
    # The machine of a test is slow at times, which is not what is looked for here.
    sizes = {"num_replicas": 2, "cpu_cores": 0.05, "memory_gb": 0.25, "max_request_wait_time": 10_000}
    stack.webservices = [service | sizes]
    stack.write()
    stack.apply()


def uri(stack: Stack) -> str:
    return f"{router_url(stack.cluster)}/api/v1/service/{NAME}/score"


def pods(stack: Stack, of: list[str]) -> list[dict[str, Any]]:
    return json.loads(stack.cluster.kubectl("get", "pods", *of, "--output=json"))["items"]


def rolled_out(stack: Stack, name: str, namespace: str) -> None:
    stack.cluster.kubectl("rollout", "status", f"deployment/{name}", f"-n={namespace}", "--timeout=180s")


def test_no_request_fails_while_a_service_gets_new_code(stack: Stack, fault: Fault) -> None:
    deploy(stack, SCORE.replace("version 1", "version 2"))
    rolled_out(stack, NAME, NAMESPACE)
    fault.wait(40)
    assert fault.failed() == {}


@pytest.mark.parametrize("fault", [0, 10], ids=["new", "kept"], indirect=True)
def test_no_request_fails_while_the_router_is_replaced(stack: Stack, fault: Fault) -> None:
    stack.cluster.kubectl("rollout", "restart", "deployment/slipway-router", f"-n={ROUTER_NAMESPACE}")
    rolled_out(stack, "slipway-router", ROUTER_NAMESPACE)
    fault.wait(40)
    assert fault.failed() == {}


@pytest.mark.parametrize("of", [REPLICAS, ROUTERS], ids=["replica", "router"])
def test_no_request_fails_when_a_pod_is_deleted(stack: Stack, fault: Fault, of: list[str]) -> None:
    pod = pods(stack, of)[0]["metadata"]
    stack.cluster.kubectl("delete", "pod", pod["name"], f"--namespace={pod['namespace']}")
    fault.wait(40)
    assert fault.failed() == {}


def test_only_requests_inside_a_replica_fail_when_it_is_killed_for_its_memory(
    stack: Stack, fault: Fault
) -> None:
    headers = {"Authorization": f"Bearer {key(stack.cluster, NAME)}"}
    answer = httpx.post(uri(stack), json={"bytes": 2**30}, headers=headers, trust_env=False, timeout=30)
    assert answer.json()["reason"] == "replica_failed"
    until(lambda: shows(stack, ".lastState.terminated.reason", "OOMKilled"))
    rolled_out(stack, NAME, NAMESPACE)
    failed = fault.failed()
    assert set(failed) <= {"replica_failed"}, failed
    assert sum(failed.values()) <= 1, "besides the one inside, one can reach a process that is about to end"


def shows(stack: Stack, path: str, word: str) -> bool:
    """Tell whether a field of a replica's container has a word."""
    field = f"{{.items[*].status.containerStatuses[0]{path}}}"
    return word in stack.cluster.kubectl("get", "pods", *REPLICAS, f"--output=jsonpath={field}")


@pytest.mark.parametrize("name", ["kubelet", "kube-apiserver"])
def test_no_request_fails_while_a_part_of_kubernetes_is_restarted(
    stack: Stack, fault: Fault, name: str
) -> None:
    part = stack.cluster.component(name)
    part.stop()
    try:
        fault.wait(100)
    finally:
        part.start()
        fault.ends()
    stack.cluster.wait_ready()
    fault.wait(40)
    assert fault.failed() == {}


def test_no_request_fails_while_etcd_stands_still(stack: Stack, fault: Fault) -> None:
    etcd = stack.cluster.component("etcd")
    etcd.pause()
    try:
        fault.wait(200)
    finally:
        etcd.resume()
        fault.ends()
    stack.cluster.wait_ready()
    assert fault.failed() == {}


def test_a_version_that_never_gets_ready_takes_no_request(stack: Stack, fault: Fault) -> None:
    deploy(stack, SCORE.replace("pass", "time.sleep(3600)"))
    fault.wait(100)
    assert len(pods(stack, REPLICAS)) > 2
    deploy(stack, SCORE)
    fault.ends()
    rolled_out(stack, NAME, NAMESPACE)
    assert fault.failed() == {}


def test_an_image_that_cannot_be_pulled_takes_no_request(stack: Stack, fault: Fault) -> None:
    image = f"{stack.cluster.registry}/nothere:1"
    stack.cluster.kubectl("set", "image", f"deployment/{NAME}", f"scoring={image}", f"-n={NAMESPACE}")
    until(lambda: shows(stack, ".state.waiting.reason", "ErrImagePull"))
    fault.wait(100)
    stack.cluster.kubectl("rollout", "undo", f"deployment/{NAME}", f"-n={NAMESPACE}")
    fault.ends()
    rolled_out(stack, NAME, NAMESPACE)
    assert fault.failed() == {}


def test_a_router_that_is_cut_off_is_passed_by_after_its_readiness_failed(stack: Stack, fault: Fault) -> None:
    pod = pods(stack, ROUTERS)[0]
    address = pod["status"]["podIP"]
    machine = stack.cluster.component("kubelet").machine
    (namespace,) = (
        name
        for name in machine.run("ls", "/run/netns").split()
        if f" {address}/" in machine.run("ip", "-n", name, "-o", "address")
    )

    def cut(change: str) -> None:
        for chain in ("INPUT", "OUTPUT"):
            machine.run("ip", "netns", "exec", namespace, "iptables", change, chain, "-j", "DROP")

    ready = f"pod/{pod['metadata']['name']}"
    cut("-A")
    try:
        stack.cluster.kubectl("wait", "--for=condition=Ready=false", ready, f"-n={ROUTER_NAMESPACE}")
        noticed = time.monotonic()
        fault.wait(round(RATE * PATIENCE))
    finally:
        cut("-D")
        fault.ends()
    failed = fault.failed()
    assert set(failed) <= {"ConnectTimeout", "ReadTimeout", "owner_failed"}, failed
    assert (fault.answers.failed_until() or 0) < noticed + 1, "nobody is sent there any more"
    stack.cluster.kubectl("wait", "--for=condition=Ready", ready, f"-n={ROUTER_NAMESPACE}", "--timeout=60s")
