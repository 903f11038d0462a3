"""The commands that say what a stack on Azure needs, from its stack file alone: hosts, nodes, addresses."""

# ruff: noqa: PLC0415 - imports inside functions keep `slipway --help` and completion quick

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from slipway.cli.common import find_project, run_engine, stack_option
from slipway.local.state import LocalError

if TYPE_CHECKING:
    from slipway.hosts import Format
    from slipway.settings import Azure, Settings

FORMATS = ("table", "json", "csv", "azurefirewall", "proxy", "dns")


@click.command()
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@stack_option
def hosts(form: str, stack: str) -> None:
    """List the hosts that the stack must reach, and from where it must be reached: rule, reason, source."""
    from slipway.hosts import written
    from slipway.settings.needs import fqdn_tag, needs

    settings, azure = _settings(stack)
    found = written(needs(settings, azure), cast("Format", form), fqdn_tag=fqdn_tag(azure))
    click.echo(found, nl=False)


@click.command()
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@stack_option
def size(form: str, stack: str) -> None:
    """Show the stack's arithmetic: nodes, pods, addresses; what fits, what runs out first, at what load."""
    from slipway.settings.capacity import sizes
    from slipway.sizing.report import as_json, table

    click.echo({"table": table, "json": as_json}[form](sizes(*_settings(stack))))


def _settings(stack: str) -> tuple[Settings, Azure]:
    """Read the settings of a stack on Azure, what is encrypted apart. Raises `Problems`, LocalError."""
    from slipway.engine.project import load
    from slipway.settings import parse

    project, _ = find_project(stack)
    found = run_engine(lambda: load(project, stack))
    settings = parse(found.config, found.encrypted)
    if settings.azure is None:
        raise LocalError(f"stack `{stack}` has no slipway:azure: its cluster and network are not Slipway's")
    return settings, settings.azure
