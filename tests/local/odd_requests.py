"""Odd requests for the router's tests: raw bytes, made from a seed, so that a finding comes back."""

import random
from collections.abc import Callable, Iterator

NAMES = [
    "echo",
    "open",
    "tokens",
    "nobody",
    "_token",
    "_peers",
    "_failures",
    "_hold",
    "%65cho",
    "ECHO",
    "",
    ".",
]
FORBIDDEN = ["x-slipway-handed", "X-Slipway-Handed", "X-Slipway-Service", "x-slipway-reason"]
CLAIMS = ["echo/127.0.0.1", "open/::1", "open", "_token/", "/", ""]
METHODS = [
    "GET",
    "POST",
    "PUT",
    "get",
    "OPTIONS",
    "HEAD",
    "CONNECT",
    "TRACE",
    "PRI",
    "P\0ST",
    "M" * 300,
    "",
    "POST\t",
]
VERSIONS = ["HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.1.1", "http/1.1", "", "HTTP/11"]
LINES = ["\n", "\r", "\r\r\n", "\n\r"]
HOSTS = [[], ["Host: a", "Host: b"], ["Host:"], ["Host: a@b/c"]]
ODD = ["header"] * 4 + ["target"] * 3 + ["body"] * 3 + ["method", "version", "end", "host", "order", "bytes"]
KEYS = ["wrong", "", "\0", "a, Bearer b", "k" * 31, "k" * 33, "K" * 32, "%6b" * 32, "'k'", "x" * 5_000]
SCHEMES = ["Bearer ", "bearer\t", "Bearer", "Basic ", "Bearer  ", " Bearer ", "Token ", "Bearer\0", ""]
CONNECTION = ["authorization", "x-slipway-handed", "close, host", "upgrade", "TE"]
TRACES = ["00-" + "0" * 32 + "-" + "0" * 16 + "-01", '"', "a" * 3_000]
FIELDS = [
    "Authorization",
    "authorization",
    "Authorization ",
    " Authorization",
    "Authoriz\0ation",
    "X-Authorization",
    "Proxy-Authorization",
    "authorization_",
    "Author\u0131zation",
]


