"""Some kinds of a cluster's objects, kept while somebody looks at them: several watches as one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from http import HTTPStatus
from types import TracebackType
from typing import Self

from slipway.kube.client import Client, ClusterError
from slipway.kube.folder import Object
from slipway.kube.watch import Source, Watch, running

REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class Mirror:
    """Watches; once entered, everything was listed. Raises ClusterError if that cannot be."""

    def __init__(self, client: Client, sources: Sequence[Source]) -> None:
        self.changed = asyncio.Event()
        self._watches = [Watch(client, source, self.changed) for source in sources]
        self._ends = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            for some in (self._watches[:1], self._watches[1:]):  # one first: who has to log in does so once
                await self._ends.enter_async_context(running(some))
                while not all(watch.complete for watch in some):
                    self._raise(some, only_refusals=False)
                    await self.changed.wait()
                    self.changed.clear()
        except BaseException:
            await self._ends.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._ends.aclose()

    def objects(self, kind: str) -> list[Object]:
        """Give the objects of a kind in all namespaces that are watched."""
        of_kind = (watch for watch in self._watches if watch.source.kind == kind)
        return [obj for watch in of_kind for obj in watch.objects.values()]

    @property
    def away(self) -> str:
        """Say why what is known may be old; empty if it is not. Raises ClusterError for a lost right."""
        self._raise(self._watches, only_refusals=True)
        return next((watch.behind.error for watch in self._watches if watch.behind is not None), "")

    def _raise(self, watches: Sequence[Watch], *, only_refusals: bool) -> None:
        for watch in watches:
            if (behind := watch.behind) is not None and (behind.status in REFUSED or not only_refusals):
                raise ClusterError(behind.error, behind.status)
