"""What the commands share: the project and its stack, progress, tables, and commands as they are typed."""

# ruff: noqa: PLC0415 - imports inside functions keep `slipway --help` and completion quick

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TypeVar

import click

from slipway.local.state import LocalError, State

T = TypeVar("T")
OPTIONS = f"{__name__}.options"
STACK = "local"
"""The stack where none is named."""


def remember(ctx: click.Context, option: click.Parameter, value: T) -> T:
    """Keep an option that hints repeat, so that they lead to the same stack and cluster."""
    given: dict[str, str] = ctx.meta.setdefault(OPTIONS, {})  # all contexts of a command line share `meta`
    if value != option.default and value is not None:
        given[option.opts[0]] = str(value)
    return value


stack_option = click.option(
    "-s", "--stack", default=STACK, show_default=True, callback=remember, help="Which stack file."
)


def find_project(stack: str) -> tuple[Path, State]:
    """Find the project from the working directory upwards, and the stack's local state.

    Raises LocalError that names the nearest stack if there is none of this name.
    """
    from slipway.engine.project import stack_file

    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", stack):
        raise LocalError(f"`{stack}` is no name of a stack")
    here = Path.cwd()
    folder = next((one for one in (here, *here.parents) if (one / "Pulumi.yaml").is_file()), None)
    if folder is None:
        raise LocalError(f"no Pulumi.yaml in {here} or above", "run it in a Slipway project")
    state = State(folder / ".slipway" / stack)
    if not state.root.is_dir():  # what runs can be looked at and stopped without its file
        run_engine(lambda: stack_file(folder, stack))
    return folder, state


def run_engine(work: Callable[[], T]) -> T:
    """Run what runs the program; its failures are for people."""
    from slipway.engine import EngineError, ProjectError

    try:
        return work()
    except (EngineError, ProjectError) as error:
        raise LocalError(str(error)) from None


def typed(text: str) -> str:
    """Write the commands in a text as this person types them: how the program is called, which stack."""
    context = click.get_current_context().find_root()
    group, options = context.command, context.meta.get(OPTIONS, {})
    called = sys.argv[0]
    found = shutil.which("slipway")
    if Path(called).name != "slipway" or (found is not None and Path(found).samefile(called)):
        called = "slipway"
    option = "".join(f" {shlex.join(given)}" for given in sorted(options.items(), reverse=True))
    commands = "|".join(_names(group))
    text = re.sub(r"\bpulumi up\b", f"pulumi up -s {options.get('-s', STACK)}", text)
    return re.sub(rf"\bslipway ({commands})\b", lambda m: f"{shlex.quote(called)} {m[1]}{option}", text)


def _names(command: click.Command) -> list[str]:
    """Give the names below a command as they are typed; `models list` is one."""
    if not isinstance(command, click.Group):
        return []
    return [
        f"{name} {below}".rstrip() for name, one in command.commands.items() for below in _names(one) or [""]
    ]


def table(rows: Sequence[Sequence[object]]) -> str:
    """Align the columns of rows."""
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]))] if rows else []
    lines = (
        "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    )
    return "".join(f"{line.rstrip()}\n" for line in lines)


@contextlib.contextmanager
def progress() -> Generator[Callable[[str], None]]:
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
