"""What is sent next to a registry, how long we wait, and who we are to it: decisions alone."""

from __future__ import annotations

import base64
import string
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slipway.images.auth import Challenge, challenges, repository_scope
from slipway.images.credentials import (
    Entra,
    IdentityToken,
    Login,
    acr_cloud,
    login_hint,
    of_docker,
    of_machine,
)
from slipway.images.transport import RegistryError, Retries, Transport, asked, errors, is_loopback, said
from slipway.images.upload import next_part, reached

NOW = datetime(2026, 11, 30, tzinfo=UTC)
names = st.text(string.ascii_lowercase, min_size=1, max_size=8)


@given(st.integers(0, 10_000), st.integers(1, 700))
def test_the_parts_of_an_upload_are_the_blob_once_and_the_last_one_closes_it(size: int, chunk: int) -> None:
    offset, parts = 0, [next_part(0, size, chunk)]
    while not parts[-1].last:
        offset = parts[-1].end
        parts.append(next_part(offset, size, chunk))
    assert [part.start for part in parts] == [0, *(part.end for part in parts[:-1])]
    assert parts[-1].end == size
    assert all(part.end - part.start <= chunk for part in parts)
    assert all(part.end > part.start for part in parts[:-1])


@given(st.integers(1, 2**50))
def test_an_upload_goes_on_after_the_bytes_that_the_registry_has(last: int) -> None:
    assert reached(f"0-{last}") == reached(f"bytes=0-{last}") == last + 1


@pytest.mark.parametrize("text", ["", "0-0", "5-9", "0-", "bytes", "-3"])
def test_an_upload_that_cannot_go_on_begins_anew(text: str) -> None:
    assert reached(text) == 0


@given(st.integers(1, 9), st.floats(0, 120), st.floats(0, 0.999))
def test_a_wait_is_long_enough_for_the_registry_and_never_beyond_reason(
    failures: int, wished: float, chance: float
) -> None:
    retries = Retries(attempts=10)
    wait = retries.wait(failures, wished, chance)
    assert wait is not None
    assert wished <= wait <= max(wished, retries.longest)
    assert wait >= min(retries.first * 2 ** (failures - 1), retries.longest) / 2


def test_patience_ends_after_the_attempts_and_at_once_where_the_registry_wants_too_long() -> None:
    assert Retries(attempts=3).wait(2, 0, 0.5) is not None
    assert Retries(attempts=3).wait(3, 0, 0.5) is None
    assert Retries().wait(1, 3600, 0.5) is None


@given(st.integers(0, 10**6))
def test_retry_after_is_seconds_or_a_date(seconds: int) -> None:
    assert asked(str(seconds), NOW) == seconds
    later = NOW + timedelta(seconds=seconds)
    assert asked(format_datetime(later, usegmt=True), NOW) == seconds
    assert asked(format_datetime(NOW - timedelta(seconds=seconds + 1), usegmt=True), NOW) == 0


@given(st.text().filter(lambda text: not text.isdecimal()))
@example("-5")
@example("1.5")
@example("soon")
@example("Mon, 01 Jan 2029 00:00:00")
def test_any_other_retry_after_is_no_wish(text: str) -> None:
    assert asked(text, NOW) == 0


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("localhost:5000", True),
        ("127.0.0.1", True),
        ("127.1.2.3:80", True),
        ("[::1]:5000", True),
        ("localhost.example.com", False),
        ("10.0.0.1:5000", False),
        ("127.0.0.1.example.com", False),
        ("a.azurecr.io", False),
    ],
)
def test_plain_http_is_for_this_machine_alone(host: str, here: bool) -> None:
    assert is_loopback(host) == here
    transport = Transport(host, plain=False)
    with pytest.raises(RegistryError, match=r"leads to x\.test without https"):
        transport.check(httpx.URL("http://x.test/"))
    transport.close()


@given(
    st.lists(
        st.builds(Challenge, names, st.dictionaries(names, st.text(max_size=10), max_size=3)), max_size=3
    )
)
def test_challenges_are_read_in_one_header_or_in_many(wanted: list[Challenge]) -> None:
    def written(name: str, value: str) -> str:
        escaped = value.replace("\\", r"\\").replace('"', r"\"")
        return f'{name}="{escaped}"'

    texts = [f"{one.scheme} {','.join(written(*pair) for pair in one.parameters.items())}" for one in wanted]
    assert challenges(texts) == challenges([", ".join(texts)]) == wanted


