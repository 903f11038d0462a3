"""Builds Kubernetes' own components from their Go modules, once for all clones of this repository."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = ("go.mod", "go.sum", "main.go")
COMPONENTS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubectl",
    "kubelet",
)
"""The names by which the one program is called."""
GO = (1, 26)
EVERY = 15.0
"""Seconds between two lines of progress."""


class NoGoError(Exception):
    """No Go, or one that is too old."""


def programs() -> Path:
    """Give the folder in which the components are, or will be once they are built."""
    content = hashlib.sha256()
    for name in SOURCES:
        content.update((HERE / name).read_bytes())
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    caches = Path(xdg) if Path(xdg).is_absolute() else Path.home() / ".cache"
    return caches / "slipway" / f"kubernetes-{content.hexdigest()[:16]}"


def build(say: Callable[[str], None]) -> Path:
    """Give the folder of the components, built if need be. Raises `NoGoError`, CalledProcessError."""
    folder = programs()
    if folder.exists():
        return folder
    check_go()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".kubernetes-") as aside:
        made = Path(aside, folder.name)
        made.mkdir()
        _compile(made / "kubernetes", say)
        for name in COMPONENTS:
            (made / name).symlink_to("kubernetes")
        try:
            made.rename(folder)
        except OSError:
            if not folder.exists():  # else another clone was faster
                raise
    return folder


def check_go() -> None:
    """Look for a Go that is new enough. Raises `NoGoError`."""
    go, hint = shutil.which("go"), f"hint: install Go {GO[0]}.{GO[1]} or newer"
    if go is None:
        raise NoGoError(f"missing: go\n{hint}")
    version = _output("go", "env", "GOVERSION")
    found = re.match(r"go(\d+)\.(\d+)", version)
    if found is None or (int(found[1]), int(found[2])) < GO:
        raise NoGoError(f"{go} is too old: {version}\n{hint}")


def _compile(target: Path, say: Callable[[str], None]) -> None:
    number = _output("go", "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes")
    total = len(_output("go", "list", "-deps", ".").splitlines())
    major, minor = number.removeprefix("v").split(".")[:2]
    values = {"gitVersion": number, "gitMajor": major, "gitMinor": minor}
    named = " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in values.items())
    command = ["go", "build", "-v", "-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {named}"]
    command += ["-o", str(target), "."]
    done, said, other = 0, time.monotonic(), list[str]()
    with subprocess.Popen(
        command, cwd=HERE, env=_environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if " " in line:  # not the name of a package
                other.append(line)
                continue
            done += 1
            if time.monotonic() - said > EVERY:
                said = time.monotonic()
                say(f"compiled {done} of at most {total} packages")
    if process.returncode:
        sys.stderr.write("".join(other))
        raise subprocess.CalledProcessError(process.returncode, command)


def _output(*command: str) -> str:
    return subprocess.run(
        command, cwd=HERE, env=_environment(), stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()


def _environment() -> dict[str, str]:
    return os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
