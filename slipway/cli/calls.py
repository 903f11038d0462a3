"""The commands that call a web service, on this machine or in its cluster: requests, keys, tokens."""

# ruff: noqa: PLC0415 - imports inside functions keep `slipway --help` and completion quick

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import string
import urllib.parse
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from slipway.cli.common import table, typed
from slipway.cli.place import Where, place_options, run_on
from slipway.local.state import LocalError
from slipway.spec import KEY_LENGTH, KEY_RULE, MAX_TIMEOUT_MS, WEBSERVICE, is_key
from slipway.versions import MODEL_DEPLOYMENT

if TYPE_CHECKING:
    from slipway.kube.folder import Object
    from slipway.running.backend import Backend

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0  # beyond what a request may take
KEY_SECONDS = 5.0  # for the router to take a new key
KEY_VARIABLE = "SLIPWAY_KEY"
FORBIDDEN = "whoever runs the cluster gives this right by a Role: docs/auth.md shows it"


@click.command()
@click.argument("name")
@click.option("--data", "file", type=click.File("rb"), required=True, help="A file with the request, or -.")
@click.option("--version", help="Only by this version of it; else by one that chance chooses.")
@click.option("--content-type", default="application/json", show_default=True)
@click.option("--url", help="The router's address, where its Service has none that is reached from here.")
@click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"Holds a key or token, where Slipway may not get one; the variable {KEY_VARIABLE} may, too.",
)
@place_options
def score(
    *,
    name: str,
    file: IO[bytes],
    version: str | None,
    content_type: str,
    url: str | None,
    key_file: Path | None,
    where: Where,
) -> None:
    """Send a request to web service NAME and print its answer."""
    from slipway.running.backend import scoring_uri

    key = _text(key_file) if key_file is not None else os.environ.get(KEY_VARIABLE)
    if key is not None and not is_key(key):
        raise LocalError(f"what --key-file or {KEY_VARIABLE} gives is no key: {KEY_RULE}")
    seconds = 2 * MAX_TIMEOUT_MS / 1000
    if url is None or key is None:
        way = run_on(where, lambda backend: _way(backend, name, version, url, key))
        (name, version), url, key, seconds = way
    headers = {"Content-Type": content_type, **({"Authorization": f"Bearer {key}"} if key else {})}
    headers |= {MODEL_DEPLOYMENT: version} if version is not None else {}
    answer = _post(scoring_uri(url.rstrip("/"), name), name, file.read(), headers, seconds + ANSWER_SECONDS)
    click.echo(answer, nl=not answer.endswith(b"\n"))


async def _way(
    backend: Backend, name: str, version: str | None, url: str | None, key: str | None
) -> tuple[tuple[str, str | None], str, str | None, float]:
    """Find out what is called, and what is not given: the address, a key or token, how long it takes."""
    from slipway.running import backend as running

    url = url or await backend.url()
    if url is None:
        raise backend.no_address(name)
    called = running.called(await backend.deployments(), name, version)
    serving = running.serving(called.deployment)
    if key is None and serving.get("auth_enabled", True):
        key = running.keys(await _secret(backend, called.endpoint))["primary"]
    elif key is None and serving.get("token_auth_enabled", False):
        key = _token(url, called.endpoint, await backend.login(called.endpoint))["token"]
    milliseconds = serving.get("scoring_timeout_ms", 60_000) + serving.get("max_request_wait_time", 500)
    return called[:2], url, key, milliseconds / 1000


