"""What other settings of scaling would have done: a journal of decisions, played again."""

# ruff: noqa: PLC0415 - imports inside functions keep `slipway --help` and completion quick

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from slipway.cli.common import table
from slipway.cli.place import Where, place_options, run_on
from slipway.local.state import LocalError

if TYPE_CHECKING:
    from slipway.router.scaling.journal import Entry
    from slipway.router.scaling.replay import Run
    from slipway.spec import Serving

COLUMNS = 60
BY_HAND = (
    "`slipway status` says what runs; on a cluster where the API server does not reach the router's admin "
    "port: kubectl -n slipway port-forward deployment/slipway-router 8081, and then "
    "curl -s http://127.0.0.1:8081/journal > journal.jsonl"
)


@click.command()
@click.option(
    "--journal",
    "file",
    type=click.File("r", encoding="utf-8"),
    help="What a router's /journal says, or - for standard input. Without it the routers are asked.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="SETTING=VALUE[,VALUE...]",
    help="A setting to try; several values are tried one after the other.",
)
@click.option("--service", help="Only this web service.")
@click.option(
    "--svg", type=click.Path(dir_okay=False, path_type=Path), help="Draw the replicas into this file."
)
@place_options
def replay(
    file: IO[str] | None, changes: Sequence[str], service: str | None, svg: Path | None, where: Where
) -> None:
    """Show what other settings of scaling would have done with the same requests.

    \b
    slipway replay --set autoscale_target_utilization=50,60,80
    slipway replay --journal journal.jsonl --service NAME --set autoscale_min_replicas=2

    A router keeps the journal of its latest decisions and gives it on its admin port, as JSON lines. This
    command asks for it, on a cluster through the API server. Where that is not allowed:

    \b
    kubectl -n slipway port-forward deployment/slipway-router 8081
    curl -s http://127.0.0.1:8081/journal > journal.jsonl
    """  # noqa: D301 - \b is click's: keep these lines
    from slipway.cli.chart import svg as draw
    from slipway.router.scaling.replay import read

    journals = read(file if file is not None else _asked(where).splitlines())
    known = ", ".join(f"`{name}`" for name in journals) or "none"
    if service is not None:
        journals = {name: entries for name, entries in journals.items() if name == service}
    journals = {name: entries for name, entries in journals.items() if _seconds(entries)}
    if not journals:
        of = f" of `{service}`" if service is not None else ""
        raise LocalError(
            f"the journal has too few lines{of}; services in it: {known}",
            "only services without num_replicas have any, a line a second under load and one a minute else",
        )
    if svg is not None and len(journals) > 1:
        raise LocalError(f"--svg draws one service, and there are {known}", "name one with --service")
    for name, entries in journals.items():
        runs = dict(_runs(entries, changes))
        _show(name, entries, runs)
        if svg is not None:
            curves = {label: run.replicas for label, run in runs.items()}
            svg.write_text(draw(f"{name}: replicas", curves, _seconds(entries)), encoding="utf-8")


def _asked(where: Where) -> str:
    text = run_on(where, lambda backend: backend.journal())
    if text is None:
        raise LocalError("no router answers with a journal, and no --journal is given", BY_HAND)
    return text


def _runs(entries: Sequence[Entry], changes: Sequence[str]) -> Iterator[tuple[str, Run]]:
    """Give what was done, and what the simulation makes of the same settings and of each change of them."""
    from slipway.router.scaling.replay import recorded, replay

    serving = entries[-1].serving
    yield "as recorded", recorded(entries)
    yield "the same settings, simulated", replay(entries, serving)
    for combination in itertools.product(*map(_values, changes)) if changes else ():
        label = ", ".join(f"{name}={value}" for name, value in combination)
        yield label, replay(entries, _changed(serving, dict(combination)))


def _values(change: str) -> list[tuple[str, int]]:
    """Read `name=1,2`. Raises LocalError."""
    from slipway.router.scaling.journal import SETTINGS

    name, _, values = change.partition("=")
    if name not in SETTINGS:
        raise LocalError(f"--set {change}: no such setting", f"one of {', '.join(sorted(SETTINGS))}")
    found = [(name, int(value)) for value in values.split(",") if value.strip().isdecimal()]
    if len(found) != len(values.split(",")):
        raise LocalError(f"--set {change}: a value is no whole number", f"--set {name}=50 or {name}=50,60")
    return found


def _changed(serving: Serving, values: dict[str, int]) -> Serving:
    """Give the settings with others in them. Raises Problems where they do not go together."""
    from pydantic import ValidationError

    from slipway.problems import Problems, explain
    from slipway.spec import Serving

    try:
        return Serving.model_validate(serving.model_dump() | values)
    except ValidationError as error:
        lines = explain(error, Serving, lambda place: ".".join(map(str, place)))
        raise Problems(f"--set {line}" for line in lines) from None


def _show(name: str, entries: Sequence[Entry], runs: dict[str, Run]) -> None:
    from slipway.cli.chart import blocks, sample
    from slipway.router.scaling.replay import startup_seconds

    seconds = _seconds(entries)
    first, last = entries[0].time, entries[-1].time
    click.echo(
        f"{name}: {first:%Y-%m-%d %H:%M:%S} to {last:%H:%M:%S} UTC, {runs['as recorded'].requests} requests, "
        f"a replica starts in {startup_seconds(entries):.1f} s"
    )
    rows: list[Sequence[object]] = [("settings", "missed", "of requests", "replica-seconds", "mean replicas")]
    for label, run in runs.items():
        share = f"{100 * run.missed / run.requests:.2f} %" if run.requests else "-"
        mean = f"{run.replica_seconds / seconds:.2f}"
        rows.append((label, run.missed, share, round(run.replica_seconds), mean))
    click.echo(table(rows), nl=False)
    most = max(value for run in runs.values() for _, value in run.replicas)
    arrivals = _arrivals(entries, seconds)
    charts = [("requests a second", blocks(arrivals, max(arrivals)), f"up to {max(arrivals):.1f}")]
    charts += [
        (label, blocks(sample(run.replicas, seconds, COLUMNS), most), f"of {most}")
        for label, run in runs.items()
    ]
    click.echo()
    click.echo(table([(label, f"|{line}|", scale) for label, line, scale in charts]))


def _arrivals(entries: Sequence[Entry], seconds: float) -> list[float]:
    """Give the requests a second in each column."""
    found = [0.0] * COLUMNS
    for entry in entries[1:]:
        column = int((entry.time - entries[0].time).total_seconds() / seconds * COLUMNS)
        found[min(column, COLUMNS - 1)] += entry.arrivals * COLUMNS / seconds
    return found


def _seconds(entries: Sequence[Entry]) -> float:
    return (entries[-1].time - entries[0].time).total_seconds()
