"""The commands that look after what runs of a stack, on this machine or in its cluster."""

# ruff: noqa: PLC0415 - imports inside functions keep `slipway --help` and completion quick

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import string
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from slipway.cli.common import progress, table, typed
from slipway.cli.place import Where, place_options, run_on
from slipway.local.state import LocalError
from slipway.spec import KEY_LENGTH, MAX_TIMEOUT_MS, WEBSERVICE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.kube.folder import Object
    from slipway.kube.rollout import Rollout
    from slipway.running.backend import Backend

ANSWER_SECONDS = 30.0  # beyond what a request may take
LATE = timedelta(minutes=10)  # for a warning to be news
KEY_SECONDS = 5.0  # for the router to take a new key
LINES = 5000  # of a log, as v1's get_logs
KEY_VARIABLE = "SLIPWAY_KEY"


@click.command()
@place_options
def status(where: Where) -> None:
    """Show how each web service is doing, and why one is not well. Exits with 1 where nothing runs."""
    run_on(where, _status)


async def _status(backend: Backend) -> None:
    from slipway.kube.health import health
    from slipway.running.backend import is_router, scoring_uri

    async with aclosing(backend.looks()) as looks:
        look = await anext(looks)
    if not look.rollouts:
        raise LocalError(f"nothing of the stack runs in {backend.place}", "pulumi up")
    url = await backend.url()
    rows: list[Sequence[object]] = [("service", "state", "ready", "queued", "restarts", "image", "uri")]
    reasons, bad = list[str](), list[str]()
    for rollout in look.rollouts:
        one, router = health(rollout.deployment, rollout.pods), is_router(rollout.deployment)
        restarts = f"{one.restarts} ({one.last_end})" if one.last_end else one.restarts
        queued = "" if router else look.loads.get(rollout.name, {}).get("queued", "-")
        uri = (url or "-") if router else scoring_uri(url, rollout.name)
        name = "(router)" if router else rollout.name
        rows.append((name, one.state, f"{one.ready}/{one.wanted}", queued, restarts, image(rollout), uri))
        lines = _reasons(rollout, look.loads.get(rollout.name, {}).get("error"))
        reasons += lines
        if lines or one.state != "Healthy":
            bad.append(name.strip("()"))
    click.echo(table(rows), nl=False)
    for line in filter(None, (*reasons, look.unknown, backend.place)):
        click.echo(line, err=True)
    if bad:
        click.echo(typed(f"\nhint: {', '.join(f'slipway logs {name}' for name in bad)}"), err=True)


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
@click.option("--data", "file", type=click.File("rb"), required=True, help="A file with the request, or -.")
@click.option("--content-type", default="application/json", show_default=True)
@click.option("--url", help="The router's address, where its Service has none that is reached from here.")
@click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"Holds the key, where the Secret may not be read; the variable {KEY_VARIABLE} may hold it, too.",
)
@place_options
def score(
    *, name: str, file: IO[bytes], content_type: str, url: str | None, key_file: Path | None, where: Where
) -> None:
    """Send a request to web service NAME and print its answer."""
    key = key_file.read_text().strip() if key_file is not None else os.environ.get(KEY_VARIABLE)
    seconds = 2 * MAX_TIMEOUT_MS / 1000
    if url is None or key is None:
        url, key, seconds = run_on(where, lambda backend: _way(backend, name, url, key))
    headers = {"Content-Type": content_type, **({"Authorization": f"Bearer {key}"} if key else {})}
    answer = _post(url, name, file.read(), headers, seconds + ANSWER_SECONDS)
    click.echo(answer, nl=not answer.endswith(b"\n"))


async def _way(
    backend: Backend, name: str, url: str | None, key: str | None
) -> tuple[str, str | None, float]:
    """Find out what is not given: the router's address, a key if there is one, how long an answer takes."""
    from slipway.running import backend as running

    url = url or await backend.url()
    if url is None:
        raise backend.no_address(name)
    serving = running.serving(running.webservice(await backend.deployments(), name))
    if key is None and serving.get("auth_enabled", True):
        key = running.keys(await _secret(backend, name))["primary"]
    milliseconds = serving.get("scoring_timeout_ms", 60_000) + serving.get("max_request_wait_time", 500)
    return url, key, milliseconds / 1000


def _post(url: str, name: str, body: bytes, headers: dict[str, str], seconds: float) -> bytes:
    import httpx

    from slipway.local.container import ADDRESS
    from slipway.running.backend import scoring_uri

    uri = scoring_uri(url.rstrip("/"), name)
    proxied = httpx.URL(url).host != ADDRESS  # no proxy leads to this machine
    try:
        with httpx.Client(trust_env=proxied, timeout=seconds) as client:
            answer = client.post(uri, content=body, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        message = f"the router did not answer at {url}: {error or type(error).__name__}"
        raise LocalError(message, "slipway status") from None
    if not answer.is_success:
        raise LocalError(_refusal(answer.status_code, answer.text), _refusal_hint(answer.status_code, name))
    return answer.content


@click.command()
@click.argument("name")
@click.option("--regen", type=click.Choice(["primary", "secondary"]), help="Make this key anew.")
@place_options
def keys(name: str, regen: str | None, where: Where) -> None:
    """Show the keys of web service NAME."""
    found = run_on(where, lambda backend: _keys(backend, name, regen))
    click.echo(table(list(found.items())), nl=False)


async def _keys(backend: Backend, name: str, regen: str | None) -> dict[str, str]:
    from slipway.running import backend as running

    running.webservice(await backend.deployments(), name)
    secret = await _secret(backend, name)
    if regen:
        alphabet = string.ascii_letters + string.digits
        new = "".join(secrets.choice(alphabet) for _ in range(KEY_LENGTH))
        secret = await backend.write(secret, {regen: new})
        url = await backend.url()
        if url is not None and not await _key_taken(running.scoring_uri(url, name), new):
            click.echo(f"the router at {url} has not taken the new key within {KEY_SECONDS:g} s", err=True)
            click.echo(typed("\nhint: slipway logs router"), err=True)
    return running.keys(secret)


async def _secret(backend: Backend, name: str) -> Object:
    """Find the Secret that holds a web service's keys. Raises LocalError."""
    from slipway.kube.read import part

    secret = await backend.secret(f"{name}-keys")
    if secret is None or part(secret, "metadata", "labels").get(WEBSERVICE) != name:
        raise LocalError(f"web service `{name}` has no keys", "its `auth_enabled` is false")
    return secret


async def _key_taken(uri: str, key: str) -> bool:
    """Wait until the router knows the key; tell whether it does."""
    from slipway.running.backend import takes_key

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(KEY_SECONDS):
            while not takes_key(uri, key):  # noqa: ASYNC110 - a router tells nobody
                await asyncio.sleep(0.05)
            return True
    return False


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


def _refusal(code: int, body: str) -> str:
    """Say why a request was refused; what is no refusal of the router's is shown as it is."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        refusal = json.loads(body)
        return f"{code} {refusal['reason']}: {refusal['message']}"
    return f"{code} {body}".rstrip()


def _refusal_hint(code: int, name: str) -> str:
    return {401: f"slipway keys {name}", 404: "slipway status", 502: f"slipway logs {name}"}.get(code, "")
