"""A service without a model: it answers with what it was sent.

For first tries and for tests. An object may ask for more: `{"seconds": 0.2}` takes that long,
`{"fail": "why"}` raises, `{"size": 1000}` makes the answer that long, `{"stubborn": true}` does not stop when
`scoring_timeout_ms` is over.
"""

import json
import os
import threading
import time
from typing import Any

inside: set[int] = set()


def init() -> None:
    print(f"echo is ready in process {os.getpid()}")


def run(data: str) -> dict[str, Any]:
    try:
        sent: Any = json.loads(data)
    except ValueError:
        sent = data
    asked: dict[str, Any] = {**sent} if isinstance(sent, dict) else {}
    inside.add(threading.get_ident())
    running = len(
        inside
    )  # requests inside run() in this process, never above replica_max_concurrent_requests
    try:
        sleep(float(asked.get("seconds", 0)), stubborn=bool(asked.get("stubborn")))
        if "fail" in asked:
            raise RuntimeError(asked["fail"])
    finally:
        inside.discard(threading.get_ident())
    padding = "x" * int(asked.get("size", 0))
    return {"echo": sent, "pid": os.getpid(), "running": running, "padding": padding}


def sleep(seconds: float, *, stubborn: bool) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            time.sleep(left)
        except TimeoutError:  # the server's interrupt when scoring_timeout_ms is over
            if not stubborn:
                raise
