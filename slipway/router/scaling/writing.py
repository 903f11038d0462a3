"""Writes that are not waited for too long, and Events whose failure is only logged."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator

from slipway.kube.folder import Object
from slipway.router.feed import EventType, WriteError, Writer
from slipway.router.state import Reason

log = logging.getLogger(__name__)

WRITE_SECONDS = 10.0


@contextlib.asynccontextmanager
async def in_time() -> AsyncGenerator[None]:
    """Raise `WriteError` if what is written within gets no reply in time."""
    try:
        async with asyncio.timeout(WRITE_SECONDS):
            yield
    except TimeoutError:
        raise WriteError(f"no reply within {WRITE_SECONDS:g} s") from None


async def event(writer: Writer, regarding: Object, kind: EventType, reason: Reason, note: str) -> None:
    """Write an Event; that it could not be is only logged."""
    try:
        async with in_time():
            await writer.event(regarding, kind, reason, note)
    except WriteError as error:
        log.warning("no Event %s: %s", reason, error)
