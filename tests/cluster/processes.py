"""Waits for what other programs do."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
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


def child_of(process: subprocess.Popen[bytes], name: str = "") -> int:
    """Give the id of the one child of a process, once it is there and runs the program `name`."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end and process.poll() is None:
        found = children.read_text().split()
        if found and name in Path(f"/proc/{found[0]}/comm").read_text():
            return int(found[0])
        time.sleep(0.005)
    raise AssertionError(f"{process.args} started nothing")


def until(reached: Callable[[], object], seconds: float = DEADLINE) -> None:
    """Wait for what nothing tells, with a deadline."""
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, f"not reached within {seconds} s"
        time.sleep(0.05)


def wait_stopped(pid: int) -> None:
    """Wait until a process stands still after a SIGSTOP."""
    end = time.monotonic() + DEADLINE
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < end, f"{pid} runs on"
        time.sleep(0.005)
