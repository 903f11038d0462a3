"""The commands: each finds the project, calls what does the work and prints what came of it.

Data goes to stdout, everything else to stderr. An error is one line for each mistake, and a `hint:` with
what to do next. Exit codes: 0 done, 1 not done, 2 a command that is written wrongly.
"""

# ruff: noqa: PLC0415 - imports inside functions keep `slipway --help` and completion quick

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from slipway.cli import azure, calls, graph, local, models, needs, replay, running
from slipway.cli.common import typed
from slipway.local.state import LocalError


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
                click.echo(f"\nhint: {typed(hint)}", err=True)
            ctx.exit(1)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="slipway-aks")
def main() -> None:
    """Deploy machine-learning models to Kubernetes; try the same on this machine."""


for command in (
    azure.kube_token,
    *(graph.plan, graph.render),
    *(needs.hosts, needs.size),
    models.models,
    replay.replay,
    *(local.up, local.down),
    *(running.status, running.wait, running.logs, calls.score, calls.keys, calls.token),
):
    main.add_command(command)


def _explained(error: Exception) -> tuple[Sequence[str], str]:
    from slipway.problems import Problems

    if isinstance(error, Problems):
        return error.lines, ""
    return ([str(error)], error.hint) if isinstance(error, LocalError) else ([], "")
