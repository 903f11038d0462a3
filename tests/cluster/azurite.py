"""Azurite, Azure's own emulator of its storage, for the tests that need Blob storage."""

import contextlib
import socket
import subprocess
import time
import uuid
from collections.abc import Generator
from pathlib import Path

import pytest

from slipway.storage.blob import Account, Container, connect
from tests.cluster.prepare import NODE_MODULES
from tests.ports import free_port

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The emulator's only key, the same everywhere and no secret."""
START_SECONDS = 60.0


def account(port: int) -> Account:
    """Name the emulator on a port, or a proxy before it."""
    endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
    return Account(
        connection_string=f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={endpoint};"
    )


@contextlib.contextmanager
def running(folder: Path, port: int = 0) -> Generator[int]:
    """Run Azurite with its data in a folder and give its port; 0 takes any that is free."""
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    program = NODE_MODULES / ".bin" / "azurite-blob"
    command = [program, "--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    with (folder / "azurite.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--location", folder, "--blobHost", "127.0.0.1", "--blobPort", str(port)],
            stdout=log,
            stderr=log,
        )
    try:
        _wait(process, port, folder / "azurite.log")
        yield port
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Generator[int]:
    """Give the port of an Azurite that all tests of a session share."""
    with running(tmp_path_factory.mktemp("azurite")) as port:
        yield port


@pytest.fixture
def container(azurite: int) -> Container:
    """Give a container of a test's own, empty."""
    made = connect(account(azurite), f"test-{uuid.uuid4().hex[:12]}")
    made.create()
    return made


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"Azurite did not start: {log.read_text()}")
        time.sleep(0.05)
