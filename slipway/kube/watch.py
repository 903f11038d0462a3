"""The objects of one kind, kept as they are in a cluster: a list, then watches, whatever happens in between.

While the API server is away, what was known last stays; afterwards everything is caught up with. What
changed is not told, only that something did.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

from slipway.kube.client import Client, ClusterError, Event
from slipway.kube.folder import Object
from slipway.kube.read import place

log = logging.getLogger(__name__)

FIRST_SECONDS, MOST_SECONDS = 0.1, 5.0
"""The pauses between attempts: an API server that is back is seen within the longest."""
STEADY_SECONDS = 10.0
"""An attempt that lasted so long was none that failed."""
LASTS_SECONDS = 240, 360
"""How long a watch lasts before another takes over."""
ABSENT_SECONDS = 60.0
"""The longest pause before asking again for a kind that one can do without."""


@dataclass(frozen=True)
class Source:
    """What is watched."""

    kind: str
    namespace: str = ""
    labels: str = ""
    optional: bool = False
    """Whether a cluster may lack it, or refuse it before there was any; then there are none."""
    keep: Callable[[Object], Object] = dict
    """What is kept of an object, which may be changed."""


@dataclass(frozen=True)
class Behind:
    """Since when, and why, what is known may be old."""

    since: datetime
    error: str
    status: int | None = None
    """the API server's answer, if it gave one"""


def pause(failures: int, chance: float) -> float:
    """Give the seconds to wait after so many failures in a row, some less by a `chance` from 0 to 1.

    The first is none: a connection that was long good is made again at once.
    """
    if failures < 2:
        return 0.0
    return min(FIRST_SECONDS * 2.0 ** min(failures - 2, 10), MOST_SECONDS) * (1 - chance / 2)


class Watch:
    """One source; `run` it as a task."""

    def __init__(self, client: Client, source: Source, changed: asyncio.Event) -> None:
        self.source = source
        self.objects: dict[tuple[str, str], Object] = {}
        """By namespace and name."""
        self.complete = False
        """Whether everything was listed once."""
        self.behind: Behind | None = None
        self._client = client
        self._changed = changed
        self.version = ""
        """From which the next watch goes on; empty: list first."""

    async def run(self) -> None:
        """Keep the objects, until cancelled."""
        failures = absences = 0
        while True:
            began = time.monotonic()
            try:
                await self._follow()  # the end of one that was good is no failure, but must not spin either
                absences = 0
            except Exception as error:
                if self._absent(error):
                    await asyncio.sleep(min(2.0 ** min(absences, 10), ABSENT_SECONDS))
                    absences += 1
                else:
                    absences = 0
                    self._failed(error)
            failures = 1 if time.monotonic() - began > STEADY_SECONDS else failures + 1
            await asyncio.sleep(pause(failures, random.random()))  # noqa: S311 - spreads, hides nothing

    async def _follow(self) -> None:
        """List unless a version is known from which to go on, and watch until that ends."""
        kind, namespace, labels = self.source.kind, self.source.namespace, self.source.labels
        if not self.version:
            listing = await self._client.list(kind, namespace, labels=labels, keep=self._slim)
            self.objects = {place(obj): obj for obj in listing.items}
            self.version, self.complete = listing.version, True
            self._changed.set()
        seconds = random.randint(*LASTS_SECONDS)  # noqa: S311 - so that not all end together
        watch = self._client.watch(kind, self.version, namespace, labels=labels, seconds=seconds)
        async with contextlib.aclosing(watch) as events:
            async for event in events:
                if self.behind is not None:
                    log.info("%s: watched again", self.source.kind)
                    self.behind = None
                self._take(event)

    def _take(self, event: Event) -> None:
        self.version = event.version
        if event.type == "BOOKMARK":
            return
        if event.type == "DELETED":
            self.objects.pop(place(event.object), None)
        else:
            self.objects[place(event.object)] = self._slim(event.object)
        self._changed.set()

    def _slim(self, obj: Object) -> Object:
        obj["metadata"].pop("managedFields", None)
        return self.source.keep(obj)

    def _absent(self, error: Exception) -> bool:
        """Tell whether there is no such kind here, or not for us."""
        if not (self.source.optional and isinstance(error, ClusterError)):
            return False
        # An API server that starts may forbid what it allows soon: what was known stays.
        refused = error.status == HTTPStatus.FORBIDDEN and not self.objects
        if not refused and error.status != HTTPStatus.NOT_FOUND:
            return False
        if not self.complete or self.objects:
            log.info("%s: goes without: %s", self.source.kind, error)
            self.objects, self.complete = {}, True
            self._changed.set()
        self.version, self.behind = "", None
        return True

    def _failed(self, error: Exception) -> None:
        """Remember why; what the API server answered makes a new list necessary, unless it is overloaded."""
        if not isinstance(error, ClusterError):
            log.error("%s: %r", self.source.kind, error, exc_info=error)
        if not isinstance(error, ClusterError) or error.status not in (None, HTTPStatus.TOO_MANY_REQUESTS):
            self.version = ""
        if isinstance(error, ClusterError) and error.status == HTTPStatus.GONE:
            return
        if self.behind is None:
            log.warning("%s: %s", self.source.kind, error)
        since = datetime.now(UTC) if self.behind is None else self.behind.since
        status = error.status if isinstance(error, ClusterError) else None
        self.behind = Behind(since, f"{self.source.kind}: {error}", status)
        self._changed.set()


@contextlib.asynccontextmanager
async def running(watches: Iterable[Watch]) -> AsyncGenerator[None]:
    """Run watches within the context."""
    tasks = [asyncio.create_task(watch.run()) for watch in watches]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
