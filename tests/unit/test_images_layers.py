"""Layers are the same bytes however and by whomever their files were made."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.images.layers import TIME, Entry, Layer, write
from slipway.images.oci import digest_of
from slipway.problems import Problems

NAMES = st.text("abc./é", min_size=1, max_size=12).map(
    lambda text: f"a/{text.strip('./')}x".replace("//", "/")
)
FILES = st.dictionaries(
    NAMES.filter(lambda name: not any(part in name for part in ("/.", "//"))),
    st.tuples(st.binary(max_size=2000), st.booleans()),
    max_size=8,
)


def made(entries: list[tuple[str, Entry]], *, compress: bool = False) -> tuple[Layer, bytes]:
    file = io.BytesIO()
    layer = write(entries, file, compress=compress)
    return layer, file.getvalue()


def leaves(files: Mapping[str, tuple[bytes, bool]]) -> dict[str, tuple[bytes, bool]]:
    """Leave out names that are folders of others."""
    return {
        name: content
        for name, content in files.items()
        if not any(other.startswith(f"{name}/") for other in files)
    }


@given(FILES, st.randoms(use_true_random=False), st.booleans())
@settings(max_examples=60)
def test_order_does_not_matter_and_what_was_written_is_read(
    files: dict[str, tuple[bytes, bool]], random: Random, compress: bool
) -> None:  # pyright: ignore
    entries = [(name, Entry(content, executable)) for name, (content, executable) in leaves(files).items()]
    layer, content = made(entries, compress=compress)
    random.shuffle(entries)
    assert made(entries, compress=compress) == (layer, content)
    assert layer.descriptor.digest == digest_of(content)
    assert layer.descriptor.size == len(content)
    tar = gzip.decompress(content) if compress else content
    assert layer.diff_id == digest_of(tar)
    with tarfile.open(fileobj=io.BytesIO(tar)) as read:
        members = read.getmembers()
        names = [member.name for member in members]
        assert names == sorted(names, key=lambda name: name.split("/"))
        assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members} <= {(0, 0, "", "", TIME)}
        found = {m.name: read.extractfile(m).read() for m in members if m.isfile()}  # pyright: ignore
        folders = {m.name for m in members if m.isdir()}
    assert found == {name: entry.content for name, entry in entries}
    for name in found:
        assert all(str(parent) in folders for parent in Path(name).parents if parent.name)


def test_times_modes_umasks_and_users_do_not_matter(tmp_path: Path) -> None:
    script = """
import io, os, sys
from pathlib import Path
from slipway.images.layers import Entry, write
folder, umask, mtime = Path(sys.argv[1]), int(sys.argv[2], 8), int(sys.argv[3])
os.umask(umask)
folder.mkdir()
for name in sys.argv[4:]:
    (folder / name).write_text(name)
    if os.geteuid() == 0:
        os.chown(folder / name, mtime, mtime)
    os.utime(folder / name, (mtime, mtime))
file = io.BytesIO()
print(write([(f"code/{n}", Entry(folder / n)) for n in sys.argv[4:]], file, compress=True).descriptor.digest)
"""
    digests: set[str] = set()
    for index, (umask, mtime, names) in enumerate(
        [
            ("022", "1", ["a.py", "b.py"]),
            ("077", "1700000000", ["b.py", "a.py"]),
            ("000", "5", ["a.py", "b.py"]),
        ]
    ):
        command = [sys.executable, "-c", script, str(tmp_path / str(index)), umask, mtime, *names]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        digests.add(done.stdout)
    assert len(digests) == 1


def test_links_and_executables_keep_what_they_are() -> None:
    _, content = made(
        [("bin/sh", Entry(link="bash")), ("bin/bash", Entry(b"#!", executable=True)), ("etc/x", Entry(b""))]
    )
    with tarfile.open(fileobj=io.BytesIO(content)) as read:
        assert (read.getmember("bin/sh").issym(), read.getmember("bin/sh").linkname) == (True, "bash")
        assert read.getmember("bin/bash").mode == 0o755
        assert read.getmember("etc/x").mode == 0o644


@pytest.mark.parametrize("change", [b"more", None])
def test_a_file_that_changes_while_it_is_read_is_named(tmp_path: Path, change: bytes | None) -> None:
    path = tmp_path / "growing.bin"
    path.write_bytes(b"x" * 5_000_000)

    class Sink(io.RawIOBase):
        def write(self, content: bytes, /) -> int:  # pyright: ignore
            if change is None:
                os.truncate(path, 10)
            else:
                with path.open("ab") as file:
                    file.write(change)
            return len(content)

    with pytest.raises(Problems, match=r"growing\.bin: changed while it was read"):
        write([("growing.bin", Entry(path))], Sink(), compress=False)  # pyright: ignore
