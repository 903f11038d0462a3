"""What to answer when a registry asks who is there: Basic, and Bearer with a token of its token server.

After the distribution project's token authentication (`GET` with a login, `POST` with a refresh token) and
Azure's `AAD-OAuth.md` (Azure/acr): a token of Entra is exchanged at `/oauth2/exchange` for a refresh token.
Tokens are kept by scope until shortly before they end. Where credentials come from is `credentials`' part.
"""

from __future__ import annotations

import base64
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import httpx

from slipway.images.credentials import Credential, Entra, IdentityToken, Login, login_hint
from slipway.images.transport import RegistryError, Transport, said

Scopes = tuple[str, ...]
_TOKEN = re.compile(r"""([!#$%&'*+.^`|~\w-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?""")
_SHORTEST: Final = 60
"""Seconds that a token holds if the server does not say. Source: distribution, docs/spec/auth/token.md."""
_CLIENT: Final = "slipway"


@dataclass(frozen=True)
class Challenge:
    """One way in which a server wants to be answered; the scheme is in lower case."""

    scheme: str
    parameters: Mapping[str, str]


def challenges(headers: Sequence[str]) -> list[Challenge]:
    """Read `WWW-Authenticate` headers, each of one or several challenges (RFC 9110, 11.6.1)."""
    found: list[tuple[str, dict[str, str]]] = []
    for header in headers:
        for match in _TOKEN.finditer(header):
            name, quoted, plain = match.groups()
            if quoted is None and plain is None:
                found.append((name.lower(), {}))
            elif found:
                value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
                found[-1][1][name.lower()] = value
    return [Challenge(scheme, parameters) for scheme, parameters in found]


def repository_scope(repository: str, *, push: bool = False) -> str:
    """Name the right to read a repository, or to write it too."""
    return f"repository:{repository}:{'pull,push' if push else 'pull'}"


class RefusedError(Exception):
    """A token server does not take a credential."""


class Authenticator:
    """The headers that open one registry to one machine; threads share it."""

    def __init__(self, transport: Transport, base: httpx.URL, credentials: Iterator[Credential]) -> None:
        self._transport = transport
        self._base = base
        self._credentials = credentials
        self._credential: Credential | None = None
        self._asked = False
        """whether anything was taken of `credentials`"""
        self._exchanged: str | None = None
        self._failed: RegistryError | None = None
        self._known: dict[Scopes, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def header(self, scopes: Scopes) -> str | None:
        """Give the header that was good for these scopes and still should be."""
        header, until = self._known.get(scopes, (None, 0.0))
        return header if time.monotonic() < until else None

    def refused(self, headers: Sequence[str], scopes: Scopes, sent: str | None, *, again: bool) -> None:
        """Find another header after 401; `again` if the one that was refused had just been found.

        Raises `RegistryError` once nothing is left to try.
        """
        with self._lock:
            if self.header(scopes) not in {None, sent}:
                return  # another thread found one meanwhile
            if self._failed is not None:
                raise self._failed
            found = {challenge.scheme: challenge for challenge in challenges(headers)}
            challenge = found.get("bearer") or found.get("basic")
            if challenge is None:
                raise RegistryError(f"{self._transport.host}: asks for a login of an unknown kind")
            reason = challenge.parameters.get("error", "")
            while True:
                if not self._asked or again:
                    self._next(challenge, reason)
                try:
                    self._known[scopes] = self._prove(challenge, scopes)
                except RefusedError as error:
                    again, reason = True, str(error)
                else:
                    return

    def _next(self, challenge: Challenge, reason: str) -> None:
        """Take the next credential; nobody at all may still get a token for what is public."""
        first = not self._asked
        self._asked = True
        self._exchanged = None
        last, self._credential = self._credential, next(self._credentials, None)
        if self._credential is None and not (first and challenge.scheme == "bearer"):
            host = self._transport.host
            who = f"the login as `{last.username}`" if isinstance(last, Login) else "this machine's login"
            text = f"refuses {who}" if last is not None else "asks for a login, and there is none"
            text = f"{host}: {text}: {reason}" if reason else f"{host}: {text}"
            self._failed = RegistryError(text, f"run `{login_hint(host)}`")
            raise self._failed

    def _prove(self, challenge: Challenge, scopes: Scopes) -> tuple[str, float]:
        """Give a header and until when it holds."""
        credential = self._credential
        if challenge.scheme == "basic":
            if not isinstance(credential, Login):
                raise RefusedError("it takes a user name and a password only")
            return _basic(credential), float("inf")
        realm = self._base.join(challenge.parameters.get("realm", ""))
        service = challenge.parameters.get("service", "")
        wanted = dict.fromkeys((*scopes, *challenge.parameters.get("scope", "").split()))
        if isinstance(credential, Entra) and self._exchanged is None:
            self._exchanged = self._exchange(credential, service)
        if isinstance(credential, IdentityToken | Entra):
            refresh = credential.token if isinstance(credential, IdentityToken) else self._exchanged or ""
            form = {"grant_type": "refresh_token", "client_id": _CLIENT, "service": service}
            form |= {"scope": " ".join(wanted), "refresh_token": refresh}
            answer = self._post(realm, form)
        else:
            headers = {"Authorization": _basic(credential)} if credential is not None else {}
            answer = self._read(
                "GET", realm.copy_merge_params({"service": service, "scope": list(wanted)}), headers
            )
        token = _text(answer, "access_token", "token")
        lasts = answer.get("expires_in")
        seconds = max(lasts if isinstance(lasts, int | float) else _SHORTEST, _SHORTEST)
        return f"Bearer {token}", time.monotonic() + seconds * 0.9

    def _exchange(self, credential: Entra, service: str) -> str:
        form = {"grant_type": "access_token", "service": service, "access_token": credential.access_token()}
        return _text(self._post(self._base.join("/oauth2/exchange"), form), "refresh_token")

    def _post(self, url: httpx.URL, form: Mapping[str, str]) -> dict[str, object]:
        content = str(httpx.QueryParams(dict(form))).encode()
        return self._read("POST", url, {"Content-Type": "application/x-www-form-urlencoded"}, content)

    def _read(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], content: bytes = b""
    ) -> dict[str, object]:
        response = self._transport.send(method, url, headers, content)
        if not response.is_success:
            raise RefusedError(f"its token server {said(response)}")
        try:
            found: Any = response.json()
        except ValueError:
            found = {}
        return cast("dict[str, object]", found)


def _text(answer: Mapping[str, object], *names: str) -> str:
    found = next((answer[name] for name in names if answer.get(name)), None)
    if not isinstance(found, str):
        raise RefusedError(f"its token server gives no {names[-1]}")
    return found


def _basic(login: Login) -> str:
    pair = f"{login.username}:{login.password}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"
