"""The writer of a spool: a bounded queue in memory, and one thread that empties it into files.

Whoever offers rows never waits for a disk and never fails: what finds no room is dropped and counted. While
rows come, the thread looks for them now and then, so that no request pays for waking it. A file
is closed when it is large or old; from then on the uploader takes it. What was in memory when a process is
killed is found missing by the journal's numbers.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Callable, List, NamedTuple, Optional, Sequence, Union

from slipway.collect import journal
from slipway.collect.frames import Encoder
from slipway.collect.journal import ACCEPTED, QUEUE, REFUSED, SPOOL, Counts
from slipway.collect.rows import Entry, Request, entries_of

MEMORY_BYTES = 16 * 2**20
"""What may wait in memory."""
ROW_BYTES = 4 * 2**20 - 64 * 2**10
"""The most that is written at once for one blob, with its header: one append takes 4 MiB."""
ITEM_BYTES = 2 * ROW_BYTES
"""The most that is kept in memory of what goes together: a request and its answer."""
FILE_BYTES = 4 * 2**20
FILE_SECONDS = 60.0
"""A file is closed when it holds so much or was begun so long ago; a day's blob takes 50,000 of them."""
OVERHEAD = 1024
"""Bytes that an item takes in memory beside its content, at most."""
BATCH_SECONDS = 0.05
"""How often the thread looks for rows while they come."""
WRITE_BYTES = 2**14
"""What is written at once, about: requests have the interpreter's lock between one write and the next."""
REPORT_SECONDS = 60.0


class Item(NamedTuple):
    """What is collected or dropped together: its number of rows, and its bytes in memory."""

    content: Sequence[Union[Entry, Request]]
    rows: int
    size: int


class Spool:
    """A process's own part of the spool below `root`. Its folder is made at the first rows."""

    def __init__(
        self,
        root: Path,
        limit: int,
        report: Callable[[Counts], None],
        memory: int = MEMORY_BYTES,
    ) -> None:
        """Take `limit` bytes of files of all writers together; `report` is told of drops now and then."""
        self._root, self._limit, self._memory, self._report = root, limit, memory, report
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        """Begin anew, in a child process too: what its parent began is the parent's."""
        self._page: Optional[object] = None
        self._cells = journal.cells_of(None)
        self._lock = threading.RLock()
        self._queue: List[Item] = []
        self._size = 0
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: Optional[threading.Thread] = None
        self._folder: Optional[Path] = None
        self._file: Optional[_File] = None
        self._number = 0
        self._reported = (0, 0.0)

    @property
    def counts(self) -> Counts:
        return journal.counts_of(self._cells)

    def offer(self, content: Sequence[Union[Entry, Request]], rows: int, size: int) -> bool:
        """Collect what has so many rows and bytes, all of it or nothing; say which.

        Never waits, but for the first ones, which are counted in the journal like all others.
        """
        size += OVERHEAD
        with self._lock:
            if self._thread is None:
                self._open_journal()
                self._thread = threading.Thread(target=self._work, name="collect", daemon=True)
                self._thread.start()
            self._cells[ACCEPTED] += rows
            fits = size <= ITEM_BYTES
            taken = fits and self._size + size <= self._memory and not self._closing.is_set()
            if taken:
                self._queue.append(Item(content, rows, size))
                self._size += size
            else:
                self._cells[QUEUE if fits else REFUSED] += rows
        if not self._wake.is_set():
            self._wake.set()
        return taken

    def close(self, timeout: float = 2.0) -> None:
        """Write what waits, and finish the file."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _work(self) -> None:
        found = True
        while not self._closing.is_set():
            if not found:
                due = None if self._file is None else self._file.due - time.monotonic()
                self._wake.wait(None if due is None else max(due, 0))
                self._wake.clear()
            time.sleep(BATCH_SECONDS)
            found = self._empty()
            if self._file is not None and time.monotonic() >= self._file.due:
                self._finish()
            self._tell()
        self._empty()
        self._finish()
        self._tell(now=True)

    def _empty(self) -> bool:
        """Write what waits; tell whether there was anything."""
        with self._lock:
            items, self._queue = self._queue, []
        if items and self._folder is None:
            self._open_journal()
        batch: List[Item] = []
        size = 0
        for item in items:
            if not _fits(item):
                self._forget([item], REFUSED)
                continue
            batch.append(item)
            size += item.size
            if size >= WRITE_BYTES:
                self._write(batch)
                batch, size = [], 0
        if batch:
            self._write(batch)
        return bool(items)

    def _write(self, items: List[Item]) -> None:
        try:
            if self._file is None:
                self._file = self._next_file()
            self._file.write(items)
        except OSError:  # full: of names written before this file may lack some, so another one follows
            self._finish()
            self._forget(items, SPOOL)
            return
        with self._lock:
            self._size -= sum(item.size for item in items)
        if self._file.size >= FILE_BYTES:
            self._finish()

    def _forget(self, items: List[Item], reason: int) -> None:
        with self._lock:
            self._size -= sum(item.size for item in items)
            self._cells[reason] += sum(item.rows for item in items)

    def _open_journal(self) -> None:
        """Move the numbers from memory into a journal; if there is no room for it now, at another time."""
        folder = self._root / f"{time.time_ns():016x}-{uuid.uuid4().hex[:8]}"
        try:
            page = journal.create(folder)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            return
        cells = journal.cells_of(page)
        with self._lock:
            cells[:] = self._cells
            self._cells, self._page, self._folder = cells, page, folder

    def _next_file(self) -> _File:
        if self._folder is None:
            raise OSError("the spool cannot be written")
        room = self._limit - used(self._root)
        if room <= 0:
            raise OSError("the spool is full")
        self._number += 1
        return _File(self._folder / f"{self._number:08d}", room)

    def _finish(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _tell(self, *, now: bool = False) -> None:
        counts, (dropped, at) = self.counts, self._reported
        if counts.dropped != dropped and (now or not dropped or time.monotonic() - at >= REPORT_SECONDS):
            self._reported = (counts.dropped, time.monotonic())
            self._report(counts)


class _File:
    """A file that grows, `NUMBER.open`, until it is closed, `NUMBER.spool`."""

    def __init__(self, path: Path, room: int) -> None:
        self.size = 0
        self.due = time.monotonic() + FILE_SECONDS
        self._path, self._room, self._encoder = path, room, Encoder()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(path.with_suffix(".open"), flags, 0o600)

    def write(self, items: List[Item]) -> None:
        """Append them all or none. Raises OSError, after which it can only be closed."""
        encode = self._encoder.encode
        data = memoryview(b"".join([encode(one) for item in items for one in item.content]))
        if self.size + len(data) > self._room:
            raise OSError("the spool is full")
        done = 0
        try:
            while done < len(data):
                done += os.write(self._descriptor, data[done:])
        except OSError:
            os.ftruncate(self._descriptor, self.size)
            raise
        self.size += done

    def close(self) -> None:
        os.close(self._descriptor)
        with suppress(OSError):
            self._path.with_suffix(".open").rename(self._path.with_suffix(".spool"))


def _fits(item: Item) -> bool:
    """Tell whether one append takes what there will be for each blob: at most twice as much, by quotes."""
    return 2 * item.size <= ROW_BYTES or all(
        len(entry.header) + len(entry.data) <= ROW_BYTES for one in item.content for entry in entries_of(one)
    )


def used(root: Path) -> int:
    """Give the bytes of all files of a spool."""
    total = 0
    for path in root.glob("*/*"):
        with suppress(OSError):
            total += path.stat().st_size
    return total
