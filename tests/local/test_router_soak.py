"""Nothing grows while everything changes under load; `python -m benchmarks.soak` looks for an hour."""

from pathlib import Path

from tests.local.router_parts import scenario
from tests.local.soaking import soak


@scenario
async def test_when_everything_changes_under_load_then_nothing_fails_and_no_file_or_worker_is_left(
    tmp_path: Path,
) -> None:
    soaked = await soak(tmp_path, seconds=60)
    assert soaked.failures == {}
    first, last = soaked.looks[0], soaked.looks[-1]
    assert last.processes == first.processes
    assert last.files <= first.files + 8  # what the clients have open differs
    assert last.control_plane < 1.3 * first.control_plane
    assert last.haproxy < 1.3 * first.haproxy
