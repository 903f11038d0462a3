"""A small machine within this one: a network, mounts and process ids of its own.

Several stand side by side, each by a number that gives its addresses. They are of the range for tests
between networks (RFC 2544), so nobody else's: this machine is 198.18.N.1, the other 198.18.N.2. All of it
ends with its first process, and that ends with the process that made it, however that ends.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.processes import child_of

DEADLINE = 30.0
"""Seconds for what a kernel does."""
INIT = ["catatonit", "-P"]
"""The first process: takes in the orphans, as an init does, and waits."""
PREPARED = """
set -e
mount --make-rshared /
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/log
mount --bind "$FOLDER/lib" /var/lib
ip link set lo up
ip address add "$ADDRESS/30" dev eth0
ip link set eth0 up
ip route add default via "$OUTSIDE"
echo 1 > /proc/sys/net/ipv4/ip_forward
"""


@dataclass(frozen=True)
class Machine:
    """A running machine; `folder` is the same inside and outside, `lib` is its /var/lib."""

    number: int
    folder: Path
    init: int
    """the process id of its first process, as this machine counts"""
    environment: Mapping[str, str]

    @property
    def address(self) -> str:
        return _address(self.number)

    @property
    def outside(self) -> str:
        """The address of this machine that it knows."""
        return _address(self.number, 1)

    @property
    def lib(self) -> Path:
        return self.folder / "lib"

    @property
    def pods(self) -> str:
        """Addresses that are routed to it beside its own, for pods."""
        return f"198.19.{self.number}.0/24"

    @property
    def services(self) -> str:
        """The same for Services."""
        return f"198.18.{self.number}.128/25"

    @property
    def cgroup(self) -> str:
        return _name(self.number)

    def command(self, *command: str) -> list[str]:
        """Give what runs a command inside."""
        return ["nsenter", f"--target={self.init}", "--net", "--mount", "--pid", "--", *command]

    def run(self, *command: str) -> str:
        """Run a command inside to its end; give what it said."""
        done = subprocess.run(
            self.command(*command), env=self.environment, cwd="/", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout


@contextmanager
def machine(path: str) -> Generator[Machine]:
    """Start a machine, in which programs are looked for on `path`; end it with all that is in it."""
    with _number() as number:
        name = _name(number)
        folder = Path(tempfile.gettempdir(), name)
        remove(name, folder)  # of a run that was killed
        folder.mkdir(mode=0o700)  # in it are the tokens of the cluster's users
        (folder / "lib").mkdir()
        try:
            with _first_process(folder / "init.log") as init:
                made = Machine(number, folder, init, {"PATH": path, "HOME": "/root"})
                _connect(made)
                for cgroup in _cgroups(name):
                    cgroup.mkdir()
                yield made
        finally:
            remove(name, folder)


def remove(name: str, folder: Path) -> None:
    """Remove what does not end with a machine's processes by itself, or not at once."""
    subprocess.run(["ip", "link", "delete", name], capture_output=True, check=False)
    for cgroup in _cgroups(name):
        for inner, _, _ in os.walk(cgroup, topdown=False):
            _remove_cgroup(Path(inner))
    shutil.rmtree(folder, ignore_errors=True)


def _name(number: int) -> str:
    return f"slipway-{number}"


def _address(number: int, host: int = 2) -> str:
    return f"198.18.{number}.{host}"


@contextmanager
def _number() -> Generator[int]:
    """Take a number that nobody has; the name of a socket that is no file is free once its process ends."""
    with socket.socket(socket.AF_UNIX) as lock:
        yield next(number for number in range(256) if _bound(lock, f"\0tests.cluster.kubernetes.{number}"))


def _bound(lock: socket.socket, name: str) -> bool:
    try:
        lock.bind(name)
    except OSError:
        return False
    return True


@contextmanager
def _first_process(log: Path) -> Generator[int]:
    """Start the first process of new namespaces, and end it with all that is inside; give its id."""
    namespaces = ["unshare", "--net", "--mount", "--pid", "--mount-proc", "--kill-child"]
    with log.open("wb") as output:
        holder = subprocess.Popen(["setpriv", "--pdeathsig=KILL", *namespaces, *INIT], stderr=output)
    try:
        init = child_of(holder, INIT[0])
    except AssertionError:
        holder.kill()
        raise AssertionError(f"no new namespaces:\n{log.read_text()}") from None
    try:
        yield init
    finally:
        os.kill(init, signal.SIGKILL)
        holder.wait(DEADLINE)


def _connect(made: Machine) -> None:
    """Lay a cable between both machines, and route to what is behind it."""
    name = _name(made.number)
    for command in (
        f"link add {name} type veth peer name eth0 netns {made.init}",
        f"address add {made.outside}/30 dev {name}",
        f"link set {name} up",
    ):
        _ip(command)
    variables = {"FOLDER": str(made.folder), "ADDRESS": made.address, "OUTSIDE": made.outside}
    made.run("env", *(f"{key}={value}" for key, value in variables.items()), "sh", "-c", PREPARED)
    for network in (made.pods, made.services):
        _ip(f"route add {network} via {made.address}")


def _ip(command: str) -> None:
    done = subprocess.run(["ip", *command.split()], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {command}: {done.stderr}"


def _cgroups(name: str) -> list[Path]:
    """Give the folders of a control group, one in each hierarchy that is mounted."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [Path(mount[1], name) for mount in mounts if mount[2] in {"cgroup", "cgroup2"}]


def _remove_cgroup(cgroup: Path) -> None:
    """Remove a control group; a kernel lets go of ended processes a little later."""
    end = time.monotonic() + DEADLINE
    while True:
        try:
            return cgroup.rmdir()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)
