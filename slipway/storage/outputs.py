"""Uploads what a script writes under `./outputs`, and then removes it there.

A file is taken when it has not changed for a while and nobody has it open for writing. Links are not
followed: a script's link could point to what only this process may read, such as the identity's token.
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from slipway.storage.blob import Refused

log = logging.getLogger("slipway.storage")
NAME_BYTES = 1024
"""The longest name of a blob."""


class Store(Protocol):
    """The part of `blob.Container` that outputs need."""

    def put_file(self, name: str, file: BinaryIO) -> None: ...


@dataclass(frozen=True)
class Seen:
    """How a file was when it was looked at."""

    inode: int
    size: int
    changed_ns: int


class Outputs:
    """A folder of outputs, uploaded below `prefix`."""

    def __init__(self, root: Path, store: Store, prefix: str) -> None:
        self._root, self._store, self._prefix = root, store, PurePosixPath(prefix)
        self._seen: dict[str, Seen] = {}
        self._refused: set[str] = set()
        self._lost: dict[str, Seen] = {}
        self.uploaded = 0
        self.waiting = 0

    def ship(self, *, final: bool = False) -> None:
        """Upload what is as it was the last time, or with `final` all. Raises StorageError."""
        before, self._seen, self.waiting = self._seen, {}, 0
        for name, folder, file in self._files():
            blob = str(self._prefix / name)
            try:
                blob_name = blob.encode()
            except UnicodeEncodeError:
                self._refuse(name, "its name is no text")
                continue
            if len(blob_name) > NAME_BYTES:
                self._refuse(name, f"its name is longer than {NAME_BYTES} bytes")
                continue
            try:
                descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            except OSError as error:  # it is gone, has become a link, or may not be read
                if not isinstance(error, FileNotFoundError):
                    self._refuse(name, error.strerror or str(error))
                continue
            try:
                seen = _look(descriptor)
                if seen is None:
                    self._refuse(name, "it is no plain file")
                    continue
                self._seen[name] = seen
                self.waiting += 1
                if self._lost.get(name) == seen:
                    self.waiting -= 1
                    continue
                if not (final or before.get(name) == seen) or _written(descriptor):
                    continue
                try:
                    with open(descriptor, "rb", closefd=False) as content:
                        self._store.put_file(blob, content)
                except Refused as error:
                    self._lost[name] = seen
                    self.waiting -= 1
                    self._refuse(name, str(error))
                    continue
                if _look(descriptor) == seen and not _written(descriptor):
                    os.unlink(file, dir_fd=folder)
                    self.uploaded += 1
                    self.waiting -= 1
                    del self._seen[name]
            finally:
                os.close(descriptor)

    def _files(self) -> Iterator[tuple[str, int, str]]:
        """Give path, folder's descriptor and name of each file; a walk that no link leads astray."""
        for path, _, files, folder in os.fwalk(self._root, follow_symlinks=False):
            relative = PurePosixPath(path).relative_to(self._root)
            for file in sorted(files):
                yield str(relative / file), folder, file

    def _refuse(self, name: str, reason: str) -> None:
        if name not in self._refused:
            self._refused.add(name)
            log.warning("outputs: %s stays where it is: %s", ascii(name), reason)


def _look(descriptor: int) -> Seen | None:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        return None
    return Seen(found.st_ino, found.st_size, found.st_mtime_ns)


def _written(descriptor: int) -> bool:
    """Tell whether somebody has the file open for writing.

    Linux gives a lease for reading only if nobody has, whichever container they are in. Where there are no
    leases, a file that does not change counts as closed.
    """
    lease = getattr(fcntl, "F_SETLEASE", None)
    if lease is None:
        return False
    try:
        fcntl.fcntl(descriptor, lease, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    with suppress(OSError):
        fcntl.fcntl(descriptor, lease, fcntl.F_UNLCK)
    return False
