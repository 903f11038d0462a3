"""The router's certificates: read from Secrets, or as files that a driver keeps fresh; and what is wrong.

Whoever keeps a Secret (Slipway, cert-manager, External Secrets) cannot break another one: what is missing,
cannot be read, has a foreign key or has expired is told, and the certificate before it is used on.
"""

import base64
import binascii
import contextlib
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

from slipway.certificates import Certificate, read
from slipway.kube.read import named, part
from slipway.router.acme import account
from slipway.router.feed import Objects
from slipway.router.options import Tls
from slipway.router.state import Ignored, Reason, State

BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\s+([A-Za-z0-9+/=\s]+?)\s*-----END \1-----")


class Complaint(NamedTuple):
    """What is wrong with the certificates that are served, for an Event."""

    reason: Reason
    place: str
    """A Secret, by kind, namespace and name, or a file; empty: the router itself."""
    note: str

    def __str__(self) -> str:
        return f"{self.place}: {self.note}" if self.place else self.note


def secured(objects: Objects, state: State, tls: Tls, namespace: str, known: Mapping[str, str]) -> State:
    """Add to a state what `tls` names: certificates, an ACME account; `known` certificates are in use."""
    found, ignored, now = dict(known), list[Ignored](), datetime.now(UTC)
    for name in tls.names:
        try:
            found[name] = _newer(_loaded(tls, objects, name), known.get(name), now)
        except ValueError as error:
            rest = "the one before is used on" if name in known else "nobody can call by HTTPS with it"
            ignored.append(Ignored(_place(tls, namespace, name), f"{error}; {rest}", "CertificateRefused"))
    thumbprint = ""
    if tls.account is not None:
        try:
            thumbprint = account(objects.secrets, tls.account)
        except ValueError as error:
            why = f"{error}; ACME challenges are not answered"
            ignored.append(Ignored(f"Secret {namespace}/{tls.account}", why, "CertificateRefused"))
    return replace(state, certificates=found, account=thumbprint, ignored=(*state.ignored, *ignored))


def bundle(certificates: str, keys: str) -> str:
    """Give certificates and key as one text.

    Nothing but PEM blocks without empty lines is left, so that it cannot break out of a command. Raises
    ValueError, whose text holds nothing of it, also if the key is another certificate's.
    """
    parts: list[str] = []
    for text, kind in ((certificates, "CERTIFICATE"), (keys, "PRIVATE KEY")):
        found = [match for match in BLOCK.finditer(text) if match[1].endswith(kind)]
        if not found:
            raise ValueError(f"holds no {kind.lower()} in PEM")
        parts.append("".join(map(_block, found)))
    read(*parts)
    return "".join(parts)


def served(state: State, tls: Tls, namespace: str) -> dict[str, Certificate]:
    """Give the certificates that a router with this state serves, by place."""
    return {_place(tls, namespace, name): read(pem) for name, pem in state.certificates.items()}


def complaints(
    wanted: State, serving: Mapping[str, Certificate], domains: Sequence[str], now: datetime
) -> list[Complaint]:
    """Say what was refused, which certificates end soon or have ended, and which domains have none.

    The notes stay the same from day to day, so that each is one Event.
    """
    found = [
        Complaint(one.reason, one.place, one.why)
        for one in wanted.ignored
        if one.reason == "CertificateRefused"
    ]
    for place, one in sorted(serving.items()):
        what = f"the certificate for {', '.join(one.names) or 'no name'}"
        if one.ends <= now:
            note = f"{what} has expired on {one.ends:%Y-%m-%d}: clients refuse it; renew it"
            found.append(Complaint("CertificateExpired", place, note))
        elif one.nears <= now:
            note = f"{what} expires on {one.ends:%Y-%m-%d}; renew it"
            found.append(Complaint("CertificateExpiring", place, note))
    for domain in domains if serving else ():
        if not any(one.covers(domain) for one in serving.values()):
            note = f"no certificate is for {domain}: clients that call it refuse what they get"
            found.append(Complaint("CertificateNameMismatch", "", note))
    return found


def fingerprint(folder: Path) -> Hashable:
    """Give what differs once any file of a folder was replaced or written to."""
    found: list[Hashable] = []
    with contextlib.suppress(OSError):  # it is being replaced
        for file in sorted(folder.iterdir()):
            with contextlib.suppress(OSError):
                stat = file.stat()
                if S_ISREG(stat.st_mode):
                    found.append((file.name, stat.st_ino, stat.st_mtime_ns, stat.st_size))
    return tuple(found)


def _place(tls: Tls, namespace: str, name: str) -> str:
    return f"Secret {namespace}/{name}" if tls.folder is None else f"File {name}"


def _loaded(tls: Tls, objects: Objects, name: str) -> str:
    if tls.folder is None:
        secret = named(objects.secrets, name)
        if secret is None:
            raise ValueError("is missing")
        data = part(secret, "data")
        return bundle(_decoded(data.get("tls.crt")), _decoded(data.get("tls.key")))
    try:
        text = (tls.folder / name).read_bytes().decode("ascii", errors="replace")
        key = text
        if "PRIVATE KEY" not in text:
            key = (tls.folder / name).with_suffix(".key").read_bytes().decode("ascii", errors="replace")
    except OSError as error:
        raise ValueError(f"cannot be read with its key: {error.strerror}") from None
    return bundle(text, key)


def _newer(pem: str, known: str | None, now: datetime) -> str:
    """Give a certificate, unless it has expired while the one in use has not."""
    ends = read(pem).ends
    if known is not None and ends <= now < read(known).ends:
        raise ValueError(f"the certificate has expired on {ends:%Y-%m-%d}")
    return pem


def _block(match: re.Match[str]) -> str:
    lines = "\n".join(match[2].split())
    return f"-----BEGIN {match[1]}-----\n{lines}\n-----END {match[1]}-----\n"


def _decoded(value: object) -> str:
    try:
        content = base64.b64decode(value if isinstance(value, str) else "", validate=True)
    except binascii.Error:
        return ""
    return content.decode("ascii", errors="replace")
