"""Outlives a supervisor that is killed, just long enough to kill what it had started.

Runs as a plain script (`python -I -S watchdog.py`), in a session of its own, reading from a pipe that only
the supervisor writes to: each line lists the process groups that are to go with it, the last line counts.
When the pipe ends, for whatever reason, those groups are killed. Processes that leave their group escape;
what a container runtime does with namespaces needs rights that a laptop's user does not have.
"""

import contextlib
import os
import signal
import sys


def main() -> None:
    """Wait for the end of standard input, then kill the groups that its last whole line names."""
    groups: list[int] = []
    for line in sys.stdin:
        if line.endswith("\n"):
            groups = [int(word) for word in line.split()]
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
