"""The commands: each finds the project, calls what does the work and prints what came of it.

Data goes to stdout, everything else to stderr. An error is one line for each mistake, and a `hint:` with
what to do next. Exit codes: 0 done, 1 not done, 2 a command that is written wrongly.
"""

# ruff: noqa: PLC0415 - imports inside functions keep `slipway --help` and completion quick

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shlex
import shutil
import string
import sys
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from slipway import running
from slipway.local.state import LocalError, State
from slipway.spec import KEY_LENGTH

if TYPE_CHECKING:
    from slipway.kube.resolve import Resolved

T = TypeVar("T")
ROUTABLE_SECONDS = 30.0  # for the router to know replicas that are ready
KEY_SECONDS = 5.0  # for the router to take a new key
LINES = 5000  # of a log, as v1's get_logs
STACK = f"{__name__}.stack"


class Commands(click.Group):
    """Turns what a person can act on into lines on stderr and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except click.ClickException:
            raise
        except Exception as error:
            lines, hint = _explained(error)
            if not lines:
                raise
            for line in lines:
                click.echo(f"error: {line}", err=True)
            if hint:
                click.echo(f"\nhint: {_typed(hint, ctx.meta.get(STACK, ''))}", err=True)
            ctx.exit(1)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="slipway-aks")
def main() -> None:
    """Deploy machine-learning models to Kubernetes; try the same on this machine."""


def _remember(ctx: click.Context, _: click.Parameter, stack: str) -> str:
    ctx.meta[STACK] = stack  # for hints: all contexts of a command line share `meta`
    return stack


stack_option = click.option(
    "-s", "--stack", default="local", show_default=True, callback=_remember, help="Which stack file."
)


@main.command()
@stack_option
def up(stack: str) -> None:
    """Run the stack's router and web services as processes of this machine."""
    from slipway.local.realise import prune, realise
    from slipway.local.up import PortsBusy, verify
    from slipway.local.up import up as local_up

    project, state = _project(stack)
    with state.lock("slipway up"), _progress() as say:
        say("running the program")
        resolved = _resolve(project, stack)
        objects = [running.scaled(obj, state) for obj in resolved.objects]
        try:
            verify(state, objects, resolved.recipes)
        except PortsBusy as busy:
            busy.hint = f"stop what uses it, or set `slipway:router: {{port: ...}}` in Pulumi.{stack}.yaml"
            raise
        prune(state)
        images = {ref: realise(ref, recipe, project, state, say) for ref, recipe in resolved.recipes.items()}
        local_up(state, objects, images, say=say)
        _wait_routable(state, say)
    names = list(running.services(state))
    click.echo(_table([(name, running.scoring_uri(state, name)) for name in names]), nl=False)
    for name in names[:1]:
        data = _sample(project, name, resolved)
        click.echo(_typed(f"\nnext: slipway score {name} --data {data}", stack), err=True)


@main.command()
@stack_option
def down(stack: str) -> None:
    """Stop everything that `up` started. Keys stay."""
    from slipway.local.up import down as local_down

    _, state = _project(stack)
    with state.lock("slipway down"), _progress() as say:
        ran = local_down(state, say)
    click.echo("stopped" if ran else "nothing was running", err=True)


@main.command()
@stack_option
def status(stack: str) -> None:
    """Show how each web service is doing. Exits with 1 where nothing runs."""
    from slipway.local.health import health
    from slipway.local.objects import owner

    _, state = _project(stack)
    supervisor = _supervisor(state, stack)
    pods = state.objects.list("Pod")
    routed = running.routed(state) or {}
    rows: list[Sequence[object]] = [("service", "state", "ready", "queued", "restarts", "uri")]
    for obj in sorted(state.objects.list("Deployment"), key=running.is_router):
        namespace, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
        one = health(obj, [pod for pod in pods if owner(pod) == (namespace, name)])
        ready = f"{one.ready}/{one.wanted}"
        if running.is_router(obj):
            rows.append(("(router)", one.state, ready, "", one.restarts, running.url(state)))
        else:
            queued = routed.get(name, {}).get("queued", "-")
            rows.append((name, one.state, ready, queued, one.restarts, running.scoring_uri(state, name)))
    click.echo(_table(rows), nl=False)
    click.echo(f"supervisor: running, process {supervisor}", err=True)
    if bad := [str(row[0]).strip("()") for row in rows[1:] if row[1] != "Healthy"]:
        hints = ", ".join(f"slipway logs {name}" for name in bad)
        click.echo(_typed(f"\nhint: {hints}", stack), err=True)


@main.command()
@click.argument("name")
@click.option("--data", "file", type=click.File("rb"), required=True, help="A file with the request, or -.")
@click.option("--content-type", default="application/json", show_default=True)
@stack_option
def score(name: str, file: IO[bytes], content_type: str, stack: str) -> None:
    """Send a request to web service NAME and print its answer."""
    import httpx

    _, state = _project(stack)
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


