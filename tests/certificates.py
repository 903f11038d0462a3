"""Certificates that sign themselves, for tests."""

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM
NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
DAY = datetime.timedelta(days=1)


WEAK_AUTHORITY = b"""\
-----BEGIN CERTIFICATE-----
MIIBjzCCATmgAwIBAgIUM5eTAZNKGfpI4XImDkw4Wlnjo2MwDQYJKoZIhvcNAQEL
BQAwGzEZMBcGA1UEAwwQYSB3ZWFrIGF1dGhvcml0eTAgFw0yNjExMzAxNTU4NTFa
GA8yMTI2MTEwNjE1NTg1MVowGzEZMBcGA1UEAwwQYSB3ZWFrIGF1dGhvcml0eTBc
MA0GCSqGSIb3DQEBAQUAA0sAMEgCQQDsdMRwFbLfxBOkQFRf5UEv7z8MmpWBnHZf
oYmn5O0mqta3LbOpb4rOrXdig4WEb7psz42c6eK2DQ/vNFBuVkKxAgMBAAGjUzBR
MB0GA1UdDgQWBBQz2RW0uJqC7Z+rk5VjsLIFzugDgjAfBgNVHSMEGDAWgBQz2RW0
uJqC7Z+rk5VjsLIFzugDgjAPBgNVHRMBAf8EBTADAQH/MA0GCSqGSIb3DQEBCwUA
A0EAf4507u9XB9ZEm1FOzeB6dbbgKGQOrgBfeV9wG9ZcbJidKesLRm0Iyta+sx2/
kLjxQGgKqYOiyJ+3cuB7yAewAg==
-----END CERTIFICATE-----
"""
"""A certificate of an authority whose key has 512 bits: HAProxy takes no chain with it."""
SIGNED_WITH_SHA_1 = b"""\
-----BEGIN CERTIFICATE-----
MIIBJzCBzwIUEy9AjMkaHzgkpQN/Ktf+5cv3EiQwCQYHKoZIzj0EATAPMQ0wCwYD
VQQDDARyb290MCAXDTI2MTEzMDE2MDYwMloYDzIxMjYxMTA2MTYwNjAyWjAeMRww
GgYDVQQDDBNhbiBhdXRob3JpdHkgb2Ygb2xkMFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAE1q1DkCY9coroeS5kA4I6k2M7WRLYX2wPtsoWVfLH24wg86E8zKfZYgAd
4NpKfrkBlHdHitWeDcQxt8/i4MCcXzAJBgcqhkjOPQQBA0gAMEUCIQCLCrnzYw8k
12i44d4Qb01LNR07fo5aVQ/cOKdK7CerFAIgcjqNQ8FqJAR0yvA7d5J+v/sV8KBH
6OaUlkXAQeUasrg=
-----END CERTIFICATE-----
"""
"""A certificate of an authority, issued by another one long ago."""


def certificate(
    *names: str, begins: datetime.datetime = NOW - DAY, ends: datetime.datetime = NOW + 365 * DAY
) -> tuple[bytes, bytes]:
    """Make a certificate for names, and for this machine, and its key, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"number {serial}"[:64])])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName([*map(x509.DNSName, names), address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    return made.public_bytes(PEM), key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, plain)
