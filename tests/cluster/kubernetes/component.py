"""A program of a machine, which tests stop, start, pause and kill."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.kubernetes.machine import Machine
from tests.cluster.processes import child_of, wait_stopped

GRACE = 5.0
"""Seconds that it has to end in before it is killed."""


@dataclass
class Component:
    """A program that runs inside, or did, or will; its log goes on over all its processes."""

    machine: Machine
    name: str
    command: list[str]
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def log(self) -> Path:
        return self.machine.folder / f"{self.name}.log"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def ended(self) -> bool:
        """Tell whether it ran and ended by itself."""
        return self._process is not None and self._process.poll() is not None

    @property
    def pid(self) -> int:
        """Its process's id, as this machine counts."""
        assert self._process is not None, f"{self.name} never ran"
        return child_of(self._process)

    def start(self) -> None:
        assert not self.running, f"{self.name} runs"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.machine.command(*self.command),
                env=self.machine.environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def stop(self) -> None:
        """End it as an orderly shutdown of the machine would."""
        assert self._process is not None, f"{self.name} never ran"
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(GRACE)
            self._process = None
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        assert self._process is not None, f"{self.name} never ran"
        self._signal(signal.SIGKILL)
        self._process.wait(GRACE)
        self._process = None

    def pause(self) -> None:
        """Let it do nothing until `resume`; its connections stay."""
        self._signal(signal.SIGSTOP)
        assert self._process is not None
        wait_stopped(self._process.pid)  # nsenter stops after its child, and once it goes on, wakes it

    def resume(self) -> None:
        """Let it go on if it is paused."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def ends(self) -> None:
        """Wait until it has ended with the machine."""
        if self._process is not None:
            self._process.wait(GRACE)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        assert self.running, f"{self.name} does not run:\n{tail(self.log)}"
        os.kill(child_of(self._process), number)


def tail(log: Path) -> str:
    """Give the last lines of a log."""
    return "".join(log.read_text(errors="replace").splitlines(keepends=True)[-20:])
