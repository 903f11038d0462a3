"""The commands that show the stack's graph and make nothing."""

# ruff: noqa: PLC0415 - imports inside functions keep `slipway --help` and completion quick

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from slipway.cli.common import find_project, resolve, run_engine, stack_option
from slipway.local.state import LocalError


@click.command()
@click.option("--json", "as_json", is_flag=True, help="The whole graph for programs.")
@stack_option
def plan(as_json: bool, stack: str) -> None:
    """Show the stack's resource graph. Makes nothing and asks nobody."""
    from slipway.engine import run
    from slipway.plan import to_json, tree

    project, _ = find_project(stack)
    registered = run_engine(lambda: run(project, stack))
    click.echo(json.dumps(to_json(registered), indent=2) if as_json else tree(registered), nl=as_json)


@click.command()
@click.option("--secrets", "file", type=click.Path(dir_okay=False, path_type=Path), help="Where Secrets go.")
@stack_option
def render(file: Path | None, stack: str) -> None:
    """Print the stack's Kubernetes objects as YAML; Secrets only into a file of their own (0600).

    Keys that the stack file does not hold are made anew each time.
    """
    from slipway.kube.render import render as render_objects
    from slipway.kube.render import render_secrets

    resolved = resolve(find_project(stack)[0], stack, secrets_too=file is not None)
    if file is not None:
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise LocalError(f"{file} cannot be written: {error.strerror}") from None
        with os.fdopen(handle, "w", encoding="utf-8") as output:
            os.fchmod(handle, 0o600)  # it may have been there
            output.write(render_secrets(resolved.objects))
    click.echo(render_objects(resolved.objects), nl=False)
