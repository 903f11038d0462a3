"""One registry over the OCI distribution API: look up, download, upload, mount, publish.

Each call is whole or an error: downloads are verified and appear at once, an upload counts only once the
registry has checked its digest. Left out: moving whole images (`transfer`).
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Final, Self

import httpx

from slipway.images.auth import repository_scope
from slipway.images.credentials import Credential
from slipway.images.oci import (
    ACCEPTED,
    MANIFEST,
    Descriptor,
    FormatError,
    Manifest,
    Platform,
    digest_of,
    parse,
)
from slipway.images.session import Session
from slipway.images.transport import PassingError, RegistryError, Retries
from slipway.images.upload import Progress, Upload

LINUX: Final = Platform("linux", "amd64")
_LARGEST: Final = 4 * 2**20
"""Bytes of a manifest or configuration that is taken into memory; what registries must accept at least."""


def silent(_digest: str, _done: int, _total: int) -> None:
    """Show no progress."""


class Registry:
    """A registry by its host; a context manager that closes its connections. Threads may share it.

    Without `credentials`, those of the machine. Plain http for this machine's own addresses only, unless
    `plain_http` says otherwise.
    """

    def __init__(
        self,
        host: str,
        credentials: Iterable[Credential] | None = None,
        *,
        plain_http: bool | None = None,
        retries: Retries | None = None,
        progress: Progress = silent,
    ) -> None:
        self.host = host
        self._progress = progress
        self._session = Session(host, credentials, plain_http, retries or Retries())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.transport.close()

    def digest(self, repository: str, reference: str) -> str | None:
        """Give the digest of the manifest or index that a tag or digest names, None if there is none."""
        response = self._manifest("HEAD", repository, reference)
        if response is not None and "Docker-Content-Digest" not in response.headers:
            response = self._manifest("GET", repository, reference)
            return None if response is None else digest_of(response.content)
        return None if response is None else response.headers["Docker-Content-Digest"]

    def manifest(
        self, repository: str, reference: str, platform: Platform = LINUX
    ) -> tuple[str, Manifest] | None:
        """Give digest and manifest of an image, of an index the one for `platform`; None if there is none."""
        response = self._manifest("GET", repository, reference)
        if response is None:
            return None
        what = f"{self.host}/{repository}: {reference}"
        digest = digest_of(response.content)
        if reference.startswith("sha256:") and digest != reference:
            raise RegistryError(f"{what}: came with other bytes, of {digest}")
        try:
            found = parse(response.content)
            if isinstance(found, Manifest):
                return digest, found
            chosen = found.choose(platform)
        except FormatError as error:
            raise RegistryError(f"{what}: {error}") from None
        return self.manifest(repository, chosen.digest, platform)

    def has_blob(self, repository: str, digest: str) -> bool:
        """Tell whether a repository holds a blob."""
        url = f"/v2/{repository}/blobs/{digest}"
        response = self._session.call("HEAD", url, (repository_scope(repository),))
        return self._session.found(response, repository, digest)

    def read(self, repository: str, blob: Descriptor) -> bytes:
        """Give the bytes of a small blob, verified: of a configuration, not of a layer."""
        if blob.size > _LARGEST:
            raise RegistryError(f"{self.host}/{repository}: {blob.digest} is too large: {blob.size} bytes")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "blob")
            self.download(repository, blob, path)
            return path.read_bytes()

    def download(self, repository: str, blob: Descriptor, target: Path) -> None:
        """Fetch a blob into a file, which is there once it is whole and verified, or not at all."""
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as folder:
            path = Path(folder, "blob")
            if self._fetched(repository, blob, path) != blob.digest:
                text = f"{self.host}/{repository}: {blob.digest} came with other bytes; nothing was kept"
                raise RegistryError(text, "push it anew, or ask who runs the registry")
            path.replace(target)

    def mount(self, repository: str, blob: Descriptor, source: str) -> bool:
        """Let a repository have a blob of another one without moving it; False if the registry will not."""
        scopes = (repository_scope(repository, push=True), repository_scope(source))
        url = f"/v2/{repository}/blobs/uploads/?mount={blob.digest}&from={source}"
        response = self._session.call("POST", url, scopes)
        if response.status_code == HTTPStatus.ACCEPTED and "Location" in response.headers:
            self._session.call(
                "DELETE", response.headers["Location"], scopes
            )  # an upload instead: not wanted
        return response.status_code == HTTPStatus.CREATED

    def upload(self, repository: str, blob: Descriptor, path: Path) -> None:
        """Bring a file into a repository as a blob."""
        Upload(self._session, repository, blob, path, self._progress).run()

    def put(self, repository: str, manifest: Manifest, reference: str) -> None:
        """Publish a manifest under a tag or its digest; its blobs must be there."""
        url, scopes = f"/v2/{repository}/manifests/{reference}", (repository_scope(repository, push=True),)
        headers = {"Content-Type": MANIFEST}
        response = self._session.call("PUT", url, scopes, headers, manifest.serialise())
        if not response.is_success:
            raise self._session.error(response, repository, f"the manifest {reference}")

    def _manifest(self, method: str, repository: str, reference: str) -> httpx.Response | None:
        url, headers = f"/v2/{repository}/manifests/{reference}", {"Accept": ", ".join(ACCEPTED)}
        response = self._session.call(method, url, (repository_scope(repository),), headers)
        return response if self._session.found(response, repository, reference) else None

    def _fetched(self, repository: str, blob: Descriptor, path: Path) -> str:
        """Write a blob into a file, over as many connections as it takes; give the digest of what came."""
        patience, hashed = self._session.patience(), hashlib.sha256()
        with path.open("wb") as file:
            while (start := file.tell()) < blob.size:
                try:
                    for block in self._blocks(repository, blob, start):
                        file.write(block)
                        hashed.update(block)
                        self._progress(blob.digest, file.tell(), blob.size)
                except PassingError as error:
                    if file.tell() > start:
                        patience.renew()
                    patience.after(error)
        return f"sha256:{hashed.hexdigest()}"

    def _blocks(self, repository: str, blob: Descriptor, start: int) -> Iterator[bytes]:
        """Give the bytes of a blob from `start` on; one that is longer than it says is refused."""
        url, scopes = f"/v2/{repository}/blobs/{blob.digest}", (repository_scope(repository),)
        headers = {"Range": f"bytes={start}-"} if start else {}
        response = self._session.once("GET", url, scopes, headers, stream=True)
        try:
            if not self._session.found(response, repository, blob.digest):
                raise RegistryError(f"{self.host}/{repository}: has no blob {blob.digest}")
            # A server may not know ranges and send all of it.
            skip, left = start if response.status_code == HTTPStatus.OK else 0, blob.size - start
            for raw in response.iter_raw():
                block, skip = raw[skip:], max(skip - len(raw), 0)
                left -= len(block)
                if left < 0:
                    raise RegistryError(f"{self.host}/{repository}: {blob.digest} is too long")
                yield block
        except httpx.TransportError as error:
            raise self._session.transport.failure(error) from None
        finally:
            response.close()
        if left:
            raise PassingError(f"the answer ended {left} bytes early")
