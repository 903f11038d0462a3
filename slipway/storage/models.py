"""Models that are registered: a manifest for each name and version, its files as blobs by their content.

A version never changes, and versions count up, whoever registers at the same time. Equal files are kept once.
"""

from __future__ import annotations

import datetime
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import Field, StringConstraints, ValidationError

from slipway.model import MODEL_NAME, NAME_RULE, REGISTERED, Model
from slipway.problems import Checked, Many
from slipway.storage.blob import PARALLEL, Absent, Container, Exists, StorageError
from slipway.storage.transfer import PARTS, Content, fetch, hash_all, upload

CONTAINER = "models"
"""The container of the workspace's storage that holds models."""
MANIFESTS = "manifests/"
Say = Callable[[str], None]


class ModelFile(Checked):
    """A file of a model: where it lies in the version's folder, and its content."""

    path: Annotated[str, Field(min_length=1)]
    """the path with the name under which the model was registered first"""
    size: Annotated[int, Field(ge=0)]
    """bytes"""
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """in hexadecimal"""

    def mistakes(self) -> list[str]:
        path = PurePosixPath(self.path)
        return [f"path = {self.path} leaves the model"] if path.is_absolute() or ".." in path.parts else []

    @property
    def content(self) -> Content:
        """Give what the file holds."""
        return Content(self.size, self.sha256)


class Manifest(Checked):
    """A version of a model."""

    name: str
    """a model's name"""
    version: Annotated[int, Field(ge=1)]
    """a whole number of at least 1"""
    created: str
    """when, as ISO 8601 in UTC"""
    files: Annotated[Many[ModelFile], Field(min_length=1)]
    """a list: path, size, sha256"""

    @property
    def size(self) -> int:
        """Give the bytes of all files."""
        return sum(file.size for file in self.files)

    def __str__(self) -> str:
        return f"{REGISTERED}{self.name}:{self.version}"


def register(
    container: Container, name: str, path: Path, files: Iterable[PurePosixPath], say: Say
) -> Manifest:
    """Store a model as the next version of its name, and give that.

    `path` is a file, with `files` being `.` alone, or a folder with files relative to it. What is in the
    storage already is not sent again. Raises StorageError.
    """
    if MODEL_NAME.fullmatch(name) is None:
        raise StorageError(f"`{name}` {NAME_RULE}")
    relative = list(files)
    if not relative:
        raise StorageError(f"{path}: is an empty folder; name the folder that holds the model")
    say(f"reading {len(relative)} files")
    found = hash_all([path / file for file in relative])
    top = PurePosixPath(os.path.basename(os.path.abspath(path)))  # noqa: PTH100, PTH119  # a link's own name
    entries = tuple(
        ModelFile(path=str(top / file), size=one.content.size, sha256=one.content.sha256)
        for file, one in zip(relative, found, strict=True)
    )
    upload(container, found, meter(sum(entry.size for entry in entries), "sent", say))
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    version = max(versions(container, name), default=0) + 1
    while True:
        manifest = Manifest(name=name, version=version, created=created, files=entries)
        try:
            container.put(_place(name, version), manifest.model_dump_json().encode())
        except Exists:  # somebody else has just registered one
            version += 1
        else:
            return manifest


def versions(container: Container, name: str) -> list[int]:
    """Give the versions of a name, oldest first."""
    prefix = f"{MANIFESTS}{name}/"
    texts = (blob.name.removeprefix(prefix).removesuffix(".json") for blob in container.blobs(prefix))
    return sorted(int(text) for text in texts if text.isdigit())


def listed(container: Container) -> list[Manifest]:
    """Give every version of every model, by name and version."""
    names = [blob.name for blob in container.blobs(MANIFESTS)]
    with ThreadPoolExecutor(PARALLEL) as pool:
        found = list(pool.map(partial(_read, container), names))
    return sorted(found, key=lambda manifest: (manifest.name, manifest.version))


def manifests(container: Container, models: Sequence[Model]) -> list[Manifest]:
    """Read the manifests of registered models, in their order. Raises StorageError for the first missing."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(partial(_of, container), models))


def download(container: Container, models: Sequence[Model], root: Path, say: Say) -> int:
    """Bring models to where v1 lays them out, `root/NAME/VERSION/...`, and give their bytes."""
    found = manifests(container, models)
    files = {
        root / model.place / file.path: file.content
        for model, manifest in zip(models, found, strict=True)
        for file in manifest.files
    }
    total = sum(content.size for content in files.values())
    fetch(container, files, root / PARTS, meter(total, "fetched", say))
    return total


def get(container: Container, name: str, version: int | None, folder: Path, say: Say) -> Manifest:
    """Bring a version of a model, or its newest one, into a folder, and give its manifest."""
    newest = max(versions(container, name), default=1) if version is None else version
    (manifest,) = manifests(container, [Model(name, newest)])
    files = {folder / file.path: file.content for file in manifest.files}
    fetch(container, files, folder / PARTS, meter(manifest.size, "fetched", say))
    return manifest


def meter(total: int, done: str, say: Say) -> Callable[[int], None]:
    """Give what counts bytes and tells each tenth of them."""
    moved, told, lock = 0, 0, threading.Lock()

    def count(size: int) -> None:
        nonlocal moved, told
        with lock:
            moved += size
            if total and (tenth := 10 * moved // total) > told:
                told = tenth
                say(f"{done} {megabytes(moved)} of {megabytes(total)} MB")

    return count


def megabytes(size: int) -> str:
    """Write bytes as megabytes, those of disks and networks."""
    return f"{size / 1e6:,.1f}"


def _of(container: Container, model: Model) -> Manifest:
    try:
        return _read(container, _place(model.name, model.version))
    except Absent:
        known = ", ".join(map(str, versions(container, model.name)))
        rule = f"there are versions {known}" if known else "no model of this name is registered"
        raise Absent(f"{model}: is not registered: {rule}", "slipway models list") from None


def _place(name: str, version: int) -> str:
    return f"{MANIFESTS}{name}/{version}.json"


def _read(container: Container, blob: str) -> Manifest:
    try:
        return Manifest.model_validate_json(container.get(blob))
    except ValidationError:
        raise StorageError(f"{container.name}/{blob}: is no manifest of a model") from None
