"""The commands that show the stack's graph and make nothing."""

# ruff: noqa: PLC0415 - imports inside functions keep `slipway --help` and completion quick

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from slipway.cli.common import find_project, run_engine, stack_option
from slipway.local.state import LocalError

if TYPE_CHECKING:
    from slipway.engine import Value


@click.command()
@click.option("--save", is_flag=True, help="Keep the plan as a snapshot beside the stack file, for git.")
@click.option(
    "--diff",
    "ref",
    is_flag=False,
    flag_value="",
    metavar="[REF]",
    help="Show what changes since the snapshot, or since that of a git ref.",
)
@click.option(
    "--format", "form", type=click.Choice(["tree", "json", "mermaid"]), default="tree", show_default=True
)
@stack_option
def plan(save: bool, ref: str | None, form: str, stack: str) -> None:
    """Show the stack's resource graph and check it. Makes nothing and asks nobody.

    Exit code 1 for a mistake, and for a change that would replace or delete what is protected.
    """
    from slipway import plan as plans
    from slipway.engine import check
    from slipway.problems import Problems

    if ref is not None and form == "mermaid":
        raise click.UsageError("--diff has no picture; use --format tree or json")
    project, _ = find_project(stack)
    graph, mistakes = run_engine(lambda: check(project, stack))
    problems = [*mistakes, *plans.mistakes_of_objects(graph)]
    found, path = plans.snapshot(graph), run_engine(lambda: plans.path_of(project, stack))
    if ref is None:
        shown = {"tree": plans.tree, "json": plans.to_json, "mermaid": plans.mermaid}[form](graph)
    else:
        old = run_engine(lambda: plans.load(path, ref))
        changes = plans.diff(old, found, {one.urn: one.aliases for one in graph.registrations})
        problems += changes.refused
        since = f"{path.name} of {ref}" if ref else path.name
        shown = {"tree": plans.changes_text, "json": plans.changes_to_json}[form](changes, since)
    click.echo(shown if isinstance(shown, str) else json.dumps(shown, indent=2) + "\n", nl=False)
    if problems:
        raise Problems(problems)
    if save:
        plans.save(found, path)
        click.echo(f"saved {path.relative_to(project)}", err=True)


@click.command()
@click.option("--secrets", "file", type=click.Path(dir_okay=False, path_type=Path), help="Where Secrets go.")
@click.option(
    "--outputs",
    "told",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What `pulumi stack output --json` printed, for values that exist on Azure only.",
)
@stack_option
def render(file: Path | None, told: Path | None, stack: str) -> None:
    """Print the stack's Kubernetes objects as YAML; Secrets only into a file of their own (0600).

    Keys that the stack file does not hold are made anew each time.
    """
    from slipway.kube.render import render as render_objects
    from slipway.kube.render import render_secrets
    from slipway.kube.resolve import resolve

    project, _ = find_project(stack)
    outputs = None if told is None else _outputs(told)
    resolved = run_engine(lambda: resolve(project, stack, secrets=file is not None, outputs=outputs))
    if file is not None:
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise LocalError(f"{file} cannot be written: {error.strerror}") from None
        with os.fdopen(handle, "w", encoding="utf-8") as output:
            os.fchmod(handle, 0o600)  # it may have been there
            output.write(render_secrets(resolved.objects))
    click.echo(render_objects(resolved.objects), nl=False)


def _outputs(file: Path) -> dict[str, Value]:
    """Read what Pulumi printed. Raises LocalError."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LocalError(f"{file}: {error}", "pulumi stack output --json > FILE") from None
    if not isinstance(found, dict):
        raise LocalError(f"{file} holds no outputs by name", "pulumi stack output --json > FILE")
    return cast("dict[str, Value]", found)
