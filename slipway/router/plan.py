"""How a running HAProxy becomes what is wanted: `plan(running, wanted) -> Noop | Commands | Reload`. Pure.

Replicas, other routers and the entries of maps change by commands, a certificate by those of `renewal`.
Everything else needs a new configuration, and a reload: a service that comes or goes, or whose limits change,
a certificate that was not there before, by what the routers know each other, and HAProxy's threads. A router
that came gets requests by commands at once, then a reload for what only a file can say of it. Every command
carries the exact reply it must get.

A server that leaves is first put into maintenance, where it finishes what it has, and is deleted when it
is idle; until then it is in `Running.leaving`, and comes back by one command.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from slipway.router.config import PEERS, certificate_file, maps, servers
from slipway.router.state import Replica, Service, State

Maps = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Running:
    """What the process and its files hold, and which servers are there only to finish."""

    state: State = field(default_factory=State)
    leaving: frozenset[tuple[str, Replica]] = frozenset()
    added: frozenset[Replica] = frozenset()
    """Other routers that came by commands, which cannot say all that a file says of them."""


@dataclass(frozen=True)
class Command:
    """A line for HAProxy's command socket, and the reply that says it was carried out."""

    text: str
    reply: str = ""
    payload: str = field(default="", repr=False)
    """Lines after the command's own, none of them empty; they may be secret."""


@dataclass(frozen=True)
class Noop:
    """Nothing differs."""


@dataclass(frozen=True)
class Commands:
    """What to send, in this order."""

    commands: tuple[Command, ...]


@dataclass(frozen=True)
class Reload:
    """Why commands do not suffice."""

    reasons: tuple[str, ...]


def plan(running: Running, wanted: State) -> Noop | Commands | Reload:
    """Decide how to make `running` serve `wanted`."""
    if running.state == wanted and not running.added:  # nearly always: maps of many services take their time
        return Noop()
    reasons = tuple(_reasons(running.state, wanted))
    if reasons:
        return Reload(reasons)
    old = servers(running.state)
    commands = [
        command
        for backend, new in sorted(servers(wanted).items())
        if new != old[backend]
        for command in _changes(running, backend, old[backend], new)
    ]
    commands += _entries(maps(running.state), maps(wanted))
    if commands:
        return Commands(tuple(commands))
    return Reload(("a router came",)) if running.added else Noop()


def after_commands(running: Running, wanted: State) -> Running:
    """Give what runs once the commands of `plan` are carried out."""
    old, has = servers(running.state), servers(wanted)
    had = {
        (backend, one) for backend, found in old.items() if found != has[backend] for one in found
    } | running.leaving
    leaving = frozenset((backend, one) for backend, one in had if one not in has[backend])
    new = has[PEERS].keys() - old[PEERS].keys()
    return Running(wanted, leaving, (running.added | new) & has[PEERS].keys())


def forget(backend: str, replica: Replica) -> Command:
    """Delete a server that was leaving; HAProxy refuses while it still has requests."""
    return Command(f"del server {backend}/{replica.server}", "Server deleted.")


def renewal(name: str, pem: str) -> tuple[Command, Command]:
    """Let connections from now on get a new certificate."""
    file = certificate_file(name)
    return (
        Command(f"set ssl cert {file}", f"Transaction created for certificate {file}!", pem),
        Command(f"commit ssl cert {file}", f"Committing {file}.\nSuccess!"),
    )


def without_reload(running: State, wanted: State) -> State:
    """Give the part of `wanted` that commands can reach: replicas and keys of the services that stay."""

    def reachable(old: Service) -> Service:
        new = wanted.services.get(old.name, old)
        return new if new.fixed == old.fixed else replace(old, replicas=new.replicas)

    services = {name: reachable(old) for name, old in running.services.items()}
    return replace(
        wanted,
        services=services,
        identity=running.identity,
        certificates=running.certificates,
        token_keys=running.token_keys,
        threads=running.threads,
    )


def _reasons(running: State, wanted: State) -> Iterator[str]:
    for name in sorted(running.services.keys() | wanted.services.keys()):
        old, new = running.services.get(name), wanted.services.get(name)
        if old is None:
            yield f"service {name} is new"
        elif new is None:
            yield f"service {name} is gone"
        elif old.fixed != new.fixed:
            yield f"limits of service {name} changed"
    for name in sorted(wanted.certificates.keys() - running.certificates.keys()):
        yield f"certificate {name} is new"
    if running.identity != wanted.identity:
        yield "the routers know each other by new certificates"
    if running.token_keys != wanted.token_keys:
        yield "the keys that verify tokens changed"
    if running.threads != wanted.threads:
        yield f"threads: {running.threads} become {wanted.threads}"


def _changes(
    running: Running, backend: str, old: Mapping[Replica, str], new: Mapping[Replica, str]
) -> Iterator[Command]:
    # What comes precedes what goes, so that no queue is without a server in between.
    for replica in sorted(new.keys() - old.keys()):
        name = f"{backend}/{replica.server}"
        if (backend, replica) in running.leaving:
            yield Command(f"set server {name} state ready")
        else:
            yield Command(f"add server {name} {replica.target} {new[replica]}", "New server registered.")
            yield Command(f"enable health {name}")
            yield Command(f"enable server {name}")
    for replica in sorted(old.keys() - new.keys()):
        yield Command(f"set server {backend}/{replica.server} state maint")


def _entries(old: Maps, new: Maps) -> Iterator[Command]:
    """Change the maps: here too, what comes precedes what goes."""
    for name, entries in new.items():
        before = old[name]
        for key, value in entries.items():
            if key not in before:  # to add what is there would hold it twice
                yield Command(f"add map {name} {key} {value}")
            elif before[key] != value:
                yield Command(f"set map {name} {key} {value}")
        for key in before.keys() - entries.keys():
            yield Command(f"del map {name} {key}")
