"""Who may push and pull: the ways to log in, on a real registry, and what is said where one fails."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from slipway.images.credentials import Credential, Entra, IdentityToken, Login
from slipway.images.oci import Manifest
from slipway.images.registry import Registry
from slipway.images.transfer import Place, push
from slipway.images.transport import RegistryError, Retries
from tests.cluster.blobs import KIB, Blobs, noise, pull
from tests.cluster.registries import PASSWORD, USER, RunningRegistry, docker_login, guarded
from tests.cluster.token_server import ENTRA_TOKEN, REFRESH_TOKEN, Acr, acr

HASTY = Retries(attempts=4, first=0.01, longest=0.05)
NAME = "slipway/diabetes"
RIGHT: list[Credential] = [
    Login(USER, PASSWORD),
    IdentityToken(REFRESH_TOKEN),
    Entra(lambda: ENTRA_TOKEN),
]
SECRETS = (PASSWORD, REFRESH_TOKEN, ENTRA_TOKEN, "very-secret", "wrong-password")


@pytest.fixture(name="basic")
def _basic(tmp_path: Path) -> Generator[RunningRegistry]:
    with guarded(tmp_path / "basic") as running:
        yield running


@pytest.fixture(name="tokens")
def _tokens(tmp_path: Path) -> Generator[Acr]:
    with acr(tmp_path / "acr") as running:
        yield running


@pytest.fixture(name="image")
def _image(blobs: Blobs) -> Manifest:
    return blobs.image(noise(1, 300 * KIB), b"code", noise(2, 20 * 2**20))


@pytest.fixture(name="blobs")
def _blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def round_trip(client: Registry, image: Manifest, blobs: Blobs, folder: Path) -> None:
    push(Place(client, NAME), image, blobs.path, tags=("v1",))
    assert client.manifest(NAME, "v1") == (image.digest, image)
    folder.mkdir()
    pull(client, NAME, image, folder)


def test_a_user_and_password_open_a_registry_with_basic_authentication(
    basic: RunningRegistry, image: Manifest, blobs: Blobs, tmp_path: Path
) -> None:
    with Registry(basic.host, [Login(USER, PASSWORD)], retries=HASTY) as client:
        round_trip(client, image, blobs, tmp_path / "back")


@pytest.mark.parametrize("credential", RIGHT, ids=["login", "identity token", "entra"])
def test_each_credential_opens_a_registry_with_tokens(
    tokens: Acr, image: Manifest, blobs: Blobs, tmp_path: Path, credential: Credential
) -> None:
    with Registry(tokens.host, [credential], retries=HASTY) as client:
        round_trip(client, image, blobs, tmp_path / "back")
    assert tokens.redirected == len(image.blobs)  # storage would have refused our Authorization
    assert tokens.asked.count("POST /oauth2/exchange") == isinstance(credential, Entra)


def test_tokens_are_asked_for_once_a_scope_and_again_when_they_end(
    tokens: Acr, image: Manifest, blobs: Blobs
) -> None:
    with Registry(tokens.host, [RIGHT[0]], retries=HASTY) as client:
        push(Place(client, NAME), image, blobs.path, tags=("v1",))
        asked = {frozenset(one.rpartition(":")[2].split(",")) for one in tokens.scopes}  # in any order
        assert asked == {frozenset({"pull"}), frozenset({"pull", "push"})}
        assert {one.rpartition(":")[0] for one in tokens.scopes} == {f"repository:{NAME}"}
        assert len(tokens.given) == 2
        push(Place(client, NAME), image, blobs.path, tags=("v2",))
        assert len(tokens.given) == 2
        tokens.ended += tokens.given
        push(Place(client, NAME), image, blobs.path, tags=("v3",))
        assert len(tokens.given) == 4


def test_a_mount_asks_for_the_right_to_both_repositories(tokens: Acr, image: Manifest, blobs: Blobs) -> None:
    with Registry(tokens.host, [RIGHT[0]], retries=HASTY) as client:
        push(Place(client, "slipway/environment"), image, blobs.path)
        for blob in image.blobs:
            blobs.path(blob.digest).unlink()
        push(Place(client, NAME), image, blobs.path, sources=(Place(client, "slipway/environment"),))
        assert client.digest(NAME, image.digest) == image.digest


@pytest.mark.parametrize("kind", ["basic", "tokens"])
def test_a_wrong_password_is_refused_with_the_host_and_how_to_log_in(
    request: pytest.FixtureRequest, kind: str, image: Manifest, blobs: Blobs
) -> None:
    host: str = request.getfixturevalue(kind).host
    with Registry(host, [Login("ann", "wrong-password")], retries=HASTY) as client:
        for _ in range(2):
            with pytest.raises(
                RegistryError, match=f"^{host}: refuses the login as `ann`.*; run `docker login {host}`$"
            ):
                push(Place(client, NAME), image, blobs.path, tags=("v1",))


@pytest.mark.parametrize("kind", ["basic", "tokens"])
def test_a_push_by_nobody_is_refused_with_how_to_log_in(
    request: pytest.FixtureRequest, kind: str, image: Manifest, blobs: Blobs
) -> None:
    host: str = request.getfixturevalue(kind).host
    with (
        Registry(host, [], retries=HASTY) as client,
        pytest.raises(RegistryError, match=f"^{host}: asks for a login.*; run `docker login {host}`$"),
    ):
        push(Place(client, NAME), image, blobs.path, tags=("v1",))


def test_who_may_only_read_is_told_so_and_nothing_is_published(
    tokens: Acr, image: Manifest, blobs: Blobs
) -> None:
    with (
        Registry(tokens.host, [Login("bob", "bobs-password")], retries=HASTY) as client,
        pytest.raises(RegistryError, match="refuses the login as `bob`: insufficient_scope"),
    ):
        push(Place(client, NAME), image, blobs.path, tags=("v1",))
    with Registry(tokens.host, [RIGHT[0]], retries=HASTY) as client:
        assert client.digest(NAME, "v1") is None


def test_when_one_login_is_refused_then_the_next_is_tried(
    tokens: Acr, image: Manifest, blobs: Blobs, tmp_path: Path
) -> None:
    stale = [IdentityToken("an-old-token"), Entra(lambda: "nobodys-token"), *RIGHT]
    with Registry(tokens.host, stale, retries=HASTY) as client:
        round_trip(client, image, blobs, tmp_path / "back")


def test_no_secret_is_in_a_log_an_error_or_a_representation(
    tokens: Acr, image: Manifest, blobs: Blobs, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shown = [repr(credential) for credential in RIGHT]
    for credential in (*RIGHT, Login("ann", "wrong-password")):
        with Registry(tokens.host, [credential], retries=HASTY) as client:
            try:
                round_trip(client, image, blobs, tmp_path / type(credential).__name__)
            except RegistryError as error:
                shown += [str(error), repr(error)]
            shown += [repr(client), repr(vars(client))]
    shown += [repr(record.__dict__) for record in caplog.records]
    assert not [(secret, text) for secret in SECRETS for text in shown if secret in text]


def test_dockers_configuration_logs_in(
    basic: RunningRegistry, image: Manifest, blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    docker_login(tmp_path, basic.host)
    with Registry(basic.host, retries=HASTY) as client:
        round_trip(client, image, blobs, tmp_path / "back")


def credential_helper(folder: Path, host: str, says: str, patch: pytest.MonkeyPatch) -> None:
    """Let Docker's configuration name a program that says this."""
    helper = folder / "docker-credential-test"
    helper.write_text(f"#!{sys.executable}\nassert input() == {host!r}\nprint({says!r})\n")
    helper.chmod(0o755)
    patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    patch.setenv("DOCKER_CONFIG", str(folder))
    (folder / "config.json").write_text(json.dumps({"credHelpers": {host: "test"}}))


