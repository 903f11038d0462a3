"""What one process collects: from its collectors, or from its requests as they are if the script has none."""

from __future__ import annotations

from time import time
from typing import Callable, Optional

from slipway.collect.config import SPOOL_BYTES, Config
from slipway.collect.journal import Counts
from slipway.collect.request import sampled
from slipway.collect.rows import Request
from slipway.collect.spool import Spool


class Collection:
    """A configuration and its spool. `automatic` is true until the script makes a collector of its own."""

    def __init__(self, config: Config, report: Callable[[Counts], None]) -> None:
        self.config = config
        self.spool = Spool(config.spool, SPOOL_BYTES, report)
        self.automatic = True
        self._place = config.place

    def request(self, identity: str, body: bytes, status: int, answer: bytes) -> None:
        """Collect a request of `/score` and its answer, if it is a sampled one. Never waits."""
        if self.automatic and sampled(identity, self.config.sampling_rate):
            one = Request(self._place, identity, time(), status, body, answer)
            self.spool.offer([one], 2, len(body) + len(answer))


_current: Optional[Collection] = None


def begin(config: Optional[Config], report: Callable[[Counts], None]) -> Optional[Collection]:
    """Let this process collect, or not: before its script is loaded."""
    global _current  # noqa: PLW0603 - a script makes collectors without naming what they belong to
    _current = Collection(config, report) if config is not None else None
    return _current


def current() -> Optional[Collection]:
    """Return what this process collects into, or `None` if it does not."""
    return _current


def automatic() -> bool:
    """Tell whether requests are to be collected as they are."""
    return _current is not None and _current.automatic


def end() -> None:
    """Write what this process has collected."""
    if _current is not None:
        _current.spool.close()
