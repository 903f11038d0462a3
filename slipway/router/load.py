"""What HAProxy says of its queues and servers (`show stat`), summed up by service. Pure."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from slipway.router.config import HOLD

Row = Mapping[str, str]


@dataclass(frozen=True)
class Load:
    """How one service is."""

    serving: frozenset[str] = frozenset()
    """The servers that answer HAProxy's own check and take requests."""
    busy: int = 0
    """Requests that replicas have."""
    queued: int = 0
    """Requests that wait for a replica."""

    @property
    def up(self) -> int:
        """How many replicas take requests."""
        return len(self.serving)


def rows(text: str) -> list[Row]:
    """Turn the reply to `show stat` into a row for each backend and server."""
    return list(csv.DictReader(io.StringIO(text.removeprefix("# "))))


def loads(found: Iterable[Row]) -> dict[str, Load]:
    """Sum up by service; the servers that hold queues and our own backends do not count."""
    by_service: dict[str, Load] = {}
    for row in found:
        name, server = row["pxname"], row["svname"]
        if name.startswith("_") or server == HOLD:
            continue
        load = by_service.get(name, Load())
        if server == "BACKEND":
            by_service[name] = replace(load, queued=int(row["qcur"]))
        else:
            serving = load.serving | ({server} if row["status"].startswith("UP") else set[str]())
            by_service[name] = replace(load, serving=serving, busy=load.busy + int(row["scur"]))
    return by_service


def requests(found: Iterable[Row]) -> int:
    """Count the requests that wait, run, or are being answered, without those that hold queues."""
    count = 0
    for row in found:
        if row["svname"] == "BACKEND":
            count += int(row["scur"])
        elif row["svname"] == HOLD:
            count -= int(row["scur"])
    return count
