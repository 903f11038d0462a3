"""Files to blobs and back: parallel, in ranges, taken up again where a process was cut off, and verified.

A blob is named by what is in it. Which files belong together is left to the callers.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Collection, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from slipway.storage.blob import PARALLEL, Absent, Container, Exists, StorageError

RANGE = 4 * 2**20
"""Bytes of a call: what a connection that breaks loses; ten of them fit into little memory."""
PARTS = ".slipway-parts"
"""Folder of what has not arrived whole yet, beside what has."""
OTHER_BYTES = ("holds other bytes than were registered", "delete that blob, and register the model again")
Progress = Callable[[int], None]
"""Called with the number of bytes that were moved, from several threads."""


@dataclass(frozen=True)
class Content:
    """What a file or blob holds: its size in bytes and its SHA-256 in hexadecimal."""

    size: int
    sha256: str

    @property
    def blob(self) -> str:
        """Name the blob of this content."""
        return f"sha256/{self.sha256}"


@dataclass(frozen=True)
class Hashed:
    """A file whose content is known, with the SHA-256 of each range."""

    path: Path
    content: Content
    ranges: tuple[str, ...]


def hashed(path: Path) -> Hashed:
    """Read a file once. Raises StorageError if it cannot be read."""
    whole, ranges, size = hashlib.sha256(), list[str](), 0
    try:
        with path.open("rb") as file:
            while data := file.read(RANGE):
                whole.update(data)
                ranges.append(hashlib.sha256(data).hexdigest())
                size += len(data)
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}") from None
    return Hashed(path, Content(size, whole.hexdigest()), tuple(ranges))


def hash_all(paths: Collection[Path]) -> list[Hashed]:
    """Read several files at once, in their order."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(hashed, paths))


def upload(container: Container, files: Collection[Hashed], progress: Progress) -> None:
    """Bring each content into the storage that is not there, in the ranges that are not there.

    Raises StorageError, also where a file is not what it was when it was hashed.
    """
    distinct = {file.content.blob: file for file in files}
    with _together() as pool:
        sizes = pool.map(container.size, distinct)
        sent = dict(zip(distinct, sizes, strict=True))
        for blob, file in distinct.items():
            if sent[blob] not in (None, file.content.size):
                raise StorageError(f"{file.path}: blob {container.name}/{blob} {'; '.join(OTHER_BYTES)}")
        missing = {blob: file for blob, file in distinct.items() if sent[blob] is None}
        progress(sum(file.content.size for blob, file in distinct.items() if blob not in missing))
        large = [blob for blob, file in missing.items() if len(file.ranges) > 1]
        staged = dict(zip(large, pool.map(container.staged, large), strict=True))
        jobs: list[Future[None]] = []
        for blob, file in missing.items():
            ranges: Mapping[str, int] = {name: index for index, name in enumerate(file.ranges)}
            there = staged.get(blob, {})
            progress(sum(size for name, size in there.items() if name in ranges))
            jobs += [
                pool.submit(_send, container, file, index, progress)
                for name, index in ranges.items()
                if name not in there
            ]
            if not ranges:
                jobs.append(pool.submit(_put, container, blob, b""))
        _finish(jobs)
        _finish([pool.submit(_commit, container, missing[blob]) for blob in large])


def _send(container: Container, file: Hashed, index: int, progress: Progress) -> None:
    with file.path.open("rb") as opened:
        opened.seek(index * RANGE)
        data = opened.read(RANGE)
    name = hashlib.sha256(data).hexdigest()
    if name != file.ranges[index]:
        raise StorageError(f"{file.path}: changes while it is read; wait until it is written, and try again")
    if len(file.ranges) == 1:
        _put(container, file.content.blob, data)
    else:
        container.stage(file.content.blob, name, data)
    progress(len(data))


def _put(container: Container, blob: str, data: bytes) -> None:
    with suppress(Exists):  # somebody else was faster with the same
        container.put(blob, data)


