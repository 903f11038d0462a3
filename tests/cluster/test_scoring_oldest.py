"""The scoring server and data collection on the oldest Python that they promise to run on.

Where no distribution has CPython's any more it is PyPy's, which `prepare` installs.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.local.scoring_process import PACKAGE, replica
from tests.local.test_scoring_collect import IN_RUN, blobs, collects, rows
from tests.local.test_scoring_versions import LOWEST, REQUIREMENTS, environment, its_promises_hold

OLDEST = "3.9"


@pytest.mark.parametrize("requirements", [LOWEST, REQUIREMENTS], ids=["lowest", "newest"])
def test_on_the_oldest_python_then_limits_time_outs_departures_and_the_drain_hold(
    tmp_path: Path, requirements: list[str]
) -> None:
    its_promises_hold(tmp_path, environment(tmp_path, OLDEST, *requirements))


def test_on_the_oldest_python_then_all_that_enters_images_compiles_and_rows_are_collected(
    tmp_path: Path,
) -> None:
    python = environment(tmp_path, OLDEST, *REQUIREMENTS)
    compiled = tmp_path / "compiled"
    for name in ("scoring", "collect"):
        shutil.copytree(PACKAGE / name, compiled / name)
    subprocess.run([python, "-W", "error", "-m", "compileall", "-q", compiled], check=True)
    with replica(tmp_path, IN_RUN, python=python, wait_ready=True, **collects(tmp_path)) as server:
        assert server.score("one").json() == server.process.pid
        server.terminate()
        assert server.exit_code() == 0
    (content,) = blobs(tmp_path).values()
    assert [(row["pid"], row["data"]) for row in rows(content)] == [(str(server.process.pid), '"one"')]
