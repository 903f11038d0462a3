"""How many replicas a service that exists is given anew, and when the router has all of them."""

from pathlib import Path
from typing import Any

import pytest

from slipway import running
from slipway.local.state import State
from slipway.running import scaled
from slipway.spec import SERVING, WEBSERVICE, Serving


def deployment(replicas: int, **serving: Any) -> dict[str, Any]:
    annotation = Serving.model_validate(serving).model_dump_json()
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "two", "namespace": "services", "annotations": {SERVING: annotation}},
        "spec": {"replicas": replicas},
    }


@pytest.mark.parametrize(
    ("serving", "wanted", "current", "given"),
    [
        ({}, 1, 4, None),
        ({"autoscale_min_replicas": 3}, 3, 1, 3),
        ({"autoscale_max_replicas": 2}, 1, 4, 2),
        ({"num_replicas": 2}, 2, 4, 2),
        ({"autoscale_min_replicas": 0}, 0, 0, None),
        ({"autoscale_min_replicas": 0}, 0, None, 0),
        ({"autoscale_min_replicas": 3}, 3, None, 3),
    ],
)
def test_replicas_that_scaling_chose_are_not_asked_for_within_the_bounds_and_fixed_ones_are(
    serving: dict[str, Any], wanted: int, current: int | None, given: int | None, tmp_path: Path
) -> None:
    state = State(tmp_path)
    if current is not None:
        state.objects.put(deployment(current))
    assert scaled(deployment(wanted, **serving), state)["spec"].get("replicas") == given


@pytest.mark.parametrize(
    ("serving", "missing"),
    [
        pytest.param(["127.0.0.1:2", "127.0.0.1:3"], [], id="the ready ones"),
        pytest.param(["127.0.0.1:1", "127.0.0.1:2"], ["two"], id="one that left, one that is ready"),
        pytest.param(["127.0.0.1:2"], ["two"], id="one of two"),
        pytest.param([], ["two"], id="none"),
    ],
)
def test_a_router_that_knows_other_replicas_than_the_ready_ones_does_not_reach_the_service(
    serving: list[str], missing: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = State(tmp_path)
    state.objects.put(deployment(2))
    labels = {running.COMPONENT: "router"}
    metadata = {"name": "router", "namespace": "slipway", "labels": labels}
    state.objects.put({"kind": "Deployment", "metadata": metadata, "spec": {}})
    for port, ready in ((1, False), (2, True), (3, True)):
        state.objects.put(
            {
                "kind": "EndpointSlice",
                "metadata": {"name": f"s{port}", "namespace": "services", "labels": {WEBSERVICE: "two"}},
                "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": ready}}],
                "ports": [{"name": "http", "port": port}],
            }
        )

    def routed(_: State) -> dict[str, Any]:
        return {"two": {"serving": serving}}

    monkeypatch.setattr(running, "routed", routed)
    assert running.unroutable(state) == missing
