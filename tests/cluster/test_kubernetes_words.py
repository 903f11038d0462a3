"""The commands on a cluster: what a newcomer sees when something goes wrong there, and when it goes well."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from slipway.cli import main
from tests.cluster.kubernetes.cluster import Cluster
from tests.cluster.kubernetes.stack import Stack, push_base, push_router

SERVICE = "words"
NAMESPACE = "slipway-words"
SCORE = """import json


def init():
    print("loading")


def run(data):
    return json.loads(data)
"""
BROKEN = SCORE.replace('print("loading")', 'raise RuntimeError("no such model")')
NEVER = SCORE.replace('print("loading")', "import time\n    time.sleep(3600)")


class Words:
    """A stack on the cluster, changed and asked by one test after the other."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.kubectl = stack.cluster.kubectl

    def __call__(self, *arguments: str, stdin: str | None = None) -> Result:
        with contextlib.chdir(self.stack.folder):
            return CliRunner().invoke(main, [*arguments, "-s", "test"], input=stdin)

    def deploy(self, script: str = SCORE, **settings: Any) -> None:
        source = self.stack.folder / SERVICE
        source.mkdir(exist_ok=True)
        (source / "score.py").write_text(script)
        service = {
            "name": SERVICE,
            "namespace": NAMESPACE,
            "source_directory": SERVICE,
            "entry_script": "score.py",
            "num_replicas": 1,
            **settings,
        }
        self.stack.webservices = [service]
        self.stack.write()
        self.stack.apply()

    def deadline(self, seconds: int) -> None:
        patch = {"spec": {"progressDeadlineSeconds": seconds}}
        self.kubectl("patch", "deployment", SERVICE, "-n", NAMESPACE, "-p", json.dumps(patch))


@pytest.fixture(scope="module")
def words(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Generator[Words]:
    base = push_base(cluster)
    router = {"replicas": 1, "image": push_router(cluster, base)}
    stack = Stack(cluster, tmp_path_factory.mktemp("words") / "project", base, router, [])
    one = Words(stack)
    one.deploy()
    try:
        yield one
    finally:
        stack.delete()


def test_when_all_is_well_then_wait_says_so_and_status_shows_it(words: Words) -> None:
    words.deploy()
    waited = words("wait")
    assert waited.exit_code == 0, waited.stderr
    assert waited.stdout == f"{SERVICE}: 1 of 1 ready\nslipway-router: 1 of 1 ready\n"
    status = words("status")
    assert status.exit_code == 0, status.stderr
    header, service, router = [line.split() for line in status.stdout.splitlines()]
    assert header == ["service", "state", "ready", "queued", "restarts", "image", "uri"]
    assert service[:5] == [SERVICE, "Healthy", "1/1", "0", "0"]
    assert service[5].startswith(f"{SERVICE}@sha256:")
    url = router[-1]
    assert service[6] == f"{url}/api/v1/service/{SERVICE}/score"
    assert router[:3] == ["(router)", "Healthy", "1/1"]
    assert f"cluster {words.stack.cluster.context}\n" in status.stderr


def failed(words: Words, *arguments: str) -> str:
    """Wait for what fails; give all that is said."""
    result = words("wait", SERVICE, *arguments)
    assert result.exit_code == 1, result.stdout
    assert result.stdout == ""
    return result.stderr


def test_when_an_image_is_not_there_then_wait_names_it_and_says_what_to_do(words: Words) -> None:
    image = f"{words.stack.cluster.registry}/nothere:1"
    words.deploy(environment={"image": image})
    said = failed(words)
    assert f"error: {SERVICE}: image {image} cannot be pulled: " in said
    assert "not found" in said
    assert "hint: push the image" in said
    status = words("status")
    assert f"{SERVICE}: image {image} cannot be pulled: " in status.stderr
    assert "1/1" in status.stdout, "the pod before it still serves"


def test_when_the_entry_script_is_broken_then_wait_shows_its_traceback(words: Words) -> None:
    words.deploy(BROKEN)
    said = failed(words)
    assert f"error: {SERVICE}: scoring ended with exit " in said
    assert "RuntimeError: no such model" in said
    assert f"hint: slipway logs -s test {SERVICE} --previous" in said
    previous = words("logs", SERVICE, "--previous")
    assert previous.exit_code == 0, previous.stderr
    assert "RuntimeError: no such model" in previous.stdout
    assert any(word in words("status").stdout for word in ("(exit ", "(Error"))


def test_when_a_probe_never_succeeds_then_its_answer_is_the_reason_at_the_deployments_deadline(
    words: Words,
) -> None:
    words.deploy(NEVER)
    words.deadline(8)
    said = failed(words)
    words.deadline(600)
    assert f"error: {SERVICE}: readiness probe failed: " in said
    assert f"hint: slipway logs -s test {SERVICE}\n" in said
    late = words("wait", SERVICE, "--timeout", "1")
    assert (late.exit_code, late.stdout) == (1, "")
    assert f"error: not done after 1 s\n{SERVICE}: 0 of 1 ready\n" in late.stderr


def test_when_no_node_has_room_then_the_schedulers_reason_is_given(words: Words) -> None:
    words.deploy(cpu_cores=1000)
    said = failed(words)
    assert f"error: {SERVICE}: no node for it: 0/1 nodes are available: 1 Insufficient cpu" in said
    assert "hint: ask for less (cpu_cores" in said


def test_when_a_quota_is_used_up_then_the_refusal_is_given(words: Words) -> None:
    words.kubectl("create", "quota", "none", "--hard=pods=1", "-n", NAMESPACE)
    try:
        words.deploy(scoring_timeout_ms=1234)
        said = failed(words)
    finally:
        words.kubectl("delete", "quota", "none", "-n", NAMESPACE)
    assert f"error: {SERVICE}: the API server refuses its pods: " in said
    assert "exceeded quota: none" in said
    assert "hint: raise the namespace's ResourceQuota" in said
