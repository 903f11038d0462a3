"""Requests for the entry scripts of `parity_scripts`, generated from a seed: the same on every machine."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

Headers = list[tuple[str, str]]

JSON = ("Content-Type", "application/json")
KINDS = (
    "application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.a+json",
    "text/plain", "text/html; charset=latin-1", "application/octet-stream", "image/png",
    "application/xml", "",
    "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "multipart/form-data", "nonsense",
)  # fmt: skip
TEXTS = (
    "",
    "a",
    "ä",
    "\u20ac",
    "\U0001f600",
    "\x00",
    '"',
    "\\",
    "line\nbreak",
    " ",
    "NaN",
    "null",
    "x" * 300,
)
BROKEN = (
    b"", b"{", b"[1,", b'{"a": }', b"\xff", b"ab\xc3", b"\xef\xbb\xbf{}", b"nul", b"'a'", b"\x00", b"[]",
    b"1",
    b'{"a": 1} x', b'"text"', b"null", b"{}", b'{"a": NaN}', "{}".encode("utf-16"), b'{"a": 1, "a": 2}',
)  # fmt: skip
METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE")
PATHS = (
    "/", "/score", "/swagger.json", "/score/", "/score/x", "/nothing", "/swagger.json/", "/SCORE", "/%73core",
    "/sc%6Fre?a=1", "/%2Fscore", "/swagger", "/index.html", "/sco\u0072e", "/score%20", "/%ff",
)  # fmt: skip
IDS = ("x-request-id", "x-ms-request-id", "x-ms-client-request-id")


@dataclass(frozen=True)
class Case:
    """One request for one script."""

    script: str
    method: str
    path: str
    body: bytes | None = None
    headers: Headers = field(default_factory=list[tuple[str, str]])
    chunked: bool = False


def generate(seed: int) -> list[Case]:
    """Give the cases, several of each kind."""
    chance = random.Random(seed)
    return [
        *_routes(chance),
        *_ids(chance),
        *_bodies(chance),
        *_queries(chance),
        *_results(chance),
        *_raw(chance),
        *_schemas(chance),
        *_swagger(chance),
        *_cors(chance),
        Case("async", "POST", "/score", b"{}"),
        Case(
            "plain", "POST", "/score", json.dumps({"return": "exit"}).encode()
        ),  # the last: it ends a worker
    ]


def _json(chance: random.Random, depth: int = 3) -> Any:
    kind = chance.randrange(8 if depth else 6)
    if kind < 6:
        simple = (
            None,
            True,
            chance.randint(-(2**70), 2**70),
            chance.uniform(-1e9, 1e9),
            chance.choice(TEXTS),
            0,
        )
        return simple[kind]
    values = [_json(chance, depth - 1) for _ in range(chance.randrange(4))]
    return values if kind == 6 else {chance.choice(TEXTS): value for value in values}


def _routes(chance: random.Random) -> Iterator[Case]:
    for path in PATHS:
        for method in chance.sample(METHODS, 4):
            yield Case("plain", method, path, b"1" if method in ("POST", "PUT", "PATCH") else None)


def _ids(chance: random.Random) -> Iterator[Case]:
    for number in range(40):
        names = chance.sample(IDS, chance.randrange(4))
        headers = [
            (name, chance.choice("xyz") * chance.choice((0, 1, 36, 99, 100, 101, 300))) for name in names
        ]
        if chance.random() < 0.3:
            headers.append(("TraceId", f"trace-{number}"))
        method, path = chance.choice(
            (("POST", "/score"), ("GET", "/"), ("GET", "/swagger.json"), ("GET", "/no"))
        )
        yield Case("plain", method, path, b"1" if method == "POST" else None, headers)


def _bodies(chance: random.Random) -> Iterator[Case]:
    for body in BROKEN:
        for script in ("plain", "schema"):
            yield Case(script, "POST", "/score", body, [JSON])
    for kind in KINDS:
        body = json.dumps(_json(chance)).encode()
        headers = [("Content-Type", kind)] if kind else []
        yield Case("plain", "POST", "/score", body, headers)
        yield Case("schema", "POST", "/score", json.dumps(_sample(chance)).encode(), headers)
    for _ in range(30):
        body = json.dumps(_json(chance), ensure_ascii=chance.random() < 0.5).encode()
        headers = [
            ("X-Custom", chance.choice(("1", "a b", "ä", "a,b", " x "))),
            ("x-two", "1"),
            ("x-TWO", "2"),
        ]
        yield Case(
            "plain", "POST", "/score", body, headers[: chance.randrange(4)], chunked=chance.random() < 0.3
        )
    for _ in range(10):
        yield Case("plain", "POST", "/score", chance.randbytes(chance.randrange(1, 200)))
    for size in (0, 1, 65_535, 65_536, 1_048_577, 5_000_000):
        yield Case("plain", "POST", "/score", b"x" * size, chunked=size % 2 == 1)
    yield Case("plain", "POST", "/score", b"[" * 100_000)
    yield Case("schema", "POST", "/score", b"[" * 100_000, [JSON])


def _queries(chance: random.Random) -> Iterator[Case]:
    for _ in range(40):
        pairs = [
            (
                chance.choice(("a", "b", "ä", "a b", "")),
                chance.choice((json.dumps(_json(chance, 1)), *TEXTS[:10])),
            )
            for _ in range(chance.randrange(5))
        ]
        yield Case("plain", "GET", f"/score?{urlencode(pairs)}")
    for query in (
        "a",
        "a=",
        "=a",
        "&&a=1&",
        "a=1;b=2",
        "a=%ff",
        "a=%",
        "a=%zz",
        "a=+",
        "a=%2B",
        "?",
        "a=1=2",
        "%61=1",
    ):
        yield Case("plain", "GET", f"/score?{query}")
        yield Case("raw", "GET", f"/score?{query}")
    values = {name: json.dumps(value) for name, value in _sample(chance).items()}
    yield Case("schema", "GET", f"/score?{urlencode(values)}")
    yield Case("schema", "GET", "/score?array=[[1,2]]")


def _results(chance: random.Random) -> Iterator[Case]:
    asked: list[dict[str, Any]] = [{"return": "raise", "error": name} for name in ("value", "key", "runtime")]
    asked += [{"return": "value", "value": _json(chance)} for _ in range(25)]
    asked += [{"return": f"unfit-{name}"} for name in ("bytes", "set", "object", "deep")]
    asked += [{"return": "text", "size": size} for size in (0, 1, 100_000)]
    asked += [{"return": "bytes", "bytes": list(chance.randbytes(size))} for size in (0, 1, 1000)]
    asked += [{"return": "failed", "status": status} for status in (200, 400, 500, 503)]
    asked += [{"return": "sleep", "seconds": 3}]
    for _ in range(30):
        headers = {
            chance.choice(
                ("X-One", "Content-Type", "content-type", "Allow", "x-ms-run-function-failed")
            ): value
            for value in chance.sample(
                ("a", "1, 2", "text/plain", "application/json", "True", ""), chance.randrange(3)
            )
        }
        message = chance.choice(("text", "", "ä", None, '{"a": 1}'))
        status = chance.choice((200, 201, 202, 204, 301, 304, 400, 404, 418, 429, 500, 502, 503, 599))
        asked.append(
            {
                "return": "response",
                "message": message,
                "status": status,
                "headers": headers,
                "json": chance.random() < 0.3,
            }
        )
    for each in asked:
        yield Case("plain", "POST", "/score", json.dumps(each).encode())


def _raw(chance: random.Random) -> Iterator[Case]:
    for method in METHODS:
        for query in ("", "?do=describe&a=1&a=2&b=%C3%A4"):
            body = b"text" if method in ("POST", "PUT") else None
            yield Case("raw", method, f"/score{query}", body, [("X-Custom", "v")])
    for kind in KINDS:
        headers = [("Content-Type", kind)] if kind else []
        for what in chance.sample(("describe", "json", "force", "silent", "form", "files"), 3):
            yield Case(
                "raw",
                "POST",
                f"/score?do={what}",
                chance.choice((b'{"a": [1]}', b"a=1&a=2&b=", b"{")),
                headers,
            )
    for size in (0, 1, 256, 70_000):
        yield Case(
            "raw", "POST", "/score?do=reverse", chance.randbytes(size), [("Content-Type", "image/png")]
        )
    for status in (200, 204, 304, 400, 404, 500, 503):
        yield Case(
            "raw", "POST", f"/score?do=status&status={status}", b"body", [("Content-Type", "text/plain")]
        )
    for what in ("missing", "parts", "iterable", "image"):
        yield Case("raw", "POST", f"/score?do={what}", b"")
    for _ in range(12):
        parts = [
            (chance.choice(("a", "b", "image")), chance.choice((None, "f.png", "ä.bin", "")),
             chance.choice(("", "image/png", "text/plain; charset=utf-8")),
             chance.choice((b"", b"x\r\ny", b"\r\n--", b"text", chance.randbytes(100))))
            for _ in range(chance.randrange(4))
        ]  # fmt: skip
        headers = [("Content-Type", 'multipart/form-data; boundary="----x y"')]
        for what in ("files", "image"):
            yield Case("raw", "POST", f"/score?do={what}", _multipart(parts), headers)


def _multipart(parts: list[tuple[str, str | None, str, bytes]]) -> bytes:
    body = b""
    for name, filename, kind, content in parts:
        file = f'; filename="{filename}"' if filename is not None else ""
        body += f'------x y\r\nContent-Disposition: form-data; name="{name}"{file}\r\n'.encode()
        body += (f"Content-Type: {kind}\r\n" if kind else "").encode() + b"\r\n" + content + b"\r\n"
    return body + b"------x y--\r\n"


def _sample(chance: random.Random) -> dict[str, Any]:
    """Give arguments for the script `schema`, most of them right."""
    sample: dict[str, Any] = {
        "array": chance.choice(
            ([[1, 2]], [[1.5, -2], [3, 4]], [[1]], [1, 2], "no", [["1", "2"]], [[None, 1]])
        ),
        "frame": chance.choice(([{"a": 1, "b": "y"}], [], [{"a": 1}], {"a": 1}, [{"a": "z", "b": 1}], 7)),
        "nested": chance.choice(
            (
                {"rows": [1.5, 2], "array": [1, 2], "name": "n"},
                {"rows": []},
                {},
                [],
                {"rows": 1},
                {"name": 5, "more": 1},
            )
        ),
        "when": chance.choice(("2020-01-02T03:04:05", "no date", None, 5)),
        "raw": chance.choice(([{"c": 1}], None, "x")),
    }
    if chance.random() < 0.6:
        sample |= {
            "array": [[1, 2]],
            "frame": [{"a": 1, "b": "y"}],
            "nested": {"rows": [1.5], "array": [1, 2]},
        }
    for name in chance.sample(sorted(sample), chance.choice((0, 0, 1))):
        del sample[name]
    return sample


def _schemas(chance: random.Random) -> Iterator[Case]:
    for _ in range(40):
        yield Case("schema", "POST", "/score", json.dumps(_sample(chance)).encode(), [JSON])
    for number in range(12):
        asked: dict[str, Any] = {"Inputs": {"data": [{"f": number}] * chance.randrange(3)}}
        asked |= {"GlobalParameters": _json(chance, 1)} if chance.random() < 0.5 else {}
        yield Case(
            "parameters", "POST", "/score", json.dumps(asked).encode(), [JSON, ("X-Custom", str(number))]
        )
    for method in ("OPTIONS", "HEAD", "PUT"):
        yield Case("schema", method, "/score")


def _swagger(chance: random.Random) -> Iterator[Case]:
    versions = [
        "",
        "?version=2",
        "?version=2.0",
        "?version=3",
        "?version=3.0",
        "?version=3.1",
        "?version=",
        "?version=4",
    ]
    versions += ["?version=3&version=2", "?Version=3", f"?version={quote('ä')}", "?version=02"]
    for script in ("plain", "raw", "schema", "parameters", "cors"):
        for version in versions if script != "raw" else chance.sample(versions, 3):
            yield Case(script, "GET", f"/swagger.json{version}")


def _cors(chance: random.Random) -> Iterator[Case]:
    origins = (
        "https://a.example",
        "https://A.EXAMPLE",
        "https://b.example",
        "https://x.c.example",
        "null",
        "https://no",
    )
    for script in ("cors", "cors-any"):
        yield Case(script, "POST", "/score", b"1")
        for _ in range(25):
            headers: Headers = [("Origin", chance.choice(origins))] if chance.random() < 0.85 else []
            if chance.random() < 0.5:
                headers.append(
                    ("Access-Control-Request-Method", chance.choice(("POST", "get", "PUT", "DELETE")))
                )
            if chance.random() < 0.5:
                headers.append(
                    ("Access-Control-Request-Headers", chance.choice(("x-b, x-a", "authorization", "")))
                )
            if chance.random() < 0.1:
                headers.append(("Access-Control-Request-Private-Network", "true"))
            method, path = (
                chance.choice(("OPTIONS", "POST", "GET")),
                chance.choice(("/score", "/score", "/", "/nothing")),
            )
            yield Case(script, method, path, b"1" if method == "POST" else None, headers)
