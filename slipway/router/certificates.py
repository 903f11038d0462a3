"""The router's certificates: read from Secrets, or as files that a driver keeps fresh; and what is wrong with them.

Whoever keeps a Secret (Slipway, cert-manager, External Secrets) cannot break another one: what is missing,
cannot be read, has a foreign key or has expired is told, and the certificate before it is used on.
"""

import base64
import binascii
import contextlib
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

from slipway.certificates import Certificate, read
from slipway.kube.folder import Object
from slipway.router.state import Ignored, Reason

BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\s+([A-Za-z0-9+/=\s]+?)\s*-----END \1-----")
BESIDE = {".key", ".issuer", ".ocsp", ".sctl"}
"""Ends of files that HAProxy reads beside a certificate, never as one (its `crt` with a folder)."""


class Complaint(NamedTuple):
    """What is wrong with the certificates that are served, for an Event."""

    reason: Reason
    place: str
    """Of a Secret its kind, namespace and name; else what else names it."""
    note: str


def of_secrets(
    secrets: Sequence[Object], namespace: str, names: Sequence[str], known: Mapping[str, str], now: datetime
) -> tuple[dict[str, str], list[Ignored]]:
    """Give by each Secret's name its certificate and key as one text, and what is wrong.

    `known` are those that are used so far.
    """
    found, ignored = dict(known), list[Ignored]()
    for name in names:
        try:
            pem = bundle(_data(secrets, name))
            ends = read(pem).ends
            if ends <= now and name in known and read(known[name]).ends > now:
                raise ValueError(f"the certificate has expired on {ends:%Y-%m-%d}")  # noqa: TRY301
        except ValueError as error:
            rest = "the one before is used on" if name in known else "nobody can call by HTTPS with it"
            place = f"Secret {namespace}/{name}"
            ignored.append(Ignored(place, f"{error}; {rest}", "CertificateRefused"))
        else:
            found[name] = pem
    return found, ignored


def bundle(data: Mapping[str, object]) -> str:
    """Give certificates and key of a Secret of type kubernetes.io/tls as one text.

    Nothing but PEM blocks without empty lines is left, so that it cannot break out of a command. Raises
    ValueError, whose text holds nothing of it, also if the key is another certificate's.
    """
    parts: list[str] = []
    for name, kind in (("tls.crt", "CERTIFICATE"), ("tls.key", "PRIVATE KEY")):
        found = [match for match in BLOCK.finditer(_decoded(data.get(name))) if match[1].endswith(kind)]
        if not found:
            raise ValueError(f"{name} holds no {kind.lower()} in PEM")
        parts.append("".join(map(_block, found)))
    read(*parts)
    return "".join(parts)


def of_folder(folder: Path) -> dict[str, Certificate]:
    """Give the certificates of a folder by their files' names, as far as they can be read."""
    found: dict[str, Certificate] = {}
    for file in certificate_files(folder):
        with contextlib.suppress(OSError, ValueError):  # it is being replaced, or HAProxy says what is wrong
            found[file.name] = read(file.read_text(encoding="ascii", errors="replace"))
    return found


def certificate_files(folder: Path) -> list[Path]:
    """Give the files of a folder that HAProxy takes for certificates."""
    with contextlib.suppress(OSError):
        return sorted(one for one in folder.iterdir() if one.is_file() and one.suffix not in BESIDE)
    return []


def complaints(
    served: Mapping[str, Certificate], domains: Sequence[str], router: str, now: datetime
) -> Iterator[Complaint]:
    """Say which certificates end soon or have ended, and which of the router's own names have none.

    `served` is by place; of a name the `router`, a place too, is told. The notes stay the same from day to
    day, so that they are one Event each.
    """
    for place, one in sorted(served.items()):
        what = f"the certificate for {', '.join(one.names) or 'no name'}"
        if one.ends <= now:
            note = f"{what} has expired on {one.ends:%Y-%m-%d}: clients refuse it; renew it"
            yield Complaint("CertificateExpired", place, note)
        elif one.nears <= now:
            note = f"{what} expires on {one.ends:%Y-%m-%d}; renew it"
            yield Complaint("CertificateExpiring", place, note)
    for domain in domains if served else ():
        if not any(one.covers(domain) for one in served.values()):
            note = f"no certificate is for {domain}: clients that call it refuse the router's"
            yield Complaint("CertificateNameMismatch", router, note)


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


def _data(secrets: Sequence[Object], name: str) -> Mapping[str, object]:
    for obj in secrets:
        metadata, data = obj.get("metadata"), obj.get("data")
        if isinstance(metadata, dict) and metadata.get("name") == name:
            return data if isinstance(data, dict) else {}
    raise ValueError("is missing")


def _block(match: re.Match[str]) -> str:
    lines = "\n".join(match[2].split())
    return f"-----BEGIN {match[1]}-----\n{lines}\n-----END {match[1]}-----\n"


def _decoded(value: object) -> str:
    try:
        return base64.b64decode(value if isinstance(value, str) else "", validate=True).decode(
            "ascii", errors="replace"
        )
    except binascii.Error:
        return ""
