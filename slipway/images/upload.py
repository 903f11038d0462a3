"""One blob into one repository: at once or in chunks, going on where a cut connection left it.

The registry has the last word on what it holds: after a failure it is asked, and what it does not know any
more begins anew.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Final

import httpx

from slipway.images.auth import repository_scope
from slipway.images.oci import Descriptor
from slipway.images.session import Session
from slipway.images.transport import Body, PassingError, RegistryError, errors, said

CHUNK: Final = 16 * 2**20
"""Bytes of one request: what a cut connection costs at most."""
_BLOCK: Final = 2**18
Progress = Callable[[str, int, int], None]
"""Called with a blob's digest, the bytes that are over and all of its bytes; from several threads."""


@dataclass(frozen=True)
class Part:
    """The next request of an upload: the blob's bytes from `start` to `end`; `last` closes the upload."""

    start: int
    end: int
    last: bool


def next_part(offset: int, size: int, chunk: int = CHUNK) -> Part:
    """Decide what to send when a registry has `offset` bytes: a small blob at once, else in chunks."""
    if offset == 0 and size <= chunk:
        return Part(0, size, last=True)
    return Part(offset, min(offset + chunk, size), last=offset == size)


def reached(content_range: str) -> int:
    """Read how many bytes of an upload a registry has from `Range: 0-<last>`.

    `0-0` is taken for nothing: registries say so of an upload without a byte.
    """
    found = re.fullmatch(r"(?:bytes=)?0-(\d+)", content_range.strip())
    last = int(found[1]) if found else 0
    return last + 1 if last else 0


@dataclass(frozen=True)
class _State:
    """What a registry has of the blob: the address of an upload, empty for none, and its bytes."""

    location: str = ""
    offset: int = 0
    closed: bool = False


class _DigestError(Exception):
    """The registry says that the bytes it has are not the blob."""


@dataclass(frozen=True)
class Upload:
    """A file on its way to be a blob of a repository."""

    session: Session
    repository: str
    blob: Descriptor
    path: Path
    progress: Progress

    def run(self) -> None:
        """Bring it there. Raises `RegistryError`, also where the file is not the blob."""
        if self.path.stat().st_size != self.blob.size:
            raise self._damaged()
        patience, state, failed, furthest = self.session.patience(), _State(), False, 0
        while not state.closed:
            try:
                if failed:
                    state = self._asked(state)
                while not state.closed:
                    state = self._sent(state) if state.location else self._begun()
            except PassingError as error:
                failed = True
                if state.offset > furthest:
                    furthest = state.offset
                    patience.renew()
                patience.after(error)
            except _DigestError as error:
                with self.path.open("rb") as file:
                    if f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" != self.blob.digest:
                        raise self._damaged() from None
                if not failed:
                    raise RegistryError(f"{self.session.host}/{self.repository}: {error}") from None
                # What a cut connection had left was still being written when we asked: begin anew.
                state = _State()
                patience.after(PassingError(str(error)))

    def _begun(self) -> _State:
        response = self._once("POST", f"/v2/{self.repository}/blobs/uploads/")
        if response.status_code != HTTPStatus.ACCEPTED:
            raise self.session.error(response, self.repository, "an upload")
        return _State(_location(response))

    def _asked(self, state: _State) -> _State:
        """Ask how far an upload came; it may be over, with an answer that never arrived."""
        if state.location:
            response = self._once("GET", state.location)
            offset = reached(response.headers.get("Range", "")) if response.is_success else 0
            if offset:
                return _State(_location(response) or state.location, offset)
        response = self._once("HEAD", f"/v2/{self.repository}/blobs/{self.blob.digest}")
        return _State(closed=self.session.found(response, self.repository, self.blob.digest))

    def _sent(self, state: _State) -> _State:
        part = next_part(state.offset, self.blob.size)
        length = part.end - part.start
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(length)}
        url = httpx.URL(state.location)
        if part.last:
            url = url.copy_merge_params({"digest": self.blob.digest})
        else:
            headers["Content-Range"] = f"{part.start}-{part.end - 1}"
        body = partial(self._bytes, part) if length else b""
        response = self._once("PUT" if part.last else "PATCH", str(url), headers, body)
        if response.status_code in {HTTPStatus.NOT_FOUND, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE}:
            raise PassingError(f"lost an upload: {said(response)}")
        if any(line.startswith("DIGEST_INVALID") for line in errors(response.content)):
            raise _DigestError(said(response))
        if not response.is_success:
            raise self.session.error(response, self.repository, f"the blob {self.blob.digest}")
        return _State(_location(response) or state.location, part.end, closed=part.last)

    def _bytes(self, part: Part) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            file.seek(part.start)
            at = part.start
            while at < part.end and (block := file.read(min(_BLOCK, part.end - at))):
                yield block
                at += len(block)
                self.progress(self.blob.digest, at, self.blob.size)

    def _once(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: Body = b""
    ) -> httpx.Response:
        scopes = (repository_scope(self.repository, push=True),)
        return self.session.once(method, url, scopes, headers, body)

    def _damaged(self) -> RegistryError:
        text = f"{self.path}: is not the blob {self.blob.digest}"
        return RegistryError(text, "remove it, so that it is made anew")


def _location(response: httpx.Response) -> str:
    """Give where an upload goes on, in full."""
    told = response.headers.get("Location", "")
    return str(response.url.join(told)) if told else ""
