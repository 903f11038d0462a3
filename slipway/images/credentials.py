"""Who this machine is to a registry: what `docker login` kept, what `az login` or a managed identity proves.

They are looked for only when a registry asks who is there, and never shown. What is done with them is
`auth`'s.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from slipway import entra
from slipway.hosts.clouds import Cloud, suffixes
from slipway.images.oci import DOCKER_HUB
from slipway.images.transport import RegistryError

ACR_SCOPE = "https://containerregistry.azure.net/.default"
"""Every cloud's. Azure Resource Manager's is refused where a registry's `azureADAuthenticationAsArmPolicy` is
off. Source: container-registry-disable-authentication-as-arm.md of MicrosoftDocs/azure-management-docs."""
_HUB = "index.docker.io"
_IDENTITY = "<token>"
"""The user name with which a credential helper says that the secret is an identity token."""


@dataclass(frozen=True)
class Login:
    """A user name and a password."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class IdentityToken:
    """A refresh token of the registry's own token server."""

    token: str = field(repr=False)


@dataclass(frozen=True)
class Entra:
    """Who can get a token of Microsoft Entra, which ACR exchanges for one of its own."""

    access_token: Callable[[], str] = field(repr=False)


Credential = Login | IdentityToken | Entra


def of_machine(host: str) -> Iterator[Credential]:
    """Give who this machine is to a registry, in the order to try.

    Raises `RegistryError` where Docker's configuration cannot be used or nobody is signed in to Azure.
    """
    found = of_docker(host, _docker_config(), _helper)
    if found is not None:
        yield found
    cloud = acr_cloud(host)
    if cloud is not None:
        yield Entra(lambda: _acr_token(host, cloud))


def acr_cloud(host: str) -> Cloud | None:
    """Tell in which cloud a host is an Azure container registry, if it is one."""
    return next((cloud for cloud in Cloud if host.endswith(f".{suffixes(cloud).registry}")), None)


def login_hint(host: str) -> str:
    """Give the command that logs in to a registry."""
    name, _, _ = host.partition(".")
    return f"docker login {host}" if acr_cloud(host) is None else f"az acr login --name {name}"


def of_docker(
    host: str, config: dict[str, Any], helper: Callable[[str, str], tuple[str, str] | None]
) -> Credential | None:
    """Find the login of a host in Docker's `config.json`; `helper(name, server)` asks a credential helper.

    Raises `RegistryError` for an entry that is none.
    """
    name = _HUB if host == DOCKER_HUB else host
    helpers: dict[str, str] = {_host_of(key): value for key, value in config.get("credHelpers", {}).items()}
    program = helpers.get(name) or config.get("credsStore")
    if program:
        told = helper(program, f"https://{_HUB}/v1/" if name == _HUB else host)
        if told is not None:
            username, secret = told
            return IdentityToken(secret) if username == _IDENTITY else Login(username, secret)
    entries: dict[str, dict[str, str]] = {
        _host_of(key): value for key, value in config.get("auths", {}).items()
    }
    entry = entries.get(name, {})
    if entry.get("identitytoken"):
        return IdentityToken(entry["identitytoken"])
    if not entry.get("auth"):
        return None
    try:
        username, _, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise RegistryError(
            f"Docker's login for {host} cannot be read", f"run `{login_hint(host)}`"
        ) from None
    return Login(username, password.rstrip("\0"))


def _host_of(key: str) -> str:
    return key.removeprefix("https://").removeprefix("http://").split("/")[0]


def _docker_config() -> dict[str, Any]:
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    path = folder / "config.json"
    try:
        found: Any = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RegistryError(
            f"{path}: cannot be read: {type(error).__name__}", "correct or remove it"
        ) from None
    if not isinstance(found, dict):
        raise RegistryError(f"{path}: is no object of JSON", "correct or remove it")
    return cast("dict[str, Any]", found)


def _helper(name: str, server: str) -> tuple[str, str] | None:
    program = f"docker-credential-{name}"
    try:
        done = subprocess.run(
            [program, "get"], input=server, capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        text = f"{program}, which Docker's configuration names, does not run: {type(error).__name__}"
        raise RegistryError(text, "install it, or remove it from config.json") from None
    if done.returncode:
        return None  # its way to say that there is no login
    try:
        told: dict[str, str] = json.loads(done.stdout)
        return told["Username"], told["Secret"]
    except (ValueError, KeyError, TypeError):  # what it said may hold the secret
        raise RegistryError(f"{program} answers in another form", "update it") from None


def _acr_token(host: str, cloud: Cloud) -> str:
    try:
        return entra.token(ACR_SCOPE, suffixes(cloud).login).token
    except entra.EntraError as error:
        raise RegistryError(f"{host}: no token of Microsoft Entra: {error}", f"run `{error.login}`") from None
