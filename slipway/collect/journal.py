"""A writer's journal: what it took and dropped, and how far the uploader is. It survives the end of both.

One page, allocated when it is made and from then on overwritten in place, so that a full disk does not stop
the accounts. The writer maps its numbers, because it counts on the path of requests; a count is in the page
at once, whenever the process may end. It holds a lock as long as it lives: a process of another container
cannot be asked by its id.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from pathlib import Path
from typing import NamedTuple, Optional

SIZE = 4096
NAME = "journal"
PROGRESS_AT = 512
PROGRESS = struct.Struct("=7Q")
ACCEPTED, QUEUE, SPOOL, REFUSED = range(4)
"""Numbers of rows: all that were to be collected; of these dropped because memory was full, because the spool
was full or could not be written, because they were larger than a row may be."""


class Counts(NamedTuple):
    """A writer's numbers of rows."""

    accepted: int
    queue: int
    spool: int
    refused: int

    @property
    def dropped(self) -> int:
        return self.queue + self.spool + self.refused


class Progress(NamedTuple):
    """How far the uploader is in a writer's files."""

    file: int = 0
    """The number of the file that comes next; those below are uploaded."""
    chunk: int = 0
    """The part of that file that comes next."""
    pending: int = 0
    """1 while that part may or may not have been appended."""
    part: int = 0
    """Which of a day's blobs it was for: a blob takes 50,000 appends."""
    position: int = 0
    """Where in the blob it was to be."""
    uploaded: int = 0
    """Rows of this writer that are in the storage."""
    refused: int = 0
    """Rows of this writer that the storage refused for good."""

    def at(self, file: int) -> "Progress":
        """Go to the beginning of a file."""
        return Progress(file=file, uploaded=self.uploaded, refused=self.refused)


def create(folder: Path) -> mmap.mmap:
    """Make a writer's folder and journal, locked until this process ends. Raises OSError."""
    folder.mkdir(parents=True)
    descriptor = os.open(folder / f".{NAME}", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if os.write(descriptor, bytes(SIZE)) != SIZE:  # a hole could not be filled once the disk is full
            raise OSError("the disk is full")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        (folder / f".{NAME}").rename(folder / NAME)
        return mmap.mmap(descriptor, SIZE)  # which keeps the lock, by a descriptor of its own
    finally:
        os.close(descriptor)


class Journal:
    """A writer's journal as the uploader sees it."""

    def __init__(self, folder: Path) -> None:
        """Raise FileNotFoundError if the folder has none yet."""
        self._descriptor = os.open(folder / NAME, os.O_RDWR | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self._descriptor)

    def alive(self) -> bool:
        """Tell whether the writer still runs."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        return False

    def counts(self) -> Counts:
        return Counts(*struct.unpack("=4Q", os.pread(self._descriptor, 32, 0)))

    def progress(self) -> Progress:
        return Progress(*PROGRESS.unpack(os.pread(self._descriptor, PROGRESS.size, PROGRESS_AT)))

    def record(self, progress: Progress) -> None:
        """Write in one call of less than a page, which a signal does not cut in two."""
        os.pwrite(self._descriptor, PROGRESS.pack(*progress), PROGRESS_AT)


def counts_of(cells: "memoryview[int]") -> Counts:
    """Read a writer's own numbers."""
    return Counts(cells[ACCEPTED], cells[QUEUE], cells[SPOOL], cells[REFUSED])


def cells_of(page: Optional[mmap.mmap]) -> "memoryview[int]":
    """Give the numbers of a page, or of plain memory while there is none."""
    return memoryview(page if page is not None else bytearray(32))[:32].cast("Q")
