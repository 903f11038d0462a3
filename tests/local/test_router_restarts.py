"""No request is lost when replicas are replaced; `python -m benchmarks.restarts` does it fifty times."""

from pathlib import Path

from tests.local.rolling import RATE, roll
from tests.local.router_parts import scenario


@scenario
async def test_when_replicas_are_replaced_one_after_the_other_under_load_then_no_request_fails(
    tmp_path: Path,
) -> None:
    rolled = await roll(tmp_path, restarts=5)
    assert rolled.failures == []
    assert len(rolled.seconds) > 5 * RATE
