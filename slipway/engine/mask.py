"""Keeps secrets out of what is shown or written: by value, wherever in a text they stand.

A secret that a program turned into another text is found in the forms that Kubernetes and JSON give it:
base64, JSON string, URL. A hash of a secret is no secret.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "[secret]"
SHORTEST = 4


class Mask:
    """Replaces each of the given secrets in any text.

    Of secrets with fewer than `SHORTEST` characters only those that are the whole text: they would be
    found in too many others.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        every = {secret for secret in secrets if secret and secret != MASK}
        self._whole = {form for secret in every for form in _forms(secret)}
        inside = sorted((form for form in self._whole if len(form) >= SHORTEST), key=len, reverse=True)
        self._inside = re.compile("|".join(map(re.escape, inside))) if inside else None

    def __call__(self, text: str) -> str:
        """Give the text without secrets."""
        if text in self._whole:
            return MASK
        return self._inside.sub(MASK, text) if self._inside is not None else text


def _forms(secret: str) -> set[str]:
    raw = secret.encode()
    return {
        secret,
        base64.b64encode(raw).decode(),
        base64.urlsafe_b64encode(raw).decode(),
        base64.b64encode(raw).decode().rstrip("="),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(secret, safe=""),
        quote_plus(secret),
    }
