"""The router's writes to a folder of objects, as a cluster's API server takes them."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256

from slipway.kube.folder import Folder, Object
from slipway.router.feed import EventType, WriteError

KEPT = timedelta(hours=1)
"""How long an Event stays: an API server's default."""
CONTROLLER = "slipway-router"


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

    async def event(self, regarding: Object, type: EventType, reason: str, note: str) -> None:  # noqa: A002 - Kubernetes' name
        """Write an Event, or count up the one that says the same; those that are too old go."""
        now = datetime.now(UTC)
        try:
            for one in self._folder.list("Event"):
                if now - last_seen(one) > KEPT:
                    self._folder.delete("Event", one["metadata"]["namespace"], one["metadata"]["name"])
            wanted = _event(regarding, type, reason, note, now)
            namespace, name = wanted["metadata"]["namespace"], wanted["metadata"]["name"]
            if self._folder.update("Event", namespace, name, lambda obj: _again(obj, now)) is None:
                self._folder.put(wanted)
        except OSError as error:
            raise WriteError(f"Event of {regarding['metadata']['name']}: {error}") from error


def last_seen(event: Object) -> datetime:
    """Give the time of an Event (events.k8s.io/v1) when it came last."""
    series: Object = event.get("series") or {}
    return datetime.fromisoformat(series.get("lastObservedTime") or event["eventTime"])


def _event(regarding: Object, kind: EventType, reason: str, note: str, now: datetime) -> Object:
    metadata: Object = regarding["metadata"]
    reference = {
        "apiVersion": regarding.get("apiVersion", ""),
        "kind": regarding.get("kind", ""),
        "namespace": metadata.get("namespace", ""),
        "name": metadata["name"],
        "uid": metadata.get("uid", ""),
    }
    same = sha256("\0".join([*reference.values(), kind, reason, note]).encode()).hexdigest()[:16]
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


def _again(event: Object, now: datetime) -> Object:
    series: Object = event.get("series") or {"count": 1}
    last = now.isoformat(timespec="microseconds")
    return {**event, "series": {"count": series["count"] + 1, "lastObservedTime": last}}
