"""The answer to an ACME server that asks over HTTP whether a name is ours (RFC 8555, section 8.3).

It is the token of the request's path and the account key's thumbprint, so that the router can give it for
whoever orders certificates with that account, and keeps nothing: cert-manager, or any other client.
"""

import base64
import json
from collections.abc import Iterable
from hashlib import sha256

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from slipway.kube.folder import Object

CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


def account(secrets: Iterable[Object], name: str) -> str:
    """Give the thumbprint of the account key that a Secret holds as `tls.key`, where cert-manager puts it.

    Raises ValueError, whose text holds nothing of it.
    """
    for obj in secrets:
        if obj["metadata"]["name"] == name:
            try:
                return thumbprint(base64.b64decode(obj["data"]["tls.key"], validate=True))
            except (KeyError, TypeError, ValueError, UnsupportedAlgorithm):
                raise ValueError("tls.key holds no RSA or EC key in PEM") from None
    raise ValueError("is missing")


def thumbprint(pem: bytes) -> str:
    """Give a private key's thumbprint (RFC 7638). Raises ValueError and others if it is none."""
    public = load_pem_private_key(pem, password=None).public_key()
    match public:
        case RSAPublicKey():
            numbers = public.public_numbers()
            jwk = {"e": _encoded(numbers.e), "kty": "RSA", "n": _encoded(numbers.n)}
        case EllipticCurvePublicKey() if public.curve.name in CURVES:
            size = (public.curve.key_size + 7) // 8
            point = public.public_numbers()
            x, y = (_encoded(one, size) for one in (point.x, point.y))
            jwk = {"crv": CURVES[public.curve.name], "kty": "EC", "x": x, "y": y}
        case _:
            raise ValueError("neither RSA nor EC")
    return _text(sha256(json.dumps(jwk, separators=(",", ":"), sort_keys=True).encode()).digest())


def _encoded(number: int, size: int | None = None) -> str:
    return _text(number.to_bytes(size or (number.bit_length() + 7) // 8, "big"))


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
