"""The configuration of three services, in full, and what can never get into one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.router.config import (
    CHECKS_A_SECOND,
    CLIENTS,
    LUA,
    SMALL_MEMORY,
    check_seconds,
    connections,
    longest_ms,
    render,
)
from slipway.router.options import Options, Tls
from slipway.router.state import Identity, Limits, Replica, Service, State, hashed, state_of
from slipway.versions import VersionOf

OPTIONS = Options(objects=Path("/objects"), directory=Path("/run"))
DIABETES = Service(
    "diabetes",
    Limits(concurrency=2, wait_ms=800, timeout_ms=30_000),
    frozenset({Replica("10.0.0.1", 5001), Replica("fd00::2", 5001)}),
    frozenset({hashed("first"), hashed("second")}),
)
OPEN = Service("echo", Limits(auth="none"))
BLUE = Service(
    "iris-blue",
    keys=frozenset({hashed("third")}),
    version=VersionOf(endpoint="iris", name="blue", traffic_percentile=80, is_default=True),
)
GREEN = replace(
    BLUE, name="iris-green", version=VersionOf(endpoint="iris", name="green", traffic_percentile=5)
)


@pytest.mark.parametrize("name", ["haproxy.cfg", "routes.map", "versions.map", "names.map", "keys.map"])
def test_when_three_services_one_with_versions_are_rendered_then_the_files_are_these(
    name: str, golden: Callable[[str, str], None]
) -> None:
    text = render(state_of(OPEN, DIABETES, BLUE, GREEN), OPTIONS)[name]
    golden(f"router-{name}", text.replace(str(LUA), "/slipway/router/router.lua"))


def test_when_the_order_of_services_differs_then_the_files_do_not() -> None:
    assert render(state_of(OPEN, DIABETES), OPTIONS) == render(state_of(DIABETES, OPEN), OPTIONS)


def test_when_keys_are_rendered_then_no_key_is_among_them() -> None:
    key = "a key that must not be seen"
    service = Service("echo", keys=frozenset({hashed(key)}))
    assert key not in "".join(render(state_of(service), OPTIONS).values())


@pytest.mark.parametrize(
    ("reuse", "lines"),
    [
        ("never", ["option http-server-close", "http-reuse never"]),
        ("always", ["http-reuse always"]),
    ],
)
def test_when_reuse_is_chosen_then_the_configuration_says_so(reuse: str, lines: list[str]) -> None:
    options = Options(objects=Path("/objects"), directory=Path("/run"), reuse=reuse)
    config = render(state_of(), options)["haproxy.cfg"].partition("frontend")[0]
    found = [line.strip() for line in config.splitlines() if "reuse" in line or "server-close" in line]
    assert found == lines


def frontend(state: State, options: Options) -> list[str]:
    """Give the lines of where requests come in."""
    config = render(state, options)["haproxy.cfg"]
    text = config.partition("frontend _router")[2].partition("frontend")[0]
    return [line.strip() for line in text.splitlines()]


def test_requests_come_in_at_the_pods_address_and_at_its_loopback_where_port_forwards_come_from() -> None:
    options = Options(objects=Path("/objects"), directory=Path("/run"), address="10.244.0.7")
    binds = [line for line in frontend(state_of(), options) if ":8080" in line]
    assert binds == ["bind 10.244.0.7:8080 proto h1 name http", "bind 127.0.0.1:8080 proto h1"]
    local = Options(objects=Path("/objects"), directory=Path("/run"))
    assert "bind 127.0.0.1:8080 proto h1 name http" in frontend(state_of(), local)


@pytest.mark.parametrize(
    ("http", "rule"),
    [
        ("serve", None),
        ("refuse", "http-request use-service lua.refuse_http if { so_name http }"),
        ("redirect", "http-request use-service lua.redirect if { so_name http }"),
    ],
)
def test_when_there_is_a_certificate_then_requests_come_in_by_tls_and_http_is_a_choice(
    http: str, rule: str | None
) -> None:
    tls = Tls(8443, secrets=("a", "b"), http=http)
    options = Options(objects=Path("/objects"), directory=Path("/run"), address="fd00::1", tls=tls)
    state = State(certificates={"a": "PEM of a", "b": "PEM of b"})
    lines = frontend(state, options)
    bind = "bind [fd00::1]:8443,[::1]:8443 ssl crt tls-a.pem crt tls-b.pem alpn h2,http/1.1"
    assert bind in lines
    assert [line for line in lines if "so_name http" in line and "use-service" in line] == (
        [rule] if rule else []
    )
    assert render(state, options)["tls-b.pem"] == "PEM of b"
    assert not any(" ssl " in line for line in frontend(State(), options))


def test_when_a_process_stops_then_it_is_given_the_longest_wait_scoring_and_uploads() -> None:
    assert longest_ms([OPEN, Service("slow", Limits(wait_ms=300_000, timeout_ms=300_000))]) == 785_000
    assert longest_ms([]) == 185_000


@given(st.text())
def test_when_a_name_or_address_could_break_a_line_then_it_cannot_be_a_service(text: str) -> None:
    for make in (
        lambda: Service(text),
        lambda: Replica(text, 5001),
        lambda: Service("echo", keys=frozenset({text})),
    ):
        try:
            made = make()
        except ValueError:
            continue
        assert not set(repr(made)) & set('\n\\;"#%\t')


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("fe80::1%eth0\nserver evil 6.6.6.6:80", id="a zone that holds a line"),
        pytest.param("fe80::1%a", id="a zone"),
        pytest.param("10.0.0.1;shutdown", id="a second command"),
        pytest.param("unix@/run/docker.sock", id="a socket"),
        pytest.param("replica.example.org", id="a name"),
        pytest.param("010.0.0.1", id="not the plain form"),
    ],
)
def test_when_an_address_is_not_a_plain_one_then_it_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Replica(address, 5001)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_when_a_port_is_none_then_it_is_refused(port: int) -> None:
    with pytest.raises(ValueError, match="address"):
        Replica("10.0.0.1", port)


@pytest.mark.parametrize("name", ["_router", "Echo", "a b", "a;b", "1a", "a-", "", "a" * 64, "echo\n"])
def test_when_a_name_is_not_a_services_then_it_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        Service(name)


def test_a_rule_that_has_no_meaning_in_a_state_is_not_among_those_that_every_request_costs() -> None:
    def running(state: State, options: Options = OPTIONS) -> str:
        return "\n".join(line for line in frontend(state, options) if not line.startswith("#"))

    for words, state, options in (
        ("versions.map", state_of(BLUE, GREEN), OPTIONS),
        ("_peers", replace(state_of(OPEN), identity=Identity("PEM", "PEM")), OPTIONS),
        ("acme.map", state_of(OPEN), replace(OPTIONS, tls=Tls(8443, secrets=("a",), account="acme"))),
        ("_streams", state_of(OPEN), replace(OPTIONS, tls=Tls(8443, secrets=("a",)))),
    ):
        assert words in running(state, options)
        assert words not in running(state_of(OPEN))


@given(
    st.integers(0, 2_000),
    st.integers(1_000, 2_000_000),
    st.integers(2**24, 2**36),
    st.booleans(),
    st.booleans(),
)
def test_as_many_clients_are_served_as_have_memory_and_files_by_http_2_and_from_other_pods_too(
    services: int, most: int, memory: int, tls: bool, pods: bool
) -> None:
    files, clients = connections(services, most, memory, tls=tls, pods=pods)
    assert clients * SMALL_MEMORY <= memory / 4
    assert files <= most
    assert 1 <= clients <= CLIENTS
    let_in = clients * 11 // 10
    if clients > 1:
        by_http_2, of_others = 3 * let_in * tls, 4 * let_in * pods
        assert 200 + 4 * services + 4 * let_in + by_http_2 + of_others <= files


@given(st.integers(0, 50_000))
def test_replicas_are_checked_each_second_and_very_many_as_often_as_may_be(replicas: int) -> None:
    seconds = check_seconds(replicas)
    assert replicas / seconds <= CHECKS_A_SECOND
    assert seconds == 1 or replicas / (seconds - 1) > CHECKS_A_SECOND
