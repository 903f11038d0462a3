"""How rows lie in a file of the spool: frames, each with its length and checksum.

A process may end in the middle of a write, so reading ends at the first frame that is not whole. A blob's
name and header come once a file, in a frame of their own with no rows; those with rows refer to it by number.
"""

from __future__ import annotations

import struct
import zlib
from typing import Dict, Iterator, List, NamedTuple, Tuple

HEAD = struct.Struct(">IHII")
"""Checksum of all that follows, number of the blob in this file, rows (0: a name), bytes of the content."""


class Entry(NamedTuple):
    """Some rows for the end of one blob, which begins with `header`; each ends with the end of its line."""

    name: str
    header: bytes
    rows: int
    data: bytes


class Encoder:
    """Writes the entries of one file."""

    def __init__(self) -> None:
        self._numbers: Dict[str, int] = {}

    def encode(self, entry: Entry) -> bytes:
        """Give an entry's frame, after that of its name where this file does not have it yet."""
        number = self._numbers.get(entry.name)
        named = b""
        if number is None:
            number = self._numbers[entry.name] = len(self._numbers)
            named = _frame(number, 0, entry.name.encode() + b"\0" + entry.header)
        return named + _frame(number, entry.rows, entry.data)


def decode(content: bytes) -> Iterator[Entry]:
    """Read the entries of a file up to its end, or to the first frame that is not whole."""
    names: List[Tuple[str, bytes]] = []
    at = 0
    while at + HEAD.size <= len(content):
        head: Tuple[int, int, int, int] = HEAD.unpack_from(content, at)
        checksum, number, rows, size = head
        end = at + HEAD.size + size
        if end > len(content) or zlib.crc32(content[at + 4 : end]) != checksum:
            return
        data = content[at + HEAD.size : end]
        at = end
        if rows == 0:
            title, _, header = data.partition(b"\0")
            names.append((title.decode(), header))
        else:
            name, header = names[number]
            yield Entry(name, header, rows, data)


def _frame(number: int, rows: int, data: bytes) -> bytes:
    rest = HEAD.pack(0, number, rows, len(data))[4:] + data
    return zlib.crc32(rest).to_bytes(4, "big") + rest
