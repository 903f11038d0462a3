"""The commands that run a stack on this machine, and stop it."""

# ruff: noqa: PLC0415 - imports inside functions keep `slipway --help` and completion quick

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from slipway.cli.common import find_project, progress, run_engine, stack_option, table, typed
from slipway.cli.models import fetch

if TYPE_CHECKING:
    from slipway.kube.resolve import Resolved
    from slipway.kube.rollout import Rollout
    from slipway.running.backend import Backend


@click.command()
@stack_option
def up(stack: str) -> None:
    """Run the stack's router and web services as processes of this machine."""
    from slipway.kube.read import is_router
    from slipway.kube.resolve import resolve
    from slipway.local.realise import prune, prune_unused, realise
    from slipway.local.up import PortsBusy, verify
    from slipway.local.up import up as local_up
    from slipway.running.backend import endpoint, scoring_uri
    from slipway.running.local import Local, scaled

    project, state = find_project(stack)
    with state.lock("slipway up"), progress() as say:
        say("running the program")
        resolved = run_engine(lambda: resolve(project, stack, local=True))
        objects = [scaled(obj, state) for obj in resolved.objects]
        try:
            verify(state, objects, resolved.recipes)
        except PortsBusy as busy:
            busy.hint = f"stop what uses it, or set `slipway:router: {{port: ...}}` in Pulumi.{stack}.yaml"
            raise
        fetch(objects, project, state, say)
        prune(state)
        images = {ref: realise(ref, recipe, project, state, say) for ref, recipe in resolved.recipes.items()}
        local_up(state, objects, images, say=say)
        say("waiting for the router to reach every replica")
        look, url = asyncio.run(_routable(Local(state), say))
        prune_unused(state)
    deployments = {one.name: endpoint(one.deployment) for one in look if not is_router(one.deployment)}
    names = sorted(set(deployments.values()))
    click.echo(table([(name, scoring_uri(url, name)) for name in names]), nl=False)
    samples = {endpoint: _sample(project, name, resolved) for name, endpoint in deployments.items()}
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


async def _routable(backend: Backend, say: Callable[[str], None]) -> tuple[Sequence[Rollout], str | None]:
    """Wait until the router has every replica in its rotation; give the rollouts, and its address."""
    from slipway.running.follow import follow

    return await follow(backend, (), say), await backend.url()


def _sample(project: Path, name: str, resolved: Resolved) -> str | None:
    """Name the service's sample request if its source has one."""
    for reference, recipe in resolved.recipes.items():
        path = project / recipe.source_directory / "sample-request.json"
        if f"/{name}:" in reference and path.is_file():
            return os.path.relpath(path)
    return None
