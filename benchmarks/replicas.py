"""Replicas as processes see them: `python -m benchmarks.replicas COUNT MILLISECONDS N` prints their ports.

Each is a plain HTTP server that takes exactly so long for a score, N at once behind a gate as the scoring
server has, and says on `/counts` how it fared. Threads that sleep are exact to about 0.1 ms, which an
event loop's timers are not.
"""

import json
import socket
import sys
import threading
import time
from dataclasses import dataclass, field

THREADS = 16
"""For a replica: begun beforehand, because beginning one takes as long as all else."""


@dataclass
class Counts:
    """What one replica saw: `offered` counts requests before the gate."""

    offered: int = 0
    offered_above: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)


class Replica:
    """One replica on a port of its own."""

    def __init__(self, seconds: float, limit: int) -> None:
        self._seconds = seconds
        self._limit = limit
        self._gate = threading.Semaphore(limit)
        self._counts = Counts()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        for _ in range(THREADS):
            threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (path := _request(connection)) is not None:
                body = self._answer(path)
                head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n"
                connection.sendall(head.encode() + body)

    def _answer(self, path: str) -> bytes:
        counts = self._counts
        if path == "/ready":
            return b"ready"
        if path == "/counts":
            return json.dumps({"offered_above": counts.offered_above}).encode()
        with counts.lock:
            counts.offered += 1
            counts.offered_above += counts.offered > self._limit
        with self._gate:
            time.sleep(self._seconds)
        with counts.lock:
            counts.offered -= 1
        return b"[1]"


def _request(connection: socket.socket) -> str | None:
    """Read one request and return its path, or None at the end of the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        try:
            piece = connection.recv(65536)
        except OSError:
            return None
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [
        line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
    ]
    missing = (int(lengths[0]) if lengths else 0) - len(body)
    while missing > 0:
        missing -= len(connection.recv(65536)) or missing
    return head.split(b" ")[1].decode()


def main() -> None:
    sys.setswitchinterval(0.0005)
    count, milliseconds, limit = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    replicas = [Replica(milliseconds / 1000, limit) for _ in range(count)]
    print(json.dumps([replica.port for replica in replicas]), flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
