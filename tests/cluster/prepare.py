"""Installs what the tests of this folder need beside Python packages; `make test-cluster` calls it.

Debian's packages need root, the emulator of Azure's storage needs npm. Docker's builder, Pebble and
cert-manager need Go (Debian 12 has no package of them), and so does Kubernetes, unless
SLIPWAY_TEST_KUBECONFIG names a cluster that is there. What is there already is left alone.
"""

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.kubernetes.build import NoGoError, build, check_go, programs

HERE = Path(__file__).parent
DEBIAN = {
    "docker-registry": "docker-registry",
    "containerd": "containerd",
    "runc": "runc",
    "buildah": "buildah",
    "podman": "podman",
    "docker": "docker.io",
    "promtool": "prometheus",
    "wrk": "wrk",
    "pypy3": "pypy3",
    "/usr/bin/python3": "python3",
}
"""The package of each program."""
KUBERNETES = {
    "etcd": "etcd-server",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "catatonit": "catatonit",
}
"""The same for a cluster made here."""
NODE_MODULES = HERE / "node_modules"
ACME, BUILDKIT = HERE / "acme", HERE / "buildkit"


def main() -> int:
    """Install what is missing; return 1, with what to do and nothing done, where that cannot be."""
    given = os.environ.get("SLIPWAY_TEST_KUBECONFIG")
    needed = DEBIAN if given else DEBIAN | KUBERNETES
    packages = sorted({package for program, package in needed.items() if shutil.which(program) is None})
    azurite = (NODE_MODULES / ".bin" / "azurite").exists()
    lines = list(_lacking(packages, npm=not azurite))
    if lines:
        print("\n".join(lines), file=sys.stderr)
        return 1
    try:
        _install(packages, azurite=azurite)
        if not given and not programs().exists():
            with _timed("build Kubernetes, about 15 minutes on two cores"):
                build(_say)
    except subprocess.CalledProcessError as error:
        print(f"failed: {shlex.join(map(str, error.cmd))}", file=sys.stderr)
        return 1
    return 0


def _lacking(packages: Sequence[str], *, npm: bool) -> Iterator[str]:
    """Say what is not here that cannot be installed from here."""
    if os.geteuid() != 0:
        yield "missing: root's rights, to make network namespaces and containers\nhint: run it as root"
    if packages and shutil.which("apt-get") is None:
        yield f"missing: {', '.join(packages)}\nhint: install them; these are the names of Debian's packages"
    if npm and shutil.which("npm") is None:
        yield "missing: npm\nhint: install Node.js 20 or newer"
    try:
        check_go()
    except NoGoError as error:
        yield str(error)


def _install(packages: Sequence[str], *, azurite: bool) -> None:
    if packages:
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages]
        _step("look up Debian's packages", ["apt-get", "update", "--quiet"], environment)
        _step(f"install {', '.join(packages)}", install, environment)
    if not azurite:
        quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
        _step("install azurite", ["npm", "ci", *quiet], dict(os.environ))
    environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
    for what, module in (
        ("build buildx and buildkitd, two minutes at first", BUILDKIT),
        ("build Pebble and cert-manager, four minutes at first", ACME),
    ):
        compiled = ["go", "build", "-C", str(module), "-trimpath", "-ldflags=-s -w", "-o", "bin/", "tool"]
        _step(what, compiled, environment)


def _step(what: str, command: list[str], environment: dict[str, str]) -> None:
    with _timed(what):
        subprocess.run(command, check=True, cwd=HERE, env=environment, stdout=subprocess.DEVNULL)


@contextmanager
def _timed(what: str) -> Generator[None]:
    _say(f"{what} ...")
    begin = time.monotonic()
    yield
    _say(f"{what}: {time.monotonic() - begin:.0f} s")


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
