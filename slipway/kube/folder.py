"""A folder of Kubernetes objects: what a cluster's API server is to the parts that run on one machine.

The local engine, the router and the command line meet here: one JSON file an object, replaced
atomically, readable by its owner only, because Secrets are among them. Readers poll `fingerprint()`;
writers that build on what is there use `update()`, which holds a lock. As an API server does, `put`
fills in identity and versions and turns `stringData` into `data`.

Left out: validation, watches, garbage collection and status as a subresource; an object put without a status
keeps the one it had.
"""

import base64
import contextlib
import fcntl
import json
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Generator, Hashable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

Object = dict[str, Any]
CLUSTER_SCOPED = "_"  # the folder of objects without a namespace


class Folder:
    """The objects below `root`, at `<Kind>/<namespace or "_">/<name>.json`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def list(self, kind: str, namespace: str | None = None) -> list[Object]:
        """Return the objects of a kind, of one namespace if given (`""`: cluster-scoped), sorted by name.

        A file that vanishes or is not yet whole is left out.
        """
        folders = _names(self.root / kind) if namespace is None else [namespace or CLUSTER_SCOPED]
        found = (
            _read(self.root / kind / folder / name)
            for folder in folders
            for name in _names(self.root / kind / folder)
            if name.endswith(".json")
        )
        return [obj for obj in found if obj is not None]

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """Return the object, or None."""
        return _read(self._path(kind, namespace, name))

    def put(self, obj: Object) -> Object:
        """Create or replace an object and return it as stored. Nothing is written if nothing changes."""
        with self._lock():
            return self._write(obj)

    def create(self, obj: Object) -> bool:
        """Create an object. Returns False, and changes nothing, if there is one."""
        metadata = obj["metadata"]
        with self._lock():
            if self.get(obj["kind"], metadata.get("namespace", ""), metadata["name"]) is not None:
                return False
            self._write(obj)
            return True

    def update(
        self, kind: str, namespace: str, name: str, change: Callable[[Object], Object | None]
    ) -> Object | None:
        """Read, change and write one object while no other writer can.

        `change` may alter the object it is given and returns what to store, or None to leave all as it is.
        Returns the object as stored, or None if there is no such object (`change` is not called then).
        """
        with self._lock():
            current = self.get(kind, namespace, name)
            if current is None:
                return None
            changed = change(current)
            return self.get(kind, namespace, name) if changed is None else self._write(changed)

    def delete(self, kind: str, namespace: str, name: str) -> bool:
        """Remove an object. Returns whether it was there."""
        with self._lock():
            path = self._path(kind, namespace, name)
            try:
                path.unlink()
            except FileNotFoundError:
                return False
            _mark(path.parent)
            return True

    def fingerprint(self) -> Hashable:
        """Return a value that differs whenever a `Folder` made, changed or deleted an object in between."""
        found: list[tuple[str, int]] = []
        for kind in _names(self.root):
            for namespace in _names(self.root / kind):
                with contextlib.suppress(FileNotFoundError):
                    folder = f"{self.root}/{kind}/{namespace}"
                    found.append((folder, os.stat(folder).st_mtime_ns))  # noqa: PTH116 - often asked
        return tuple(found)

    def _path(self, kind: str, namespace: str, name: str) -> Path:
        for part in (kind, namespace or CLUSTER_SCOPED, name):
            if not part or part.startswith(".") or "/" in part:
                raise ValueError(f"`{part}` cannot name a Kubernetes object")
        return self.root / kind / (namespace or CLUSTER_SCOPED) / f"{name}.json"

    def _write(self, obj: Object) -> Object:
        metadata: Object = obj.get("metadata") or {}
        path = self._path(
            str(obj.get("kind") or ""), str(metadata.get("namespace") or ""), str(metadata.get("name") or "")
        )
        current = _read(path)
        stored = _admit(obj, current)
        if stored == current:
            return stored
        _folders(path.parent, self.root)
        # mkstemp makes the file 0600; the leading dot hides it from readers until it is whole.
        handle, temporary = tempfile.mkstemp(prefix=".", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(stored, file, indent=1)
            Path(temporary).replace(path)
            _mark(path.parent)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return stored

    @contextlib.contextmanager
    def _lock(self) -> Generator[None]:
        _folders(self.root, self.root)
        handle = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _admit(obj: Object, current: Object | None) -> Object:
    """Return what an API server would store for `obj`, given what it has."""
    stored: Object = json.loads(json.dumps(obj))  # plain JSON values that nobody else holds
    had: Object = (current or {}).get("metadata") or {}
    if stored.get("kind") == "Secret" and "stringData" in stored:
        plain = cast(dict[str, str], stored.pop("stringData") or {})
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
        stored["data"] = {**(stored.get("data") or {}), **encoded}
    if current is not None and "status" not in stored and "status" in current:
        stored["status"] = current["status"]
    metadata: Object = stored.setdefault("metadata", {})
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    metadata["uid"] = had.get("uid") or metadata.get("uid") or str(uuid.uuid4())
    metadata["creationTimestamp"] = had.get("creationTimestamp") or metadata.get("creationTimestamp") or now
    same_spec = current is not None and stored.get("spec") == current.get("spec")
    metadata["generation"] = _number(had.get("generation")) + (0 if same_spec else 1)
    metadata["resourceVersion"] = str(had.get("resourceVersion") or "")
    if stored != current:
        metadata["resourceVersion"] = str(_number(had.get("resourceVersion")) + 1)
    return stored


def _number(value: object) -> int:
    return int(value) if isinstance(value, int | str) and str(value).isdigit() else 0


def _read(path: Path) -> Object | None:
    try:
        value: object = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return cast(Object, value) if isinstance(value, dict) else None


def _names(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))  # noqa: PTH208 - names only
    except (FileNotFoundError, NotADirectoryError):
        return []


def _mark(folder: Path) -> None:
    """Give a folder that changed a time of its own: the system's is the same for all within a tick."""
    os.utime(folder, ns=(now := time.time_ns(), now))


def _folders(folder: Path, root: Path) -> None:
    """Make `folder` and its parents, down from `root`, for their owner only."""
    if folder.is_dir():
        return
    if folder == root:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return
    _folders(folder.parent, root)
    folder.mkdir(mode=0o700, exist_ok=True)
