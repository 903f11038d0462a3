"""The commands that look after what runs of a stack, on this machine or in its cluster."""

# ruff: noqa: PLC0415 - imports inside functions keep `slipway --help` and completion quick

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from slipway.cli.common import progress, table, typed
from slipway.cli.place import Where, place_options, run_on
from slipway.local.state import LocalError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.kube.rollout import Rollout
    from slipway.running.backend import Backend

LATE = timedelta(minutes=10)  # for a warning to be news
LINES = 5000  # of a log, as v1's get_logs


@click.command()
@place_options
def status(where: Where) -> None:
    """Show how each web service is doing, and why one is not well. Exits with 1 where nothing runs."""
    run_on(where, _status)


async def _status(backend: Backend) -> None:
    from slipway.kube.health import health
    from slipway.kube.read import is_router
    from slipway.running.backend import endpoint, scoring_uri

    async with aclosing(backend.looks()) as looks:
        look = await anext(looks)
    if not look.rollouts:
        raise LocalError(f"nothing of the stack runs in {backend.place}", "pulumi up")
    url = await backend.url()
    traffic = _traffic(look.rollouts)
    rows: list[Sequence[object]] = [
        ("service", *(["traffic"] if traffic else []), "state", "ready", "queued", "restarts", "image", "uri")
    ]
    reasons, bad = list[str](), list[str]()
    for rollout in look.rollouts:
        one, router = health(rollout.deployment, rollout.pods), is_router(rollout.deployment)
        restarts = f"{one.restarts} ({one.last_end})" if one.last_end else one.restarts
        queued = "" if router else look.loads.get(rollout.name, {}).get("queued", "-")
        uri = (url or "-") if router else scoring_uri(url, endpoint(rollout.deployment))
        name = "(router)" if router else rollout.name
        share = [traffic.get(rollout.name, "")] if traffic else []
        ready = f"{one.ready}/{one.wanted}"
        rows.append((name, *share, one.state, ready, queued, restarts, image(rollout), uri))
        lines = _reasons(rollout, look.loads.get(rollout.name, {}).get("error"))
        reasons += lines
        if lines or one.state != "Healthy":
            bad.append(name.strip("()"))
    click.echo(table(rows), nl=False)
    for line in filter(None, (*reasons, look.unknown, backend.place)):
        click.echo(line, err=True)
    if bad:
        click.echo(typed(f"\nhint: {', '.join(f'slipway logs {name}' for name in bad)}"), err=True)


def _traffic(rollouts: Sequence[Rollout]) -> dict[str, str]:
    """Say by Deployment which part of the requests each version gets while all are ready, and what it is."""
    from slipway.running.backend import version_of
    from slipway.versions import WHOLE, VersionOf, shares

    found: dict[str, dict[str, VersionOf]] = {}
    for one in rollouts:
        if version := version_of(one.deployment):
            found.setdefault(version["endpoint"], {})[one.name] = VersionOf.model_validate(version)
    said: dict[str, str] = {}
    for versions in found.values():
        for name, part in shares(versions).items():
            one = versions[name]
            words = [f"{100 * part / WHOLE:g} %"] + ["default"] * one.is_default
            said[name] = ", ".join(words + [one.type] * one.is_control_version_type)
    return said


def _reasons(rollout: Rollout, error: str | None) -> list[str]:
    """Say in lines why a Deployment is not well: its rollout, the router's error, a warning of late."""
    from slipway.kube.events import about, seen, text
    from slipway.kube.rollout import Failed, Waiting, verdict

    now = datetime.now(UTC)
    judged = verdict(rollout, now)
    lines = list(judged.lines) if isinstance(judged, Waiting) else []
    if isinstance(judged, Failed):
        lines.append(judged.reason.partition("\n")[0])
    if error and not any(error in line for line in lines):
        lines.append(f"{rollout.name}: {error}")
    warnings = [one for one in about(rollout.deployment, rollout.events) if one.get("type") == "Warning"]
    if warnings and now - seen(warnings[-1]) < LATE:
        lines.append(f"{rollout.name}: {warnings[-1]['reason']}: {text(warnings[-1])}")
    return [line.partition("\n")[0] for line in lines]


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--timeout", type=click.FloatRange(min=0), help="Seconds; else as long as there is hope.")
@place_options
def wait(names: tuple[str, ...], timeout: float | None, where: Where) -> None:
    """Wait until the newest revision of web services NAME (all, and the router) takes requests.

    Says what it waits for. Exits with 1 and the reason when that will not come by itself.
    """
    from slipway.running.follow import follow

    with progress() as say:
        done = run_on(where, lambda backend: follow(backend, names, say, timeout))
    for one in done:
        click.echo(f"{one.name}: {len(one.new)} of {len(one.new)} ready")


@click.command()
@click.argument("name")
@click.option("--follow", "-f", is_flag=True, help="Go on as more is written, also by pods that come.")
@click.option("--previous", is_flag=True, help="Of the process before the one that runs.")
@click.option(
    "--tail", type=click.IntRange(min=0), default=LINES, show_default=True, help="Lines of each log."
)
@place_options
def logs(name: str, follow: bool, previous: bool, tail: int, where: Where) -> None:
    """Print what the processes of NAME, a web service or `router`, have written."""
    run_on(where, lambda backend: _logs(backend, name, tail=tail, follow=follow, previous=previous))


async def _logs(backend: Backend, name: str, *, tail: int, follow: bool, previous: bool) -> None:
    """Print lines, with their source once there are several."""
    from slipway.running import backend as running

    deployment = running.deployment(await backend.deployments(), name)
    sources: set[str] = set()
    async with aclosing(backend.logs(deployment, running.LogOptions(tail, follow, previous))) as found:
        async for source, data in found:
            sources.add(source)
            prefix = f"{source}: ".encode() if len(sources) > 1 else b""
            lines = data.splitlines(keepends=True) if prefix else [data]
            click.echo(b"".join(prefix + line for line in lines), nl=False)
    if not sources:
        click.echo(typed("nothing has been written\n\nhint: slipway status"), err=True)


def image(rollout: Rollout) -> str:
    """Name what the newest pods run, with the digest's first digits."""
    from slipway.kube.read import items

    containers = items(rollout.deployment, "spec", "template", "spec", "containers")
    name, _, digest = str(containers[0]["image"]).rpartition("/")[2].partition("@")
    if not digest:  # by a tag: what a node made of it
        statuses = [one for pod in rollout.new for one in items(pod, "status", "containerStatuses")]
        digest = next(
            (one["imageID"].partition("@")[2] for one in statuses if "@" in one.get("imageID", "")), ""
        )
    return f"{name}@{digest[:19]}" if digest else name
