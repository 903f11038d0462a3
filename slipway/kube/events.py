"""Events: which are about an object, when they were last seen. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime

from slipway.kube.folder import Object
from slipway.kube.read import part

EPOCH = datetime.fromtimestamp(0, UTC)


def about(obj: Object, events: Iterable[Object], reasons: Collection[str] = ()) -> list[Object]:
    """Give the events about an object, the newest last; of some reasons only, if they are given.

    An object's namesake of earlier days is another one, if both tell their `uid`.
    """
    metadata = obj["metadata"]
    found = [
        event
        for event in events
        if (regarding := part(event, "involvedObject") or part(event, "regarding"))
        and regarding.get("kind") == obj["kind"]
        and regarding.get("name") == metadata["name"]
        and regarding.get("namespace") == metadata.get("namespace")
        and regarding.get("uid", metadata.get("uid")) == metadata.get("uid", regarding.get("uid"))
        and (not reasons or event.get("reason") in reasons)
    ]
    return sorted(found, key=seen)


def seen(event: Object) -> datetime:
    """Say when an event was last seen; writers of events fill in different fields."""
    times = (
        part(event, "series").get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("deprecatedLastTimestamp"),
        event.get("eventTime"),
        event.get("firstTimestamp"),
        event["metadata"].get("creationTimestamp"),
    )
    return next((time(text) for text in times if text), EPOCH)


def text(event: Object) -> str:
    """Give what an event says, in one line."""
    return " ".join(str(event.get("message") or event.get("note") or "").split())


def time(text: str) -> datetime:
    """Read a Kubernetes time."""
    return datetime.fromisoformat(text)
