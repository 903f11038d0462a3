"""Keeps the Secret of the routers' authority: any router makes it, and renews it, whoever is first."""

import asyncio
import logging
import time
from datetime import UTC, datetime

from slipway.kube.read import named
from slipway.router.authority import read, renewed
from slipway.router.control import Router
from slipway.router.events import Trouble
from slipway.router.feed import WriteError, Writer, secret
from slipway.spec import AUTHORITY_SECRET

LOOK_SECONDS = 1.0
TRUSTED_SECONDS = 10.0
"""Between two looks into a Secret that stays the same: what else makes a change due is the date."""

log = logging.getLogger(__name__)


async def keep(router: Router, writer: Writer, namespace: str) -> None:
    """Look every second, until cancelled."""
    trouble = Trouble()
    seen, again = None, 0.0
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if not router.ready:
            continue
        found = named(router.objects.secrets, AUTHORITY_SECRET)
        if found is seen and time.monotonic() < again:
            continue
        data = renewed(read(found), datetime.now(UTC))
        if data is None:
            seen, again = found, time.monotonic() + TRUSTED_SECONDS
            continue
        try:
            if await writer.put_secret(secret(AUTHORITY_SECRET, namespace, data, found)):
                log.info("the routers' authority is %s", "renewed" if found else "made")
            trouble.news(AUTHORITY_SECRET, None)
        except WriteError as error:
            if trouble.news(AUTHORITY_SECRET, error):
                log.warning("the routers' authority is not written: %s", error)
