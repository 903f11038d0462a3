"""X.509 certificates in PEM, as far as those who serve one must know them: names, time, key. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

NEAR = timedelta(days=30)
UNSAFE = (hashes.MD5, hashes.SHA1)
"""Neither OpenSSL nor a browser takes a signature over these."""


@dataclass(frozen=True)
class Certificate:
    """A certificate: the names and addresses that it is for, and its time, in UTC."""

    names: tuple[str, ...]
    begins: datetime
    ends: datetime

    @property
    def nears(self) -> datetime:
        """From when its end is near: 30 days before, or a quarter of its time if that is less.

        cert-manager renews after two thirds, so that who hears of it knows that renewing failed for a while.
        """
        return self.ends - min(NEAR, (self.ends - self.begins) / 4)

    def covers(self, name: str) -> bool:
        """Tell whether clients take it for a name: its own, or that of all in a domain (RFC 9525)."""
        _, _, domain = name.partition(".")
        return name in self.names or f"*.{domain}" in self.names


def read(pem: str, key: str | None = None) -> Certificate:
    """Read the first certificate of a chain; with `key`, a private key in PEM, only if it belongs to it.

    Raises ValueError, whose text says what is wrong and holds nothing of either.
    """
    try:
        chain = x509.load_pem_x509_certificates(pem.encode())
        leaf = chain[0]
        names = _names(leaf)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("the certificate is not X.509 in PEM") from None
    if key is not None:
        try:
            public = load_pem_private_key(key.encode(), password=None).public_key()
        except TypeError:
            raise ValueError("the key is encrypted") from None
        except (ValueError, UnsupportedAlgorithm):
            raise ValueError("the key is no private key in PEM") from None
        if public != leaf.public_key():
            raise ValueError("the key is not the certificate's")
        if isinstance(public, RSAPublicKey) and public.key_size < 2048:
            raise ValueError(f"the key has {public.key_size} bits, too few to be safe")
        if any(map(_outdated, chain)):
            raise ValueError("one of the chain is signed with SHA-1 or MD5, which clients refuse")
    return Certificate(names, leaf.not_valid_before_utc, leaf.not_valid_after_utc)


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:  # clients heed no other place
        return ()
    addresses = map(str, found.get_values_for_type(x509.IPAddress))
    return (*found.get_values_for_type(x509.DNSName), *addresses)


def _outdated(one: x509.Certificate) -> bool:
    try:
        digest = one.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return False
    return isinstance(digest, UNSAFE) and one.issuer != one.subject  # a root's own counts for nothing
