"""`python -m slipway.router`: the router as a process, configured by its environment.

SIGTERM lets every request that was taken finish; a second one ends the process at once. Exit status 1: it
could not start, and why is on stderr.
"""

import signal
import sys

if __name__ == "__main__":
    # The first process of a container hears nothing that it has no handler for, and the rest loads slowly.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit())

import asyncio
import contextlib
import dataclasses
import functools
import logging
import os
import resource
import socket
from collections.abc import AsyncGenerator, Callable, Coroutine

from slipway.kube.client import ClusterError, in_cluster
from slipway.kube.folder import Folder
from slipway.problems import Problems
from slipway.router import admin, binary
from slipway.router.callers import Callers, ClusterCallers, LocalCallers
from slipway.router.control import Router
from slipway.router.events import Reporter
from slipway.router.feed import Feed, FolderFeed, Writer
from slipway.router.haproxy import HAProxy, HAProxyError
from slipway.router.keeper import keep
from slipway.router.options import Options, from_environment
from slipway.router.peers import Peers
from slipway.router.scaling.loop import Scaler
from slipway.router.scaling.own import OwnScaler
from slipway.router.scaling.steps import Steps
from slipway.router.tokens import Tokens
from slipway.router.watches import ClusterFeed
from slipway.router.writes import ClusterWriter, FolderWriter

AGAIN_SECONDS = 5.0

log = logging.getLogger(__name__)


class PortTaken(Exception):
    """Another process listens where this router should."""


def main() -> int:
    """Run a router until it is told to stop, and return its exit status."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # it tells each request
    try:
        options = from_environment(os.environ)
        haproxy = HAProxy(binary.find())
        os.umask(0o077)
        options = dataclasses.replace(options, files=_allow_files(options.files))
        _write_no_cores()
        options.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chdir(options.directory)  # HAProxy's sockets have relative names
        asyncio.run(_run(options, haproxy))
    except (Problems, binary.Unsuitable, PortTaken, HAProxyError, ClusterError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - this is the process's last word
        return 1
    return 0


async def _run(options: Options, haproxy: HAProxy) -> None:
    for port in options.ports:
        _claim(options.address, port)
    stop, now = asyncio.Event(), asyncio.Event()

    def told() -> None:
        (now if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told)
    async with _place(options) as (feed, writer, callers):
        router = Router(options, haproxy, feed)
        scaler = Scaler(router, haproxy, writer, Peers(options.pod))
        tokens = Tokens(router, callers, writer, options.namespace)
        admin_port = await admin.serve(router, haproxy, scaler, options.addresses, options.admin_port)
        async with admin_port, await tokens.listen():
            work = [scaler.run, Reporter(router, writer).run, tokens.run]
            if options.size is not None:
                steps = Steps(router, writer, options.pod, options.size)
                work.append(OwnScaler(router, haproxy, scaler, steps, options.size).run)
            if options.pod:
                work.append(functools.partial(keep, router, writer, options.namespace))
            beside = [asyncio.create_task(_lasting(one)) for one in work]
            try:
                await router.run(stop, now)
            finally:
                for task in beside:
                    task.cancel()
                await asyncio.gather(*beside, return_exceptions=True)


async def _lasting(work: Callable[[], Coroutine[None, None, None]]) -> None:
    """Let work that ends by a mistake of ours begin again: requests go on without it, but not for weeks."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("what the router does beside its requests failed; it begins again")
        await asyncio.sleep(AGAIN_SECONDS)


@contextlib.asynccontextmanager
async def _place(options: Options) -> AsyncGenerator[tuple[Feed, Writer, Callers]]:
    """Give where objects come from, where to write, and who knows callers."""
    if options.objects is not None:
        folder = Folder(options.objects)
        yield FolderFeed(folder, options.namespace), FolderWriter(folder), LocalCallers()
        return
    async with in_cluster() as client, ClusterFeed(client, options.namespace) as feed:
        writer = ClusterWriter(client)
        late = asyncio.create_task(_lasting(writer.catch_up))
        try:
            yield feed, writer, ClusterCallers(client)
        finally:
            late.cancel()


def _allow_files(enough: int) -> int:
    """Allow as many open files as may be, since clients and services need them, and give how many."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS has a lower limit that it does not tell
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return enough if most == resource.RLIM_INFINITY else min(most, enough)


def _write_no_cores() -> None:
    """Let no crash write keys to a disk, HAProxy's neither; 0 would not keep cores from a pipe (core(5))."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    least = 1 if most else 0
    resource.setrlimit(resource.RLIMIT_CORE, (least, least))


def _claim(address: str, port: int) -> None:
    """Find a taken port before HAProxy does: it would share a port with another HAProxy of the same user."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise PortTaken(f"{address}:{port} cannot be listened on: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(main())
