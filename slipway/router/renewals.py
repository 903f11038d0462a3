"""Certificates that change: handed to HAProxy by commands, so that no connection notices."""

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import replace

from slipway.router.config import certificate_file
from slipway.router.haproxy import HAProxy, HAProxyError, NoReply
from slipway.router.plan import renewal
from slipway.router.state import State

LATE = "Transaction updated", "No ongoing transaction"
"""What HAProxy replies where a command of an earlier turn, which had no reply, is done only now."""

log = logging.getLogger(__name__)


class Renewals:
    """Hands certificates over, and remembers those that HAProxy refused."""

    def __init__(self, haproxy: HAProxy) -> None:
        self._haproxy = haproxy
        self._refused: dict[str, str] = {}
        self.error: str | None = None

    async def apply(self, running: State, wanted: Mapping[str, str]) -> State:
        """Give what runs once each certificate is as wanted, or as it was where HAProxy does not take it.

        That one is never tried again. Raises `HAProxyError` if HAProxy does not answer, or late.
        """
        for name, old in running.certificates.items():
            new = wanted.get(name, old)
            if new in (old, self._refused.get(name)):
                continue
            try:
                await self._abort(name)  # what had no reply, the last time
                for command in renewal(name, new):
                    await self._haproxy.tell(command)
            except HAProxyError as error:
                late = any(words in str(error) for words in LATE)
                if self._haproxy.pid is None or isinstance(error, NoReply) or late:
                    raise  # the next turn tries again
                self._refused[name] = new
                self.error = f"certificate {name}: {error}; the one before is used on"
                log.error("%s", self.error)  # noqa: TRY400 - its text says it all
                with contextlib.suppress(HAProxyError):
                    await self._abort(name)
                continue
            log.info("certificate %s is renewed", name)
            self._refused.pop(name, None)
            self.error = None
            running = replace(running, certificates={**running.certificates, name: new})
        return running

    async def _abort(self, name: str) -> None:
        await self._haproxy.ask(f"abort ssl cert {certificate_file(name)}")
