"""Commands bring HAProxy to what a fresh configuration would say, and only a new configuration reloads it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from slipway.router.config import CONFIG, HOLD, render
from slipway.router.options import Options
from slipway.router.plan import (
    Command,
    Commands,
    Noop,
    Reload,
    Running,
    after_commands,
    forget,
    plan,
    without_reload,
)
from slipway.router.state import Identity, Limits, Replica, Routers, Service, State, hashed, state_of
from tests.unit.router_states import any_services, same_services

OPTIONS = Options(objects=Path("/objects"), directory=Path("/run"))
A, B = Replica("10.0.0.1", 5001), Replica("10.0.0.2", 5001)


@dataclass
class Model:
    """Servers and maps as HAProxy has them, read from a configuration and changed by commands."""

    servers: dict[str, str] = field(default_factory=dict[str, str])
    maintenance: set[str] = field(default_factory=set[str])
    unchecked: set[str] = field(default_factory=set[str])
    maps: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])

    @classmethod
    def of(cls, state: State) -> Model:
        model, backend, files = cls(), "", render(state, OPTIONS)
        for line in files[CONFIG].splitlines():
            words = line.split()
            if words[:1] == ["backend"]:
                backend = words[1]
            elif words[:1] == ["server"] and words[1] != HOLD and not backend.startswith("_"):
                model.servers[f"{backend}/{words[1]}"] = " ".join(words[2:])
        model.maps = {
            (name, key): value
            for name, text in files.items()
            if name.endswith(".map")
            for key, value in map(str.split, text.splitlines())
        }
        return model

    def tell(self, command: Command) -> None:
        match command.text.split():
            case ["add", "server", name, *arguments]:
                assert name not in self.servers
                assert command.reply == "New server registered."
                self.servers[name] = " ".join(arguments)
                self.maintenance.add(name)
                self.unchecked.add(name)
            case ["enable", "health", name]:
                self.unchecked.remove(name)
            case ["enable", "server", name] | ["set", "server", name, "state", "ready"]:
                assert name not in self.unchecked
                self.maintenance.remove(name)
            case ["set", "server", name, "state", "maint"]:
                assert name in self.servers
                self.maintenance.add(name)
            case ["del", "server", name]:
                assert command.reply == "Server deleted."
                self.maintenance.remove(name)
                del self.servers[name]
            case ["add", "map", file, key, value]:
                assert (file, key) not in self.maps  # HAProxy would hold it twice
                self.maps[file, key] = value
            case ["set", "map", file, key, value]:
                assert (file, key) in self.maps
                self.maps[file, key] = value
            case ["del", "map", file, key]:
                del self.maps[file, key]
            case other:
                raise AssertionError(other)

    @property
    def serving(self) -> dict[str, str]:
        return {name: text for name, text in self.servers.items() if name not in self.maintenance}

    def served(self) -> set[str]:
        return {name.split("/")[0] for name in self.serving}


@given(st.lists(same_services, min_size=2, max_size=5), st.data())
def test_when_replicas_keys_and_traffic_change_then_commands_alone_lead_to_what_a_new_configuration_says(
    states: list[State], data: st.DataObject
) -> None:
    model, running = Model.of(states[0]), Running(states[0])
    for wanted in states[1:]:
        stays = {
            name
            for name, service in wanted.services.items()
            if service.replicas and running.state.services[name].replicas
        }
        match plan(running, wanted):
            case Noop():
                pass
            case Commands(commands):
                for command in commands:
                    model.tell(command)
                    assert stays <= model.served()  # what comes precedes what goes
            case Reload(reasons):
                raise AssertionError(reasons)
        running = after_commands(running, wanted)
        fresh = Model.of(wanted)
        assert (model.serving, model.maps) == (fresh.serving, fresh.maps)
        assert model.maintenance == {f"{name}/{one.server}" for name, one in running.leaving}
        for name, replica in sorted(running.leaving):
            if data.draw(st.booleans(), label="idle"):
                model.tell(forget(name, replica))
                running = Running(running.state, running.leaving - {(name, replica)})


@given(any_services, any_services)
def test_when_services_or_limits_change_then_each_of_them_is_a_reason_to_reload(
    old: State, new: State
) -> None:
    differs = {
        name
        for name in old.services.keys() | new.services.keys()
        if name not in old.services
        or name not in new.services
        or old.services[name].limits != new.services[name].limits
    }
    action = plan(Running(old), new)
    assert isinstance(action, Reload) == bool(differs)
    if isinstance(action, Reload):
        assert len(action.reasons) == len(differs)
        assert all(any(name in reason.split() for reason in action.reasons) for name in differs)


@given(any_services, any_services)
def test_when_a_reload_must_wait_then_what_commands_can_do_is_done(old: State, new: State) -> None:
    reachable = without_reload(old, new)
    assert not isinstance(plan(Running(old), reachable), Reload)
    for name in old.services.keys() & new.services.keys():
        assert reachable.services[name].replicas == new.services[name].replicas


@given(same_services)
def test_when_nothing_changes_then_nothing_is_done(state: State) -> None:
    assert plan(Running(state), state) == Noop()


def test_when_only_errors_change_then_nothing_is_done() -> None:
    state = state_of(Service("echo"))
    assert plan(Running(state), State(state.services, {"echo": "no keys"})) == Noop()


def test_when_a_replica_is_replaced_then_these_are_the_commands() -> None:
    running = Running(state_of(Service("echo", replicas=frozenset({A}))))
    assert plan(running, state_of(Service("echo", replicas=frozenset({B})))) == Commands(
        (
            Command(
                "add server echo/10.0.0.2:5001 10.0.0.2:5001 maxconn 1 check inter 1s fastinter 250ms "
                "downinter 250ms fall 2 rise 1 observe layer4 error-limit 1 on-error mark-down",
                "New server registered.",
            ),
            Command("enable health echo/10.0.0.2:5001"),
            Command("enable server echo/10.0.0.2:5001"),
            Command("set server echo/10.0.0.1:5001 state maint"),
        )
    )


def test_when_a_replica_comes_back_before_it_is_deleted_then_one_command_readies_it() -> None:
    running = Running(state_of(Service("echo")), frozenset({("echo", A)}))
    assert plan(running, state_of(Service("echo", replicas=frozenset({A})))) == Commands(
        (Command("set server echo/10.0.0.1:5001 state ready"),)
    )


def test_when_a_key_is_regenerated_then_the_new_one_is_added_before_the_old_one_is_deleted() -> None:
    old, new = hashed("old"), hashed("new")
    running = Running(state_of(Service("echo", keys=frozenset({old}))))
    assert plan(running, state_of(Service("echo", keys=frozenset({new})))) == Commands(
        (Command(f"add map keys.map {new}:echo key"), Command(f"del map keys.map {old}:echo"))
    )


def test_when_the_reload_is_planned_then_the_reasons_name_the_services() -> None:
    running = Running(state_of(Service("echo"), Service("fraud")))
    assert plan(running, state_of(Service("echo", Limits(wait_ms=1)), Service("spam"))) == Reload(
        ("limits of service echo changed", "service fraud is gone", "service spam is new")
    )


def test_a_router_that_comes_gets_requests_by_commands_and_then_a_file_says_the_rest_of_it() -> None:
    identity = Identity("certificate", "authorities")
    alone = State(routers=Routers("a", {"a": A}), identity=identity)
    two = replace(alone, routers=Routers("a", {"a": A, "b": B}))
    commands = plan(Running(alone), two)
    assert isinstance(commands, Commands)
    assert commands.commands[0].text.startswith(f"add server _peers/{B.server} ")
    running = after_commands(Running(alone), two)
    assert plan(running, two) == Reload(("a router came",))
    assert plan(Running(two), two) == Noop()
    assert "tcp-ut" not in commands.commands[0].text
    assert f"{B.target} weight 0" in render(two, OPTIONS)[CONFIG]
    assert "tcp-ut 6000ms" in render(two, OPTIONS)[CONFIG]
    gone = after_commands(running, alone)
    assert not gone.added
