"""Which kubeconfigs count, and what they say together, as kubectl has it."""

import os
from collections.abc import Iterable
from pathlib import Path

import yaml

from slipway.kube.folder import Object

KINDS = {"clusters": "cluster", "contexts": "context", "users": "user"}
"""What a kubeconfig lists, and where an entry has it."""
FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
"""What in an entry is a path, relative to its file."""


def files_of(kubeconfig: str | Path | None) -> tuple[str, list[Path]]:
    """Say which of a path, KUBECONFIG and kubectl's own counts, and its files: of several those there are."""
    given = str(kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config")
    paths = [given] if kubeconfig else [path for path in given.split(os.pathsep) if path]
    files = [Path(path).expanduser() for path in paths]
    return given, files if len(files) == 1 else [path for path in files if path.exists()]


def merged(files: Iterable[Path]) -> Object:
    """Read kubeconfigs as one: of what has the same name the first counts.

    Raises ValueError, naming the file, for one that cannot be read or is none.
    """
    found: dict[str, dict[str, Object]] = {kind: {} for kind in KINDS}
    for path in files:
        try:
            read: Object = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
            for kind, of in KINDS.items():
                for one in read.get(kind) or ():
                    entry = {"name": one["name"], of: _located(one.get(of) or {}, path)}
                    found[kind].setdefault(one["name"], entry)
        except (AttributeError, KeyError, OSError, TypeError, ValueError, yaml.YAMLError) as error:
            raise ValueError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    return {kind: list(ones.values()) for kind, ones in found.items()}


def _located(entry: Object, file: Path) -> Object:
    """Let the files that an entry names, and a login's command if it is a path, be found from anywhere."""
    found: Object = {key: str(file.parent / value) if key in FILES else value for key, value in entry.items()}
    login: Object = found.get("exec") or {}
    if "/" in login.get("command", ""):
        found["exec"] = {**login, "command": str(file.parent / login["command"])}
    return found
