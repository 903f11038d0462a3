"""Uploads a spool of collected rows into append blobs, each row exactly once.

Files are cut into parts the same way each time. Before a part is appended, its place in the blob is written
into the writer's journal; whoever starts again appends it at the same place, and finds it there or somebody
else's rows: other pods append to the same blobs. The numbers of rows are in the same page as the place, so
that what a writer took is in the storage, or counted as dropped, or was in memory when it was killed.
"""

from __future__ import annotations

import logging
import os
import shutil
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import astuple, dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from slipway.collect.frames import Entry, decode
from slipway.collect.journal import SIZE, Counts, Journal, Progress
from slipway.storage.blob import APPEND_BYTES, Exists, Refused

log = logging.getLogger("slipway.storage")
TOTALS = "totals"
FORGOTTEN_SECONDS = 60.0
"""A folder without a journal is of a writer that was killed in the moment of its making."""
_TOTALS = struct.Struct("=6Q64s")


class Store(Protocol):
    """The part of `blob.Container` that a spool needs."""

    def size(self, name: str) -> int | None: ...

    def append(self, name: str, data: bytes, at: int) -> int: ...


@dataclass(frozen=True)
class Totals:
    """Rows of a pod: all that were to be collected, and what became of them."""

    accepted: int = 0
    uploaded: int = 0
    memory: int = 0
    """Dropped, because the queue in memory was full."""
    spool: int = 0
    """Dropped, because the spool was full or could not be written."""
    size: int = 0
    """Dropped, because they were larger than a row may be, or the storage refused them for good."""
    crash: int = 0
    """Dropped, because they were in memory when their process was killed."""

    @property
    def dropped(self) -> int:
        return self.memory + self.spool + self.size + self.crash

    @property
    def waiting(self) -> int:
        """Rows that are in the spool, or on their way there."""
        return self.accepted - self.uploaded - self.dropped

    def plus(self, counts: Counts, progress: Progress, *, ended: bool) -> Totals:
        """Add a writer's numbers; of one that has ended, what is nowhere is lost."""
        nowhere = counts.accepted - counts.dropped - progress.uploaded - progress.refused
        return Totals(
            self.accepted + counts.accepted,
            self.uploaded + progress.uploaded,
            self.memory + counts.queue,
            self.spool + counts.spool,
            self.size + counts.refused + progress.refused,
            self.crash + (nowhere if ended else 0),
        )


@dataclass(frozen=True)
class Part:
    """What is appended at once, to one blob."""

    name: str
    header: bytes
    rows: int
    data: bytes


def parts(entries: Iterable[Entry]) -> list[Part]:
    """Put the rows of each blob together, in their order, as far as one append takes them."""
    open_: dict[str, list[Entry]] = {}
    found: list[list[Entry]] = []
    for entry in entries:
        group: list[Entry] = open_.get(entry.name, [])
        size = len(entry.header) + sum(len(one.data) for one in group) + len(entry.data)
        if not group or size > APPEND_BYTES:
            open_[entry.name] = group = []
            found.append(group)
        group.append(entry)
    return [
        Part(group[0].name, group[0].header, sum(one.rows for one in group), b"".join(o.data for o in group))
        for group in found
    ]


def numbered(name: str, number: int) -> str:
    """Name the blob that comes after `number` full ones: a blob takes 50,000 appends."""
    path = PurePosixPath(name)
    return str(path.with_stem(f"{path.stem}-{number}")) if number else name


