"""How rows lie in a file of the spool: frames, each with its length and checksum.

A process may end in the middle of a write, so reading ends at the first frame that is not whole. A blob's
name and header, or the place of requests, come once a file, in a frame of their own with no rows; those with
rows refer to it by number. A request lies there as it was: its rows are made when it is read.
"""

from __future__ import annotations

import struct
import zlib
from typing import Dict, Iterator, List, Tuple, Union

from slipway.collect.rows import Entry, Place, Request, entries_of

HEAD = struct.Struct(">HII")
"""Number of the title in this file, rows (0: a title), bytes of the content. A checksum comes before."""
REQUEST = struct.Struct(">dHHI")
"""When, status, bytes of the id, bytes of the body."""


class Encoder:
    """Writes the frames of one file."""

    def __init__(self) -> None:
        self._numbers: Dict[Union[str, Place], int] = {}

    def encode(self, one: Union[Entry, Request]) -> bytes:
        """Give a frame, after that of its title where this file does not have it yet."""
        title = one.place if isinstance(one, Request) else one.name
        number = self._numbers.get(title)
        if number is not None:
            return _frame(number, *_content(one))
        number = self._numbers[title] = len(self._numbers)
        return _frame(number, 0, _title(one)) + _frame(number, *_content(one))


def decode(content: bytes) -> Iterator[Entry]:
    """Read the entries of a file up to its end, or to the first frame that is not whole."""
    titles: List[Union[Place, Tuple[str, bytes]]] = []
    at = 0
    while (begin := at + 4 + HEAD.size) <= len(content):
        head: Tuple[int, int, int] = HEAD.unpack_from(content, at + 4)
        number, rows, size = head
        end = begin + size
        if end > len(content) or zlib.crc32(content[at + 4 : end]).to_bytes(4, "big") != content[at : at + 4]:
            return
        data = content[begin:end]
        at = end
        if rows == 0:
            titles.append(_titled(data))
        else:
            title = titles[number]
            yield from entries_of(
                _request(title, data) if isinstance(title, Place) else Entry(*title, rows, data)
            )


def _frame(number: int, rows: int, content: bytes) -> bytes:
    rest = HEAD.pack(number, rows, len(content)) + content
    return zlib.crc32(rest).to_bytes(4, "big") + rest


def _content(one: Union[Entry, Request]) -> Tuple[int, bytes]:
    """Give the number of rows, and what of them is not in the title."""
    if isinstance(one, Entry):
        return one.rows, one.data
    identity = one.identity.encode("utf-8", "replace")
    told = REQUEST.pack(one.when, one.status, len(identity), len(one.body))
    return 2, b"".join((told, identity, one.body, one.answer))


def _title(one: Union[Entry, Request]) -> bytes:
    """Give a blob's name and header, or no name and a place."""
    if isinstance(one, Entry):
        return one.name.encode() + b"\0" + one.header
    return "\0".join(("", *one.place)).encode("utf-8", "replace")


def _titled(data: bytes) -> Union[Place, Tuple[str, bytes]]:
    name, _, rest = data.partition(b"\0")
    return (name.decode(), rest) if name else Place(*rest.decode().split("\0"))


def _request(place: Place, data: bytes) -> Request:
    lengths: Tuple[float, int, int, int] = REQUEST.unpack_from(data)
    when, status, identity, body = lengths
    middle = REQUEST.size + identity
    end = middle + body
    return Request(place, data[REQUEST.size : middle].decode(), when, status, data[middle:end], data[end:])
