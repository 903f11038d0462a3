"""A TCP proxy on loopback that cuts connections at random bytes, and counts what passes."""

import contextlib
import random
import socket
import threading
from collections.abc import Generator
from dataclasses import dataclass, field

PIECE = 64 * 1024


@dataclass
class Proxy:
    """What a proxy does: `cuts` more connections end after a number of bytes drawn from `at`."""

    port: int = 0
    cuts: int = 0
    at: tuple[int, int] = (0, 0)
    passed: int = 0
    """bytes of answers and requests"""
    cut: int = 0
    """connections that were cut"""
    half: threading.Event = field(default_factory=threading.Event)
    """set once `passed` has reached `wanted`"""
    wanted: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def budget(self, rng: random.Random) -> int | None:
        with self.lock:
            if self.cuts <= 0:
                return None
            self.cuts -= 1
        return rng.randint(*self.at)

    def count(self, size: int) -> None:
        with self.lock:
            self.passed += size
            if self.wanted and self.passed >= self.wanted:
                self.half.set()


@contextlib.contextmanager
def proxy(target: int, *, cuts: int = 0, at: tuple[int, int] = (0, 0), seed: int = 1) -> Generator[Proxy]:
    """Run a proxy before a port of this machine."""
    rng = random.Random(seed)
    listener = socket.create_server(("127.0.0.1", 0))
    state = Proxy(listener.getsockname()[1], cuts, at)

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", target))
            budget = [state.budget(rng)]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=_pump, args=(source, sink, budget, state), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def _pump(source: socket.socket, sink: socket.socket, budget: list[int | None], state: Proxy) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(PIECE):
            left = budget[0]
            if left is not None:
                budget[0] = left - len(data)
                data = data[:left]
            sink.sendall(data)
            state.count(len(data))
            if left is not None and budget[0] is not None and budget[0] <= 0:
                state.cut += 1
                break
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
    source.close()
