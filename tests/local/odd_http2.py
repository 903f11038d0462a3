"""Odd HTTP/2 for the router's tests: what a client says on one connection, made from a seed."""

import random
from collections.abc import Callable, Iterator

from hpack import Encoder

from tests.local.odd_requests import METHODS, Maker, frame

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, PRIORITISED = 1, 4, 8, 32
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
ODD = ["header"] * 6 + ["path"] * 4 + ["pseudo"] * 3 + ["body"] * 3 + ["split"] * 2 + ["block", "bytes"]
FORBIDDEN = [
    ("connection", "close, x-ms-request-id"),
    ("connection", "authorization"),
    ("proxy-connection", "keep-alive"),
    ("keep-alive", "timeout=5"),
    ("transfer-encoding", "chunked"),
    ("transfer-encoding", "identity"),
    ("upgrade", "h2c"),
    ("upgrade", "websocket"),
    ("te", "gzip"),
    ("te", "trailers"),
    ("http2-settings", "AAMAAABk"),
    ("host", "other"),
    ("Host", "other"),
]
OURS = [
    "x-slipway-handed",
    "x-slipway-service",
    "x-slipway-reason",
    "X-Slipway-Handed",
    "x-ms-request-id",
    "x-ms-client-request-id",
    "x-ms-run-function-failed",
    "azureml-model-deployment",
]
VALUES = ["echo/127.0.0.1", "open/::1", "open", "_token/", "true", "", " ", "\t", "\x7f", "a" * 9_000]
INJECTED = [
    "a\r\nauthorization: Bearer b",
    "a\nx-slipway-handed: open/::1",
    "a\r\n\r\nPOST /api/v1/service/echo/score HTTP/1.1\r\nhost: a\r\n\r\n",
    "a\0b",
    "\r",
    "\n",
]
NAMES = [
    "X-Upper",
    "x space",
    "x:colon",
    "",
    ":",
    "x\r\ny",
    "x\0",
    "x\ny: z",
    "\x80",
    "x-\u00e9",
    "_",
    "x" * 70_000,
]
LENGTHS = [
    "0",
    "1",
    "2",
    "3",
    "70000",
    "1048577",
    "104857601",
    "-1",
    "+2",
    "2, 2",
    "",
    "2 ",
    "0x2",
    str(2**64),
]

Fields = list[tuple[str, str]]


