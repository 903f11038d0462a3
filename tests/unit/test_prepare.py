"""What `make test-cluster` says where something is missing: all of it at once, before anything is done."""

import os
import sys
from pathlib import Path

import pytest

from tests.cluster import prepare


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the one folder on PATH, which is empty."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("SLIPWAY_TEST_KUBECONFIG", raising=False)
    monkeypatch.setattr(prepare, "NODE_MODULES", tmp_path / "node_modules")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    return tmp_path


def test_on_a_bare_machine_all_that_is_missing_is_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare.main() == 1
    said = capsys.readouterr().err
    for line in ("missing: root's rights", "missing: buildah, catatonit, ", "missing: npm", "missing: go\n"):
        assert line in said
    assert said.count("hint: ") == 4


def test_a_go_that_is_too_old_is_told_before_anything_is_installed(
    bare: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    go = bare / "go"
    go.write_text(f"#!{sys.executable}\nprint('go1.19.8')\n")
    go.chmod(0o755)
    assert prepare.main() == 1
    said = capsys.readouterr().err
    assert f"{go} is too old: go1.19.8\nhint: install Go 1.26 or newer\n" in said