@main.command()
@click.argument("name")
@click.option("--regen", type=click.Choice(["primary", "secondary"]), help="Make this key anew.")
@stack_option
def keys(name: str, regen: str | None, stack: str) -> None:
    """Show the keys of web service NAME."""
    _, state = _project(stack)
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
            click.echo(_typed("\nhint: slipway logs router", stack), err=True)
    click.echo(_table(list(running.keys(running.key_secret(state, name)).items())), nl=False)


@main.command()
@click.argument("name")
@click.option("--follow", "-f", is_flag=True, help="Go on as more is written.")
@stack_option
def logs(name: str, follow: bool, stack: str) -> None:
    """Print what the processes of NAME, a web service or `router`, have written."""
    from slipway.local.logs import Place, last_lines, read_on

    _, state = _project(stack)
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


@main.command()
@click.option("--json", "as_json", is_flag=True, help="The whole graph for programs.")
@stack_option
def plan(as_json: bool, stack: str) -> None:
    """Show the stack's resource graph. Makes nothing and asks nobody."""
    from slipway.engine import run
    from slipway.plan import to_json, tree

    project, _ = _project(stack)
    graph = _engine(lambda: run(project, stack))
    click.echo(json.dumps(to_json(graph), indent=2) if as_json else tree(graph), nl=as_json)


@main.command()
@click.option("--secrets", "file", type=click.Path(dir_okay=False, path_type=Path), help="Where Secrets go.")
@stack_option
def render(file: Path | None, stack: str) -> None:
    """Print the stack's Kubernetes objects as YAML; Secrets only into a file of their own (0600).

    Keys that the stack file does not hold are made anew each time.
    """
    from slipway.kube.render import render as render_objects
    from slipway.kube.render import render_secrets

    resolved = _resolve(_project(stack)[0], stack, secrets_too=file is not None)
    if file is not None:
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise LocalError(f"{file} cannot be written: {error.strerror}") from None
        with os.fdopen(handle, "w", encoding="utf-8") as output:
            os.fchmod(handle, 0o600)  # it may have been there
            output.write(render_secrets(resolved.objects))
    click.echo(render_objects(resolved.objects), nl=False)


def _explained(error: Exception) -> tuple[Sequence[str], str]:
    from slipway.problems import Problems

    if isinstance(error, Problems):
        return error.lines, ""
    return ([str(error)], error.hint) if isinstance(error, LocalError) else ([], "")


def _project(stack: str) -> tuple[Path, State]:
    """Find the project from the working directory upwards, and the stack's local state."""
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", stack):
        raise LocalError(f"`{stack}` is no name of a stack")
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "Pulumi.yaml").is_file():
            return folder, State(folder / ".slipway" / stack)
    raise LocalError(f"no Pulumi.yaml in {here} or above", "run it in a Slipway project")


def _engine(work: Callable[[], T]) -> T:
    """Run what runs the program; its failures are for people."""
    from slipway.engine import EngineError, ProjectError

    try:
        return work()
    except (EngineError, ProjectError) as error:
        raise LocalError(str(error)) from None


def _resolve(project: Path, stack: str, *, secrets_too: bool = True) -> Resolved:
    from slipway.kube.resolve import resolve

    return _engine(lambda: resolve(project, stack, secrets=secrets_too))


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


def _sample(project: Path, name: str, resolved: Resolved) -> str:
    """Name the service's sample request if its source has one."""
    for reference, recipe in resolved.recipes.items():
        path = project / recipe.source_directory / "sample-request.json"
        if f"/{name}:" in reference and path.is_file():
            return os.path.relpath(path)
    return "FILE"


def _refusal(code: int, body: str) -> str:
    """Say why a request was refused; what is no refusal of the router's is shown as it is."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        refusal = json.loads(body)
        return f"{code} {refusal['reason']}: {refusal['message']}"
    return f"{code} {body}".rstrip()


def _refusal_hint(code: int, name: str) -> str:
    return {401: f"slipway keys {name}", 404: "slipway status", 502: f"slipway logs {name}"}.get(code, "")


def _typed(text: str, stack: str) -> str:
    """Write the commands in a text as this person types them: how the program is called, which stack."""
    called = sys.argv[0]
    found = shutil.which("slipway")
    if Path(called).name != "slipway" or (found is not None and Path(found).samefile(called)):
        called = "slipway"
    option = "" if stack in ("", "local") else f" -s {stack}"
    commands = "|".join(main.commands)
    return re.sub(rf"\bslipway ({commands})\b", lambda m: f"{shlex.quote(called)} {m[1]}{option}", text)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0


def _table(rows: Sequence[Sequence[object]]) -> str:
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]))] if rows else []
    lines = (
        "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    )
    return "".join(f"{line.rstrip()}\n" for line in lines)


@contextlib.contextmanager
def _progress() -> Generator[Callable[[str], None]]:
    """Show what is being done, on stderr: a moving line on a terminal, plain lines elsewhere."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with console.status("") if console.is_terminal else contextlib.nullcontext() as status:

        def say(text: str) -> None:
            console.print(text, markup=False)
            if status is not None:
                status.update(escape(text))

        yield say
