"""An environment for another platform and Python: wheels of theirs, and nothing of this machine in it."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import sys
import zipfile
from pathlib import Path

import pytest

from slipway.images import packages, requirements
from slipway.images.layers import write
from slipway.images.packages import Target
from slipway.problems import Problems

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def installed(root: Path, target: Target, *theirs: str) -> Path:
    """Install and give the folder of packages."""
    root.mkdir()
    packages.install(requirements.own("scoring"), theirs, target, root.parent, root)
    return root / f"lib/python{target.python}/site-packages"


def digest(root: Path) -> str:
    with Path(os.devnull).open("wb") as nothing:
        return write(packages.entries(root, "opt/slipway"), nothing, compress=True).descriptor.digest


@pytest.mark.parametrize("target", [Target("3.9", "amd64"), Target("3.13", "arm64")])
def test_packages_are_the_targets_and_their_records_are_true(tmp_path: Path, target: Target) -> None:
    site = installed(tmp_path / "root", target)
    machine = packages.MACHINES[target.architecture]
    binaries = [path.name for path in site.rglob("*.so")]
    assert binaries
    assert all(machine in name and f"cpython-{target.python.replace('.', '')}" in name for name in binaries)
    for record in site.glob("*.dist-info/RECORD"):
        for name, recorded, size in csv.reader(io.StringIO(record.read_text())):
            path = site / name
            assert path.exists(), name
            if recorded:
                content = path.read_bytes()
                found = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
                assert (recorded, size) == (f"sha256={found}", str(len(content)))


def test_nothing_tells_on_which_machine_it_was_made(tmp_path: Path) -> None:
    wheel = tmp_path / "mine-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("mine.py", "X = 1\n")
        file.writestr("mine-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: mine\nVersion: 1\n")
        file.writestr(
            "mine-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr("mine-1.dist-info/RECORD", "mine.py,,\n")
    site = installed(tmp_path / "one", Target(HERE, "amd64"), "./mine-1-py3-none-any.whl")
    installed(tmp_path / "two", Target(HERE, "amd64"), "./mine-1-py3-none-any.whl")
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
    assert (site / "mine.py").is_file()
    told = [sys.prefix, sys.executable, str(tmp_path)]
    for path in (tmp_path / "one").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(text.encode() in content for text in told), path
    assert (tmp_path / "one/bin/uvicorn").read_bytes().startswith(b"#!/usr/bin/env python3\n")


def test_bytecode_is_there_where_this_machine_has_the_python_and_is_bound_to_no_time(tmp_path: Path) -> None:
    site = installed(tmp_path / "root", Target(HERE, "amd64"))
    compiled = sorted(site.rglob("*.pyc"))
    assert len(compiled) > 50
    unchecked = (1).to_bytes(4, "little")  # PEP 552: hash-based, and never compared with the source
    assert {path.read_bytes()[4:8] for path in compiled} == {unchecked}


def test_a_clash_is_said_as_on_a_laptop(tmp_path: Path) -> None:
    with pytest.raises(Problems) as caught:
        installed(tmp_path / "root", Target("3.12", "amd64"), "uvicorn==0.13.0")
    (text,) = caught.value.lines
    first, *explanation = text.splitlines()
    assert first.startswith(
        "the scoring server needs `uvicorn>=0.20`, the requirements ask for `uvicorn==0.13.0`"
    )
    assert first.endswith("for Python 3.12 on linux/amd64; correct environment.requirements")
    assert "unsatisfiable" in "".join(explanation)


def test_a_folder_of_the_project_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/pyproject.toml").write_text('[project]\nname = "mine"\nversion = "1"\n')
    with pytest.raises(Problems, match="put a wheel beside the requirements"):
        installed(tmp_path / "root", Target("3.12", "amd64"), "./mine")
