"""The router's certificate: read from a Secret, or as files that a driver keeps fresh."""

import base64
import binascii
import contextlib
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from stat import S_ISREG

BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\s+([A-Za-z0-9+/=\s]+?)\s*-----END \1-----")


def bundle(data: Mapping[str, str]) -> str:
    """Give certificates and key of a Secret of type kubernetes.io/tls as one text.

    Nothing but PEM blocks without empty lines is left, so that it cannot break out of a command. Raises
    ValueError, whose text holds nothing of it.
    """
    blocks: list[str] = []
    for name, kind in (("tls.crt", "CERTIFICATE"), ("tls.key", "PRIVATE KEY")):
        found = [match for match in BLOCK.finditer(_decoded(data.get(name))) if match[1].endswith(kind)]
        if not found:
            raise ValueError(f"{name} holds no {kind.lower()} in PEM")
        blocks += map(_block, found)
    return "".join(blocks)


def fingerprint(folder: Path) -> Hashable:
    """Give what differs once any file of a folder was replaced or written to."""
    found: list[Hashable] = []
    with contextlib.suppress(OSError):  # it is being replaced
        for file in sorted(folder.iterdir()):
            with contextlib.suppress(OSError):
                stat = file.stat()
                if S_ISREG(stat.st_mode):
                    found.append((file.name, stat.st_ino, stat.st_mtime_ns, stat.st_size))
    return tuple(found)


def _block(match: re.Match[str]) -> str:
    lines = "\n".join(match[2].split())
    return f"-----BEGIN {match[1]}-----\n{lines}\n-----END {match[1]}-----\n"


def _decoded(value: str | None) -> str:
    try:
        return base64.b64decode(value or "", validate=True).decode("ascii", errors="replace")
    except binascii.Error:
        return ""
