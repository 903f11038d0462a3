"""What one refusal of the storage stops, and what goes on beside it."""

import logging
from pathlib import Path
from typing import BinaryIO

import pytest
from azure.core.exceptions import ClientAuthenticationError

from slipway.collect.rows import Entry
from slipway.collect.spool import Spool
from slipway.storage.blob import Account, Refused, SignedOut, StorageError, connect
from slipway.storage.outputs import Outputs
from slipway.storage.spool import Spool as Uploads
from slipway.storage.spool import Totals
from slipway.storage.upload import Uploader


class Store:
    """A storage in memory: it refuses what has `bad` in its name for good, rows where it is `away`."""

    def __init__(self, *, away: bool = False) -> None:
        self.blobs: dict[str, bytes] = {}
        self.away = away
        self.asked: list[str] = []

    def size(self, name: str) -> int | None:
        if self.away:
            raise StorageError(f"{name}: the storage cannot be reached")
        return len(self.blobs[name]) if name in self.blobs else None

    def append(self, name: str, data: bytes, at: int) -> int:
        self._take(name)
        self.blobs[name] = self.blobs.get(name, b"") + data
        return at + len(data)

    def put_file(self, name: str, file: BinaryIO) -> None:
        self._take(name)
        self.blobs[name] = file.read()

    def _take(self, name: str) -> None:
        self.asked.append(name)
        if "bad" in name:
            raise Refused(f"{name}: the storage says 400 InvalidResourceName")


def collected(root: Path, *names: str) -> None:
    writer = Spool(root, 2**20, lambda _: None)
    for name in names:
        assert writer.offer([Entry(name, b"", 1, b"row\n")], 1, 10)
    writer.close()


def test_rows_that_are_refused_for_good_are_counted_as_dropped_and_those_behind_them_arrive(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    collected(tmp_path, "bad/data.csv", "good/data.csv", "bad/data.csv")
    store = Store()
    uploads = Uploads(tmp_path, store)
    uploads.ship()
    assert store.blobs == {"good/data.csv": b"row\n"}
    assert uploads.totals() == Totals(accepted=3, uploaded=1, size=2)
    assert uploads.totals().waiting == 0
    assert "2 rows are dropped: bad/data.csv: the storage says 400" in caplog.text


def test_a_file_that_is_refused_for_good_is_told_once_and_those_behind_it_arrive(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a-bad", "b"):
        (tmp_path / name).write_text(name)
    store = Store()
    outputs = Outputs(tmp_path, store, "svc/pod")
    for _ in range(3):
        outputs.ship(final=True)
    assert store.blobs == {"svc/pod/b": b"b"}
    assert store.asked.count("svc/pod/a-bad") == 1
    assert outputs.waiting == 0
    assert caplog.text.count("'a-bad' stays where it is") == 1
    (tmp_path / "a-bad").write_text("changed")
    outputs.ship(final=True)
    assert store.asked.count("svc/pod/a-bad") == 2


def test_files_are_uploaded_while_rows_cannot_be(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    collected(tmp_path / "spool", "m/data.csv")
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "a").write_text("a")
    files = Store()
    rows = Uploads(tmp_path / "spool", Store(away=True))
    uploader = Uploader(rows, Outputs(tmp_path / "outputs", files, "p"))
    with pytest.raises(StorageError, match="cannot be reached"):
        uploader.ship(final=True)
    assert files.blobs == {"p/a": b"a"}
    assert rows.totals().waiting == 1


def test_a_pod_without_an_identity_says_what_the_last_way_to_a_token_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class NoIdentity:
        def get_token(self, *_: str, **__: object) -> None:
            raise ClientAuthenticationError(
                "DefaultAzureCredential failed to retrieve a token from the included credentials.\n"
                "Attempted credentials:\n"
                "\tEnvironmentCredential: unavailable.\n"
                "\tWorkloadIdentityCredential: AADSTS700213: No matching federated identity record"
            )

    monkeypatch.setattr("slipway.storage.blob.DefaultAzureCredential", NoIdentity)
    container = connect(Account("https://account.blob.example"), "modeldata", retries=0)
    with pytest.raises(SignedOut, match="AADSTS700213: No matching federated") as caught:
        container.get("a")
    assert not caught.value.hint
