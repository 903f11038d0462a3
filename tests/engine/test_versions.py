"""Versions on the real engine, where that is on PATH: what a change of traffic does, and a first version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.engine import real
from tests.engine.real import Real, Step

ROOT = Path(__file__).parents[2]
STACK = "local"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
KINDS = ("Deployment", "Service", "NetworkPolicy")

pytestmark = pytest.mark.skipif(
    not real.available(), reason="pulumi and its plugins are not on PATH: no traffic was changed with them"
)


def set_versions(stack: Real, **versions: dict[str, Any]) -> None:
    with stack.config(STACK) as config:
        image = {"environment": {"image": "registry/iris@sha256:1"}}
        config["slipway:router"] = {"image": "registry/router@sha256:2"}
        config["slipway:webservices"] = [{"name": "iris", **image, "num_replicas": 1, "versions": versions}]


def up(stack: Real) -> list[Step]:
    return stack.steps("up", "--yes", "--skip-preview", "--stack", STACK)


def test_traffic_is_an_annotation_and_keys_outlive_the_first_and_the_last_version(tmp_path: Path) -> None:
    stack = Real(ROOT, tmp_path)
    stack.create(STACK)
    stack.into_files()
    two = {"blue": {"is_default": True, "traffic_percentile": 95}, "green": {"traffic_percentile": 5}}
    set_versions(stack)
    up(stack)

    set_versions(stack, **two)
    steps = up(stack)
    versions = {(kind, f"iris-{version}") for kind in KINDS for version in two}
    one = {(kind, "iris") for kind in KINDS}
    assert done(steps) == {"create": versions, "delete": one}
    assert steps_of_deployments(steps)[-1] == ("delete", "iris")  # it serves until the others do

    two["blue"]["traffic_percentile"], two["green"]["traffic_percentile"] = 50, 50
    set_versions(stack, **two)
    steps = up(stack)
    assert done(steps) == {"update": {("Deployment", "iris-blue"), ("Deployment", "iris-green")}}
    changed = {path for step in steps if step.type == DEPLOYMENT for path in step.changed}
    assert changed == {"metadata.annotations.slipway/serving"}

    set_versions(stack)
    steps = up(stack)
    assert done(steps) == {"create": one, "delete": versions}
    assert steps_of_deployments(steps)[0] == ("create", "iris")


def done(steps: list[Step]) -> dict[str, set[tuple[str, str]]]:
    """Give kind and name of all that was done to what is no component, by operation."""
    found: dict[str, set[tuple[str, str]]] = {}
    for step in steps:
        if not step.type.startswith("slipway:"):
            found.setdefault(step.op, set()).add((step.type.rpartition(":")[2], step.name))
    return found


def steps_of_deployments(steps: list[Step]) -> list[tuple[str, str]]:
    return [(step.op, step.name) for step in steps if step.type == DEPLOYMENT]
