r"""Cross-origin requests from browsers, as Azure ML's server allows them with `AML_CORS_ORIGINS`.

The rules are flask-cors', which that server uses: an origin with a character that is special in regular
expressions is one. It must match the whole origin here; flask-cors is content with a beginning, which lets
`https://a.example.evil.net` pass for `https://a\.example`.
"""

from __future__ import annotations

import re
from typing import Dict, List, Pattern

from slipway.scoring.response import Headers

METHODS = b"GET, POST"
_REGEX = re.compile(r"[*\\\]?$^\[()]")


class Cors:
    """Which origins may read answers. Raises `re.error` for an expression that is none."""

    def __init__(self, origins: List[str]) -> None:
        self._any = "*" in origins
        self._plain = sorted(origin for origin in origins if not _REGEX.search(origin))
        self._varies = len(origins) > 1 or len(self._plain) < len(origins)
        self._allowed: List[Pattern[str]] = [
            re.compile(_pattern(origin), re.IGNORECASE) for origin in origins
        ]

    def headers(self, method: str, asked: Dict[bytes, bytes]) -> Headers:
        """Give the headers that the answer to a request with the headers `asked` gets."""
        origin = asked.get(b"origin")
        if origin:
            text = origin.decode("latin-1")
            if not any(pattern.fullmatch(text) for pattern in self._allowed):
                return []
            allowed = origin
        elif self._any:
            allowed = b"*"
        elif self._plain:
            allowed = self._plain[0].encode("latin-1", "replace")
        else:
            return []
        found: Headers = [(b"access-control-allow-origin", allowed)]
        wanted = asked.get(b"access-control-request-method", b"").upper()
        if method == "OPTIONS" and wanted and wanted in METHODS:
            found.append((b"access-control-allow-methods", METHODS))
            names = sorted(
                name.strip() for name in asked.get(b"access-control-request-headers", b"").split(b",")
            )
            if any(names):
                found.append((b"access-control-allow-headers", b", ".join(names)))
        if asked.get(b"access-control-request-private-network") == b"true":
            found.append((b"access-control-allow-private-network", b"false"))
        if self._varies and allowed != b"*":
            found.append((b"vary", b"Origin"))
        return found


def _pattern(origin: str) -> str:
    if origin == "*":
        return ".*"
    return origin if _REGEX.search(origin) else re.escape(origin)
