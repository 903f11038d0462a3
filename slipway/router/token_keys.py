"""The keys that sign tokens: what their Secret holds, and when a new one is added.

A key is published a whole PERIOD before anything is signed with it, so that every router, even one that is
cut off from the API server for hours, verifies what another one signs. Only the first of all has to do with
START_SECONDS. A key that has had its time verifies for one more PERIOD, far longer than a token lives.
"""

import base64
import binascii
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from slipway.kube.folder import Object
from slipway.router.state import KID

SECRET = "slipway-token-keys"  # noqa: S105 - a name
PERIOD = 24 * 3600
"""Seconds that a key signs for."""
START_SECONDS = 5
"""For all routers to learn of the first key."""
BITS = 2048


@dataclass(frozen=True)
class TokenKey:
    """A key pair in PEM."""

    since: int
    """The second of the Unix epoch in which it begins to sign; the `kid` of its tokens, too."""
    public: str
    private: str = field(repr=False)

    @property
    def kid(self) -> str:
        """Give its name in a token."""
        return str(self.since)


def read(secrets: Iterable[Object]) -> tuple[TokenKey, ...]:
    """Give the keys of their Secret, the oldest first. Raises ValueError, whose text holds nothing of them."""
    secret = next((one for one in secrets if one["metadata"].get("name") == SECRET), None)
    data: Mapping[str, str] = (secret or {}).get("data") or {}
    kids = sorted({name.partition(".")[0] for name in data}, key=lambda kid: (len(kid), kid))
    return tuple(_read(kid, data) for kid in kids)


def write(keys: Iterable[TokenKey], namespace: str, found: Object | None) -> Object:
    """Give the Secret that holds these keys, in place of the one that was found."""
    texts = {f"{key.kid}.{half}": getattr(key, half) for key in keys for half in ("public", "private")}
    metadata = {"name": SECRET, "namespace": namespace, "labels": {"app.kubernetes.io/managed-by": "slipway"}}
    if found is not None:
        metadata["resourceVersion"] = found["metadata"]["resourceVersion"]
    data = {name: base64.b64encode(text.encode()).decode() for name, text in texts.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data, "type": "Opaque"}


def due(keys: Sequence[TokenKey], now: float) -> int | None:
    """Give when the next key should begin to sign, if it should be made now."""
    if not keys:
        return math.ceil(now) + START_SECONDS
    return None if keys[-1].since > now else math.ceil(now) + PERIOD


def kept(keys: Sequence[TokenKey], new: TokenKey) -> tuple[TokenKey, ...]:
    """Add a key, and leave out those whose tokens have all expired."""
    return (*keys[-2:], new)


def signer(keys: Iterable[TokenKey], now: float) -> TokenKey | None:
    """Give the key that signs: the youngest whose time has come."""
    return max((key for key in keys if key.since <= now), key=lambda key: key.since, default=None)


def make(since: int) -> TokenKey:
    """Make a key pair, which takes a processor some tenths of a second."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
    return TokenKey(
        since,
        private.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode(),
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
    )


def _read(kid: str, data: Mapping[str, str]) -> TokenKey:
    if KID.fullmatch(kid) is None:
        raise ValueError("its data is not named <seconds>.public and <seconds>.private")
    try:
        public, private = (
            base64.b64decode(data[f"{kid}.{half}"], validate=True) for half in ("public", "private")
        )
        key = serialization.load_pem_public_key(public)
    except (KeyError, TypeError, binascii.Error, ValueError, UnsupportedAlgorithm):
        raise ValueError(f"{kid}.public and {kid}.private are not both PEM in base64") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError(f"{kid}.public is no RSA key")  # noqa: TRY004 - of input
    # Written anew, it holds nothing but the key.
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return TokenKey(int(kid), key.public_bytes(encoding, form).decode(), private.decode(errors="replace"))
