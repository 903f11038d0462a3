"""Keeps secrets out of what is shown or written: by value, wherever in a text they stand.

A secret that a program turned into another text is found in the forms that Kubernetes and JSON give it:
base64, JSON string, URL. A hash of a secret is no secret.
"""

from __future__ import annotations

import base64
import json
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
        self._inside: dict[str, list[str]] = {}
        for form in sorted(self._whole, key=len, reverse=True):
            if len(form) >= SHORTEST:
                self._inside.setdefault(form[:SHORTEST], []).append(form)

    def __call__(self, text: str) -> str:
        """Give the text without secrets; the time does not grow with their number."""
        if text in self._whole:
            return MASK
        parts: list[str] = []
        start = place = 0
        while self._inside and place <= len(text) - SHORTEST:
            candidates = self._inside.get(text[place : place + SHORTEST], ())
            found = next((form for form in candidates if text.startswith(form, place)), "")
            if found:
                parts += [text[start:place], MASK]
                start = place = place + len(found)
            else:
                place += 1
        return "".join([*parts, text[start:]])


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
