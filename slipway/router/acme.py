"""The answer to an ACME server that asks over HTTP whether a name is ours (RFC 8555, section 8.3).

It is the token of the request's path and the account key's thumbprint, so that the router can give it for
whoever orders certificates with that account, and keeps nothing: cert-manager, whose account keys are RSA.
"""

import base64
import json
from collections.abc import Sequence
from hashlib import sha256

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from slipway.kube.folder import Object
from slipway.kube.read import named, part
from slipway.router.jose import base64url


def account(secrets: Sequence[Object], name: str) -> str:
    """Give the thumbprint of the account key that a Secret holds as `tls.key`, where cert-manager puts it.

    Raises ValueError, whose text holds nothing of it.
    """
    secret = named(secrets, name)
    if secret is None:
        raise ValueError("is missing")
    try:
        pem = base64.b64decode(part(secret, "data")["tls.key"], validate=True)
        key = load_pem_private_key(pem, password=None)
    except (KeyError, TypeError, ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("tls.key holds no RSA key in PEM")  # noqa: TRY004 - of input
    return thumbprint(key.public_key())


def thumbprint(key: RSAPublicKey) -> str:
    """Give a key's thumbprint (RFC 7638)."""
    numbers = key.public_numbers()
    jwk = {"e": base64url(_bytes(numbers.e)), "kty": "RSA", "n": base64url(_bytes(numbers.n))}
    return base64url(sha256(json.dumps(jwk, separators=(",", ":")).encode()).digest())


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