@given(st.lists(st.text()))
def test_any_header_is_read_somehow(headers: list[str]) -> None:
    for challenge in challenges(headers):
        assert challenge.scheme == challenge.scheme.lower()


def test_a_challenge_of_a_registry_is_read() -> None:
    header = 'Bearer realm="https://auth.test/token",service=registry.test,scope="repository:a/b:pull,push"'
    parameters = {"realm": "https://auth.test/token", "service": "registry.test"}
    scope = repository_scope("a/b", push=True)
    assert challenges([header]) == [Challenge("bearer", parameters | {"scope": scope})]


def test_an_error_is_told_in_the_registrys_words() -> None:
    content = b'{"errors": [{"code": "DENIED", "message": "no"}, {"code": "OTHER"}]}'
    assert said(httpx.Response(403, content=content)) == "answers 403 Forbidden (DENIED: no; OTHER: )"
    assert said(httpx.Response(403, content=b"<html>")) == "answers 403 Forbidden"


@given(st.binary() | st.sampled_from([b'{"errors": 1}', b'{"errors": [1]}', b'{"errors": [{}]}', b"[]"]))
def test_an_answer_of_another_form_tells_nothing(content: bytes) -> None:
    assert errors(content) == []


def auth(pair: str) -> dict[str, str]:
    return {"auth": base64.b64encode(pair.encode()).decode()}


def no_helper(_name: str, _server: str) -> tuple[str, str] | None:
    raise AssertionError("no helper is named")


@pytest.mark.parametrize(
    ("host", "auths", "found"),
    [
        ("a.test", {"a.test": auth("ann:pass:word")}, Login("ann", "pass:word")),
        ("a.test", {"https://a.test/v2/": auth("ann:x")}, Login("ann", "x")),
        ("a.test", {"b.test": auth("ann:x")}, None),
        ("a.test", {"a.test": {}}, None),
        ("a.test", {"a.test": auth("ann:x") | {"identitytoken": "t"}}, IdentityToken("t")),
        ("docker.io", {"https://index.docker.io/v1/": auth("ann:x")}, Login("ann", "x")),
    ],
)
def test_a_login_that_docker_keeps_is_found(host: str, auths: dict[str, Any], found: object) -> None:
    assert of_docker(host, {"auths": auths}, no_helper) == found


def test_a_login_of_docker_that_cannot_be_read_is_named() -> None:
    with pytest.raises(RegistryError, match=r"Docker's login for a\.test cannot be read; run `docker login"):
        of_docker("a.test", {"auths": {"a.test": {"auth": "%%%"}}}, no_helper)


@pytest.mark.parametrize(
    ("config", "asked_of"),
    [
        ({"credsStore": "store"}, ("store", "a.test")),
        ({"credsStore": "store", "credHelpers": {"a.test": "own"}}, ("own", "a.test")),
    ],
)
def test_a_credential_helper_is_asked(config: dict[str, Any], asked_of: tuple[str, str]) -> None:
    def helper(name: str, server: str) -> tuple[str, str] | None:
        return f"{name} {server}", "secret"

    assert of_docker("a.test", config, helper) == Login(" ".join(asked_of), "secret")
    assert of_docker("a.test", config, lambda name, server: ("<token>", "t")) == IdentityToken("t")
    both = config | {"auths": {"a.test": auth("ann:x")}}
    assert of_docker("a.test", both, lambda name, server: None) == Login("ann", "x")


@pytest.mark.parametrize(
    ("host", "hint"),
    [
        ("a.test:5000", "docker login a.test:5000"),
        ("contoso.azurecr.io", "az acr login --name contoso"),
        ("contoso.azurecr.cn", "az acr login --name contoso"),
        ("azurecr.io.test", "docker login azurecr.io.test"),
    ],
)
def test_the_hint_is_the_command_that_logs_in(host: str, hint: str) -> None:
    assert login_hint(host) == hint


def test_only_azures_registries_are_shown_a_token_of_entra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert acr_cloud("contoso.azurecr.us") == "USGovernment"
    assert [type(found) for found in of_machine("contoso.azurecr.us")] == [Entra]
    assert list(of_machine("contoso.azurecr.us.test")) == []
