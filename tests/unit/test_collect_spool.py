"""The spool from the writer to an uploader, with a storage in memory that can fail at any call."""

import fcntl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.collect import journal, spool
from slipway.collect.frames import Encoder, decode
from slipway.collect.journal import Counts
from slipway.collect.request import sampled
from slipway.collect.rows import Entry, Place, Request, entries_of
from slipway.collect.spool import OVERHEAD, ROW_BYTES, Spool
from slipway.storage.blob import Exists, StorageError
from slipway.storage.spool import Spool as Uploads
from slipway.storage.spool import Totals, numbered, parts

ENTRY = st.builds(
    Entry,
    st.sampled_from(["a/data.csv", "b/é/data.csv"]),
    st.just(b"x,y\r\n"),
    st.integers(1, 5),
    st.binary(max_size=40),
)
PLACES = [Place("s/g/w", "svc", "é", "1"), Place("", "", "", "")]
REQUEST = st.builds(
    Request,
    st.sampled_from(PLACES),
    st.text(st.characters(max_codepoint=255), max_size=5),
    st.floats(0, 2**32),
    st.integers(200, 599),
    st.binary(max_size=40),
    st.binary(max_size=40),
)
ENTRIES = st.lists(ENTRY, max_size=12)
KEPT = st.lists(ENTRY | REQUEST, max_size=12)


class Memory:
    """Append blobs in memory. `fails` is asked before each append, and after it: an answer got lost."""

    def __init__(self, fails: Callable[[], bool] = lambda: False, most: int = 50_000) -> None:
        self.blobs: dict[str, bytes] = {}
        self.appends: Counter[str] = Counter()
        self.fails, self.most = fails, most

    def size(self, name: str) -> int | None:
        return len(self.blobs[name]) if name in self.blobs else None

    def append(self, name: str, data: bytes, at: int) -> int:
        if self.fails():
            raise StorageError("before")
        blob = self.blobs.setdefault(name, b"")
        if len(blob) != at or self.appends[name] >= self.most:
            if blob[at : at + len(data)] == data:
                return at + len(data)
            raise Exists(name)
        self.blobs[name] = blob + data
        self.appends[name] += 1
        if self.fails():
            raise StorageError("after")
        return at + len(data)


def offer(writer: Spool, number: int, size: int = 0) -> bool:
    data = f"{number}{'x' * size}\r\n".encode()
    return writer.offer([Entry("m/data.csv", b"n\r\n", 1, data)], 1, len(data))


def numbers(blob: bytes) -> list[int]:
    lines = blob.decode().split("\r\n")
    assert lines[0] == "n"
    assert lines[-1] == ""
    return [int(line.rstrip("x")) for line in lines[1:-1]]


def encoded(kept: Sequence[Entry | Request]) -> bytes:
    encoder = Encoder()
    return b"".join(map(encoder.encode, kept))


@given(KEPT)
def test_what_is_written_in_frames_is_read_back_as_rows(kept: list[Entry | Request]) -> None:
    assert list(decode(encoded(kept))) == [entry for one in kept for entry in entries_of(one)]


@given(KEPT, st.data())
def test_a_file_that_is_cut_anywhere_gives_its_whole_frames_and_no_more(
    kept: list[Entry | Request], data: st.DataObject
) -> None:
    content = encoded(kept)
    cut = data.draw(st.integers(0, len(content)))
    found = list(decode(content[:cut] + b"\0" * data.draw(st.integers(0, 30))))
    rows = [entries_of(one) for one in kept]
    assert found in [[entry for made in rows[:number] for entry in made] for number in range(len(rows) + 1)]


@given(ENTRIES)
def test_parts_keep_the_order_of_each_blobs_rows(entries: list[Entry]) -> None:
    def by_blob(rows: list[tuple[str, bytes]]) -> dict[str, bytes]:
        return {name: b"".join(data for n, data in rows if n == name) for name, _ in rows}

    made = parts(entries)
    assert by_blob([(p.name, p.data) for p in made]) == by_blob([(e.name, e.data) for e in entries])
    assert sum(part.rows for part in made) == sum(entry.rows for entry in entries)


