"""Collected rows and outputs, from a real scoring server through a real uploader into Azurite."""

import csv
import io
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from slipway.storage.blob import connect
from slipway.storage.spool import Spool, Totals
from tests.cluster.azurite import account, running
from tests.local.scoring_process import ECHO, Replica, replica, wait_until

KILLS = int(os.environ.get("SLIPWAY_KILLS", "10"))
"""In full: 50."""


class Pod:
    """What a pod has: the spool, and the variables of both containers."""

    def __init__(self, folder: Path, port: int, spool: Path | None = None) -> None:
        self.service = f"svc-{uuid.uuid4().hex[:8]}"
        self.folder, self.port = folder, port
        self.spool, self.outputs = spool or folder / "spool", folder / "azureml-app" / "outputs"
        self.log = folder / "uploader.log"
        self.rows, self.files = (connect(account(port), name) for name in ("modeldata", "outputs"))

    @property
    def collects(self) -> dict[str, str]:
        return {
            "AML_MODEL_DC_STORAGE_ENABLED": "true",
            "MODEL_DATA_SPOOL": str(self.spool),
            "SERVICE_NAME": self.service,
        }

    def uploader(self, **more: str) -> subprocess.Popen[bytes]:
        environment = {
            "PATH": os.environ["PATH"],
            "AZURE_STORAGE_CONNECTION_STRING": account(self.port).connection_string,
            "MODEL_DATA_SPOOL": str(self.spool),
            "SERVICE_NAME": self.service,
            "POD_NAME": "pod-1",
            **more,
        }
        command = [sys.executable, "-m", "slipway.storage.upload"]
        with self.log.open("ab") as log:
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def ids(self, designation: str) -> list[str]:
        """Give the request ids of all rows of a designation, in their order."""
        found: list[str] = []
        for blob in self.rows.blobs(f"default/default/default/{self.service}/default/default/{designation}/"):
            text = self.rows.get(blob.name).decode()
            rows = list(csv.DictReader(io.StringIO(text, newline="")))
            found += [row["$aml_request_id"] for row in rows]
        return found

    def totals(self) -> Totals:
        spool = Spool(self.spool, self.rows)
        try:
            return spool.totals()
        finally:
            spool.close()


@pytest.fixture(scope="module")
def port(azurite: int) -> int:
    for name in ("modeldata", "outputs"):
        connect(account(azurite), name).create()
    return azurite


def ended(process: subprocess.Popen[bytes], log: Path, timeout: float = 40) -> int:
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(timeout)
    finally:
        process.kill()
        process.wait()
        print(log.read_text()[-4000:])


class Clients:
    """Clients that send requests with ids of their own, one after the other, to the server that runs."""

    def __init__(self, number: int = 4) -> None:
        self.answered: list[str] = []
        self.broken: list[str] = []
        self._server: Replica | None = None
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._send) for _ in range(number)]
        for thread in self._threads:
            thread.start()

    def to(self, server: Replica | None) -> None:
        self._server = server

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        while not self._stop.is_set():
            server, identity = self._server, uuid.uuid4().hex
            if server is None:
                time.sleep(0.001)
                continue
            try:
                status = server.score({"id": identity}, headers={"x-request-id": identity}, timeout=10).status
            except ConnectionRefusedError:
                continue  # nobody got it
            except OSError:
                status = 0
            except Exception:  # http.client's own, of a connection that ends in the middle
                status = 0
            with self._lock:
                (self.answered if status == 200 else self.broken).append(identity)


def agree(pod: Pod, clients: Clients) -> None:
    """Assert that rows in the storage and counted drops are the rows that were sent, each once."""
    inputs, predictions, totals = pod.ids("inputs"), pod.ids("predictions"), pod.totals()
    assert len(inputs) == len(set(inputs)), "a row is there twice"
    assert sorted(inputs) == sorted(predictions), "inputs and outputs travel together"
    assert totals.waiting == 0
    assert totals.uploaded == 2 * len(inputs)
    assert totals.accepted == totals.uploaded + totals.dropped
    lost = set(clients.answered) - set(inputs)
    assert 2 * len(lost) <= totals.dropped, "a row is missing, and nobody counted it"
    # Of a request whose connection broke nobody knows whether the server had taken it before it was killed.
    assert len(clients.answered) <= totals.accepted // 2 <= len(clients.answered) + len(clients.broken)
    print(totals, len(clients.answered), len(clients.broken))


@contextmanager
def served(pod: Pod, clients: Clients) -> Generator[Replica]:
    with replica(pod.folder, ECHO, wait_ready=True, **pod.collects) as server:
        clients.to(server)
        yield server
        clients.to(None)


