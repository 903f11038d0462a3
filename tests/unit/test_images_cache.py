"""The cache of images: whole or not there, found again by content and by what it was made from."""

from __future__ import annotations

import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from slipway.images.cache import Cache, default_root
from slipway.images.oci import LAYER
from slipway.problems import Problems


def test_its_folder_is_the_variables_else_that_of_caches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("SLIPWAY_CACHE", raising=False)
    assert default_root() == tmp_path / "slipway"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_root() == Path.home() / ".cache" / "slipway"
    monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "mine"))
    assert default_root() == tmp_path / "mine"


def test_what_is_corrupt_is_not_there(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    blob = cache.put(b"content", LAYER)
    assert cache.has(blob, verify=True)
    assert cache.read(blob.digest) == b"content"
    cache.path(blob.digest).write_bytes(b"contenT")
    assert cache.has(blob), "its size is right"
    assert cache.read(blob.digest) is None
    assert not cache.has(blob, verify=True)
    assert not cache.path(blob.digest).exists()
    assert cache.put(b"content", LAYER) == blob
    assert cache.has(blob, verify=True)


def test_a_record_that_is_cut_off_is_not_there(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert cache.recall("kind", "key") is None
    cache.remember("kind", "key", {"a": [1]})
    assert cache.recall("kind", "key") == {"a": [1]}
    (tmp_path / "made/kind/key").write_text('{"a": [')
    assert cache.recall("kind", "key") is None


def test_when_writing_fails_then_nothing_is_left(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def write(failure: BaseException) -> None:
        with cache.aside() as file:
            file.write(b"half")
            raise failure

    with pytest.raises(Problems, match=r"No space left on device; make room there, or name another folder"):
        write(OSError(errno.ENOSPC, "no space"))
    with pytest.raises(KeyboardInterrupt):
        write(KeyboardInterrupt())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_a_killed_builder_left_is_removed_a_day_later(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.put(b"x", LAYER)
    old, new = tmp_path / "blobs/sha256/.new-old", tmp_path / "blobs/sha256/.new-young"
    for path in (old, new):
        path.write_bytes(b"half")
    long_ago = time.time() - 100_000
    os.utime(old, (long_ago, long_ago))
    cache.put(b"y", LAYER)
    assert (old.exists(), new.exists()) == (False, True)


def test_many_at_once_end_with_the_same(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(partial(cache.put, media_type=LAYER), [b"content" * 10_000] * 32))
    (blob,) = found
    assert cache.has(blob, verify=True)
    assert len(list((tmp_path / "blobs/sha256").iterdir())) == 1