@given(st.text(min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_who_is_sampled_at_a_rate_is_at_every_higher_one(identity: str, one: float, other: float) -> None:
    assert sampled(identity, min(one, other)) <= sampled(identity, max(one, other))
    assert sampled(identity, 1)
    assert not sampled(identity, 0)


def test_a_rate_is_the_part_of_ids_that_is_sampled() -> None:
    found = sum(sampled(f"request-{number}", 0.2) for number in range(20_000))
    assert found == pytest.approx(4_000, rel=0.05)


def test_all_rows_arrive_in_order_below_one_header(tmp_path: Path) -> None:
    writer = Spool(tmp_path, 2**20, lambda _: None)
    for number in range(1000):
        assert offer(writer, number)
    writer.close()
    store = Memory()
    uploads = Uploads(tmp_path, store)
    uploads.ship()
    assert numbers(store.blobs["m/data.csv"]) == list(range(1000))
    assert uploads.totals() == Totals(accepted=1000, uploaded=1000)


def test_a_full_queue_drops_and_counts_and_never_waits(tmp_path: Path) -> None:
    told: list[Counts] = []
    writer = Spool(tmp_path, 2**20, told.append, memory=10 * OVERHEAD)
    taken = [offer(writer, number) for number in range(100)]
    writer.close()
    assert 0 < sum(taken) < 100
    assert writer.counts == Counts(100, 100 - sum(taken), 0, 0)
    assert told[-1] == writer.counts


def test_a_row_that_no_append_takes_is_refused_and_those_behind_it_arrive(tmp_path: Path) -> None:
    writer = Spool(tmp_path, 2**30, lambda _: None)
    assert not offer(writer, 1, size=2 * ROW_BYTES)
    quoted, plain = b'"' * (ROW_BYTES // 2), b"x" * (ROW_BYTES // 2)
    for body in (quoted, plain):  # of which the first is too large only once it is a row
        assert writer.offer([Request(PLACES[0], "id", 0, 200, body, b"")], 2, len(body))
    assert offer(writer, 2)
    writer.close()
    store = Memory()
    Uploads(tmp_path, store).ship()
    assert numbers(store.blobs["m/data.csv"]) == [2]
    blobs = {name.split("/")[6]: blob for name, blob in store.blobs.items() if name != "m/data.csv"}
    assert [blob.count(b"\r\n") for blob in (blobs["inputs"], blobs["predictions"])] == [2, 2]
    assert plain in blobs["inputs"]
    assert writer.counts.refused == 3


def test_a_full_spool_drops_until_there_is_room_again(tmp_path: Path) -> None:
    writer = Spool(tmp_path, 3 * journal.SIZE, lambda _: None)
    offer(writer, 1, size=2000)
    deadline = time.monotonic() + 10
    number = 1
    while not writer.counts.spool and time.monotonic() < deadline:
        number += 1
        offer(writer, number, size=2000)
        time.sleep(0.01)
    store = Memory()
    uploads = Uploads(tmp_path, store)
    uploads.ship()
    offer(writer, 10_000)
    writer.close()
    uploads.ship()
    arrived = numbers(store.blobs["m/data.csv"])
    assert arrived[-1] == 10_000
    totals = uploads.totals()
    assert totals.spool > 0
    assert totals == Totals(accepted=number + 1, uploaded=len(arrived), spool=number + 1 - len(arrived))


def test_where_nothing_can_be_written_rows_are_dropped_and_counted(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    writer = Spool(tmp_path / "file" / "spool", 2**20, lambda _: None)
    offer(writer, 1)
    writer.close()
    assert writer.counts == Counts(1, 0, 1, 0)


@settings(deadline=None)  # it writes files
@given(st.lists(st.booleans(), max_size=40), st.integers(1, 4))
def test_rows_arrive_once_whatever_call_fails_and_whenever_the_uploader_starts_anew(
    tmp_path_factory: pytest.TempPathFactory, failures: list[bool], others: int
) -> None:
    root = tmp_path_factory.mktemp("spool")
    folder = root / "writer"
    page = journal.create(folder)
    cells = journal.cells_of(page)
    for number in range(3):
        rows = [Entry(f"{n % 2}/data.csv", b"n\r\n", 1, f"{number * 4 + n}\r\n".encode()) for n in range(4)]
        (folder / f"{number + 1:08d}.spool").write_bytes(encoded(rows))
    cells[journal.ACCEPTED] = 12
    store = Memory(lambda: bool(failures) and failures.pop(), most=5)
    for attempt in range(60):
        uploads = Uploads(root, store)  # nothing is kept in memory
        if attempt % others == 0:  # another pod appends to the same blob
            at = store.size("0/data.csv") or 0
            store.blobs["0/data.csv"] = (
                store.blobs.get("0/data.csv", b"") + (b"" if at else b"n\r\n") + b"-1\r\n"
            )
        try:
            uploads.ship()
            break
        except StorageError:
            continue
        finally:
            uploads.close()
    arrived = [n for blob in store.blobs.values() for n in numbers(blob) if n >= 0]
    assert sorted(arrived) == list(range(12))
    assert Uploads(root, store).totals() == Totals(accepted=12, uploaded=12)
    cells.release()
    page.close()


def test_a_full_blob_is_followed_by_another(tmp_path: Path) -> None:
    store = Memory(most=1)
    uploads = Uploads(tmp_path, store)
    for number in range(3):
        writer = Spool(tmp_path, 2**20, lambda _: None)
        offer(writer, number)
        writer.close()
        uploads.ship()
    assert {name: numbers(blob) for name, blob in store.blobs.items()} == {
        "m/data.csv": [0],
        "m/data-1.csv": [1],
        "m/data-2.csv": [2],
    }
    assert numbered("a.b/data.csv", 0) == "a.b/data.csv"


def test_an_uploader_that_dies_between_counting_a_writer_and_forgetting_it_counts_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Spool(tmp_path, 2**20, lambda _: None)
    offer(writer, 1)
    writer.close()
    del writer
    store = Memory()

    def killed(path: Path) -> None:
        raise KeyboardInterrupt(path)

    def dead(_: journal.Journal) -> bool:
        return False

    with monkeypatch.context() as patch:
        patch.setattr("slipway.storage.spool.shutil.rmtree", killed)
        patch.setattr(journal.Journal, "alive", dead)
        with pytest.raises(KeyboardInterrupt):
            Uploads(tmp_path, store).ship()
    monkeypatch.setattr(journal.Journal, "alive", dead)
    uploads = Uploads(tmp_path, store)
    assert uploads.totals() == Totals(accepted=1, uploaded=1)
    uploads.ship()
    assert uploads.totals() == Totals(accepted=1, uploaded=1)


def test_a_living_writers_open_file_is_left_alone(tmp_path: Path) -> None:
    writer = Spool(tmp_path, 2**20, lambda _: None)
    offer(writer, 1)
    deadline = time.monotonic() + 10
    while not list(tmp_path.glob("*/*.open")) and time.monotonic() < deadline:
        time.sleep(0.01)
    store = Memory()
    uploads = Uploads(tmp_path, store)
    uploads.ship()
    assert store.blobs == {}
    assert uploads.waits
    writer.close()


def test_rows_of_a_process_that_is_killed_at_its_first_ones_are_counted(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from slipway.collect.spool import Spool\n"
        "Spool(Path(sys.argv[1]), 2**20, print).offer([], 3, 10)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    uploads = Uploads(tmp_path, Memory())
    uploads.ship()
    assert uploads.totals() == Totals(accepted=3, crash=3)


def test_the_lock_of_a_journal_lasts_as_long_as_its_page(tmp_path: Path) -> None:
    page = journal.create(tmp_path / "writer")
    with (tmp_path / "writer" / "journal").open("rb") as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        page.close()
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_a_file_is_closed_when_it_is_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "FILE_SECONDS", 0.05)
    writer = Spool(tmp_path, 2**20, lambda _: None)
    offer(writer, 1)
    deadline = time.monotonic() + 10
    while not list(tmp_path.glob("*/*.spool")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    writer.close()
