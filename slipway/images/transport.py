"""HTTP to a registry: one attempt, its redirects, and how often and how long it is tried again.

What passes by itself is tried again: cut connections, 429 and 5xx. Everything else is final. Redirects of
reads are followed without our Authorization, as `httpx` does for another origin; addresses are never shown,
because storage signs them.
"""

from __future__ import annotations

import ipaddress
import logging
import random
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, cast

import httpx

PASSING = frozenset({429, 500, 502, 503, 504})
_REDIRECTS = 5
_TIMEOUT = httpx.Timeout(60, connect=15, read=300)  # a registry may take minutes to check a large blob
Body = bytes | Callable[[], Iterator[bytes]]


class RegistryError(Exception):
    """A registry cannot be used as asked; `hint` is what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message}; {hint}" if hint else message)
        self.hint = hint


class NoSuchHostError(RegistryError):
    """A registry's name is not known: it is wrong, or the registry does not exist yet."""


class PassingError(Exception):
    """What may be over soon; `asked` is how many seconds the registry wants us to wait."""

    def __init__(self, message: str, asked: float = 0) -> None:
        super().__init__(message)
        self.asked = asked


@dataclass(frozen=True)
class Retries:
    """How patient we are: `attempts` without progress, waits in seconds that double up to `longest`."""

    attempts: int = 6
    first: float = 0.5
    longest: float = 20
    longest_asked: float = 120
    new_host: bool = False
    """whether a name that is not known may be soon"""

    def wait(self, failures: int, asked: float, chance: float) -> float | None:
        """Give the seconds to wait after so many failures in a row, None to give up.

        Between half and all of the doubled wait, by `chance` in [0, 1), so that many clients come back apart;
        never less than the registry asked for.
        """
        if failures >= self.attempts or asked > self.longest_asked:
            return None
        doubled = min(self.first * 2 ** (failures - 1), self.longest)
        return max(asked, doubled * (1 + chance) / 2)


JUST_MADE = Retries(attempts=12, new_host=True)
"""One or two minutes, for a registry that exists since this deployment: whoever looked its name up before
may be told for as long that there is none (RFC 2308)."""


@dataclass
class Patience:
    """The retries of one piece of work."""

    host: str
    retries: Retries
    failures: int = 0

    def after(self, error: PassingError) -> None:
        """Wait; raises `RegistryError` once there was enough of it."""
        self.failures += 1
        wait = self.retries.wait(self.failures, error.asked, random.random())  # noqa: S311
        if wait is None:
            raise RegistryError(f"{self.host}: {error}", "try again later") from None
        time.sleep(wait)

    def renew(self) -> None:
        """Forget the failures: there was progress since."""
        self.failures = 0


@dataclass
class Transport:
    """The connections to one registry; `plain` lets it be plain http."""

    host: str
    plain: bool
    _client: httpx.Client = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("httpx", "httpcore"):  # they log addresses, and storage's hold a signature
            logging.getLogger(name).setLevel(logging.WARNING)
        self._client = httpx.Client(
            timeout=_TIMEOUT,
            verify=_trusted(),
            trust_env=not is_loopback(self.host),
            headers={"Accept-Encoding": "identity", "User-Agent": "slipway"},
        )

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def send(
        self,
        method: str,
        url: httpx.URL,
        headers: Mapping[str, str],
        body: Body = b"",
        *,
        stream: bool = False,
    ) -> httpx.Response:
        """Send once and give the answer, read unless `stream`; redirects of reads are followed.

        Raises `PassingError` for a cut connection or a status that passes, `RegistryError` for a redirect or
        a certificate that cannot be trusted.
        """
        content = body if isinstance(body, bytes) else body()
        request = self._client.build_request(method, url, headers=dict(headers), content=content)
        try:
            response = self._followed(request)
            if response.status_code in PASSING:
                response.read()
                raise PassingError(said(response), asked(response.headers.get("Retry-After", "")))
            if not stream:
                response.read()
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise self.failure(error) from None
        return response

    def failure(self, error: Exception) -> Exception:
        """Give what a failed connection means: `PassingError`, or `RegistryError` where no retry helps."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                text = f"{self.host}: its certificate is not trusted: {cause.verify_message}"
                return RegistryError(text, "set SSL_CERT_FILE to the authority's certificates")
            if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME:
                return NoSuchHostError(f"{self.host}: no such host", "correct the name")
            cause = cause.__cause__ or cause.__context__
        return PassingError(f"the connection failed: {type(error).__name__}")

    def _followed(self, request: httpx.Request) -> httpx.Response:
        reads = request.method in {"GET", "HEAD"}
        for _ in range(_REDIRECTS):
            self.check(request.url)
            response = self._client.send(request, stream=True)
            if response.next_request is None or not reads:
                return response
            response.close()
            request = response.next_request
        raise RegistryError(f"{self.host}: redirects without end")

    def check(self, url: httpx.URL) -> None:
        """Raise `RegistryError` for an address that is not https, unless plain http was allowed."""
        if url.scheme != "https" and not (self.plain and url.scheme == "http"):
            raise RegistryError(
                f"{self.host}: leads to {url.host} without https", "use a registry with https"
            )


@cache
def _trusted() -> ssl.SSLContext:
    """Read the authorities of this machine once: that takes longer than many a request."""
    return httpx.create_ssl_context()


def is_loopback(host: str) -> bool:
    """Tell whether a registry's host is this machine, by name or address."""
    name = re.sub(r":\d+$", "", host).strip("[]")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def asked(retry_after: str, now: datetime | None = None) -> float:
    """Read `Retry-After`, seconds or a date, as seconds from now; 0 for anything else."""
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        when = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0
    return max((when - (now or datetime.now(UTC))).total_seconds(), 0) if when.tzinfo else 0


def said(response: httpx.Response) -> str:
    """Give the status and, if the answer has the distribution API's form, the registry's own words."""
    text = f"answers {response.status_code} {response.reason_phrase}".rstrip()
    return f"{text} ({'; '.join(words)})" if (words := errors(response.content)) else text


def errors(content: bytes) -> list[str]:
    """Read the errors of an answer of the distribution API, as `CODE: message`; [] for anything else."""
    try:
        found: Any = httpx.Response(200, content=content).json()
        listed = cast("list[dict[str, object]]", found["errors"])
        return [f"{error['code']}: {error.get('message', '')}"[:200] for error in listed]
    except (ValueError, TypeError, KeyError, AttributeError):
        return []
