"""The commands that run a stack on this machine, and look after what runs."""

# ruff: noqa: PLC0415 - imports inside functions keep `slipway --help` and completion quick

from __future__ import annotations

import contextlib
import json
import os
import secrets
import string
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from slipway import running
from slipway.cli.common import find_project, progress, run_engine, stack_option, table, typed
from slipway.cli.models import fetch
from slipway.local.state import LocalError, State
from slipway.spec import KEY_LENGTH

if TYPE_CHECKING:
    from slipway.kube.resolve import Resolved

ROUTABLE_SECONDS = 30.0  # for the router to know replicas that are ready
KEY_SECONDS = 5.0  # for the router to take a new key
LINES = 5000  # of a log, as v1's get_logs


@click.command()
@stack_option
def up(stack: str) -> None:
    """Run the stack's router and web services as processes of this machine."""
    from slipway.kube.resolve import resolve
    from slipway.local.realise import prune, prune_unused, realise
    from slipway.local.up import PortsBusy, verify
    from slipway.local.up import up as local_up

    project, state = find_project(stack)
    with state.lock("slipway up"), progress() as say:
        say("running the program")
        resolved = run_engine(lambda: resolve(project, stack, local=True))
        objects = [running.scaled(obj, state) for obj in resolved.objects]
        try:
            verify(state, objects, resolved.recipes)
        except PortsBusy as busy:
            busy.hint = f"stop what uses it, or set `slipway:router: {{port: ...}}` in Pulumi.{stack}.yaml"
            raise
        fetch(objects, project, state, say)
        prune(state)
        images = {ref: realise(ref, recipe, project, state, say) for ref, recipe in resolved.recipes.items()}
        local_up(state, objects, images, say=say)
        _wait_routable(state, say)
        prune_unused(state)
    names = list(running.services(state))
    click.echo(table([(name, running.scoring_uri(state, name)) for name in names]), nl=False)
    samples = {name: _sample(project, name, resolved) for name in names}
    for name in sorted(names, key=lambda name: samples[name] is None)[:1]:
        click.echo(typed(f"\nnext: slipway score {name} --data {samples[name] or 'FILE'}"), err=True)


@click.command()
@stack_option
def down(stack: str) -> None:
    """Stop everything that `up` started. Keys stay."""
    from slipway.local.up import down as local_down

    _, state = find_project(stack)
    ran = False
    if state.root.is_dir():
        with state.lock("slipway down"), progress() as say:
            ran = local_down(state, say)
    click.echo("stopped" if ran else "nothing was running", err=True)


@click.command()
@stack_option
def status(stack: str) -> None:
    """Show how each web service is doing. Exits with 1 where nothing runs."""
    from slipway.kube.health import health
    from slipway.local.objects import owner

    _, state = find_project(stack)
    supervisor = _supervisor(state, stack)
    pods = state.objects.list("Pod")
    routed = running.routed(state) or {}
    rows: list[Sequence[object]] = [("service", "state", "ready", "queued", "restarts", "uri")]
    for obj in sorted(state.objects.list("Deployment"), key=running.is_router):
        namespace, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
        one = health(obj, [pod for pod in pods if owner(pod) == (namespace, name)])
        ready = f"{one.ready}/{one.wanted}"
        restarts = f"{one.restarts} ({one.last_end})" if one.last_end else one.restarts
        if running.is_router(obj):
            rows.append(("(router)", one.state, ready, "", restarts, running.url(state)))
        else:
            queued = routed.get(name, {}).get("queued", "-")
            rows.append((name, one.state, ready, queued, restarts, running.scoring_uri(state, name)))
    click.echo(table(rows), nl=False)
    click.echo(f"supervisor: running, process {supervisor}", err=True)
    if bad := [str(row[0]).strip("()") for row in rows[1:] if row[1] != "Healthy"]:
        hints = ", ".join(f"slipway logs {name}" for name in bad)
        click.echo(typed(f"\nhint: {hints}"), err=True)


