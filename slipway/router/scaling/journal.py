"""The journal of scaling: each decision, what it was made from, and what came of it, as JSON lines.

Kept in memory, and bounded. A service where nothing happens writes a line a minute. Counts of requests are of
those since the service's line before, so that a journal can be replayed. Nothing in it is secret.
"""

from __future__ import annotations

import json
from collections import deque
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from slipway.router.scaling.itself import Step
from slipway.spec import Serving

LINES = 20_000
"""About ten megabytes; five hours of one busy service."""
QUIET = timedelta(minutes=1)
SETTINGS = {
    "autoscale_min_replicas",
    "autoscale_max_replicas",
    "autoscale_refresh_seconds",
    "autoscale_target_utilization",
    "replica_max_concurrent_requests",
    "max_request_wait_time",
}
"""What of a service's settings a decision, and its replay, depends on."""
KEPT = "kept"
SCALED = "scaled"

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Entry(BaseModel):
    """One line."""

    model_config = ConfigDict(frozen=True)

    time: AwareDatetime
    service: str
    deployment: str
    """Its namespace, `/` and name."""
    arrivals: Count
    """Requests since the line before."""
    refused: Count
    """Requests since the line before that got no replica in time."""
    busy: Count
    """Requests in replicas."""
    queued: Count
    """Requests that wait for a replica."""
    replicas: Count
    """What the Deployment asks for."""
    ready: Count
    """Replicas that take requests."""
    unschedulable: Count
    """Pods that no node takes."""
    service_seconds: Seconds | None
    """Mean time of the latest requests in a replica."""
    startup_seconds: Seconds | None
    """Time from a pod's creation to its readiness."""
    serving: Serving
    rule: str
    needed: Count
    """Replicas that the load needs, before what is kept and the bounds."""
    load: float | None
    """Requests at once that `needed` comes from."""
    wanted: Count
    """Replicas that were decided on."""
    outcome: str = KEPT
    """`kept`, `scaled`, or why it was not scaled."""

    @property
    def quiet(self) -> bool:
        """Whether nothing happened."""
        moved = self.arrivals or self.refused or self.busy or self.queued or self.wanted != self.replicas
        return not moved and self.outcome == KEPT


class OwnEntry(BaseModel):
    """One line of how the router scales itself."""

    model_config = ConfigDict(frozen=True)

    time: AwareDatetime
    router: str
    """The pod."""
    step: Step
    rule: str
    """Why, for people."""
    threads: Count
    """What the pod had."""
    replicas: Count | None
    """Pods that the Deployment asked for; None while it is not known."""
    routing_seconds: Seconds | None
    cpu: Seconds | None
    """Cores that HAProxy used."""
    outcome: str = SCALED
    """`scaled`, or why not."""


class Journal:
    """The latest lines of all services, and of the router itself."""

    def __init__(self, lines: int = LINES) -> None:
        self._lines: deque[tuple[str, str]] = deque(maxlen=lines)
        self._latest: dict[str, Entry] = {}

    def add(self, entry: Entry) -> bool:
        """Write a line and tell so; a line that says what the one before it says is left out for a while."""
        if entry.quiet and self.repeats(entry.service, entry.time, entry.replicas, entry.ready, entry.rule):
            return False
        self._latest[entry.service] = entry
        self._lines.append((entry.service, _line(entry)))
        return True

    def repeats(self, service: str, now: datetime, replicas: int, ready: int, rule: str) -> bool:
        """Tell whether a quiet line would say what the one before it says, less than a while ago."""
        latest = self._latest.get(service)
        if latest is None or now - latest.time >= QUIET:
            return False
        return (latest.quiet, latest.replicas, latest.ready, latest.rule) == (True, replicas, ready, rule)

    def add_own(self, entry: OwnEntry) -> None:
        """Write a line of the router itself."""
        self._lines.append(("", entry.model_dump_json() + "\n"))

    def forget(self, service: str) -> None:
        """Forget what was last said of a service that is gone; its lines stay."""
        self._latest.pop(service, None)

    def text(self, service: str | None = None) -> str:
        """Give the lines, oldest first; of one service if named."""
        return "".join(line for name, line in self._lines if service in (None, name))


def _line(entry: Entry) -> str:
    values = entry.model_dump(mode="json", exclude={"serving"})
    settings = entry.serving.model_dump(include=SETTINGS)
    return json.dumps({**values, "serving": settings}, separators=(",", ":")) + "\n"
