"""A TCP proxy between a client and a server: counts bytes, and cuts connections where it is told to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

BLOCK = 2**16


class Proxy:
    """Counts what went through; `budget()` gives for each connection the bytes after which it is cut."""

    def __init__(self, upstream: str, budget: Callable[[], float]) -> None:
        self._upstream = upstream
        self._budget = budget
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.sent = 0
        """bytes from clients"""
        self.received = 0
        """bytes to clients"""
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                host, _, port = self._upstream.rpartition(":")
                server = socket.create_connection((host, int(port)))
                _Connection(self, client, server, self._budget()).start()

    def count(self, sent: int, received: int) -> None:
        with self._lock:
            self.sent += sent
            self.received += received

    def cut(self) -> None:
        with self._lock:
            self.cuts += 1


class _Connection:
    """Two directions with one budget."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket, budget: float) -> None:
        self._proxy, self._client, self._server, self._left = proxy, client, server, budget
        self._lock = threading.Lock()

    def start(self) -> None:
        for up in (True, False):
            threading.Thread(target=self._pump, args=(up,), daemon=True).start()

    def _pump(self, up: bool) -> None:
        source, target = (self._client, self._server) if up else (self._server, self._client)
        with suppress(OSError):
            while block := source.recv(BLOCK):
                with self._lock:
                    passed = block[: int(min(self._left, len(block)))]
                    self._left -= len(block)
                target.sendall(passed)
                self._proxy.count(*((len(passed), 0) if up else (0, len(passed))))
                if len(passed) < len(block):
                    self._proxy.cut()
                    break
        for end in (self._client, self._server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextmanager
def proxy(upstream: str, budget: Callable[[], float] = lambda: float("inf")) -> Generator[Proxy]:
    """Run a proxy in front of `host:port`."""
    running = Proxy(upstream, budget)
    try:
        yield running
    finally:
        running.close()
