"""What a container's processes print: a file that is bounded, how it is written and how it is read.

A full log is put aside as the one `_before` it, whose own predecessor is forgotten. Whoever follows a log
remembers a `Place`, which tells a log that was begun anew from the one that was read.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

LOG_BYTES = 10 * 1024 * 1024  # a log and the one before it: twice this at most
TAIL_BYTES = 8 * 1024


@dataclass(frozen=True)
class Place:
    """How far a log was read."""

    file: int  # its inode
    offset: int


class Log:
    """A file that is put aside when it is full; its last bytes are kept at hand."""

    def __init__(self, path: Path, limit: int = LOG_BYTES) -> None:
        self.path = path
        self.tail = b""
        self._limit = limit
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = self._open()

    def write(self, data: bytes) -> None:
        """Append what a process wrote."""
        self.tail = (self.tail + data)[-TAIL_BYTES:]
        if self._file.tell() + len(data) > self._limit:
            self._file.close()
            self.path.replace(_before(self.path))
            self._file = self._open()
        self._file.write(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _open(self) -> BinaryIO:
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        return os.fdopen(handle, "ab", buffering=0)


def last_lines(path: Path, lines: int) -> tuple[bytes, Place]:
    """Read a log's last lines. Raises FileNotFoundError."""
    found: deque[bytes] = deque(maxlen=lines)
    with path.open("rb") as file:
        with contextlib.suppress(FileNotFoundError), _before(path).open("rb") as before:
            found.extend(before)
        found.extend(file)
        return b"".join(found), Place(os.fstat(file.fileno()).st_ino, file.tell())


def read_on(path: Path, place: Place) -> tuple[bytes, Place]:
    """Read what a log got since `place`, all that is still there of it. Raises FileNotFoundError."""
    data = b""
    with path.open("rb") as file:
        inode = os.fstat(file.fileno()).st_ino
        if inode == place.file:
            file.seek(place.offset)
        else:
            with contextlib.suppress(FileNotFoundError), _before(path).open("rb") as before:
                same = os.fstat(before.fileno()).st_ino == place.file
                before.seek(place.offset if same else 0)
                data = before.read()
        data += file.read()
        return data, Place(inode, file.tell())


def _before(path: Path) -> Path:
    return path.with_suffix(".log.1")
