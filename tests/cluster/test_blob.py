"""The calls of `slipway.storage.blob`, on Azurite."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from slipway.storage.blob import APPEND_BYTES, Absent, Account, Blob, Container, Exists, StorageError, connect
from tests.cluster.azurite import account


def test_what_is_put_is_got_whole_or_in_ranges(container: Container) -> None:
    data = os.urandom(100_000)
    container.put("a/b.bin", data)
    assert container.get("a/b.bin") == data
    assert container.get("a/b.bin", 10, 20) == data[10:30]
    assert container.get("a/b.bin", 99_990, 100) == data[99_990:]
    assert container.get("a/b.bin", 100_000, 100) == b""
    assert container.size("a/b.bin") == len(data)


def test_an_empty_blob_is_got_empty(container: Container) -> None:
    container.put("empty", b"")
    assert container.get("empty") == b""
    assert container.size("empty") == 0


def test_of_two_that_put_the_same_name_one_is_refused(container: Container) -> None:
    def put(data: bytes) -> bytes | None:
        try:
            container.put("one", data)
        except Exists:
            return None
        return data

    with ThreadPoolExecutor(8) as pool:
        done = [data for data in pool.map(put, [bytes([n]) * 1000 for n in range(8)]) if data is not None]
    assert done == [container.get("one")]


def test_a_blob_is_overwritten_only_when_asked(container: Container) -> None:
    container.put("one", b"first")
    with pytest.raises(Exists, match="one: is in the storage already"):
        container.put("one", b"second")
    container.put("one", b"third", overwrite=True)
    assert container.get("one") == b"third"


def test_appends_grow_a_blob_and_one_whose_answer_was_lost_counts_once(container: Container) -> None:
    big = os.urandom(APPEND_BYTES + 5)
    at = container.append("log", b"one\n", 0)
    assert container.append("log", b"one\n", 0) == at, "the same again is what a lost answer leads to"
    at = container.append("log", big, at)
    assert container.get("log") == b"one\n" + big
    assert at == container.size("log")


def test_an_append_behind_somebody_elses_is_refused(container: Container) -> None:
    container.append("log", b"one\n", 0)
    container.append("log", b"two two\n", 4)
    with pytest.raises(Exists):
        container.append("log", b"x", 4)
    assert container.get("log") == b"one\ntwo two\n"


def test_blocks_become_a_blob_in_the_order_of_the_commit(container: Container) -> None:
    assert container.staged("blob") == {}
    for name, data in {"b": b"world", "a": b"hello "}.items():
        container.stage("blob", name, data)
    assert container.staged("blob") == {"a": 6, "b": 5}
    assert container.size("blob") is None
    container.commit("blob", ["a", "b"])
    assert container.get("blob") == b"hello world"
    assert container.staged("blob") == {}


def test_blobs_are_listed_by_prefix_with_their_sizes(container: Container) -> None:
    for name in ("a/2", "a/1", "b/1"):
        container.put(name, name.encode())
    assert list(container.blobs("a/")) == [Blob("a/1", 3), Blob("a/2", 3)]


def test_a_deleted_blob_is_absent_and_deleting_it_again_is_fine(container: Container) -> None:
    container.put("one", b"")
    container.delete("one")
    container.delete("one")
    assert container.size("one") is None
    with pytest.raises(Absent, match="one: is not in the storage"):
        container.get("one")


def test_a_container_that_is_there_is_not_made_again(container: Container) -> None:
    container.put("one", b"1")
    container.create()
    assert container.get("one") == b"1"


def test_a_wrong_key_is_told_without_the_key(azurite: int) -> None:
    right = account(azurite).connection_string
    key = "d3Jvbmc="
    wrong = right.replace(right.split("AccountKey=")[1].split(";")[0], key)
    with pytest.raises(StorageError, match="one: the storage") as found:
        connect(Account(connection_string=wrong), "somewhere").get("one")
    assert key not in str(found.value)
    assert key not in repr(Account(connection_string=wrong))


def test_what_is_no_connection_string_is_refused_without_showing_it() -> None:
    with pytest.raises(
        StorageError, match="AZURE_STORAGE_CONNECTION_STRING is no connection string"
    ) as found:
        connect(Account(connection_string="hunter2"), "somewhere")
    assert "hunter2" not in str(found.value)