def _commit(container: Container, file: Hashed) -> None:
    try:
        container.commit(file.content.blob, file.ranges)
    except StorageError:  # somebody else may have been faster, which takes the staged ranges away
        if container.size(file.content.blob) != file.content.size:
            raise


def fetch(
    container: Container, files: Mapping[Path, Content], parts: Path, progress: Progress = lambda _: None
) -> None:
    """Bring blobs into files, each whole and verified or not there.

    What an earlier call left in the folder `parts`, on the same file system, is used again; it is removed
    when all is there. Raises StorageError, which names the file, for a blob that is missing or holds other
    bytes, and for a file that is there with other bytes.
    """
    first: dict[Content, Path] = {}
    with _together() as pool:
        parts.mkdir(parents=True, exist_ok=True)
        there = dict(zip(files, pool.map(_is_there, files, files.values()), strict=True))
        progress(sum(content.size for path, content in files.items() if there[path]))
        for path, content in files.items():
            if not there[path]:
                first.setdefault(content, path)
        downloads = [_Download(container, path, content, parts) for content, path in first.items()]
        progress(sum(download.resumed for download in downloads))
        _finish([pool.submit(one.get, offset, progress) for one in downloads for offset in one.missing])
        for path, content in files.items():
            if not there[path] and (made := first[content]) != path:
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(made, path)
                progress(content.size)
        shutil.rmtree(parts)


def _is_there(path: Path, content: Content) -> bool:
    if not path.exists():
        return False
    if hashed(path).content != content:
        raise StorageError(f"{path}: is there with other bytes; remove it, and try again")
    return True


class _Download:
    """A file on its way: its bytes in one file of `parts`, the offsets that arrived in another."""

    def __init__(self, container: Container, path: Path, content: Content, parts: Path) -> None:
        self._container, self._path, self._content = container, path, content
        self._part, self._journal = parts / content.sha256, parts / f"{content.sha256}.done"
        self._lock = threading.Lock()
        offsets = range(0, content.size, RANGE) or range(1)
        arrived = self._arrived()
        self.missing = [offset for offset in offsets if offset not in arrived] or [offsets[-1]]
        self._left = len(self.missing)
        self.resumed = content.size - sum(min(RANGE, content.size - offset) for offset in self.missing)

    def _arrived(self) -> set[int]:
        try:
            lines = self._journal.read_text().split("\n")[:-1]  # one that is cut off does not count
        except OSError:
            return set()
        return {int(line) for line in lines if line.isdigit()} if self._part.exists() else set()

    def get(self, offset: int, progress: Progress) -> None:
        content = self._content
        length = min(RANGE, content.size - offset)
        try:
            data = self._container.get(content.blob, offset, length) if length else b""
        except Absent:
            raise self._wrong("is not in the storage", "register the model again") from None
        if len(data) != length:
            raise self._wrong(*OTHER_BYTES)
        with os.fdopen(os.open(self._part, os.O_WRONLY | os.O_CREAT, 0o644), "wb") as file:
            file.seek(offset)
            file.write(data)
        with self._lock:
            with self._journal.open("a") as journal:
                journal.write(f"{offset}\n")
            self._left -= 1
            last = not self._left
        progress(length)
        if last:
            self._place()

    def _place(self) -> None:
        if hashed(self._part).content != self._content:
            self._journal.unlink()
            self._part.unlink()
            raise self._wrong(*OTHER_BYTES)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._part.replace(self._path)

    def _wrong(self, what: str, remedy: str) -> StorageError:
        return StorageError(
            f"{self._path}: blob {self._container.name}/{self._content.blob} {what}; {remedy}"
        )


@contextmanager
def _together() -> Generator[ThreadPoolExecutor]:
    """Give threads for parallel calls; after a failure, told as StorageError, nothing more is begun."""
    pool = ThreadPoolExecutor(PARALLEL)
    try:
        yield pool
    except OSError as error:
        raise StorageError(f"{error.filename or 'a file'}: {error.strerror}") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _finish(jobs: Collection[Future[None]]) -> None:
    for job in as_completed(jobs):
        job.result()
