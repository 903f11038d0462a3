"""The routers' own certificate authority in a Secret, from which each gives itself a certificate. Pure.

A new authority is trusted for a day before certificates come from it, and the old one until it ends, so that
one that has either still knows one that has the other. Nothing but time makes it change; a Secret that cannot
be read is made anew.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from slipway.kube.folder import Object
from slipway.kube.read import named
from slipway.router.state import Identity
from slipway.spec import AUTHORITY_SECRET

AUTHORITY_DAYS, AUTHORITY_RENEWAL = timedelta(days=730), timedelta(days=90)
"""How long an authority lasts, and so long before its end the next one comes."""
OVERLAP = timedelta(days=1)
"""How long the next authority is trusted before it is used."""
CERTIFICATE_DAYS, CERTIFICATE_RENEWAL = timedelta(days=30), timedelta(days=10)
CLOCKS = timedelta(hours=1)
"""By so much clocks may differ."""
CURRENT, NEXT, OLD = "tls", "next", "old"
Data = Mapping[str, str]
"""What a Secret holds, in PEM: `tls.crt` and `tls.key`, `next.crt` and `next.key`, `old.crt`."""


@dataclass(frozen=True)
class Authority:
    """A certificate that vouches for others, with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def renewed(data: Data, now: datetime) -> dict[str, str] | None:
    """Give what the Secret must hold from now on; None if that is what it holds."""
    current, following = _authority(data, CURRENT), _authority(data, NEXT)
    if current is None or current.certificate.not_valid_after_utc <= now:
        return _made(CURRENT, now)  # by what has ended nobody is trusted: there is nothing to wait for
    if current.certificate.not_valid_after_utc - now > AUTHORITY_RENEWAL:
        return None
    if following is None:
        return {**data, **_made(NEXT, now)}
    if now - following.certificate.not_valid_before_utc < OVERLAP + CLOCKS:
        return None
    used = {f"{CURRENT}.{part}": data[f"{NEXT}.{part}"] for part in ("crt", "key")}
    return {**used, f"{OLD}.crt": data[f"{CURRENT}.crt"]}


def issue(data: Data, pod: str, now: datetime) -> Identity | None:
    """Give a router its certificate, with a new key, from the current authority; None if there is none."""
    authority = _authority(data, CURRENT)
    if authority is None:
        return None
    key = ec.generate_private_key(ec.SECP256R1())
    until = min(now + CERTIFICATE_DAYS, authority.certificate.not_valid_after_utc)
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    built = (
        _builder(pod[:64], authority.certificate.subject, key, now, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False
        )
        .sign(authority.key, SHA256())
    )
    trusted = [_certificate(data, name) for name in (CURRENT, NEXT, OLD)]
    return Identity(_pem(built) + _key(key), "".join(_pem(one) for one in trusted if one is not None))


class Member:
    """A router's own certificate: another one once the authority changes, or its end nears."""

    def __init__(self, pod: str) -> None:
        self._pod = pod
        self._data: Data = {}
        self._renewal = datetime.max.replace(tzinfo=UTC)
        self.identity: Identity | None = None

    def look(self, secrets: Sequence[Object], now: datetime) -> Identity | None:
        """Give what holds now; what was issued by an authority that is gone or unreadable is used on."""
        data = read(named(secrets, AUTHORITY_SECRET))
        if data != self._data or now > self._renewal:
            self._data = data
            self.identity = issue(data, self._pod, now) or self.identity
            self._renewal = now + CERTIFICATE_DAYS - CERTIFICATE_RENEWAL
        return self.identity


def read(secret: Object | None) -> dict[str, str]:
    """Give what a Secret holds, as far as it can be read."""
    found: dict[str, str] = {}
    held: dict[str, str] = (secret or {}).get("data") or {}
    for name, value in held.items():
        with contextlib.suppress(binascii.Error, TypeError, UnicodeDecodeError):
            found[name] = base64.b64decode(value, validate=True).decode("ascii")
    return found


def _made(name: str, now: datetime) -> dict[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "slipway-router")])
    usage = x509.KeyUsage(
        key_cert_sign=True,
        crl_sign=True,
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    built = (
        _builder("slipway-router", subject, key, now, now + AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    return {f"{name}.crt": _pem(built), f"{name}.key": _key(key)}


def _builder(
    name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - CLOCKS,
        not_valid_after=until,
    )


def _authority(data: Data, name: str) -> Authority | None:
    certificate = _certificate(data, name)
    if certificate is None:
        return None
    try:
        key = load_pem_private_key(data[f"{name}.key"].encode(), None)
        fits = key.public_key() == certificate.public_key()
    except (KeyError, TypeError, ValueError, UnsupportedAlgorithm):
        return None
    return Authority(certificate, key) if fits and isinstance(key, ec.EllipticCurvePrivateKey) else None


def _certificate(data: Data, name: str) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(data[f"{name}.crt"].encode())
    except (KeyError, ValueError):
        return None


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def _key(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
