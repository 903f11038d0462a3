"""Python packages for the platform and the Python of an image, not for this machine's. uv resolves them.

Only wheels are taken: what would be compiled here is not for there. What would tell this machine from
another is taken out: the interpreter's path in scripts, where a package came from, times in bytecode.

    <root>/bin, <root>/lib/pythonX.Y/site-packages      as Python looks for them below PYTHONUSERBASE
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

from slipway.images.layers import Entry
from slipway.images.requirements import conflict
from slipway.problems import Problems

GLIBC = "manylinux_2_28"
"""Wheels for this glibc and older ones run on Azure Linux 3, Debian 10, Ubuntu 20.04 and later."""
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_VOLATILE = ("direct_url.json", "uv_cache.json")
_NO_BYTECODE = "/tests?/"
"""Tests are never imported by a service; without theirs an environment of scipy is a tenth smaller."""


@dataclass(frozen=True)
class Target:
    """Where packages will run: Python as `3.12`, architecture as `amd64` or `arm64`."""

    python: str
    architecture: str


def uv(*arguments: str, cwd: Path) -> str:
    """Run uv with the caller's environment: it says where packages come from. Raises CalledProcessError."""
    env = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    env["UV_PYTHON_DOWNLOADS"] = "never"
    command = [find_uv_bin(), *arguments]
    return subprocess.run(command, check=True, cwd=cwd, env=env, capture_output=True, text=True).stdout


def install(own: Sequence[str], theirs: Sequence[str], target: Target, source: Path, root: Path) -> None:
    """Put our lines and the user's, whose paths begin at `source`, below the empty folder `root`.

    Raises `Problems` with what uv says where no set of packages has all of them.
    """
    site = root / f"lib/python{target.python}/site-packages"
    site.mkdir(parents=True)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as lines:
        lines.write("\n".join([*own, *theirs]) + "\n")
        lines.flush()
        try:
            uv(
                *("pip", "install", "--quiet", "--link-mode", "copy", "--python", sys.executable),
                *("--target", str(site), "--requirements", lines.name, "--only-binary", ":all:"),
                *("--python-platform", f"{MACHINES[target.architecture]}-{GLIBC}"),
                *("--python-version", target.python),
                cwd=source,
            )
        except subprocess.CalledProcessError as error:
            said = str(error.stderr).strip()
            remedy = "correct environment.requirements"
            if "Wheels are required" in said or "source distributions is disabled" in said:
                remedy = (
                    "name a version with wheels, put a wheel beside the requirements, or use base_dockerfile"
                )
            where = f"Python {target.python} on linux/{target.architecture}"
            raise Problems([f"{conflict(own, theirs, said)} for {where}; {remedy}\n{said}"]) from None
    (site / ".lock").unlink(missing_ok=True)
    for record in sorted(site.glob("*.dist-info/RECORD")):
        _settle(record)
    if (site / "bin").is_dir():
        (site / "bin").rename(root / "bin")
    _compile(root, target.python)


def entries(root: Path, place: str) -> Iterator[tuple[str, Entry]]:
    """Give what `install` made as entries of a layer, below the folder `place` of the image."""
    for path in root.rglob("*"):
        name = f"{place}/{path.relative_to(root).as_posix()}"
        if path.is_symlink():
            yield name, Entry(link=str(path.readlink()))
        elif path.is_file():
            yield name, Entry(path, executable=bool(path.stat().st_mode & 0o100))


def _settle(record: Path) -> None:
    """Take out of one package what is of this machine, and say so in its record, in one order."""
    site = record.parent.parent
    rows: list[list[str]] = []
    for row in csv.reader(io.StringIO(record.read_text(encoding="utf-8"))):
        path = site / row[0]
        if path.parent == record.parent and path.name in _VOLATILE:
            path.unlink(missing_ok=True)
            continue
        if row[0].startswith("bin/"):
            _start_any_python(path)
            content = path.read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            row = [f"../../../{row[0]}", f"sha256={digest}", str(len(content))]  # noqa: PLW2901
        rows.append(row)
    with record.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(sorted(rows))


def _start_any_python(script: Path) -> None:
    """Let a script run by the image's Python: the one that comes first on PATH."""
    first, newline, rest = script.read_bytes().partition(b"\n")
    if first.startswith(b"#!") and b"python" in first:
        script.write_bytes(b"#!/usr/bin/env python3" + newline + rest)


def _compile(root: Path, version: str) -> None:
    """Compile for the image's Python if this machine has one; without, each start of a pod compiles.

    Bytecode is bound to its source by nothing: both are in one layer, and a pod could not write newer one.
    """
    interpreter = _interpreter(version)
    for left in root.rglob("__pycache__"):
        shutil.rmtree(left)
    if interpreter is None:
        return
    command = [interpreter, "-I", "-m", "compileall", "-q", "-j0", "-x", _NO_BYTECODE]
    command += ["--invalidation-mode", "unchecked-hash", "-s", str(root), "-p", "/opt/slipway", str(root)]
    # A wheel may hold templates that are no Python; they stay as they are.
    subprocess.run(command, check=False, capture_output=True, env={"PYTHONHASHSEED": "0"})


def _interpreter(version: str) -> str | None:
    if f"{sys.version_info.major}.{sys.version_info.minor}" == version:
        return sys.executable
    try:
        return uv("python", "find", "--no-project", version, cwd=Path("/")).strip()
    except subprocess.CalledProcessError:
        return None
