"""A registry that is as patient as the specification allows, and fails where it is told to.

Unlike docker-registry it keeps what a cut connection brought of an upload, so that one can go on.
"""

from __future__ import annotations

import re
import socket
import threading
from collections import deque
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from slipway.images.oci import digest_of


@dataclass
class Faulty:
    """What it holds and was asked; `answers`, `cut_bodies` and `cut_reads` are what goes wrong next."""

    host: str = ""
    blobs: dict[str, bytes] = field(default_factory=dict[str, bytes])
    uploads: dict[str, bytearray] = field(default_factory=dict[str, bytearray])
    requests: list[str] = field(default_factory=list[str])
    """method and the last part of the path"""
    answers: dict[str, deque[tuple[int, dict[str, str]]]] = field(
        default_factory=dict[str, deque[tuple[int, dict[str, str]]]]
    )
    """by method, the status and headers that come instead of what was asked for"""
    cut_bodies: deque[int] = field(default_factory=deque[int])
    """after how many bytes the next bodies are cut"""
    cut_reads: deque[int] = field(default_factory=deque[int])
    received: int = 0
    """bytes of all bodies"""
    given: int = 0
    """bytes of all blobs that were read"""
    ranges: bool = True
    """whether reads may begin in the middle"""


@contextmanager
def faulty_registry() -> Generator[Faulty]:
    """Run it on loopback."""
    state = Faulty()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            url = urlsplit(self.path)
            last = url.path.rstrip("/").rpartition("/")[2]
            state.requests.append(f"{self.command} {last[:16]}")
            if state.answers.get(self.command):
                status, headers = state.answers[self.command].popleft()
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.say(status, headers)
            elif "/blobs/uploads" in url.path:
                self.upload(last, parse_qs(url.query))
            else:
                self.blob(last)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = answer  # noqa: N815

        def blob(self, digest: str) -> None:
            if digest not in state.blobs:
                self.say(404)
                return
            content, status = state.blobs[digest], 200
            if state.ranges and (wanted := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))):
                content, status = content[int(wanted[1]) :], 206
            cut = state.cut_reads.popleft() if state.cut_reads and self.command == "GET" else len(content)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                state.given += len(content[:cut])
                self.wfile.write(content[:cut])
            if cut < len(content):
                self.hang_up()

        def upload(self, name: str, query: Mapping[str, list[str]]) -> None:
            if self.command == "POST":
                name = f"upload-{len(state.uploads)}"
                state.uploads[name] = bytearray()
            held = state.uploads.get(name)
            if held is None:
                self.say(404)
                return
            begin = self.headers.get("Content-Range", f"{len(held)}-").partition("-")[0]
            if int(begin) != len(held):
                self.say(416)
                return
            length = int(self.headers.get("Content-Length", 0))
            cut = state.cut_bodies.popleft() if length and state.cut_bodies else length
            body = self.rfile.read(min(cut, length))
            state.received += len(body)
            held += body
            if len(body) < length:
                self.hang_up()
                return
            if self.command == "PUT":
                digest = query["digest"][0]
                if digest_of(bytes(held)) != digest:
                    self.say(400, content=b'{"errors": [{"code": "DIGEST_INVALID"}]}')
                    return
                state.blobs[digest] = bytes(state.uploads.pop(name))
            status = {"POST": 202, "PATCH": 202, "PUT": 201, "GET": 204}[self.command]
            last = max(len(held) - 1, 0)
            self.say(status, {"Location": f"/v2/a/blobs/uploads/{name}", "Range": f"0-{last}"})

        def say(self, status: int, headers: Mapping[str, str] | None = None, content: bytes = b"") -> None:
            self.send_response(status)
            for header, value in (headers or {}).items():
                self.send_header(header, value)
            if status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def hang_up(self) -> None:
            self.close_connection = True
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.host = f"127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield state
        server.shutdown()
