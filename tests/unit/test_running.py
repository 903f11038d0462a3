"""How many replicas a service that exists is given anew."""

from pathlib import Path
from typing import Any

import pytest

from slipway.local.state import State
from slipway.running import scaled
from slipway.spec import SERVING, Serving


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
        ({}, 1, 4, 4),
        ({"autoscale_min_replicas": 3}, 3, 1, 3),
        ({"autoscale_max_replicas": 2}, 1, 4, 2),
        ({"num_replicas": 2}, 2, 4, 2),
        ({"autoscale_min_replicas": 3}, 3, None, 3),
    ],
)
def test_replicas_that_scaling_chose_stay_within_the_bounds_and_fixed_ones_are_what_is_asked(
    serving: dict[str, Any], wanted: int, current: int | None, given: int, tmp_path: Path
) -> None:
    state = State(tmp_path)
    if current is not None:
        state.objects.put(deployment(current))
    assert scaled(deployment(wanted, **serving), state)["spec"]["replicas"] == given
