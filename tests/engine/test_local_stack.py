"""Our own local stack on the real engine, where that is on PATH: what it plans and what it would apply."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from slipway.engine import run
from slipway.kube.render import rendered
from slipway.kube.resolve import resolve
from tests.engine import real, recording
from tests.engine.real import Real

ROOT = Path(__file__).parents[2]
STACK = "local"

pytestmark = pytest.mark.skipif(
    not real.available(),
    reason="pulumi and its plugins are not on PATH: the local stack ran on our engine alone",
)


@pytest.fixture
def stack(tmp_path: Path) -> Real:
    found = Real(ROOT, tmp_path)
    found.create(STACK)
    return found


def test_when_the_local_stack_is_previewed_then_our_graph_equals_it(stack: Real) -> None:
    planned = recording.of_recording(recording.kept(*stack.preview(STACK)))
    ours = recording.of_graph(run(stack.project, STACK))
    assert sorted(ours) == sorted(planned)
    for urn, facts in planned.items():
        assert ours[urn] == facts, urn


def test_when_the_local_stack_is_deployed_into_files_then_they_equal_what_we_render(stack: Real) -> None:
    folder = stack.into_files()
    said = " ".join(stack.up(STACK).split())
    for image in ("router.image", "webservices[diabetes].environment.image"):
        assert f"{image} is not given, and no registry" in said
    files = sorted(folder.rglob("*.yaml"))
    applied = {key(obj): obj for file in files for obj in yaml.safe_load_all(file.read_text())}
    resolved = resolve(ROOT, STACK)
    assert sorted(applied) == sorted(key(obj) for obj in resolved.objects)
    for obj in rendered(resolved.objects):
        assert without_pulumi(applied[key(obj)]) == obj


def key(obj: dict[str, Any]) -> tuple[str, str, str]:
    metadata = obj["metadata"]
    return obj["kind"], metadata.get("namespace", ""), metadata["name"]


def without_pulumi(obj: dict[str, Any]) -> dict[str, Any]:
    metadata = dict(obj["metadata"])
    annotations = {name: v for name, v in metadata.pop("annotations", {}).items() if "pulumi.com" not in name}
    return {**obj, "metadata": metadata | ({"annotations": annotations} if annotations else {})}
