"""What was made or fetched for images on this machine, by content and by what it was made from.

    blobs/sha256/HEX    content, named by its digest
    made/KIND/KEY       what a part of an image became, as JSON, named by a hash of what it is made from

Everything is written aside and renamed, so it is whole or not there; two processes that make the same end
with the same. Nothing is ever changed, so the folder can be deleted at any time.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import IO, Any

from slipway.images.oci import Descriptor
from slipway.problems import Problems

VARIABLE = "SLIPWAY_CACHE"
_ASIDE = ".new-"
_FORGOTTEN = 24 * 3600
"""Seconds after which nobody can be writing any more."""


class Cache:
    """A folder of blobs and records."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or default_root()

    def path(self, digest: str) -> Path:
        """Say where a blob lies if it is here."""
        algorithm, _, name = digest.partition(":")
        return self.root / "blobs" / algorithm / name

    def has(self, blob: Descriptor, *, verify: bool = False) -> bool:
        """Tell whether a blob is here, by its size, or by its content; what is corrupt is removed."""
        path = self.path(blob.digest)
        try:
            if path.stat().st_size == blob.size and (not verify or _digest(path) == blob.digest):
                return True
        except FileNotFoundError:
            return False
        path.unlink(missing_ok=True)
        return False

    def read(self, digest: str) -> bytes | None:
        """Give the content of a small blob, None if it is not here or corrupt."""
        try:
            content = self.path(digest).read_bytes()
        except FileNotFoundError:
            return None
        return content if f"sha256:{hashlib.sha256(content).hexdigest()}" == digest else None

    def put(self, content: bytes, media_type: str) -> Descriptor:
        """Keep a small blob."""
        blob = Descriptor.of(content, media_type)
        if self.read(blob.digest) is None:
            with self.aside() as file:
                file.write(content)
                file.flush()
                self.adopt(Path(file.name), blob.digest)
        return blob

    @contextlib.contextmanager
    def aside(self) -> Generator[IO[bytes]]:
        """Yield a file to write to and then `adopt`; it is removed if that does not happen.

        A disk that is full, or not ours to write to, raises `Problems`.
        """
        folder = self.root / "blobs" / "sha256"
        with self._explained():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in folder.glob(f"{_ASIDE}*"):
                if _age(left) > _FORGOTTEN:  # by a builder that was killed
                    left.unlink(missing_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder, prefix=_ASIDE, delete=False) as file:
                try:
                    yield file
                finally:
                    Path(file.name).unlink(missing_ok=True)

    def adopt(self, file: Path, digest: str) -> None:
        """Make a whole file of `aside` the blob that it is."""
        file.replace(self.path(digest))

    def recall(self, kind: str, key: str) -> Any:
        """Give what `remember` was told, None if nothing or if that cannot be read."""
        try:
            return json.loads((self.root / "made" / kind / key).read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def remember(self, kind: str, key: str, value: object) -> None:
        """Keep what a part became."""
        folder = self.root / "made" / kind
        with self._explained():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=folder, prefix=_ASIDE, delete=False) as file:
                try:
                    json.dump(value, file)
                    file.flush()
                    Path(file.name).replace(folder / key)
                finally:
                    Path(file.name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS}:
                remedy = f"make room there, or name another folder in {VARIABLE}"
                raise Problems([f"{self.root}: {os.strerror(error.errno)}; {remedy}"]) from None
            raise


def default_root() -> Path:
    """Give SLIPWAY_CACHE, else the folder for caches of the XDG base directory specification."""
    given = os.environ.get(VARIABLE)
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    caches = Path(xdg) if Path(xdg).is_absolute() else Path.home() / ".cache"
    return Path(given).absolute() if given else caches / "slipway"


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