class Http2Maker:
    """Makes what clients say after the handshake: usually requests with a few odd parts, at times a storm."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._requests = Maker(seed)

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield PREFACE + frame(SETTINGS, 0, 0, b"") + self._said()

    def _any(self, *choices: Callable[[], bytes]) -> bytes:
        return self._random.choice(choices)()

    def _said(self) -> bytes:
        if self._random.randrange(20) == 0:
            return self._storm()
        encoder, said = Encoder(), b""
        for number in range(self._random.choice([1, 1, 2, 4])):
            said += self._request(encoder, 2 * number + 1)
        return said

    def _request(self, encoder: Encoder, stream: int) -> bytes:
        odd = self._random.choices(ODD, k=self._random.choice([1, 1, 2]))
        path = self._requests.known()
        if "path" in odd:
            path = self._requests.target()
        pseudo = [(":method", "POST"), (":scheme", "https"), (":authority", "a"), (":path", path)]
        if "pseudo" in odd:
            pseudo = self._pseudo(pseudo)
        headers = [field for part in odd if part == "header" for field in self._fields()]
        body: Callable[[], bytes] | None = None
        if "body" in odd:
            headers += self._framing()
            body = lambda: self._body(encoder, stream)  # noqa: E731 - after its headers are encoded
        fields = pseudo + headers
        if "pseudo" in odd and self._random.randrange(3) == 0:
            self._random.shuffle(fields)
        block = encode(encoder, fields)
        if "block" in odd:
            block = self._torn(block)
        end = END_STREAM if body is None else 0
        said = (
            self._split(stream, block, end)
            if "split" in odd
            else frame(HEADERS, END_HEADERS | end, stream, block)
        )
        if body is not None:
            said += body()
        return self._requests.mutated(said) if "bytes" in odd else said

    def _pseudo(self, fields: Fields) -> Fields:
        place = self._random.randrange(len(fields))
        name = fields[place][0]
        extra = self._random.choice(
            [
                (":path", "/api/v1/service/open/score"),
                (":path", ""),
                (":authority", "b"),
                (":authority", "a@b:1/c"),
                (":authority", ""),
                (":method", self._random.choice(METHODS)),
                (":scheme", self._random.choice(["http", "ftp", "", "https://open/../", "\0"])),
                (":protocol", self._random.choice(["websocket", "connect-udp", ""])),
                (":status", "200"),
                (":unknown", "a"),
                (":Path", "/"),
                ("host", "other"),
            ]
        )
        match self._random.randrange(5):
            case 0:
                return fields[:place] + fields[place + 1 :]
            case 1:
                return [*fields, extra]
            case 2:
                return [extra if one[0] == extra[0] else one for one in fields]
            case 3:  # extended or plain CONNECT
                return [(":method", "CONNECT"), *fields[1:], (":protocol", "websocket")][
                    : self._random.choice([3, 5])
                ]
            case _:
                return [*fields, (name, fields[place][1])]

    def _fields(self) -> Fields:
        lines = self._requests.header().split("\r\n")
        name, _, value = self._random.choice(lines).partition(":")
        crumbs = self._random.choice([2, 60, 400])
        return self._random.choice(
            [
                [(name.lower(), value.strip(" "))],
                [(name.lower(), value.strip(" "))],
                [(name, value)],
                [self._random.choice(FORBIDDEN)],
                [self._random.choice(FORBIDDEN)],
                [(self._random.choice(OURS), self._random.choice(VALUES))],
                [(self._random.choice(OURS), self._random.choice(VALUES))],
                [("x-injected", self._random.choice(INJECTED))],
                [("authorization", self._random.choice(INJECTED))],
                [(self._random.choice(NAMES), self._random.choice(VALUES))],
                [("cookie", f"a{one}=b") for one in range(crumbs)],
                [("cookie", self._random.choice(INJECTED)), ("cookie", "; authorization=b")],
            ]
        )

    def _framing(self) -> Fields:
        length = ("content-length", self._random.choice(LENGTHS))
        return self._random.choice(
            [
                [],
                [length],
                [length],
                [length, ("content-length", "2")],
                [length, ("transfer-encoding", "chunked")],
                [("Content-Length", "2")],
                [("expect", "100-continue")],
            ]
        )

    def _body(self, encoder: Encoder, stream: int) -> bytes:
        inner = b"POST /api/v1/service/echo/score HTTP/1.1\r\nhost: a\r\n\r\n"
        content = self._random.choice([b"{}", b"{}", b"", inner, b"0\r\n\r\n" + inner])
        pad = self._random.randrange(256)
        return self._any(
            lambda: frame(DATA, END_STREAM, stream, content),
            lambda: frame(DATA, END_STREAM, stream, content),
            lambda: (
                b"".join(frame(DATA, 0, stream, content[at : at + 1]) for at in range(len(content)))
                + frame(DATA, END_STREAM, stream, b"")
            ),
            lambda: frame(DATA, END_STREAM | PADDED, stream, bytes([pad]) + content + bytes(pad)),
            lambda: frame(DATA, END_STREAM | PADDED, stream, bytes([pad]) + bytes(pad // 2)),
            lambda: frame(DATA, END_STREAM, stream, content) * 2,
            lambda: frame(DATA, END_STREAM, self._random.choice([0, 2, stream + 2]), content),
            lambda: (
                frame(DATA, 0, stream, bytes(16_384)) * self._random.choice([1, 4])
                + frame(DATA, END_STREAM, stream, b"")
            ),
            lambda: frame(DATA, END_STREAM, stream, bytes(self._random.choice([16_385, 100_000]))),
            lambda: frame(DATA, 0, stream, content),
            lambda: (
                frame(DATA, 0, stream, content)
                + frame(HEADERS, END_HEADERS | END_STREAM, stream, encode(encoder, self._trailers()))
            ),
            lambda: (
                frame(DATA, 0, stream, content)
                + frame(HEADERS, END_HEADERS, stream, encode(encoder, self._trailers()))
            ),
            lambda: frame(DATA, 0, stream, content) + frame(RST_STREAM, 0, stream, bytes(4)),
        )

    def _trailers(self) -> Fields:
        return self._random.choice(
            [
                [("x-trailer", "a")],
                [("x-slipway-handed", "open/::1"), ("authorization", "Bearer b")],
                [(":path", "/api/v1/service/echo/score")],
                [("content-length", "0"), ("transfer-encoding", "chunked")],
                [("x-injected", self._random.choice(INJECTED))],
                [("X-Upper", "a")],
                [("x-long", "l" * 70_000)],
            ]
        )

    def _split(self, stream: int, block: bytes, end: int) -> bytes:
        """Make a header block into frames of all kinds."""
        pad = self._random.randrange(256)
        cut = self._random.randrange(len(block))
        first, rest = block[:cut], block[cut:]
        dependency = self._random.choice([0, stream, 2**31 + 1]).to_bytes(4, "big") + b"\xff"
        return self._any(
            lambda: frame(HEADERS, end, stream, first) + frame(CONTINUATION, END_HEADERS, stream, rest),
            lambda: (
                frame(HEADERS, end, stream, first)
                + b"".join(frame(CONTINUATION, 0, stream, rest[at : at + 1]) for at in range(len(rest)))
                + frame(CONTINUATION, END_HEADERS, stream, b"")
            ),
            lambda: frame(HEADERS, end, stream, first) + frame(CONTINUATION, END_HEADERS, stream + 2, rest),
            lambda: frame(HEADERS, end, stream, first) + frame(PING, 0, 0, bytes(8)),
            lambda: frame(HEADERS, end, stream, block),
            lambda: frame(HEADERS, end | END_HEADERS | PADDED, stream, bytes([pad]) + block + bytes(pad)),
            lambda: frame(HEADERS, end | END_HEADERS | PADDED, stream, b"\xff" + block),
            lambda: frame(HEADERS, end | END_HEADERS | PRIORITISED, stream, dependency + block),
            lambda: frame(HEADERS, end | END_HEADERS, self._random.choice([0, 2, 2**31 - 1]), block),
            lambda: frame(CONTINUATION, end | END_HEADERS, stream, block),
            lambda: frame(PUSH, END_HEADERS, stream, bytes(4) + block),
            lambda: frame(HEADERS, end | END_HEADERS, stream, block) * 2,
        )

    def _torn(self, block: bytes) -> bytes:
        """Make a header block into one that HPACK may not take."""
        return self._random.choice(
            [
                block[:-1],
                self._requests.mutated(block),
                block + b"\x80",  # index 0
                block + b"\xff\xff\xff\xff\xff\x0f",  # an index far beyond the table
                block + b"\x3f\xe1\xff\x03",  # a larger table, at the end
                b"\x20" + block,  # no table
                b"\x00\x01x\x7f\xff\xff\xff\xff\x7f" + block,  # a value of gigabytes
                block + b"\x00\x81\xff\x81\xff",  # padding of Huffman's code
                block + b"\xbe" * 4_000,  # the newest of the table again and again
                self._random.randbytes(self._random.randrange(1, 300)),
            ]
        )

    def _storm(self) -> bytes:
        encoder, number = Encoder(), self._random.choice([50, 400])
        path = self._requests.known()
        fields = [(":method", "POST"), (":scheme", "https"), (":authority", "a"), (":path", path)]
        streams = range(1, 2 * number, 2)
        cancel = self._random.choice([8, 0, 1]).to_bytes(4, "big")
        whole = self._random.choice([END_STREAM, 0]) | END_HEADERS

        def request(stream: int, flags: int = whole) -> bytes:
            return frame(HEADERS, flags, stream, encode(encoder, fields))

        return self._any(
            lambda: b"".join(request(one) + frame(RST_STREAM, 0, one, cancel) for one in streams),
            lambda: (
                b"".join(request(one) for one in streams)
                + b"".join(frame(RST_STREAM, 0, one, cancel) for one in streams)
            ),
            lambda: b"".join(request(one) + frame(WINDOW_UPDATE, 0, one, bytes(4)) for one in streams),
            lambda: request(1, 0) + frame(CONTINUATION, 0, 1, b"") * number,
            lambda: request(1, 0) + frame(CONTINUATION, 0, 1, encode(encoder, [("x", "y" * 16_000)])) * 40,
            lambda: frame(SETTINGS, 0, 0, (3).to_bytes(2, "big") + bytes(4)) * number + request(1),
            lambda: (
                frame(SETTINGS, 0, 0, (4).to_bytes(2, "big") + bytes(4)) + request(1)
            ),  # it may say nothing
            lambda: frame(SETTINGS, 0, 0, (4).to_bytes(2, "big") + b"\xff" * 4) + request(1),
            lambda: frame(SETTINGS, 1, 0, b"") * number + request(1),
            lambda: frame(PING, 0, 0, bytes(8)) * number + request(1),
            lambda: frame(PRIORITY, 0, 1, (1).to_bytes(4, "big") + b"\x10") * number + request(1),
            lambda: request(1) + frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 2,
            lambda: request(1, END_HEADERS) + frame(DATA, 0, 1, b"") * number,
            lambda: request(1, END_HEADERS) + frame(DATA, PADDED, 1, b"\xff" + bytes(255)) * number,
            lambda: request(1) + frame(GOAWAY, 0, 0, bytes(8)) + request(3),
            lambda: request(3) + request(1),
            lambda: request(1) + frame(self._random.randrange(10, 256), 255, 1, bytes(50)) + request(3),
            lambda: b"".join(
                frame(self._random.randrange(10), self._random.randrange(256), one, self._random.randbytes(8))
                for one in streams[:20]
            ),
            lambda: self._random.randbytes(2_000),
        )


def encode(encoder: Encoder, fields: Fields) -> bytes:
    data = [(name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in fields]
    small = sum(len(name) + len(value) for name, value in data) < 1_000  # its time grows by the square
    return encoder.encode(data, huffman=small)