@click.command()
@click.argument("name")
@click.option("--data", "file", type=click.File("rb"), required=True, help="A file with the request, or -.")
@click.option("--content-type", default="application/json", show_default=True)
@stack_option
def score(name: str, file: IO[bytes], content_type: str, stack: str) -> None:
    """Send a request to web service NAME and print its answer."""
    import httpx

    _, state = find_project(stack)
    _supervisor(state, stack)
    serving = running.serving(running.webservice(state, name))
    headers = {"Content-Type": content_type}
    if serving.get("auth_enabled", True):
        headers["Authorization"] = f"Bearer {running.keys(running.key_secret(state, name))['primary']}"
    seconds = (
        serving.get("scoring_timeout_ms", 60_000) + serving.get("max_request_wait_time", 500)
    ) / 1000 + 30
    try:
        with httpx.Client(trust_env=False, timeout=seconds) as client:  # no proxy leads to this machine
            answer = client.post(running.scoring_uri(state, name), content=file.read(), headers=headers)
    except httpx.HTTPError as error:
        message = f"the router did not answer: {error or type(error).__name__}"
        raise LocalError(message, "slipway status") from None
    if not answer.is_success:
        code = answer.status_code
        raise LocalError(_refusal(code, answer.text), _refusal_hint(code, name))
    click.echo(answer.content, nl=not answer.content.endswith(b"\n"))


@click.command()
@click.argument("name")
@click.option("--regen", type=click.Choice(["primary", "secondary"]), help="Make this key anew.")
@stack_option
def keys(name: str, regen: str | None, stack: str) -> None:
    """Show the keys of web service NAME."""
    _, state = find_project(stack)
    running.webservice(state, name)
    secret = running.key_secret(state, name)
    if regen:
        alphabet = string.ascii_letters + string.digits
        new = {regen: "".join(secrets.choice(alphabet) for _ in range(KEY_LENGTH))}
        metadata = secret["metadata"]
        state.objects.update(
            "Secret", metadata["namespace"], metadata["name"], lambda obj: {**obj, "stringData": new}
        )
        routed = state.supervisor() is not None and running.url(state) != "-"
        if routed and not _key_taken(state, name, new[regen]):
            click.echo(f"the router has not taken the new key within {KEY_SECONDS:g} s", err=True)
            click.echo(typed("\nhint: slipway logs router"), err=True)
    click.echo(table(list(running.keys(running.key_secret(state, name)).items())), nl=False)


@click.command()
@click.argument("name")
@click.option("--follow", "-f", is_flag=True, help="Go on as more is written.")
@stack_option
def logs(name: str, follow: bool, stack: str) -> None:
    """Print what the processes of NAME, a web service or `router`, have written."""
    from slipway.local.logs import Place, last_lines, read_on

    _, state = find_project(stack)
    metadata = running.deployment(state, name)["metadata"]
    folder = state.logs / metadata["namespace"] / metadata["name"]
    places: dict[Path, Place] = {}
    last: Path | None = None
    while True:
        paths = sorted(folder.glob("*.log"), key=_changed)
        for path in paths:
            with contextlib.suppress(FileNotFoundError):  # an old one may be removed at any time
                place = places.get(path)
                data, places[path] = read_on(path, place) if place else last_lines(path, LINES)
                if data and path != last and len(paths) > 1:
                    click.echo(f"==> {path.stem}", err=True)
                last = path if data else last
                click.echo(data, nl=False)
        if not follow:
            break
        time.sleep(0.2)


def _supervisor(state: State, stack: str) -> int:
    supervisor = state.supervisor()
    if supervisor is None:
        raise LocalError(f"nothing runs on stack `{stack}`", "slipway up")
    return supervisor.pid


def _wait_routable(state: State, say: Callable[[str], None]) -> None:
    """Wait until the router has every replica in its rotation."""
    say("waiting for the router to reach every replica")
    deadline = time.monotonic() + ROUTABLE_SECONDS
    while missing := running.unroutable(state):
        if time.monotonic() > deadline:
            raise LocalError(f"the router does not reach {', '.join(missing)}", "slipway logs router")
        time.sleep(0.05)


def _key_taken(state: State, name: str, key: str) -> bool:
    """Wait until the router knows the key; tell whether it does."""
    deadline = time.monotonic() + KEY_SECONDS
    while not running.takes_key(state, name, key):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _sample(project: Path, name: str, resolved: Resolved) -> str | None:
    """Name the service's sample request if its source has one."""
    for reference, recipe in resolved.recipes.items():
        path = project / recipe.source_directory / "sample-request.json"
        if f"/{name}:" in reference and path.is_file():
            return os.path.relpath(path)
    return None


def _refusal(code: int, body: str) -> str:
    """Say why a request was refused; what is no refusal of the router's is shown as it is."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        refusal = json.loads(body)
        return f"{code} {refusal['reason']}: {refusal['message']}"
    return f"{code} {body}".rstrip()


def _refusal_hint(code: int, name: str) -> str:
    return {401: f"slipway keys {name}", 404: "slipway status", 502: f"slipway logs {name}"}.get(code, "")


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0
