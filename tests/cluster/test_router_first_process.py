"""The router is the first process of its container, which no signal reaches that it has no handler for."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.cluster.processes import child_of, until
from tests.local.router_parts import RouterProcess


def test_a_router_that_is_told_to_stop_while_it_loads_ends_at_once(tmp_path: Path) -> None:
    command = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-m", "slipway.router"]
    with subprocess.Popen(command, env=RouterProcess(tmp_path).environment) as holder:
        try:
            router = child_of(holder, "python")
            until(lambda: "_pydantic_core" in Path(f"/proc/{router}/maps").read_text())
            os.kill(router, signal.SIGTERM)
            assert holder.wait(10) == 0
        finally:
            holder.kill()
