"""Ports of this machine for the processes that tests and benchmarks start."""

import fcntl
import os
import tempfile
from itertools import islice
from pathlib import Path

from slipway.local.ports import busy

FIRST, NUMBER = 10_000, 10_000
"""Below those that the local engine gives to pods, and those that systems give to connections."""


def free_ports(number: int) -> list[int]:
    """Give ports on which nobody listens; none comes again before all others, since a process is slow."""
    with Path(tempfile.gettempdir(), f"slipway-ports-{os.getuid()}").open("a+", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        begin = int(file.read() or 0)
        candidates = (FIRST + one % NUMBER for one in range(begin, begin + NUMBER))
        found = list(islice((port for port in candidates if not busy(port)), number))
        file.truncate(0)
        file.write(str(found[-1] + 1 - FIRST))
    return found


def free_port() -> int:
    return free_ports(1)[0]
