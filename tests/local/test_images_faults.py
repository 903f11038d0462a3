"""What passes by itself is tried again, goes on where it was, and nothing else is tried twice."""

from __future__ import annotations

import random
import socket
from collections import deque
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slipway.images.oci import LAYER_GZIP, Descriptor
from slipway.images.registry import Registry
from slipway.images.transport import JUST_MADE, NoSuchHostError, RegistryError, Retries
from slipway.images.upload import CHUNK
from tests.local.faulty_registry import Faulty, faulty_registry

HASTY = Retries(attempts=3, first=0.001, longest=0.01)
SMALL, LARGE = 2**20, CHUNK + 2**20
CONTENT = {size: random.Random(size).randbytes(size) for size in (SMALL, LARGE)}


@pytest.fixture(name="faulty")
def _faulty() -> Generator[Faulty]:
    with faulty_registry() as running:
        yield running


@pytest.fixture(name="client")
def _client(faulty: Faulty) -> Generator[Registry]:
    with Registry(faulty.host, (), retries=HASTY) as client:
        yield client


def file_of(folder: Path, size: int) -> tuple[Descriptor, Path]:
    path = folder / "content"
    path.write_bytes(CONTENT[size])
    return Descriptor.of(CONTENT[size], LAYER_GZIP), path


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_an_upload_goes_on_where_it_was_cut_as_often_as_it_takes(
    faulty: Faulty, client: Registry, tmp_path: Path, size: int
) -> None:
    blob, path = file_of(tmp_path, size)
    faulty.cut_bodies.extend([size // 9] * 8)  # more than the attempts without progress
    client.upload("a", blob, path)
    assert faulty.blobs[blob.digest] == CONTENT[size]
    assert faulty.received == size
    assert faulty.requests.count("POST uploads") == 1


@pytest.fixture(name="unknown")
def _unknown(monkeypatch: pytest.MonkeyPatch) -> deque[None]:
    """Give how often no name is known: a look-up takes one away."""
    real, left = socket.getaddrinfo, deque[None]([None] * 2)

    def look(*arguments: Any, **named: Any) -> Any:
        if left:
            left.pop()
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(*arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look)
    return left


def test_a_host_that_was_only_just_made_is_waited_for(faulty: Faulty, unknown: deque[None]) -> None:
    with Registry(faulty.host, (), retries=replace(HASTY, new_host=True)) as client:
        assert client.digest("a", "v1") is None
    assert not unknown


def test_a_host_that_stays_unknown_is_said_to_be(faulty: Faulty, unknown: deque[None]) -> None:
    unknown.append(None)
    with (
        Registry(faulty.host, (), retries=replace(HASTY, new_host=True)) as client,
        pytest.raises(RegistryError, match="no such host; correct the name"),
    ):
        client.digest("a", "v1")


def test_an_unknown_host_is_final_where_something_is_looked_up(faulty: Faulty, unknown: deque[None]) -> None:
    with Registry(faulty.host, (), retries=HASTY) as client, pytest.raises(NoSuchHostError):
        client.digest("a", "v1")
    assert len(unknown) == 1


def test_a_push_waits_a_minute_or_two_for_a_new_host() -> None:
    def longest(chance: float) -> float:
        waits = [JUST_MADE.wait(failures, 0, chance) for failures in range(1, JUST_MADE.attempts + 1)]
        assert waits.pop() is None
        return sum(wait for wait in waits if wait is not None)

    assert JUST_MADE.new_host
    assert 60 <= longest(0) < longest(1) <= 150


def test_an_upload_that_stands_still_is_given_up(faulty: Faulty, client: Registry, tmp_path: Path) -> None:
    blob, path = file_of(tmp_path, SMALL)
    faulty.cut_bodies.extend([0] * 9)
    with pytest.raises(RegistryError, match=f"^{faulty.host}: the connection failed: .*; try again later$"):
        client.upload("a", blob, path)
    assert len(faulty.cut_bodies) == 9 - HASTY.attempts
    assert faulty.blobs == {}


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("status", [404, 416, 429, 500, 502, 503, 504])
def test_an_upload_survives_a_failure_of_each_request(
    faulty: Faulty, client: Registry, tmp_path: Path, size: int, status: int
) -> None:
    blob, path = file_of(tmp_path, size)
    faulty.answers["PUT"] = deque([(status, {})])
    faulty.answers["PATCH"] = deque([(status, {})])
    client.upload("a", blob, path)
    assert faulty.blobs[blob.digest] == CONTENT[size]


def test_when_the_answer_to_a_finished_upload_is_lost_then_nothing_is_sent_again(
    faulty: Faulty, client: Registry, tmp_path: Path
) -> None:
    blob, path = file_of(tmp_path, SMALL)
    faulty.answers["PUT"] = deque([(502, {})])
    faulty.blobs[blob.digest] = CONTENT[SMALL]
    client.upload("a", blob, path)
    assert faulty.requests[-1].startswith("HEAD sha256:")
    assert faulty.received == 0


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_goes_on_where_it_was_cut(
    faulty: Faulty, client: Registry, tmp_path: Path, ranges: bool
) -> None:
    blob, _ = file_of(tmp_path, SMALL)
    faulty.blobs[blob.digest], faulty.ranges = CONTENT[SMALL], ranges
    step = SMALL // 9
    faulty.cut_reads.extend([step] * 8 if ranges else [step * number for number in range(1, 9)])
    client.download("a", blob, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == CONTENT[SMALL]
    assert not ranges or faulty.given == SMALL
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "content"]


def test_a_download_that_stands_still_is_given_up_and_leaves_nothing(
    faulty: Faulty, client: Registry, tmp_path: Path
) -> None:
    blob, path = file_of(tmp_path, SMALL)
    faulty.blobs[blob.digest] = CONTENT[SMALL]
    faulty.cut_reads.extend([0] * 9)
    with pytest.raises(RegistryError, match="try again later"):
        client.download("a", blob, tmp_path / "back")
    assert list(tmp_path.iterdir()) == [path]


def test_the_registrys_wish_to_wait_is_followed(faulty: Faulty, client: Registry) -> None:
    waits: list[float] = []
    faulty.answers["HEAD"] = deque([(429, {"Retry-After": "7"}), (503, {"Retry-After": "3"})])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("slipway.images.transport.time.sleep", waits.append)
        assert client.digest("a", "v1") is None
    assert waits == [7, 3]


@pytest.mark.parametrize("status", [400, 401, 403, 405, 409, 413, 422])
def test_what_does_not_pass_by_itself_is_asked_once(faulty: Faulty, client: Registry, status: int) -> None:
    faulty.answers["HEAD"] = deque((status, dict[str, str]()) for _ in range(9))
    with pytest.raises(RegistryError, match=faulty.host):
        client.digest("a", "v1")
    assert faulty.requests == ["HEAD v1"]


def test_redirects_without_end_are_an_error(faulty: Faulty, client: Registry) -> None:
    faulty.answers["HEAD"] = deque([(307, {"Location": "/v2/a/manifests/v2"})] * 99)
    with pytest.raises(RegistryError, match=f"^{faulty.host}: redirects without end"):
        client.digest("a", "v1")