class Spool:
    """A spool as its one uploader sees it."""

    def __init__(self, root: Path, store: Store) -> None:
        """Raise OSError if there is no room for the totals."""
        self._root, self._store = root, store
        self._full: dict[str, int] = {}
        root.mkdir(parents=True, exist_ok=True)
        self._totals = os.open(root / TOTALS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self._totals).st_size < SIZE:
            os.pwrite(self._totals, bytes(SIZE), 0)
        self.waits = True
        """Whether the last `ship` left rows, or a writer that may still collect some."""

    def close(self) -> None:
        os.close(self._totals)

    def ship(self) -> None:
        """Upload all files that are finished. Raises StorageError; nothing is lost or doubled by that."""
        self.waits = False
        for folder in self._writers():
            try:
                journal = Journal(folder)
            except FileNotFoundError:
                if time.time() - folder.stat().st_mtime > FORGOTTEN_SECONDS:
                    shutil.rmtree(folder)
                continue
            with closing(journal):
                self._ship_writer(folder, journal)

    def totals(self) -> Totals:
        """Give the pod's numbers as they are now."""
        totals, folded = self._folded()
        for folder in self._writers():
            if folder.name != folded:
                try:
                    journal = Journal(folder)
                except FileNotFoundError:
                    continue
                with closing(journal):
                    totals = totals.plus(journal.counts(), journal.progress(), ended=False)
        return totals

    def _writers(self) -> list[Path]:
        return sorted(path for path in self._root.iterdir() if path.is_dir())

    def _ship_writer(self, folder: Path, journal: Journal) -> None:
        if folder.name == self._folded()[1]:
            shutil.rmtree(folder)
            return
        ended = not journal.alive()  # asked first: what it finished after that is left for the next time
        progress = journal.progress()
        for number, path in _files(folder, ended=ended):
            if number >= progress.file:
                progress = self._ship_file(journal, progress, number, path)
            path.unlink()
        if ended:
            totals, _ = self._folded()
            self._fold(totals.plus(journal.counts(), progress, ended=True), folder.name)
            shutil.rmtree(folder)
        else:
            self.waits = True

    def _ship_file(self, journal: Journal, progress: Progress, number: int, path: Path) -> Progress:
        if progress.file != number:
            progress = progress.at(number)
        for index, part in enumerate(parts(decode(path.read_bytes()))):
            if index >= progress.chunk:
                try:
                    progress = self._append(journal, progress, part)
                except Refused as error:
                    log.warning("model data: %d rows are dropped: %s", part.rows, error)
                    progress = progress._replace(
                        chunk=index + 1, pending=0, refused=progress.refused + part.rows
                    )
                    journal.record(progress)
        progress = progress.at(number + 1)
        journal.record(progress)
        return progress

    def _append(self, journal: Journal, progress: Progress, part: Part) -> Progress:
        """Append a part: first where it may be already."""
        if not progress.pending:
            progress = self._place(progress, part)
        while True:
            journal.record(progress)
            name, at = numbered(part.name, progress.part), progress.position
            try:
                self._store.append(name, part.data if at else part.header + part.data, at)
                break
            except Exists:
                if self._store.size(name) == at:  # nobody was faster, so it is full
                    self._full[part.name] = progress.part + 1
                progress = self._place(progress, part)
        progress = progress._replace(
            chunk=progress.chunk + 1, pending=0, uploaded=progress.uploaded + part.rows
        )
        journal.record(progress)
        return progress

    def _place(self, progress: Progress, part: Part) -> Progress:
        number = self._full.get(part.name, 0)
        at = self._store.size(numbered(part.name, number)) or 0
        return progress._replace(pending=1, part=number, position=at)

    def _folded(self) -> tuple[Totals, str]:
        *numbers, name = _TOTALS.unpack(os.pread(self._totals, _TOTALS.size, 0))
        return Totals(*numbers), name.rstrip(b"\0").decode()

    def _fold(self, totals: Totals, writer: str) -> None:
        """Take an ended writer's numbers over, with its name: it counts once, whenever this process ends."""
        os.pwrite(self._totals, _TOTALS.pack(*astuple(totals), writer.encode()), 0)


def _files(folder: Path, *, ended: bool) -> Iterator[tuple[int, Path]]:
    """Give a writer's finished files in order; the open one too once nobody writes it any more."""
    found = [*folder.glob("*.spool"), *(folder.glob("*.open") if ended else ())]
    for path in sorted(found):
        yield int(path.stem), path
