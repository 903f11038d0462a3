"""What HAProxy says of its queues and servers (`show stat`), summed up by service. Pure."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter

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
    header, *lines = text.removeprefix("# ").split("\n")
    places = {name: place for place, name in enumerate(header.split(",")) if name in COLUMNS}
    if not places:
        return []
    pick, most = itemgetter(*places.values()), max(places.values()) + 1  # of more than a hundred
    return [dict(zip(places, pick(_cells(line, most)), strict=True)) for line in lines if line]


def _cells(line: str, most: int) -> list[str]:
    """Split a line of CSV at its first `most` commas, at all where there are quotes, which takes longer."""
    return next(csv.reader([line])) if '"' in line else line.split(",", most)


def loads(found: Iterable[Row]) -> dict[str, Load]:
    """Sum up by service; the servers that hold queues and our own backends do not count."""
    by_service: dict[str, list[Row]] = {}
    for row in found:
        if not (name := row["pxname"]).startswith("_"):
            by_service.setdefault(name, []).append(row)
    return {name: _load(own) for name, own in by_service.items()}


def _load(found: Iterable[Row]) -> Load:
    """Sum up the rows of one service, of one worker or of several."""
    up: list[str] = []
    busy = queued = taken = refused = weights = weighted = 0
    for row in found:
        # A server's row goes with it, so the backend's counts.
        if (server := row["svname"]) == "BACKEND":
            taken += _connections(row)
            queued += int(row["qcur"])
            refused += int(row["econ"])
        elif server == HOLD:
            taken -= _connections(row)
        else:
            busy += int(row["scur"])
            if row["status"].startswith("UP"):
                up.append(server)
            # HAProxy rounds up each mean, which is 0 for a server that has answered nothing.
            if mean := int(row["rtime"]):
                weight = min(int(row["stot"]), LONGEST_MEAN)
                weights += weight
                weighted += mean * weight
    return Load(frozenset(up), busy, queued, taken, refused, weighted / weights / 1000 if weights else None)


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
