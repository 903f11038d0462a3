"""Blobs in Azure's storage or its emulator, as typed calls: the one module that knows the SDK.

Every call is retried with back-off where that is safe. What the blobs mean is left to the callers.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
)
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobBlock, BlobServiceClient, ContainerClient, ExponentialRetry

from slipway.entra import reason
from slipway.storage.names import BLOB_ENDPOINT, CONNECTION_STRING

PARALLEL = 10
"""Calls at once, as many as the SDK keeps connections."""
APPEND_BYTES = 4 * 2**20
"""The most that every version of the service takes in one append."""


class StorageError(Exception):
    """What the storage refused or could not do, and what to do about it where that is known."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.hint = hint
        super().__init__(message)


class Absent(StorageError):
    """There is no such blob or container."""


class Exists(StorageError):
    """There is such a blob already, or it has changed meanwhile."""


class SignedOut(StorageError):
    """No way to a token worked, or the storage knows no such identity."""


class Refused(StorageError):
    """The storage takes this under no circumstances: its name or content is wrong."""


class _BeyondEnd(StorageError):
    """A range begins behind the end of a blob."""


@dataclass(frozen=True)
class Account:
    """A storage account: its endpoint, entered with the identity of pod, machine or `az login`.

    Or a connection string, which is a secret, but for the emulator's.
    """

    endpoint: str = ""
    connection_string: str = field(default="", repr=False)


@dataclass(frozen=True)
class Blob:
    """A blob's name and its size in bytes."""

    name: str
    size: int


def account_of(environ: Mapping[str, str]) -> Account | None:
    """Read which account a process is told to use; the connection string wins."""
    if text := environ.get(CONNECTION_STRING):
        return Account(connection_string=text)
    endpoint = environ.get(BLOB_ENDPOINT)
    return Account(endpoint) if endpoint else None


def connect(account: Account, container: str, authority: str | None = None, *, retries: int = 6) -> Container:
    """Open a container, without a call yet. `authority` is another cloud's host for signing in."""
    logging.getLogger("azure").setLevel(logging.ERROR)  # it logs each retry
    retry = ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=retries, random_jitter_range=1)
    if account.connection_string:
        try:
            service = BlobServiceClient.from_connection_string(account.connection_string, retry_policy=retry)
        except ValueError as error:
            raise StorageError(f"{CONNECTION_STRING} is no connection string: {error}") from None
    else:
        options = {} if authority is None else {"authority": authority}
        credential = DefaultAzureCredential(**options)
        service = BlobServiceClient(account.endpoint, credential=credential, retry_policy=retry)
    return Container(service.get_container_client(container))


class Container:
    """The blobs of one container. Safe to call from several threads; every call raises StorageError."""

    def __init__(self, client: ContainerClient) -> None:
        self._client = client
        self.name = client.container_name

    def create(self) -> None:
        """Make the container if there is none."""
        with contextlib.suppress(Exists), _told(f"container {self.name}"):
            self._client.create_container()

    def put(self, name: str, data: bytes, *, overwrite: bool = False) -> None:
        """Write a whole blob at once. Raises Exists if there is one and it is not to be overwritten."""
        with _told(name):
            self._client.get_blob_client(name).upload_blob(data, overwrite=overwrite, max_concurrency=1)

    def put_file(self, name: str, file: BinaryIO) -> None:
        """Write a blob from a file, whatever was there before."""
        with _told(name):
            self._client.get_blob_client(name).upload_blob(file, overwrite=True, max_concurrency=1)

    def append(self, name: str, data: bytes, at: int) -> int:
        """Write behind the `at` bytes that a blob has by now, and give its new size; 0 makes the blob.

        What was written although its answer got lost is not written twice: it is there. Raises Exists if the
        blob has another size, because somebody else writes to it, or if it takes no more appends.
        """
        blob = self._client.get_blob_client(name)
        if at == 0:
            with contextlib.suppress(Exists), _told(name):
                blob.create_append_blob(match_condition=MatchConditions.IfMissing)
        for begin in range(0, len(data), APPEND_BYTES):
            part = data[begin : begin + APPEND_BYTES]
            try:
                with _told(name):
                    blob.append_block(part, length=len(part), appendpos_condition=at)
            except Exists:
                if self.get(name, at, len(part)) != part:
                    raise
            at += len(part)
        return at

    def stage(self, name: str, block: str, data: bytes) -> None:
        """Send a block of a blob to be; all blocks of one have names of equal length."""
        with _told(name):
            self._client.get_blob_client(name).stage_block(block, data, length=len(data))

    def staged(self, name: str) -> dict[str, int]:
        """Give the blocks that were sent for a blob to be, with their sizes."""
        with contextlib.suppress(Absent), _told(name):
            _, blocks = self._client.get_blob_client(name).get_block_list("uncommitted")
            return {block.id: block.size for block in blocks}
        return {}

    def commit(self, name: str, blocks: Sequence[str]) -> None:
        """Make a blob of blocks in this order. Raises Exists if there is one."""
        with _told(name):
            self._client.get_blob_client(name).commit_block_list(
                [BlobBlock(block) for block in blocks], match_condition=MatchConditions.IfMissing
            )

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Read a blob, or as much as there is of `length` bytes from `offset`. Raises Absent."""
        start = None if length is None and offset == 0 else offset  # an empty blob has no range
        with contextlib.suppress(_BeyondEnd), _told(name):
            return self._client.download_blob(name, start, length, max_concurrency=1).readall()
        return b""

    def size(self, name: str) -> int | None:
        """Give a blob's size, or None if there is no such blob."""
        with contextlib.suppress(Absent), _told(name):
            return self._client.get_blob_client(name).get_blob_properties().size
        return None

    def blobs(self, prefix: str = "") -> Iterator[Blob]:
        """List the blobs whose names begin so, in the order of their names. Raises Absent."""
        with _told(f"container {self.name}"):
            for blob in self._client.list_blobs(prefix):
                yield Blob(blob.name, blob.size)

    def delete(self, name: str) -> None:
        """Delete a blob if it is there."""
        with contextlib.suppress(Absent), _told(name):
            self._client.delete_blob(name)


@contextlib.contextmanager
def _told(what: str) -> Generator[None]:
    """Tell the SDK's errors in one line, without what may be secret: addresses can hold signatures."""
    try:
        yield
    except ResourceNotFoundError:
        raise Absent(f"{what}: is not in the storage") from None
    except ClientAuthenticationError as error:
        told = _code(error) or reason(error.message or "")
        raise SignedOut(f"{what}: the storage knows no such identity: {told}") from None
    except HttpResponseError as error:
        if error.status_code in (409, 412):
            raise Exists(f"{what}: is in the storage already") from None
        if error.status_code == 416:
            raise _BeyondEnd(what) from None
        if error.status_code in (400, 413, 414) and _code(error) != "InvalidAuthenticationInfo":
            raise Refused(f"{what}: the storage says {error.status_code} {_code(error)}") from None
        hint = (
            "it takes the role Storage Blob Data Reader, or Contributor to write"
            if error.status_code == 403
            else ""
        )
        raise StorageError(f"{what}: the storage says {error.status_code} {_code(error)}", hint) from None
    except AzureError as error:
        raise StorageError(f"{what}: the storage cannot be reached: {type(error).__name__}") from None


def _code(error: HttpResponseError) -> str:
    """Give the service's own name of an error, such as AuthorizationPermissionMismatch."""
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or error.reason or "")