def test_rows_in_the_storage_and_counted_drops_are_the_rows_sent_after_kills(
    tmp_path: Path, port: int
) -> None:
    pod, clients, chance = Pod(tmp_path, port), Clients(), random.Random(7)
    uploader = pod.uploader()
    for _ in range(KILLS):
        with served(pod, clients) as server:
            for _ in range(chance.randint(1, 3)):
                time.sleep(chance.uniform(0.05, 0.8))
                if chance.random() < 0.6:
                    uploader.kill()
                    uploader.wait()
                    uploader = pod.uploader()
            server.process.kill()
            server.process.wait()
    with served(pod, clients) as server:
        time.sleep(0.2)
        clients.stop()
        server.terminate()
        assert server.exit_code() == 0
    assert ended(uploader, pod.log) == 0
    agree(pod, clients)
    assert len(clients.answered) > 10 * KILLS


def test_while_the_storage_is_down_rows_wait_and_then_arrive(tmp_path: Path) -> None:
    with running(tmp_path / "azurite") as port:
        pod, clients = Pod(tmp_path, port), Clients(2)
        pod.rows.create()
    uploader = pod.uploader()
    with served(pod, clients) as server:
        wait_until(lambda: len(clients.answered) > 100, "answered")
        clients.stop()
        server.terminate()
        assert server.exit_code() == 0
    wait_until(lambda: "cannot be reached" in pod.log.read_text(), "the uploader's failure", 60)
    with running(tmp_path / "azurite", port):
        assert ended(uploader, pod.log) == 0
        agree(pod, clients)
        assert pod.totals().dropped == 0


def test_an_end_with_the_storage_down_says_what_is_lost(tmp_path: Path) -> None:
    with running(tmp_path / "azurite") as port:
        pod, clients = Pod(tmp_path, port), Clients(2)
    with served(pod, clients) as server:
        wait_until(lambda: len(clients.answered) > 10, "answered")
        clients.stop()
        server.terminate()
        assert server.exit_code() == 0
    uploader = pod.uploader()
    wait_until(lambda: "cannot be reached" in pod.log.read_text(), "the uploader's failure", 60)
    assert ended(uploader, pod.log) == 1
    assert f"not uploaded: {2 * len(clients.answered)} rows and 0 files" in pod.log.read_text()


@contextmanager
def small_disk(folder: Path, size: str) -> Generator[Path]:
    """Mount a file system of its own, as root."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_on_a_full_disk_requests_are_answered_and_dropped_rows_counted(tmp_path: Path, port: int) -> None:
    with small_disk(tmp_path / "disk", "512k") as disk:
        pod, clients = Pod(tmp_path, port, disk / "spool"), Clients()
        with served(pod, clients) as server:
            wait_until(lambda: pod.spool.exists() and pod.totals().spool > 100, "dropped", 60)
            uploader = pod.uploader()
            time.sleep(1)
            clients.stop()
            server.terminate()
            assert server.exit_code() == 0
            assert "data collection dropped" in server.log()
        assert ended(uploader, pod.log) == 0
        agree(pod, clients)
        assert not clients.broken
        assert pod.totals().uploaded > 0


WRITES = """
import json, os, time
def init():
    global log
    os.makedirs("outputs/deep", exist_ok=True)
    log = open("outputs/log.txt", "a")
def run(data):
    told = json.loads(data)
    log.write(told["text"]); log.flush()
    with open("outputs/deep/" + told["name"], "w") as file:
        file.write(told["text"])
    if told.get("link"):
        os.symlink(told["link"], "outputs/link")
    return "done"
"""


def test_outputs_are_uploaded_and_removed_but_what_is_open_or_a_link_stays(tmp_path: Path, port: int) -> None:
    pod = Pod(tmp_path, port)
    (tmp_path / "secret").write_text("token")
    (tmp_path / "outputs").mkdir()
    uploader = pod.uploader(OUTPUTS=str(tmp_path / "outputs"))
    prefix = f"{pod.service}/pod-1"
    with replica(tmp_path, WRITES, wait_ready=True, **pod.collects) as server:
        for name in ("a.txt", "b é.txt"):
            secret = {"link": str(tmp_path / "secret")} if name == "a.txt" else {}
            assert server.score({"name": name, "text": name, **secret}).status == 200
        wait_until(
            lambda: (
                {b.name for b in pod.files.blobs(prefix)}
                == {f"{prefix}/deep/a.txt", f"{prefix}/deep/b é.txt"}
            ),
            "uploaded",
            60,
        )
        wait_until(lambda: not list((tmp_path / "outputs" / "deep").iterdir()), "removed")
        assert server.score({"name": "c.txt", "text": "last"}).status == 200
        server.terminate()
        assert server.exit_code() == 0
    assert ended(uploader, pod.log) == 0
    texts = {
        blob.name.removeprefix(prefix): pod.files.get(blob.name).decode() for blob in pod.files.blobs(prefix)
    }
    assert texts == {
        "/deep/a.txt": "a.txt",
        "/deep/b é.txt": "b é.txt",
        "/deep/c.txt": "last",
        "/log.txt": "a.txtb é.txtlast",
    }
    left = [path.name for path in (tmp_path / "outputs").rglob("*") if not path.is_dir()]
    assert left == ["link"]
    assert "'link' stays where it is" in pod.log.read_text()
