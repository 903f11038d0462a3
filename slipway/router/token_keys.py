"""The keys that sign tokens: what their Secret holds, and when a new one is added.

A key is published a whole PERIOD before anything is signed with it, so that every router, even one that is
cut off from the API server for hours, verifies what another one signs. Only the first of all has to do with
START_SECONDS. A key that has had its time verifies for one more PERIOD, far longer than a token lives.
"""

import base64
import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import BaseModel, ValidationError

from slipway.kube.folder import Object
from slipway.router.feed import secret
from slipway.router.state import KID
from slipway.spec import TOKEN_KEYS_SECRET

PERIOD = 24 * 3600
"""Seconds that a key signs for."""
START_SECONDS = 5
"""For all routers to learn of the first key."""
BITS = 2048


@dataclass(frozen=True)
class TokenKey:
    """A key that signs."""

    since: int
    """The second of the Unix epoch in which it begins to; the `kid` of its tokens, too."""
    public: str
    """Its other half, which verifies, in PEM."""
    private: rsa.RSAPrivateKey = field(repr=False, compare=False)

    @property
    def kid(self) -> str:
        """Give its name in a token."""
        return str(self.since)


def read(found: Object | None) -> tuple[TokenKey, ...]:
    """Give the keys that a Secret holds, the oldest first. Raises ValueError, which tells nothing of them."""
    try:
        data = _Secret.model_validate(found or {}).data or {}
    except ValidationError:  # its text may quote a key
        raise ValueError("its data must map names to base64 texts") from None
    keys = [_read(name.removesuffix(".pem"), text) for name, text in data.items()]
    return tuple(sorted(keys, key=lambda key: key.since))


def write(keys: Iterable[TokenKey], namespace: str, found: Object | None) -> Object:
    """Give the Secret that holds these keys, in place of the one that was found."""
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    plain = serialization.NoEncryption()
    texts = {f"{key.kid}.pem": key.private.private_bytes(pem, form, plain).decode() for key in keys}
    return secret(TOKEN_KEYS_SECRET, namespace, texts, found)


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
    """Make a key, which takes a processor some tenths of a second."""
    return _key(since, rsa.generate_private_key(public_exponent=65537, key_size=BITS))


class _Secret(BaseModel):
    data: dict[str, str] | None = None


@functools.lru_cache(maxsize=8)
def _read(kid: str, text: str) -> TokenKey:
    if KID.fullmatch(kid) is None:
        raise ValueError("its data is not named <seconds>.pem")
    try:
        key = serialization.load_pem_private_key(base64.b64decode(text, validate=True), None)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        raise ValueError(f"{kid}.pem is no key in PEM") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError(f"{kid}.pem is no RSA key")  # noqa: TRY004 - of input
    return _key(int(kid), key)


def _key(since: int, key: rsa.RSAPrivateKey) -> TokenKey:
    pem, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return TokenKey(since, key.public_key().public_bytes(pem, form).decode(), key)
