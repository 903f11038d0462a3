"""The commands on a cluster: what a newcomer sees when something goes wrong there, and when it goes well."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from slipway.cli import main
from tests.cluster.kubernetes.cluster import Cluster
from tests.cluster.kubernetes.stack import Stack, new_stack
from tests.cluster.processes import until

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

GREEDY = SCORE.replace('print("loading")', 'global kept; kept = b"x" * 2**30')


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

    def autoscaler_says(self, reason: str, message: str) -> None:
        """Tell of the pod without a node what the cluster autoscaler would."""
        pending = "--field-selector=status.phase=Pending"
        found = json.loads(self.kubectl("get", "pods", "-n", NAMESPACE, pending, "-o=json"))["items"]
        (metadata,) = (pod["metadata"] for pod in found)
        regarding = {"apiVersion": "v1", "kind": "Pod", "namespace": NAMESPACE}
        regarding |= {"name": metadata["name"], "uid": metadata["uid"]}
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{metadata['name']}.{reason.lower()}", "namespace": NAMESPACE},
            "involvedObject": regarding,
            "type": "Normal",
            "reason": reason,
            "message": message,
            "firstTimestamp": now,
            "lastTimestamp": now,
        }
        self.kubectl("create", "--filename=-", stdin=json.dumps(event))

    def deadline(self, seconds: int) -> None:
        patch = {"spec": {"progressDeadlineSeconds": seconds}}
        self.kubectl("patch", "deployment", SERVICE, "-n", NAMESPACE, "-p", json.dumps(patch))


@pytest.fixture(scope="module")
def words(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Generator[Words]:
    stack = new_stack(cluster, tmp_path_factory.mktemp("words") / "project", replicas=1)
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


def test_when_memory_is_short_then_that_is_the_reason_in_wait_and_in_status(words: Words) -> None:
    words.deploy(GREEDY, memory_gb=0.25)
    said = failed(words)
    assert f"error: {SERVICE}: scoring needs more memory than its limit (OOMKilled)" in said
    assert "hint: raise memory_gb" in said
    assert "(OOMKilled, exit 137)" in words("status").stdout


def test_when_a_probe_never_succeeds_then_its_answer_is_the_reason_at_the_deployments_deadline(
    words: Words,
) -> None:
    words.deploy(NEVER)
    late = words("wait", SERVICE, "--timeout", "5")
    assert (late.exit_code, late.stdout) == (1, "")
    assert f"error: not done after 5 s\n{SERVICE}: 0 of 1 ready\n" in late.stderr
    words.deadline(8)
    said = failed(words)
    words.deadline(600)
    assert f"error: {SERVICE}: readiness probe failed: " in said
    assert f"hint: slipway logs -s test {SERVICE}\n" in said


def test_when_no_node_has_room_then_the_reason_is_given_unless_the_autoscaler_adds_nodes(
    words: Words,
) -> None:
    words.deploy(cpu_cores=1000)
    reason = f"error: {SERVICE}: no node for it: 0/1 nodes are available: 1 Insufficient cpu"
    said = failed(words)
    assert reason in said
    assert "hint: ask for less (cpu_cores" in said
    words.autoscaler_says("TriggeredScaleUp", "pod triggered scale-up: [{services 1->2 (max: 3)}]")
    said = failed(words, "--timeout", "5")
    assert "error: not done after 5 s" in said
    assert "nodes are being added: pod triggered scale-up: [{services 1->2 (max: 3)}]" in said
    words.autoscaler_says("NotTriggerScaleUp", "pod didn't trigger scale-up: 1 max node group size reached")
    said = failed(words)
    assert reason in said
    assert "pod didn't trigger scale-up: 1 max node group size reached" in said


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


def test_when_a_key_is_made_anew_then_the_router_takes_it_and_it_scores(words: Words, tmp_path: Path) -> None:
    words.deploy()
    assert words("wait").exit_code == 0
    before = dict(line.split() for line in words("keys", SERVICE).stdout.splitlines())
    regenerated = words("keys", SERVICE, "--regen", "primary")
    assert (regenerated.exit_code, regenerated.stderr) == (0, "")
    after = dict(line.split() for line in regenerated.stdout.splitlines())
    assert after["primary"] != before["primary"]
    assert after["secondary"] == before["secondary"]
    assert words("keys", SERVICE).stdout == regenerated.stdout
    scored = words("score", SERVICE, "--data", "-", stdin='{"a": 1}')
    assert (scored.exit_code, json.loads(scored.stdout), scored.stderr) == (0, {"a": 1}, "")
    file = tmp_path / "key"
    file.write_text(before["primary"])
    refused = words("score", SERVICE, "--data", "-", "--key-file", str(file), stdin="{}")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("error: 401 key_wrong: ")
    assert before["primary"] not in refused.stderr


def test_when_the_router_has_no_address_then_the_printed_lines_lead_to_it(words: Words) -> None:
    words.deploy()
    assert words("wait").exit_code == 0
    words.stack.router = {**words.stack.router, "service_type": "ClusterIP"}
    words.deploy()
    result = words("score", SERVICE, "--data", "-", stdin="{}")
    assert result.exit_code == 1
    assert result.stderr.startswith(
        "error: the router's Service has no address outside the cluster\n\nhint: kubectl "
    )
    forward, score = result.stderr.partition("hint: ")[2].splitlines()
    assert score == f"slipway score -s test {SERVICE} --data FILE --url http://127.0.0.1:8080"
    program, *arguments = shlex.split(forward.replace("8080:80", ":80"))
    assert program == "kubectl"
    try:
        with subprocess.Popen(
            [words.stack.cluster.program, *arguments], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            port = re.search(r"127.0.0.1:(\d+)", process.stdout.readline())
            assert port is not None
            url = f"http://127.0.0.1:{port[1]}"
            scored = words("score", SERVICE, "--data", "-", "--url", url, stdin='{"b": 2}')
            process.kill()
        assert (scored.exit_code, json.loads(scored.stdout)) == (0, {"b": 2}), scored.stderr
    finally:
        words.stack.router = {**words.stack.router, "service_type": "LoadBalancer"}
        words.deploy()


def test_logs_are_those_of_every_replica_and_follow_the_next_process(words: Words, tmp_path: Path) -> None:
    words.deploy(num_replicas=2)
    assert words("wait").exit_code == 0
    lines = words("logs", SERVICE).stdout.splitlines()
    pods = {line.partition(": ")[0] for line in lines}
    assert len(pods) == 2
    assert all(pod.startswith(f"{SERVICE}-") for pod in pods)
    assert sum("loading" in line for line in lines) == 2
    assert len(words("logs", SERVICE, "--tail", "1").stdout.splitlines()) == 2
    assert "error: no process came before" in words("logs", SERVICE, "--previous").stderr
    assert words("logs", "router").stdout
    output = tmp_path / "followed"
    with output.open("wb") as file:
        command = [str(Path(sys.executable).with_name("slipway")), "logs", SERVICE, "-f", "-s", "test"]
        process = subprocess.Popen(command, cwd=words.stack.folder, stdout=file)
    try:
        until(lambda: output.read_text().count("loading") == 2)
        words.kubectl("rollout", "restart", f"deployment/{SERVICE}", "-n", NAMESPACE)
        until(lambda: output.read_text().count("loading") == 4)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_who_may_not_read_the_cluster_is_told_what_is_missing(words: Words, tmp_path: Path) -> None:
    words.kubectl("create", "serviceaccount", "guest", "-n", NAMESPACE)
    token = words.kubectl("create", "token", "guest", "-n", NAMESPACE).strip()
    config = yaml.safe_load(words.stack.cluster.kubeconfig.read_text())
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    file = tmp_path / "guest.yaml"
    file.write_text(yaml.safe_dump(config))
    for command in (["status"], ["wait"], ["keys", SERVICE], ["logs", SERVICE]):
        result = words(*command, "--kubeconfig", str(file))
        assert result.exit_code == 1
        assert (
            f'User "system:serviceaccount:{NAMESPACE}:guest" cannot list resource "deployments"'
            in result.stderr
        )
        assert "\n\nhint: ask who runs the cluster for that right" in result.stderr
    words.kubectl("delete", "serviceaccount", "guest", "-n", NAMESPACE)
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    file.write_text(yaml.safe_dump(config))
    away = words("status", "--kubeconfig", str(file))
    assert away.exit_code == 1
    assert "https://127.0.0.1:9 does not answer: " in away.stderr
    assert "hint: see that the cluster runs" in away.stderr
    other = words("status", "--context", "elsewhere")
    assert other.exit_code == 1
    assert "error: no context `elsewhere` in " in other.stderr
