"""The router's writes, to a cluster or to a folder of objects that stands for one.

Events are aggregated by their names: what says the same of the same object has the same name, whichever
router says it, and counts up. What cannot be told while the API server is away is told when it is back.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http import HTTPStatus
from typing import TypeVar

from slipway.kube.client import Client, ClusterError
from slipway.kube.events import seen
from slipway.kube.folder import Folder, Object
from slipway.router.feed import EventType, WriteError
from slipway.router.state import Reason

KEPT = timedelta(hours=1)
"""How long an Event stays: an API server's default."""
CONTROLLER = "slipway-router"
EVENTS = "Event.events.k8s.io"
REPEAT_SECONDS = 10.0
"""How long the same Event is only counted here, before it is written again."""
REMEMBERED = 500
"""Events whose repetitions are counted, or that are yet to be written, and objects whose Events are."""
AGAIN_SECONDS = 5.0
"""How often to try to write what could not be."""
BURST, EACH_SECONDS = 25, 2.0
"""So many Events of one object at once, then one in so many seconds; what is more is left out."""
LONGEST_NOTE = 1024
"""Bytes (events.k8s.io/v1)."""

K = TypeVar("K")
V = TypeVar("V")
log = logging.getLogger(__name__)


class FolderWriter:
    """Writes to a folder."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    async def scale(self, namespace: str, deployment: str, replicas: int) -> None:
        """Set `spec.replicas`, which the supervisor follows."""

        def change(obj: Object) -> Object:
            return {**obj, "spec": {**(obj.get("spec") or {}), "replicas": replicas}}

        try:
            found = self._folder.update("Deployment", namespace, deployment, change)
        except OSError as error:
            raise WriteError(f"Deployment {namespace}/{deployment}: {error}") from error
        if found is None:
            raise WriteError(f"there is no Deployment {namespace}/{deployment}")

    async def resize(self, namespace: str, pod: str, container: str, cpu: int) -> bool:
        """Ask for nothing: a process takes what CPU it needs."""
        return False

    async def event(self, regarding: Object, type: EventType, reason: Reason, note: str) -> None:  # noqa: A002 - Kubernetes' name
        """Write an Event, or count up the one that says the same; those that are too old go."""
        now = datetime.now(UTC)
        try:
            for one in self._folder.list("Event"):
                if now - seen(one) > KEPT:
                    self._folder.delete("Event", one["metadata"]["namespace"], one["metadata"]["name"])
            wanted = _event(regarding, type, reason, note, now)
            namespace, name = wanted["metadata"]["namespace"], wanted["metadata"]["name"]
            if self._folder.update("Event", namespace, name, lambda obj: _again(obj, now)) is None:
                self._folder.put(wanted)
        except OSError as error:
            raise WriteError(f"Event of {regarding['metadata']['name']}: {error}") from error

    async def put_secret(self, secret: Object) -> bool:
        """Write the file if there is none, or the one that was read."""
        metadata = secret["metadata"]
        version, same = metadata.get("resourceVersion"), False

        def change(obj: Object) -> Object | None:
            nonlocal same
            same = obj["metadata"]["resourceVersion"] == version
            return secret if same else None

        try:
            if version is None:
                return self._folder.create(secret)
            self._folder.update("Secret", metadata["namespace"], metadata["name"], change)
        except OSError as error:
            raise WriteError(f"Secret {metadata['namespace']}/{metadata['name']}: {error}") from error
        return same


@dataclass(frozen=True)
class Budget:
    """How many Events of an object may be written: `left` at `at`, one more in EACH_SECONDS, up to BURST."""

    left: float = BURST
    at: float = 0.0

    def spend(self, now: float) -> "Budget | None":
        """Give what is left after one more; None if that is too much."""
        left = min(BURST, self.left + (now - self.at) / EACH_SECONDS)
        return Budget(left - 1, now) if left >= 1 else None


@dataclass
class _Repeated:
    at: float
    """When it was written last."""
    more: int = 0
    """How often it came since."""


class ClusterWriter:
    """Writes by the API server."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._repeated: OrderedDict[str, _Repeated] = OrderedDict()
        self._budgets: OrderedDict[tuple[str, ...], Budget] = OrderedDict()
        self._late: OrderedDict[str, tuple[Object, int]] = OrderedDict()
        """Events that are yet to be written, and how often each came, by name."""
        self._writing = asyncio.Lock()

    async def catch_up(self) -> None:
        """Write what could not be written when it came, until cancelled."""
        while True:
            await asyncio.sleep(AGAIN_SECONDS)
            try:
                await self._write_late(patient=True)
            except WriteError as error:
                log.warning("no Event: %s", error)

    async def scale(self, namespace: str, deployment: str, replicas: int) -> None:
        """Merge `spec.replicas` into the subresource."""
        change = {"spec": {"replicas": replicas}}
        try:
            await self._client.patch("Deployment", namespace, deployment, change, "scale")
        except ClusterError as error:
            raise WriteError(str(error)) from error

    async def resize(self, namespace: str, pod: str, container: str, cpu: int) -> bool:
        """Patch the subresource, which came with Kubernetes 1.33."""
        wanted = {"name": container, "resources": {"requests": {"cpu": f"{cpu}m"}}}
        change = {"spec": {"containers": [wanted]}}
        try:
            await self._client.patch("Pod", namespace, pod, change, "resize", by_name=True)
        except ClusterError as error:
            if error.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
                return False
            raise WriteError(str(error)) from error
        return True

    async def event(self, regarding: Object, type: EventType, reason: Reason, note: str) -> None:  # noqa: A002 - Kubernetes' name
        """Write an Event, unless it was just written or there are too many; later if nobody answers."""
        wanted, now = _event(regarding, type, reason, note, datetime.now(UTC)), time.monotonic()
        name = wanted["metadata"]["name"]
        known = self._repeated.get(name)
        if known is not None and now - known.at < REPEAT_SECONDS:
            known.more += 1
            return
        of = tuple(wanted["regarding"].values())
        budget = self._budgets.get(of, Budget(at=now)).spend(now)
        if budget is None:
            log.warning(
                "Event %s of %s is left out: there are too many", reason, regarding["metadata"]["name"]
            )
            return
        _keep(self._budgets, of, budget)
        times = 1 + (known.more if known is not None else 0)
        waits = bool(self._late)
        _, before = self._late.pop(name, (wanted, 0))
        _keep(self._late, name, (wanted, before + times))
        if not waits:  # else it is written after those
            await self._write_late()
        _keep(self._repeated, name, _Repeated(now))

    async def put_secret(self, secret: Object) -> bool:
        """Create or update; the API server compares the versions."""
        new = "resourceVersion" not in secret["metadata"]
        try:
            await (self._client.create(secret) if new else self._client.replace(secret))
        except ClusterError as error:
            if error.status in (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND):
                return False
            raise WriteError(str(error)) from error
        return True

    async def _write_late(self, *, patient: bool = False) -> None:
        """Write what is to be written, each once, as long as the API server answers.

        If `patient`, what it forbids is tried again: one that starts may forbid what it allows soon.
        """
        async with self._writing:
            for _ in range(len(self._late)):
                name, (wanted, times) = self._late.popitem(last=False)
                settled = False
                try:
                    if datetime.now(UTC) - datetime.fromisoformat(wanted["eventTime"]) < KEPT:
                        await self._write(wanted, times)
                    settled = True
                except ClusterError as error:
                    if not error.away and not (patient and error.status == HTTPStatus.FORBIDDEN):
                        settled = True
                        raise WriteError(str(error)) from error
                    if not patient:
                        log.warning("Events are written later: %s", error)
                    if error.status is None or not patient:
                        return
                finally:
                    if not settled:
                        _, more = self._late.pop(name, (wanted, 0))
                        _keep(self._late, name, (wanted, times + more))

    async def _write(self, wanted: Object, times: int) -> None:
        try:
            await self._client.create(wanted)
        except ClusterError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise
            namespace, name = wanted["metadata"]["namespace"], wanted["metadata"]["name"]
            # A patch of nothing reads it, without the right to read all Events.
            found = await self._client.patch(EVENTS, namespace, name, {})
            series = _again(found, datetime.fromisoformat(wanted["eventTime"]), times)["series"]
            await self._client.patch(EVENTS, namespace, name, {"series": series})


