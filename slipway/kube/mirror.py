"""The objects of some kinds as an API server has them, kept by watches while somebody looks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from types import TracebackType
from typing import NamedTuple, Self

from slipway.kube.client import Client, ClusterError
from slipway.kube.folder import Object

FIRST_BACK_OFF, MOST_BACK_OFF = 0.5, 10.0
REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class Source(NamedTuple):
    """What to watch."""

    kind: str
    namespace: str
    labels: str = ""


class Mirror:
    """Lists and watches; entered, it has listed everything once. Raises ClusterError."""

    def __init__(self, client: Client, sources: Sequence[Source]) -> None:
        self._client = client
        self._found: dict[Source, dict[str, Object]] = {source: {} for source in sources}
        self._tasks: list[asyncio.Task[None]] = []
        self._away: dict[Source, ClusterError] = {}
        self.changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        first, *others = self._found
        # One alone before the rest: whoever has to log in does so once.
        versions = [await self._list(first), *await asyncio.gather(*map(self._list, others))]
        self._tasks = [
            asyncio.create_task(self._keep(source, version))
            for source, version in zip(self._found, versions, strict=True)
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def objects(self, kind: str) -> list[Object]:
        """Give the objects of a kind in all namespaces that are watched."""
        return [obj for source, found in self._found.items() if source.kind == kind for obj in found.values()]

    @property
    def away(self) -> str:
        """Say why what is known may be old; empty if it is not. Raises ClusterError for a lost right."""
        for error in self._away.values():
            if error.status in REFUSED:
                raise error
        return next((str(error) for error in self._away.values()), "")

    async def _list(self, source: Source) -> str:
        kind, namespace, labels = source
        listing = await self._client.list(kind, namespace, labels=labels)
        self._found[source] = {obj["metadata"]["name"]: obj for obj in listing.items}
        return listing.version

    async def _keep(self, source: Source, version: str) -> None:
        wait, at = FIRST_BACK_OFF, version
        while True:
            try:
                if not at:
                    at = await self._list(source)
                    self.changed.set()
                self._away.pop(source, None)
                async for type_, obj in self._client.watch(
                    source.kind, at, source.namespace, labels=source.labels
                ):
                    at, wait = str(obj["metadata"]["resourceVersion"]), FIRST_BACK_OFF
                    if type_ != "BOOKMARK":
                        self._take(source, type_, obj)
            except ClusterError as error:
                at = ""
                if error.status == HTTPStatus.GONE:
                    continue
                self._away[source] = error
                self.changed.set()
                await asyncio.sleep(wait)
                wait = min(2 * wait, MOST_BACK_OFF)

    def _take(self, source: Source, type_: str, obj: Object) -> None:
        name = obj["metadata"]["name"]
        if type_ == "DELETED":
            self._found[source].pop(name, None)
        else:
            self._found[source][name] = obj
        self.changed.set()