def test_dockers_credential_helper_logs_in(
    tokens: Acr, image: Manifest, blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = json.dumps({"ServerURL": tokens.host, "Username": "<token>", "Secret": REFRESH_TOKEN})
    credential_helper(tmp_path, tokens.host, said, monkeypatch)
    with Registry(tokens.host, retries=HASTY) as client:
        round_trip(client, image, blobs, tmp_path / "back")


@pytest.mark.parametrize("says", ["", "[]", '{"Secret": "very-secret"}', "very-secret"])
def test_a_credential_helper_that_says_something_else_is_named_and_not_repeated(
    basic: RunningRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str
) -> None:
    credential_helper(tmp_path, basic.host, says, monkeypatch)
    with (
        Registry(basic.host, retries=HASTY) as client,
        pytest.raises(RegistryError, match=r"^docker-credential-test answers in another form; update it$"),
    ):
        client.digest(NAME, "v1")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            '{"credsStore": "nowhere"}',
            "docker-credential-nowhere, which Docker's configuration names, does not run",
        ),
        ("{", "config.json: cannot be read"),
        ("[]", "config.json: is no object of JSON"),
    ],
)
def test_a_configuration_of_docker_that_cannot_be_used_is_named(
    basic: RunningRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str, said: str
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(config)
    with Registry(basic.host, retries=HASTY) as client, pytest.raises(RegistryError, match=said):
        client.digest(NAME, "v1")
