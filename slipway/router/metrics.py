"""`/metrics` in Prometheus' text format: what alerts and dashboards need of services and router. Pure.

It is made of what the router saw at its last look, so it costs HAProxy little; HAProxy's own exporter, which
holds it up for a tenth of a second at 1,000 services, is `/metrics/haproxy`. No label needs an escape: names
of services and reasons are made of harmless characters. docs/metrics.md explains each metric.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from slipway.router.load import Row
from slipway.router.scaling.itself import Told
from slipway.router.scaling.sampling import Counted

CODES = {f"{digit}xx": f"hrsp_{digit}xx" for digit in (2, 3, 4, 5)} | {"other": "hrsp_other"}
"""The classes of answers, by HAProxy's column; `other`: the client left before its answer."""
Counts = Mapping[tuple[str, str], int]
"""By service, and code or reason."""


class Totals:
    """Counts that go on when one worker process follows another, which counts from nothing."""

    def __init__(self) -> None:
        self._workers: dict[str, Counts] = {}
        self.counts: dict[tuple[str, str], int] = {}

    def add(self, workers: Mapping[str, Counts], services: Container[str]) -> None:
        """Add what is new of each worker, and forget services that are gone; `""` stands for none.

        What a worker does not tell is as it was; a worker that ends takes with it what it had not told.
        """
        before, self._workers = self._workers, {}
        for worker, now in workers.items():
            old = before.get(worker, {})
            for key, count in now.items():
                self.counts[key] = self.counts.get(key, 0) + max(0, count - old.get(key, 0))
            self._workers[worker] = {**old, **now}
        for key in [key for key in self.counts if key[0] and key[0] not in services]:
            del self.counts[key]


def answers(rows: Iterable[Row]) -> dict[tuple[str, str], int]:
    """Count what one worker answered."""
    return {
        (row["pxname"], code): int(row[column] or 0)
        for row in rows
        if row["svname"] == "BACKEND" and not row["pxname"].startswith("_")
        for code, column in CODES.items()
    }


@dataclass(frozen=True)
class Facts:
    """All that is told."""

    seen: Mapping[str, Counted] = field(default_factory=dict[str, Counted])
    """None while HAProxy does not answer."""
    desired: Mapping[str, int] = field(default_factory=dict[str, int])
    concurrency: Mapping[str, int] = field(default_factory=dict[str, int])
    requests: Counts = field(default_factory=dict[tuple[str, str], int])
    refusals: Counts = field(default_factory=dict[tuple[str, str], int])
    reloads: int = 0
    restarts: int = 0
    refused: bool = False
    behind_seconds: float = 0
    ownership_changes: int = 0
    own: Told | None = None
    """How the router is, where it scales itself."""
    certificates: Mapping[str, float] = field(default_factory=dict[str, float])
    """When each that is served ends, in seconds since 1970, by where it comes from."""


def exposition(facts: Facts) -> str:
    """Give the text of all metrics, those too that have no value yet."""
    return "".join(_lines(facts))


def _lines(facts: Facts) -> Iterator[str]:
    def head(name: str, kind: str, meaning: str) -> str:
        return f"# HELP slipway_{name} {meaning}\n# TYPE slipway_{name} {kind}\n"

    seen, own = facts.seen.items(), facts.own
    for name, label, meaning, counts in (
        ("requests_total", "code", "Requests that ended, by class of status.", facts.requests),
        ("refusals_total", "reason", "Requests that were refused or failed, by reason.", facts.refusals),
    ):
        yield head(name, "counter", meaning)
        for (service, value), count in counts.items():
            yield f'slipway_{name}{{service="{service}",{label}="{value}"}} {count}\n'
    for name, meaning, values in (
        ("queue_length", "Requests that wait for a replica.", {k: one.queued for k, one in seen}),
        ("requests_running", "Requests that replicas have.", {k: one.busy for k, one in seen}),
        ("replicas_ready", "Replicas that take requests.", {k: one.ready for k, one in seen}),
        ("replicas_desired", "Replicas that the Deployment asks for.", facts.desired),
        ("replica_max_concurrent_requests", "Requests that a replica gets at once.", facts.concurrency),
    ):
        yield head(name, "gauge", meaning)
        yield from (f'slipway_{name}{{service="{service}"}} {value}\n' for service, value in values.items())
    for name, kind, meaning, number in (
        ("reloads_total", "counter", "Configurations that HAProxy took over.", facts.reloads),
        ("restarts_total", "counter", "Times that HAProxy ended and was started again.", facts.restarts),
        ("ownership_changes_total", "counter", "Times that routers came or went.", facts.ownership_changes),
        (
            "config_last_reload_successful",
            "gauge",
            "0: HAProxy refuses what is wanted, or it cannot be written.",
            int(not facts.refused),
        ),
        ("behind_seconds", "gauge", "For so long the router may know old objects.", facts.behind_seconds),
    ):
        yield head(f"router_{name}", kind, meaning) + f"slipway_router_{name} {number}\n"
    for name, meaning, number in (
        ("threads", "HAProxy's threads, where the router scales itself.", own.threads if own else None),
        (
            "routing_seconds",
            "What a request of the router's own takes, of the last 15 s the middle.",
            own.routing_seconds if own else None,
        ),
        ("cpu_cores", "Cores that HAProxy's threads used in the last 15 s.", own.cpu if own else None),
    ):
        yield head(f"router_{name}", "gauge", meaning)
        yield f"slipway_router_{name} {number}\n" if number is not None else ""
    name = "router_certificate_expiry_timestamp_seconds"
    yield head(name, "gauge", "When a certificate ends.")
    yield from (f'slipway_{name}{{source="{one}"}} {end:.0f}\n' for one, end in facts.certificates.items())
