"""The server's own log on stderr: a JSON line for each request, else the format of Azure ML's server.

stdout is left to the script: what is there, it printed. The logger is made, not fetched from `logging`'s
registry: scripts configure `logging` as they like (with `disable_existing_loggers` at its default), and must
never thereby silence the traceback of their own failure. For the same reason the root logger is left to the
script. A request's line is written without `logging`, since every request pays for it.
"""

from __future__ import annotations

import logging
import sys
import time
from contextlib import suppress
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from typing import Optional

from slipway.scoring import calls

log = logging.Logger("slipway.scoring")

CLIENT_LEFT = 499
"""Status in the log of a request whose client went away while it waited; no client sees it."""


def configure(level: str) -> None:
    """Send the server's log to stderr from `level` (a name of `logging`'s) on."""
    formatter = logging.Formatter("%(asctime)s %(levelname).1s [%(process)d] %(name)s - %(call)s%(message)s")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.__stderr__)
    handler.setFormatter(formatter)
    handler.addFilter(_mark)
    log.handlers = [handler]
    log.setLevel(level)
    uvicorn = logging.getLogger("uvicorn.error")
    uvicorn.handlers = [handler]
    uvicorn.setLevel(logging.WARNING)
    uvicorn.propagate = False


@lru_cache(maxsize=1)
def _second(now: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))


def _mark(record: logging.LogRecord) -> bool:
    call = calls.current.get()
    record.call = f"[{call.id}] " if call else ""
    return True


def log_request(
    request_id: str, method: str, path: str, status: Optional[int], *, milliseconds: float, size: int
) -> None:
    """Write one request's line; `size` is its answer's, in bytes."""
    if log.level > logging.INFO or sys.__stderr__ is None:
        return
    now = time.time()
    line = (
        f'{{"time": "{_second(int(now))}.{int(now % 1 * 1000):03d}Z", "request_id": {quoted(request_id)}, '
        f'"method": {quoted(method)}, "path": {quoted(path)}, '
        f'"status": {status or CLIENT_LEFT}, "ms": {milliseconds:.3f}, "bytes": {size}}}\n'
    )
    with suppress(OSError, ValueError):  # the script may have closed it
        sys.__stderr__.write(line)
