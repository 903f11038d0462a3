"""The dynamic resource without Pulumi's CLI: in a plan, and among the objects of a stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway.engine import UNKNOWN, Secret, run
from slipway.kube.resolve import IMAGE_PUSH, resolve
from slipway.plan import to_json, tree

DIGEST = f"sha256:{'0' * 64}"
PROGRAM = f"""
import pulumi
import pulumi_kubernetes as k8s

from slipway.images.push import ImagePush, ImagePushArgs

args = ImagePushArgs("r.test/slipway/a", {DIGEST!r}, ["v1"], "r.test/slipway/environments")
pushed = ImagePush("a", args)
k8s.core.v1.ConfigMap("c", metadata={{"name": "c"}}, data={{"digest": pushed.digest, "id": pushed.id}})
"""


@pytest.fixture(name="project")
def _project(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.yaml").write_text("name: small\nruntime: python\n")
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {}\n")
    (tmp_path / "__main__.py").write_text(PROGRAM)
    return tmp_path


def test_a_plan_shows_what_is_pushed_where_and_not_how(project: Path) -> None:
    graph = run(project, "dev")
    (push,) = [found for found in graph.registrations if found.type == IMAGE_PUSH]
    provider = push.inputs["__provider"]
    assert isinstance(provider, Secret)
    assert (push.outputs["digest"], push.id) == (DIGEST, UNKNOWN)
    assert "ImagePush a  r.test/slipway/a@sha256:000000000000...  v1" in tree(graph)
    assert str(provider.value) not in to_json(graph)


def test_what_a_push_passes_on_is_known_to_the_objects_of_a_stack(project: Path) -> None:
    program = PROGRAM.replace(', "id": pushed.id', "")
    (project / "__main__.py").write_text(program)
    (found,) = resolve(project, "dev", local=True).objects
    assert found["data"] == {"digest": DIGEST}
