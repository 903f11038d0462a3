"""Where a stack runs: on this machine, or in the cluster that its file names, never in one by accident."""

# ruff: noqa: PLC0415 - imports inside functions keep `slipway --help` and completion quick

from __future__ import annotations

import asyncio
import functools
import shlex
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from slipway.cli.common import find_project, remember, run_engine, stack_option
from slipway.local.state import LocalError

if TYPE_CHECKING:
    from slipway.kube.client import Client, ClusterError
    from slipway.running.backend import Backend
    from slipway.running.cluster import Place
    from slipway.settings import Settings

T = TypeVar("T")
RIGHTS = (
    "ask who runs the cluster for that right; on AKS it is in Azure Kubernetes Service RBAC Reader or Writer"
)


@dataclass(frozen=True)
class Where:
    """A stack, and options that name its cluster: what its file says gives way to them."""

    stack: str
    kubeconfig: str | None = None
    context: str | None = None

    @property
    def given(self) -> bool:
        """Tell whether an option names a cluster."""
        return self.kubeconfig is not None or self.context is not None


def place_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say where, and give them to a command as `where`."""
    file = click.Path(exists=True, dir_okay=False)
    why = "Of the cluster, where the stack's own way does not do."

    @stack_option
    @click.option("--kubeconfig", type=file, callback=remember, help=why)
    @click.option(
        "--context", callback=remember, help="In the kubeconfig; else the stack's, or the only one."
    )
    @functools.wraps(command)
    def wrapped(stack: str, kubeconfig: str | None, context: str | None, **others: object) -> None:
        command(where=Where(stack, kubeconfig, context), **others)

    return wrapped


def run_on(where: Where, work: Callable[[Backend], Awaitable[T]]) -> T:
    """Find where a stack runs, and work there. Raises LocalError, Problems."""
    from slipway.running.local import Local

    project, state = find_project(where.stack)
    if not where.given and state.supervisor() is not None:
        return asyncio.run(_with(work, Local(state)))
    from slipway.kube.client import ClusterError
    from slipway.running.cluster import Cluster

    settings, config = _settings(project, where.stack)
    try:
        client, place = _connected(project, settings, config, where)
    except ClusterError as error:
        if where.given or settings.azure is not None:
            raise _explained(error, settings) from None
        return asyncio.run(_with(work, Local(state, elsewhere=str(error))))

    async def there() -> T:
        async with client:
            return await work(Cluster(client, place))

    try:
        return asyncio.run(there())
    except ClusterError as error:
        raise _explained(error, settings) from None


async def _with(work: Callable[[Backend], Awaitable[T]], backend: Backend) -> T:
    return await work(backend)


def _settings(project: Path, stack: str) -> tuple[Settings, Mapping[str, str]]:
    from slipway.engine.project import load
    from slipway.settings import parse

    found = run_engine(lambda: load(project, stack))
    return parse(found.config, found.encrypted), found.config


def _connected(
    project: Path, settings: Settings, config: Mapping[str, str], where: Where
) -> tuple[Client, Place]:
    """Prepare to ask the cluster that the options name, or the stack file, or Azure.

    Raises ClusterError where the kubeconfig has no such context, LocalError where Azure does not let us in.
    """
    from slipway import aks
    from slipway.kube.client import connect, connect_with, only_context
    from slipway.running.cluster import Place
    from slipway.settings.derived import router_url
    from slipway.settings.kinds import name_of
    from slipway.spec import ROUTER_NAMESPACE

    namespaces = {ROUTER_NAMESPACE, *(spec.namespace for spec in settings.webservices)}
    url, kubernetes, azure = router_url(settings), settings.kubernetes, settings.azure
    if azure is not None and not where.given:
        id_ = aks.cluster_id(azure, config)
        client, name = connect_with(aks.kubeconfig(azure, id_)), name_of(id_)
        return client, Place(name, namespaces, f"kubectl --context {name}", url, aks.get_credentials(id_))
    kubeconfig, context = where.kubeconfig, where.context
    if kubernetes is not None:
        context = context or kubernetes.context
        if kubeconfig is None and kubernetes.kubeconfig is not None:
            kubeconfig = str(project / Path(kubernetes.kubeconfig).expanduser())
    context = context or only_context(kubeconfig)
    words = ["kubectl", *(["--kubeconfig", kubeconfig] if kubeconfig else []), "--context", context]
    return connect(kubeconfig, context), Place(context, namespaces, shlex.join(words), url)


def _explained(error: ClusterError, settings: Settings) -> LocalError:
    """Say what to do about what a cluster refused."""
    private = settings.azure is not None and settings.azure.private
    match error.status:
        case HTTPStatus.FORBIDDEN:
            hint = RIGHTS
        case HTTPStatus.UNAUTHORIZED:
            hint = "log in anew (on AKS: az login), then try again"
        case None if private:
            hint = "its API server is private: run this inside its network"
        case None:
            hint = (
                "see that the cluster runs and is reached from here, or name another: --kubeconfig, --context"
            )
        case _:
            hint = ""
    return LocalError(str(error), hint)
