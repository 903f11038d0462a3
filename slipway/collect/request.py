"""The request that is being scored, and whether its rows are among the sampled ones."""

from __future__ import annotations

import hashlib
from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""`x-request-id` while `run()` works; empty outside, and in threads that a script starts itself."""


def sampled(identity: str, rate: float) -> bool:
    """Tell whether what has this id is collected, for a rate from 0 to 1.

    A hash of the id decides, so that all rows of one request are collected or none, in whatever process.
    """
    if rate >= 1:
        return True
    digest = hashlib.blake2b(identity.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < rate * 2**64
