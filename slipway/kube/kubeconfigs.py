"""Kubeconfigs as kubectl reads them: which files, and of several one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import yaml

from slipway.kube.folder import Object

KINDS = {"clusters": "cluster", "contexts": "context", "users": "user"}
"""What a kubeconfig lists, and where an entry has it."""
FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
"""What in an entry is a path, relative to its file."""


def named(kubeconfig: str | Path | None) -> tuple[str, list[Path]]:
    """Give a path, KUBECONFIG or kubectl's default as it is written, and the files that it names.

    Of several those that are not there are left out.
    """
    given = str(kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config")
    paths = [given] if kubeconfig else [path for path in given.split(os.pathsep) if path]
    files = [Path(path).expanduser() for path in paths]
    return given, files if len(files) == 1 else [path for path in files if path.exists()]


def merged(files: Sequence[Path]) -> Object:
    """Make one of several: of what has the same name the first counts.

    Raises OSError, yaml.YAMLError, and AttributeError, KeyError or TypeError where one is no kubeconfig.
    """
    both: dict[str, dict[str, Object]] = {kind: {} for kind in KINDS}
    for file in files:
        found: Object = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        for kind, of in KINDS.items():
            for one in found.get(kind) or ():
                both[kind].setdefault(one["name"], {"name": one["name"], of: _located(one[of], file)})
    return {kind: list(ones.values()) for kind, ones in both.items()}


def _located(entry: Object, file: Path) -> Object:
    """Let the files that an entry names be found from anywhere."""
    return {key: str(file.parent / value) if key in FILES else value for key, value in entry.items()}
