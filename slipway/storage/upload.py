"""`python -m slipway.storage.upload`: the container beside a scoring server that uploads for it.

Rows of the spool MODEL_DATA_SPOOL go into the container `modeldata`, files below OUTPUTS into `outputs`.
It is told to end after the scoring server has ended, and then uploads the rest.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from slipway.collect.config import SPOOL
from slipway.storage.blob import Absent, Container, StorageError, account_of, connect
from slipway.storage.names import BLOB_ENDPOINT, CONNECTION_STRING, OUTPUTS
from slipway.storage.outputs import Outputs
from slipway.storage.spool import Spool, Totals

log = logging.getLogger("slipway.storage")
ROWS, FILES = "modeldata", "outputs"
"""The workspace storage's containers."""
PERIOD_SECONDS = 10.0
SDK_RETRIES = 2
"""Few within a call: whatever fails is tried again here, and the end has little time."""
RETRY_SECONDS = 60.0
"""The longest pause while the storage cannot be used."""
FINAL_SECONDS = 25.0
"""What the end may take; less than a pod's grace leaves after its scoring server has ended."""


class Uploader:
    """What one pod uploads."""

    def __init__(
        self, spool: Spool | None, outputs: Outputs | None, containers: Sequence[Container] = ()
    ) -> None:
        self._spool, self._outputs, self._containers = spool, outputs, containers
        self._told = Totals()

    def ship(self, *, final: bool = False) -> bool:
        """Upload what is ready; tell whether nothing is left to come. Raises StorageError and OSError.

        Rows and files do not wait for each other: what fails of one is told after the other's turn.
        """
        turns = (self._rows, lambda: self._files(final=final))
        failed = [error for error in map(self._failure, turns) if error is not None]
        for error in failed[1:]:
            log.warning("%s", error)
        if failed:
            raise failed[0]
        return not (self._spool and self._spool.waits) and not (self._outputs and self._outputs.waiting)

    def _rows(self) -> None:
        if self._spool is not None:
            self._spool.ship()
            self.tell()

    def _files(self, *, final: bool) -> None:
        if self._outputs is not None:
            self._outputs.ship(final=final)

    def _failure(self, ship: Callable[[], None]) -> Exception | None:
        try:
            try:
                ship()
            except Absent:  # a storage that was not made by a stack may lack them
                for container in self._containers:
                    container.create()
                raise
        except (StorageError, OSError) as error:
            return error
        return None

    def tell(self) -> None:
        """Log the numbers of rows, when rows were dropped or many came."""
        if self._spool is None:
            return
        now, before = self._spool.totals(), self._told
        if now != before and (now.dropped != before.dropped or now.waiting == 0):
            self._told = now
            level = logging.WARNING if now.dropped != before.dropped else logging.INFO
            log.log(level, "model data: %s", said(now))

    def left(self) -> str:
        """Say what is not uploaded."""
        rows = self._spool.totals().waiting if self._spool else 0
        files = self._outputs.waiting if self._outputs else 0
        return f"{rows} rows and {files} files"


def said(totals: Totals) -> str:
    """Write the numbers of rows in a line."""
    known = f"{totals.accepted} rows, {totals.uploaded} uploaded, {totals.waiting} waiting"
    return (
        f"{known}, {totals.dropped} dropped "
        f"(memory {totals.memory}, spool {totals.spool}, size {totals.size}, crash {totals.crash})"
    )


def run(uploader: Uploader, stop: threading.Event) -> int:
    """Upload until `stop` is set and then the rest; return the exit code."""
    pause = PERIOD_SECONDS
    while not stop.is_set():
        failed = _tried(uploader.ship) is None
        pause = min(pause * 2, RETRY_SECONDS) if failed else PERIOD_SECONDS
        stop.wait(pause)
    done = threading.Event()

    def finish() -> None:
        while not _tried(lambda: uploader.ship(final=True)):
            time.sleep(0.2)
        done.set()

    threading.Thread(target=finish, daemon=True).start()
    if done.wait(FINAL_SECONDS):
        return 0
    log.error("not uploaded: %s", uploader.left())
    return 1


def _tried(ship: Callable[[], bool]) -> bool | None:
    """Give what it gives, or None after a failure, which is logged: another attempt follows."""
    try:
        return ship()
    except (StorageError, OSError) as error:
        log.warning("%s", error)
        return None


def main(environment: Mapping[str, str]) -> int:
    """Read the environment, upload until SIGTERM; return the exit code."""
    logging.basicConfig(format="%(asctime)s %(levelname).1s %(name)s - %(message)s", stream=sys.stderr)
    log.setLevel(logging.INFO)
    account = account_of(environment)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    if account is None:  # no reason to start again and again: the scoring server works without
        log.error("nothing is uploaded: neither %s nor %s is set", BLOB_ENDPOINT, CONNECTION_STRING)
        stop.wait()
        return 0
    spool, outputs = environment.get(SPOOL), environment.get(OUTPUTS)
    prefix = f"{environment.get('SERVICE_NAME', 'default')}/{environment.get('POD_NAME', 'pod')}"
    rows, files = (connect(account, name, retries=SDK_RETRIES) for name in (ROWS, FILES))
    uploader = Uploader(
        Spool(Path(spool), rows) if spool else None,
        Outputs(Path(outputs), files, prefix) if outputs else None,
        [container for container, used in ((rows, spool), (files, outputs)) if used],
    )
    code = run(uploader, stop)
    with suppress(OSError):
        sys.stderr.flush()
    os._exit(code)  # a call of the SDK may still wait for an answer


if __name__ == "__main__":
    main(os.environ)
