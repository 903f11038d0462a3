"""The server's own log on stderr, in the format of Azure ML's inference server.

The logger is made, not fetched from `logging`'s registry: scripts configure `logging` as they like (with
`disable_existing_loggers` at its default), and must never thereby silence the traceback of their own failure.
For the same reason the root logger is left to the script.
"""

from __future__ import annotations

import logging
import sys
import time

log = logging.Logger("slipway.scoring")


def configure(level: str) -> None:
    """Send the server's log to stderr from `level` (a name of `logging`'s) on."""
    formatter = logging.Formatter("%(asctime)s %(levelname).1s [%(process)d] %(name)s - %(message)s")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    log.handlers = [handler]
    log.setLevel(level)
    uvicorn = logging.getLogger("uvicorn.error")
    uvicorn.handlers = [handler]
    uvicorn.setLevel(logging.WARNING)
    uvicorn.propagate = False