def _post(uri: str, name: str, body: bytes, headers: dict[str, str], seconds: float) -> bytes:
    import httpx

    from slipway.local.container import ADDRESS

    timeout = httpx.Timeout(seconds, connect=CONNECT_SECONDS)
    try:
        proxied = httpx.URL(uri).host != ADDRESS  # no proxy leads to this machine
        with httpx.Client(trust_env=proxied, timeout=timeout) as client:
            answer = client.post(uri, content=body, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        where = uri.partition("/api/v1/")[0]
        message = f"the router did not answer at {where}: {error or type(error).__name__}"
        raise LocalError(message, "slipway status") from None
    if not answer.is_success:
        raise LocalError(_refusal(answer.status_code, answer.text), _refusal_hint(answer.status_code, name))
    return answer.content


@click.command()
@click.argument("name")
@click.option("--url", help="The router's address, where its Service has none that is reached from here.")
@click.option(
    "--login-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Holds a Kubernetes token, where the kubeconfig logs in without one.",
)
@place_options
def token(*, name: str, url: str | None, login_file: Path | None, where: Where) -> None:
    """Print a token of web service NAME; when to get the next one stands on stderr."""
    login = _text(login_file) if login_file is not None else None
    found = run_on(where, lambda backend: _new_token(backend, name, url, login))
    click.echo(found["token"])
    click.echo(f"refresh_by: {found['refresh_by']}", err=True)


async def _new_token(backend: Backend, name: str, url: str | None, login: str | None) -> dict[str, str]:
    from slipway.running import backend as running

    called = running.called(await backend.deployments(), name)
    name = called.endpoint
    if not running.serving(called.deployment).get("token_auth_enabled", False):
        raise LocalError(f"web service `{name}` takes no tokens", "its `token_auth_enabled` is false")
    url = url or await backend.url()
    if url is None:
        raise backend.no_address(name)
    return _token(url, name, login or await backend.login(name))


def _token(url: str, name: str, login: str) -> dict[str, str]:
    """Ask the router for a token. Raises LocalError also where the login could be read on its way."""
    from slipway.running.backend import token_uri

    if not _unreadable(url):
        raise LocalError(
            f"{url} is not https: your login to Kubernetes could be read on its way there",
            "set router.tls; or go by `kubectl port-forward` and --url http://127.0.0.1:PORT",
        )
    headers = {"Authorization": f"Bearer {login}"}
    return json.loads(_post(token_uri(url.rstrip("/"), name), name, b"", headers, ANSWER_SECONDS))


@click.command()
@click.argument("name")
@click.option("--regen", type=click.Choice(["primary", "secondary"]), help="Make this key anew.")
@place_options
def keys(name: str, regen: str | None, where: Where) -> None:
    """Show the keys of web service NAME."""
    found = run_on(where, lambda backend: _keys(backend, name, regen))
    click.echo(table(list(found.items())), nl=False)


async def _keys(backend: Backend, name: str, regen: str | None) -> dict[str, str]:
    from slipway.running import backend as running

    called = running.called(await backend.deployments(), name)
    name = called.endpoint
    secret = await _secret(backend, name)
    if regen:
        alphabet = string.ascii_letters + string.digits
        new = "".join(secrets.choice(alphabet) for _ in range(KEY_LENGTH))
        secret = await backend.write(secret, {regen: new})
        url = await backend.url()
        keyed = running.serving(called.deployment).get("auth_enabled", True)
        if keyed and url is not None and not await _key_taken(running.scoring_uri(url, name), new):
            click.echo(f"the router at {url} has not taken the new key within {KEY_SECONDS:g} s", err=True)
            click.echo(typed("\nhint: slipway logs router"), err=True)
    return running.keys(secret)


async def _secret(backend: Backend, name: str) -> Object:
    """Find the Secret that holds a web service's keys. Raises LocalError."""
    from slipway.kube.read import part

    secret = await backend.secret(f"{name}-keys")
    if secret is None or part(secret, "metadata", "labels").get(WEBSERVICE) != name:
        raise LocalError(f"web service `{name}` has no keys", "its `auth_enabled` is false")
    return secret


async def _key_taken(uri: str, key: str) -> bool:
    """Wait until the router knows the key; tell whether it does."""
    from slipway.running.backend import takes_key

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(KEY_SECONDS):
            while not takes_key(uri, key):  # noqa: ASYNC110 - a router tells nobody
                await asyncio.sleep(0.05)
            return True
    return False


def _refusal(code: int, body: str) -> str:
    """Say why a request was refused; what is no refusal of the router's is shown as it is."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        refusal = json.loads(body)
        return f"{code} {refusal['reason']}: {refusal['message']}"
    return f"{code} {body}".rstrip()


def _refusal_hint(code: int, name: str) -> str:
    hints = {401: f"slipway keys {name}", 403: FORBIDDEN, 404: "slipway status", 502: f"slipway logs {name}"}
    return hints.get(code, "")


def _unreadable(url: str) -> bool:
    """Tell whether nobody reads on the way there what is sent."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" or parts.hostname in ("localhost", "127.0.0.1", "::1")


def _text(file: Path) -> str:
    return file.read_text(errors="replace").strip()
