"""Programs that say in a log when they are ready."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

DEADLINE = 60


def logged_line(process: subprocess.Popen[bytes], log: Path, pattern: re.Pattern[str]) -> str:
    """Wait until a log has a line; give the pattern's group."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end and process.poll() is None:
        if found := pattern.search(log.read_text()):
            return found[1]
        time.sleep(0.01)
    raise AssertionError(f"no {pattern.pattern!r} in:\n{log.read_text()}")