def _keep(found: OrderedDict[K, V], key: K, value: V) -> None:
    """Remember a value as the latest, and forget the oldest when there are too many."""
    found[key] = value
    found.move_to_end(key)
    if len(found) > REMEMBERED:
        found.popitem(last=False)


def _event(regarding: Object, kind: EventType, reason: Reason, note: str, now: datetime) -> Object:
    metadata: Object = regarding["metadata"]
    reference = {
        "apiVersion": regarding.get("apiVersion", ""),
        "kind": regarding.get("kind", ""),
        "namespace": metadata.get("namespace", ""),
        "name": metadata["name"],
        "uid": metadata.get("uid", ""),
    }
    same = sha256("\0".join([*reference.values(), kind, reason, note]).encode()).hexdigest()[:16]
    note = note.encode()[:LONGEST_NOTE].decode(errors="ignore")
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name']}.{same}",
            "namespace": metadata.get("namespace") or "default",
        },
        "eventTime": now.isoformat(timespec="microseconds"),
        "reportingController": CONTROLLER,
        "reportingInstance": CONTROLLER,
        "action": reason,
        "reason": reason,
        "regarding": reference,
        "note": note,
        "type": kind,
    }


def _again(event: Object, now: datetime, times: int = 1) -> Object:
    series: Object = event.get("series") or {"count": 1}
    last = now.isoformat(timespec="microseconds")
    return {**event, "series": {"count": series["count"] + times, "lastObservedTime": last}}
