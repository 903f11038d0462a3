"""What a user sees meanwhile: `slipway status`, asked again and again."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.kubernetes.stack import NAME, Stack

PROGRAM = Path(sys.executable).with_name("slipway")
ROW = re.compile(r"^(\S+) +(Healthy|Unhealthy|Transitioning|\S+) +(\d+)/(\d+) ", re.MULTILINE)
SECONDS = 120.0


@dataclass
class Statuses:
    """What was said so far, each with the time at which it was said."""

    all: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])

    def wait_well(self) -> None:
        """Wait until it says that all is well, twice: the first time may have been asked before."""
        seen, end = len(self.all), time.monotonic() + SECONDS
        while not (len(self.all) > seen + 1 and _well(self.all[-1][1])):
            assert time.monotonic() < end, self.all[-1:]
            time.sleep(0.1)

    def well_after(self, began: float, since: float) -> float | None:
        """Give the seconds from `since` until it said that all was well for good; None: it always did."""
        bad = [at for at, said in self.all if at >= began and not _well(said)]
        return next(at for at, _ in self.all if at > max(bad[-1], since)) - since if bad else None

    def told(self, since: float) -> list[str]:
        """Give the lines of when not all was well, each once."""
        usual = {line for _, said in self.all if _well(said) for line in said.splitlines()}
        bad = [said for at, said in self.all if at >= since and not _well(said)]
        return list(dict.fromkeys(line for said in bad for line in _told(said) if line not in usual))


@contextmanager
def statuses(stack: Stack) -> Generator[Statuses]:
    """Ask within the context, one time after the other."""
    found, ends = Statuses(), threading.Event()
    command = [str(PROGRAM), "status", "--stack", NAME]

    def ask() -> None:
        while not ends.is_set():
            done = subprocess.run(command, cwd=stack.folder, capture_output=True, text=True, check=False)
            found.all.append((time.monotonic(), done.stdout + done.stderr))
            ends.wait(0.5)

    worker = threading.Thread(target=ask)
    worker.start()
    try:
        yield found
    finally:
        ends.set()
        worker.join()


def _well(said: str) -> bool:
    rows = ROW.findall(said)
    return bool(rows) and all((state, ready) == ("Healthy", wanted) for _, state, ready, wanted in rows)


def _told(said: str) -> Generator[str]:
    """Give what is not as it should be: rows, without their columns that are no state, and reasons."""
    for line in said.splitlines():
        row = ROW.match(line)
        if row:
            name, state, ready, wanted = row.groups()
            if (state, ready) != ("Healthy", wanted):
                yield f"{name} {state} {ready}/{wanted}"
        elif line and not line.startswith(("service ", "hint:")):
            yield line