class Maker:
    """Makes requests, each of a few odd parts."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield self._one()

    def _any(self, *choices: Callable[[], str]) -> str:
        return self._random.choice(choices)()

    def _pick(self, some: list[str]) -> str:
        return self._random.choice(some)

    def _one(self) -> bytes:
        kind = self._random.randrange(30)
        if kind == 0:
            return self._random.randbytes(self._random.randrange(1, 3_000))
        if kind == 1:
            return self._http2()
        odd = self._random.choices(ODD, k=self._random.choice([1, 1, 2, 3]))
        end = self._pick(LINES) if "end" in odd else "\r\n"
        method = self._pick(METHODS) if "method" in odd else "POST"
        version = self._pick(VERSIONS) if "version" in odd else "HTTP/1.1"
        target = self.target() if "target" in odd else self.known()
        host = self._random.choice(HOSTS) if "host" in odd else ["Host: a"]
        headers = [self.header() for part in odd if part == "header"]
        body, framing = self._body(end) if "body" in odd else ("{}", ["Content-Length: 2"])
        lines = [f"{method} {target} {version}", *host, *headers, *framing]
        if "order" in odd:
            self._random.shuffle(lines)
        data = (end.join(lines) + end + end + body).encode("latin-1", errors="replace")
        return self.mutated(data) if "bytes" in odd else data

    def known(self) -> str:
        return f"/api/v1/service/{self._pick(['echo', 'open', 'tokens'])}/score"

    def mutated(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(self._random.randrange(1, 6)):
            changed[self._random.randrange(len(changed))] = self._random.randrange(256)
        return bytes(changed)

    def target(self) -> str:
        name, other = self._pick(NAMES), self._pick(NAMES)
        path = self._pick(
            ["score", "swagger.json", "token", "score/", "ready", "", "score%00", "score;a=b", "score?a"]
        )
        plain = f"/api/v1/service/{name}/{path}"
        return self._any(
            lambda: f"/api/v1/service/echo/{path}",
            lambda: f"/api/v1/service/echo/{path}",
            lambda: plain,
            lambda: f"/api/v1/service/{name}/../{other}/score",
            lambda: f"/api/v1/service/open/%2e%2e/{other}/score",
            lambda: f"/api/v1/service/open%2f..%2f{other}/score",
            lambda: f"/api/v1/service/open/..%5c{other}/score",
            lambda: f"//api//v1/service/{name}/score",
            lambda: f"/api/v1/service/{name}//score",
            lambda: f"/./api/v1/service/{name}/score",
            lambda: f"http://{name}/api/v1/service/echo/score",
            lambda: f"http://a@b:1{plain}",
            lambda: f"https://a{plain}",
            lambda: f"hold/{name}",
            lambda: f"/hold/{name}",
            lambda: self._pick(["*", "/", "/metrics", "/held", "/free", "/status", "a:443", "\0", "/\u00e9"]),
            lambda: plain + "?" + "q" * self._random.choice([1, 2_000, 70_000]),
            lambda: plain + "/" * self._random.choice([1, 2_000]),
            lambda: plain + "#" + other,
            lambda: plain + " " + other,
            lambda: plain.replace("v1", "%761"),
        )

    def _authorization(self) -> str:
        return f"{self._pick(FIELDS)}: {self._pick(SCHEMES)}{self._pick(KEYS)}"

    def header(self) -> str:
        return self._any(
            self._authorization,
            self._authorization,
            lambda: f"{self._pick(FORBIDDEN)}: {self._pick(CLAIMS)}",
            lambda: f"X_Slipway_Handed: {self._pick(NAMES)}",
            lambda: f"Connection: {self._pick(CONNECTION)}",
            lambda: self._pick(
                ["Upgrade: h2c", "Upgrade: websocket", "HTTP2-Settings: AAMAAABk", "TE: trailers"]
            ),
            lambda: f"x-ms-request-id: {self._pick(['mine', '', 'a' * 9_000])}",
            lambda: f"azureml-model-deployment: {self._pick(['blue', ':', 'echo:blue', ''])}",
            lambda: self._pick(["Expect: 100-continue", "Expect: 200-ok", "Expect:"]),
            lambda: f"X-Long: {'l' * self._random.choice([10, 20_000, 80_000, 1_200_000])}",
            lambda: "\r\n".join(f"X-Many-{one}: 1" for one in range(self._random.choice([5, 150]))),
            lambda: "X-Folded: a\r\n Authorization: Bearer b",
            lambda: "X-Bare: a\nAuthorization: Bearer b",
            lambda: "X-Null: a\0b",
            lambda: "No colon",
            lambda: ": no name",
            lambda: "X-Space : a",
            lambda: f"X-Forwarded-For: {self._pick(['127.0.0.1', 'unix:', ''])}",
            lambda: f"X-Original-URL: /api/v1/service/{self._pick(NAMES)}/score",
            lambda: f"traceparent: {self._pick(TRACES)}",
        )

    def _body(self, end: str) -> tuple[str, list[str]]:
        inner = f"POST /api/v1/service/echo/score HTTP/1.1{end}Host: a{end}{end}"
        size = len(inner)
        chunked = f"0{end}{end}"
        return self._random.choice(
            [
                ("", []),
                ("", []),
                ("{}", ["Content-Length: 2"]),
                (inner, ["Content-Length: 0"]),
                (inner, [f"Content-Length: {size}"]),
                (inner, [f"Content-Length: {size}", "Content-Length: 0"]),
                (inner, ["Content-Length: 0", f"Content-Length: {size}"]),
                (inner, [f"Content-Length: {size}, 0"]),
                (inner, [f"Content-Length: +{size}"]),
                (inner, [f"Content-Length: 0x{size:x}"]),
                (inner, ["Content-Length: -1"]),
                (inner, [f"Content-Length: {2**64}"]),
                (inner, [f"Content-Length: {size} "]),
                (inner, [f"Content-Length : {size}"]),
                (chunked + inner, ["Transfer-Encoding: chunked"]),
                (chunked + inner, ["Transfer-Encoding: chunked", f"Content-Length: {size + 5}"]),
                (chunked + inner, [f"Content-Length: {size + 5}", "Transfer-Encoding: chunked"]),
                (chunked + inner, ["Transfer-Encoding: xchunked"]),
                (chunked + inner, ["Transfer-Encoding: chunked, identity"]),
                (chunked + inner, ["Transfer-Encoding: identity, chunked"]),
                (chunked + inner, ["Transfer-Encoding:\x0bchunked"]),
                (chunked + inner, ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"]),
                (chunked + inner, [" Transfer-Encoding: chunked"]),
                (chunked + inner, ["Transfer_Encoding: chunked"]),
                (f"{size:x};a=b{end}{inner}{end}0{end}{end}", ["Transfer-Encoding: chunked"]),
                (
                    f"2{end}{{}}{end}0{end}Authorization: a{end}{end}{inner}",
                    ["Transfer-Encoding: chunked"],
                ),
                (f"0x2{end}ab{end}0{end}{end}{inner}", ["Transfer-Encoding: chunked"]),
                (f"{'f' * 17}{end}{inner}", ["Transfer-Encoding: chunked"]),
                (f"2\nab\n0\n\n{inner}", ["Transfer-Encoding: chunked"]),
                (f"-1{end}{inner}", ["Transfer-Encoding: chunked"]),
            ]
        )

    def _http2(self) -> bytes:
        """Make what a client of HTTP/2 says first, and frames of any kind."""
        frames = [frame(4, 0, 0, b"")]
        for _ in range(self._random.randrange(6)):
            payload = self._random.randbytes(self._random.choice([0, 4, 8, 50]))
            frames.append(frame(self._random.randrange(12), self._random.randrange(256), 1, payload))
        return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"".join(frames)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Make a frame of HTTP/2."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
