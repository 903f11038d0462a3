"""What HAProxy says of its queues and servers (`show stat`), summed up by service. Pure."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from slipway.router.config import HOLD

Row = Mapping[str, str]


COLUMNS = (
    "pxname",
    "svname",
    "status",
    *("qcur", "scur", "stot", "connect", "reuse", "wretr", "econ", "rtime"),
    *("hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other"),
)
LONGEST_MEAN = 512
"""Requests that HAProxy's own means are about (TIME_STATS_SAMPLES)."""


@dataclass(frozen=True)
class Load:
    """How one service is."""

    serving: frozenset[str] = frozenset()
    """The servers that answer HAProxy's own check and take requests."""
    busy: int = 0
    """Requests that replicas have."""
    queued: int = 0
    """Requests that wait for a replica."""
    taken: int = 0
    """Requests that a replica got since the worker began."""
    refused: int = 0
    """Requests that no replica got, since the worker began."""
    service_seconds: float | None = None
    """Mean time of the latest requests in a replica, to the millisecond above; None before the first."""

    @property
    def up(self) -> int:
        """How many replicas take requests."""
        return len(self.serving)


def rows(text: str) -> list[Row]:
    """Turn the reply to `show stat` into a row for each backend and server, of the columns that are read."""
    found = csv.reader(io.StringIO(text.removeprefix("# ")))
    header = next(found, list[str]())
    places = [(name, header.index(name)) for name in COLUMNS if name in header]  # it has a hundred
    return [{name: row[place] for name, place in places} for row in found if row]


def loads(found: Iterable[Row]) -> dict[str, Load]:
    """Sum up by service; the servers that hold queues and our own backends do not count."""
    by_service: dict[str, list[Row]] = defaultdict(list)
    for row in found:
        if not row["pxname"].startswith("_"):
            by_service[row["pxname"]].append(row)
    return {name: _load(own) for name, own in by_service.items()}


def _load(found: Iterable[Row]) -> Load:
    """Sum up the rows of one service, of one worker or of several."""
    backends, held, servers = list[Row](), list[Row](), list[Row]()
    for row in found:
        {"BACKEND": backends, HOLD: held}.get(row["svname"], servers).append(row)
    # A server's row goes with it, so the backend's counts.
    connected = sum(map(_connections, backends)) - sum(map(_connections, held))
    # HAProxy rounds up each mean, which is 0 for a server that has answered nothing.
    means = [(int(row["rtime"]), min(int(row["stot"]), LONGEST_MEAN)) for row in servers]
    weights = sum(weight for mean, weight in means if mean)
    return Load(
        serving=frozenset(row["svname"] for row in servers if row["status"].startswith("UP")),
        busy=sum(int(row["scur"]) for row in servers),
        queued=sum(int(row["qcur"]) for row in backends),
        taken=connected,
        refused=sum(int(row["econ"]) for row in backends),
        service_seconds=sum(mean * weight for mean, weight in means) / weights / 1000 if weights else None,
    )


def _connections(row: Row) -> int:
    """Count the requests that got a connection, each once."""
    return int(row["connect"]) + int(row["reuse"]) - int(row["wretr"])


def requests(found: Iterable[Row]) -> int:
    """Count the requests that wait, run, or are being answered, without those that hold queues."""
    count = 0
    for row in found:
        if row["svname"] == "BACKEND":
            count += int(row["scur"])
        elif row["svname"] == HOLD:
            count -= int(row["scur"])
    return count
