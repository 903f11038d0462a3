"""Requests to one registry as whoever it lets in: `transport` and `auth` together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus

import httpx

from slipway.images.auth import Authenticator, Scopes
from slipway.images.credentials import Credential, login_hint, of_machine
from slipway.images.oci import DOCKER_HUB
from slipway.images.transport import (
    Body,
    NoSuchHostError,
    PassingError,
    Patience,
    RegistryError,
    Retries,
    Transport,
    is_loopback,
    said,
)

_HUB_API = "registry-1.docker.io"


class Session:
    """One registry. `plain_http` None allows it for this machine's own addresses only."""

    def __init__(
        self, host: str, credentials: Iterable[Credential] | None, plain_http: bool | None, retries: Retries
    ) -> None:
        plain = is_loopback(host) if plain_http is None else plain_http
        self.host = host
        self.transport = Transport(host, plain)
        self._retries = retries
        self._base = httpx.URL(f"{'http' if plain else 'https'}://{_HUB_API if host == DOCKER_HUB else host}")
        found = of_machine(host) if credentials is None else iter(credentials)
        self._auth = Authenticator(self.transport, self._base, found)

    def patience(self) -> Patience:
        """Give the retries of one piece of work."""
        return Patience(self.host, self._retries)

    def call(
        self,
        method: str,
        url: str,
        scopes: Scopes,
        headers: Mapping[str, str] | None = None,
        body: Body = b"",
    ) -> httpx.Response:
        """Ask until there is an answer. Raises `RegistryError`; a status of its own kind is no error."""
        patience = self.patience()
        while True:
            try:
                return self.once(method, url, scopes, headers, body)
            except PassingError as error:
                patience.after(error)

    def once(
        self,
        method: str,
        url: str,
        scopes: Scopes,
        headers: Mapping[str, str] | None = None,
        body: Body = b"",
        *,
        stream: bool = False,
    ) -> httpx.Response:
        """Ask once; credentials go to the registry itself alone. Raises `PassingError`, `RegistryError`."""
        address = self._base.join(url)
        ours = (address.scheme, address.netloc) == (self._base.scheme, self._base.netloc)
        again = False
        while True:
            sent = self._auth.header(scopes) if ours else None
            whole = {**(headers or {}), **({"Authorization": sent} if sent else {})}
            try:
                response = self.transport.send(method, address, whole, body, stream=stream)
            except NoSuchHostError as error:
                if not self._retries.new_host:
                    raise
                raise PassingError(str(error)) from None
            if response.status_code != HTTPStatus.UNAUTHORIZED or not ours:
                return response
            response.close()
            self._auth.refused(response.headers.get_list("WWW-Authenticate"), scopes, sent, again=again)
            again = True

    def found(self, response: httpx.Response, repository: str, what: str) -> bool:
        """Tell whether the answer is what was asked for, and not 404. Raises `RegistryError`."""
        if response.is_success or response.status_code == HTTPStatus.NOT_FOUND:
            return response.is_success
        raise self.error(response, repository, what)

    def error(self, response: httpx.Response, repository: str, what: str) -> RegistryError:
        """Give what the answer means to a person."""
        if not response.is_closed:
            response.read()
        hint = ""
        if response.status_code == HTTPStatus.FORBIDDEN:
            hint = f"ask for the right to it (on ACR: the role AcrPush), or run `{login_hint(self.host)}`"
        return RegistryError(f"{self.host}/{repository}: {what}: {said(response)}", hint)
