"""A stack on a real cluster by Pulumi's own engine, where that is on PATH."""

from __future__ import annotations

import json
from collections.abc import Generator
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from slipway.images.cache import VARIABLE, Cache
from tests.cluster.kubernetes.cluster import Cluster
from tests.cluster.kubernetes.stack import LABEL, NAME, PRUNED, key, new_stack
from tests.engine import real
from tests.engine.real import Real

pytestmark = pytest.mark.skipif(
    not real.available(), reason="pulumi is not on PATH: stacks were applied as `slipway render` gives them"
)
ECHO = {"name": "echo", "source_directory": "examples/echo", "entry_script": "score.py", "cpu_cores": 0.05}


@pytest.fixture(name="stack")
def _stack(cluster: Cluster, tmp_path: Path) -> Generator[Real]:
    new_stack(cluster, tmp_path / "written", [ECHO], replicas=1, cpu_cores=0.2).write(push=False)
    stack = Real(tmp_path / "written", tmp_path / "engine", {VARIABLE: str(Cache().root)})
    stack.create(NAME)
    yield stack
    stack.run("destroy", "--yes", "--skip-preview", "--stack", NAME)
    assert labelled(cluster) == []


def labelled(cluster: Cluster) -> list[str]:
    found = cluster.kubectl("get", ",".join(PRUNED), "-A", f"--selector={LABEL}", "--output=name")
    return found.split()


def steps(stack: Real, operation: str) -> list[tuple[str, str]]:
    """Do an operation; give what it did with which type of resource."""
    done = stack.steps(operation, "--yes", "--skip-preview", "--stack", NAME)
    return [(step.op, step.type) for step in done]


def test_a_stack_is_up_once_it_scores_then_changes_only_what_is_changed_and_leaves_nothing(
    cluster: Cluster, stack: Real
) -> None:
    stack.up(NAME)
    uri = json.loads(stack.run("stack", "output", "--json", "--stack", NAME))["scoring_uris"]["echo"]
    headers = {"Authorization": f"Bearer {key(cluster, 'echo')}"}
    answer = httpx.post(uri, json={"a": 1}, headers=headers, trust_env=False)
    assert answer.status_code == HTTPStatus.OK, answer.text
    assert answer.json()["echo"] == {"a": 1}
    assert steps(stack, "refresh") == []
    assert steps(stack, "up") == []
    with (stack.project / "examples/echo/score.py").open("a") as script:
        script.write("\n# changed\n")
    assert steps(stack, "up") == [
        ("update", "pulumi-python:dynamic/slipway:ImagePush"),
        ("update", "kubernetes:apps/v1:Deployment"),
    ]
