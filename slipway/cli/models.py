"""The commands for registered models, and what `slipway up` fetches of them."""

# ruff: noqa: PLC0415 - imports inside functions keep `slipway --help` and completion quick

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Generator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from slipway.cli.common import find_project, progress, run_engine, stack_option, table
from slipway.kube.folder import Object
from slipway.local.state import LocalError, State
from slipway.model import REGISTERED, model_of
from slipway.storage.names import BLOB_ENDPOINT, CONNECTION_STRING, FETCH

if TYPE_CHECKING:
    from slipway.storage.blob import Container


@click.group()
def models() -> None:
    """Register models in the stack's storage, list them, get them back."""


@models.command()
@click.argument("name")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@stack_option
def register(name: str, path: Path, stack: str) -> None:
    """Store the file or folder PATH as the next version of NAME, and print what a stack file calls it."""
    from slipway.images.files import model_files
    from slipway.storage.models import register as store

    project, _ = find_project(stack)
    with _container(project, stack) as container, progress() as say:
        manifest = store(container, name, path, model_files(path), say)
    click.echo(manifest)


@models.command("list")
@stack_option
def list_(stack: str) -> None:
    """List every version of every model."""
    from slipway.storage.models import listed, megabytes

    project, _ = find_project(stack)
    with _container(project, stack) as container:
        rows = [(str(one), len(one.files), megabytes(one.size), one.created) for one in listed(container)]
    click.echo(table([("model", "files", "MB", "registered"), *rows]), nl=False)


@models.command()
@click.argument("model")
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), default=".", help="A folder.")
@stack_option
def download(model: str, output: Path, stack: str) -> None:
    """Get MODEL, NAME:VERSION or NAME for its newest version, into a folder."""
    from slipway.storage.models import get

    name, _, version = model.removeprefix(REGISTERED).partition(":")
    if version and not version.isdigit():
        raise LocalError(f"`{version}` is no version", "slipway models list")
    project, _ = find_project(stack)
    with _container(project, stack) as container, progress() as say:
        manifest = get(container, name, int(version) if version else None, output, say)
    click.echo(f"{manifest} is in {output}", err=True)


def fetch(objects: Collection[Object], project: Path, state: State, say: Callable[[str], None]) -> None:
    """Fetch what a stack's init containers will ask for to where they find it on this machine."""
    from slipway.storage.models import download as bring

    wanted = {
        model_of(text)
        for obj in objects
        if obj["kind"] == "Deployment"
        for container in obj["spec"]["template"]["spec"].get("initContainers") or ()
        if tuple(container.get("command") or ()) == FETCH
        for text in container["args"]
    }
    whole = {model: state.models / f"{model.place}.whole" for model in wanted}
    new = sorted((model for model in wanted if not whole[model].exists()), key=str)
    if new:
        with _container(project, state.root.name) as container:
            say(f"fetching {', '.join(map(str, new[:3]))}{' ...' if len(new) > 3 else ''}")
            bring(container, new, state.models, say)
    for mark in whole.values():
        mark.touch()  # also where it is there: it is used


@contextlib.contextmanager
def _container(project: Path, stack: str) -> Generator[Container]:
    """Reach the container of a stack's models. Raises LocalError for what the storage refuses."""
    from slipway.engine.project import load
    from slipway.hosts.clouds import suffixes
    from slipway.settings import parse
    from slipway.settings.derived import blob_endpoint
    from slipway.storage.blob import Account, SignedOut, StorageError, account_of, connect
    from slipway.storage.models import CONTAINER

    found = run_engine(lambda: load(project, stack))
    azure = parse(found.config, found.encrypted).azure
    account = account_of(os.environ) if azure is None else Account(blob_endpoint(azure))
    if account is None:
        raise LocalError(
            f"stack `{stack}` has no storage: it is not on Azure, and neither {CONNECTION_STRING} nor "
            f"{BLOB_ENDPOINT} is set",
            "set one of them, or name a stack on Azure with -s",
        )
    try:
        container = connect(account, CONTAINER, suffixes(azure.cloud).login if azure is not None else None)
        if azure is None:  # on Azure it is made with the account
            container.create()
        yield container
    except StorageError as error:
        hint = "az login" if isinstance(error, SignedOut) else error.hint
        raise LocalError(str(error), hint) from None
