"""Models in Blob storage, on Azurite: registered, listed, fetched, cut off, corrupt, by two at once."""

import os
import random
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import pytest

from slipway.images.files import model_files
from slipway.model import Model, model_of
from slipway.storage import models
from slipway.storage.blob import Absent, Container, StorageError, connect
from slipway.storage.models import Manifest, download, listed, register
from slipway.storage.names import CONNECTION_STRING, MODELS_DIR
from slipway.storage.transfer import PARTS, RANGE
from tests.cluster.azurite import account
from tests.cluster.cutting import proxy


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def read(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def add(container: Container, name: str, path: Path) -> Manifest:
    return register(container, name, path, model_files(path), lambda _: None)


def get(container: Container, root: Path, *texts: str) -> int:
    return download(container, list(map(model_of, texts)), root, lambda _: None)


def blobs(container: Container) -> dict[str, int]:
    return {blob.name: blob.size for blob in container.blobs("sha256/")}


def random_bytes(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def test_a_file_and_a_folder_come_back_where_v1_lays_them_out(container: Container, tmp_path: Path) -> None:
    folder = {"a.bin": random_bytes(RANGE * 2 + 1), "deep/er/b.bin": b"b", "empty": b"", "same": b"b"}
    write(tmp_path / "weights", folder)
    (tmp_path / "one.joblib").write_bytes(b"one")
    add(container, "big", tmp_path / "weights")
    add(container, "one", tmp_path / "one.joblib")
    size = get(container, tmp_path / "root", "azureml:big:1", "azureml:one:1")
    expected = {f"big/1/weights/{name}": data for name, data in folder.items()} | {"one/1/one.joblib": b"one"}
    assert read(tmp_path / "root") == expected
    assert size == sum(map(len, expected.values()))
    assert not (tmp_path / "root" / PARTS).exists()


def test_a_link_is_registered_by_its_own_name(container: Container, tmp_path: Path) -> None:
    (tmp_path / "run-17.bin").write_bytes(b"m")
    (tmp_path / "model.bin").symlink_to("run-17.bin")
    add(container, "m", tmp_path / "model.bin")
    get(container, tmp_path / "root", "azureml:m:1")
    assert read(tmp_path / "root") == {"m/1/model.bin": b"m"}


def test_versions_count_up_and_equal_files_are_kept_once(container: Container, tmp_path: Path) -> None:
    path = tmp_path / "m.bin"
    for content in (b"first", b"second", b"first"):
        path.write_bytes(content)
        add(container, "m", path)
    found = listed(container)
    assert [str(manifest) for manifest in found] == ["azureml:m:1", "azureml:m:2", "azureml:m:3"]
    assert [manifest.size for manifest in found] == [5, 6, 5]
    assert len(blobs(container)) == 2


def test_versions_are_ordered_as_numbers(container: Container, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"m")
    for _ in range(11):
        add(container, "m", tmp_path / "m")
    assert models.versions(container, "m") == list(range(1, 12))
    assert listed(container)[-1].version == 11


def test_of_several_that_register_at_once_each_gets_a_version(container: Container, tmp_path: Path) -> None:
    for index in range(6):
        (tmp_path / str(index)).write_bytes(random_bytes(RANGE + 5, seed=index % 2))

    def one(index: int) -> int:
        return add(container, "m", tmp_path / str(index)).version

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(one, range(6)))
    assert sorted(found) == [1, 2, 3, 4, 5, 6]
    for version in found:
        get(container, tmp_path / "root", f"azureml:m:{version}")


def test_a_missing_version_or_name_is_told_with_what_there_is(container: Container, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"m")
    add(container, "m", tmp_path / "m")
    with pytest.raises(Absent, match="azureml:m:2: is not registered: there are versions 1"):
        get(container, tmp_path / "root", "azureml:m:2")
    with pytest.raises(Absent, match="azureml:n:1: is not registered: no model of this name is registered"):
        get(container, tmp_path / "root", "azureml:n:1")
    assert not (tmp_path / "root").exists()


def test_an_empty_folder_and_a_wrong_name_are_refused(container: Container, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "m").write_bytes(b"m")
    with pytest.raises(StorageError, match="is an empty folder"):
        add(container, "m", tmp_path / "empty")
    with pytest.raises(StorageError, match="`a b` is no model name"):
        add(container, "a b", tmp_path / "m")
    assert listed(container) == []


def test_a_corrupt_blob_is_told_by_the_files_name_and_nothing_is_left_of_it(
    container: Container, tmp_path: Path
) -> None:
    write(tmp_path / "m", {"good": b"good", "bad": random_bytes(RANGE + 100)})
    manifest = add(container, "m", tmp_path / "m")
    (bad,) = [file.content.blob for file in manifest.files if file.path.endswith("bad")]
    data = bytearray(container.get(bad))
    data[RANGE + 50] ^= 1
    container.put(bad, bytes(data), overwrite=True)
    with pytest.raises(
        StorageError, match=rf"m/1/m/bad: blob .*{bad} holds other bytes than were registered"
    ):
        get(container, tmp_path / "root", "azureml:m:1")
    assert not (tmp_path / "root/m/1/m/bad").exists()
    assert not list((tmp_path / "root" / PARTS).glob(f"{bad.removeprefix('sha256/')}*"))
    container.put(bad, random_bytes(RANGE + 100), overwrite=True)
    get(container, tmp_path / "root", "azureml:m:1")
    assert read(tmp_path / "root") == {"m/1/m/bad": random_bytes(RANGE + 100), "m/1/m/good": b"good"}


@pytest.mark.parametrize("left", [b"", b"short", b"longer than it was"])
def test_a_blob_of_another_size_is_told_too(container: Container, tmp_path: Path, left: bytes) -> None:
    (tmp_path / "m").write_bytes(b"content")
    manifest = add(container, "m", tmp_path / "m")
    container.put(manifest.files[0].content.blob, left, overwrite=True)
    with pytest.raises(StorageError, match="m/1/m: blob "):
        get(container, tmp_path / "root", "azureml:m:1")
    with pytest.raises(StorageError, match="delete that blob"):
        add(container, "m", tmp_path / "m")


def test_a_file_that_is_there_with_other_bytes_is_not_overwritten(
    container: Container, tmp_path: Path
) -> None:
    (tmp_path / "m").write_bytes(b"m")
    add(container, "m", tmp_path / "m")
    write(tmp_path / "root", {"m/1/m": b"mine"})
    with pytest.raises(StorageError, match="m/1/m: is there with other bytes"):
        get(container, tmp_path / "root", "azureml:m:1")
    assert read(tmp_path / "root/m") == {"1/m": b"mine"}


def test_where_nothing_can_be_written_that_is_told(container: Container, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"m")
    add(container, "m", tmp_path / "m")
    with pytest.raises(StorageError, match=r"m/root.*: Not a directory"):
        get(container, tmp_path / "m" / "root", "azureml:m:1")


def test_a_manifest_that_leads_out_of_the_folder_is_refused(container: Container, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"m")
    text = add(container, "m", tmp_path / "m").model_dump_json()
    container.put(
        "manifests/m/1.json", text.replace('"path":"m"', '"path":"../../../m"').encode(), overwrite=True
    )
    with pytest.raises(StorageError, match=r"manifests/m/1\.json: is no manifest"):
        get(container, tmp_path / "root", "azureml:m:1")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_behind_a_proxy_that_cuts_connections_models_go_and_come_whole(
    azurite: int, container: Container, tmp_path: Path, seed: int
) -> None:
    files = {f"{index}": random_bytes(300_000 + index, seed=index) for index in range(10)}
    files["large"] = random_bytes(5 * RANGE + 17)
    write(tmp_path / "m", files)
    with proxy(azurite, cuts=6, at=(0, RANGE), seed=seed) as cutting:
        add(connect(account(cutting.port), container.name), "m", tmp_path / "m")
        cut, cutting.cuts = cutting.cut, 6
        get(connect(account(cutting.port), container.name), tmp_path / "root", "azureml:m:1")
        assert cut > 0
        assert cutting.cut > cut
    assert read(tmp_path / "root/m/1/m") == files


def test_a_fetch_that_is_killed_goes_on_where_it_was(
    azurite: int, container: Container, tmp_path: Path
) -> None:
    size = 24 * RANGE
    (tmp_path / "m").write_bytes(random_bytes(size))
    models_container = connect(account(azurite), models.CONTAINER)
    models_container.create()
    version = add(models_container, container.name, tmp_path / "m").version
    with proxy(azurite) as counting:
        environ = os.environ | {
            MODELS_DIR: str(tmp_path / "root"),
            CONNECTION_STRING: account(counting.port).connection_string,
        }
        command = [sys.executable, "-m", "slipway.storage.fetch", f"azureml:{container.name}:{version}"]
        counting.wanted = size * 2 // 3
        first = subprocess.Popen(command, env=environ)
        assert counting.half.wait(60)
        first.kill()
        assert first.wait() < 0
        passed = counting.passed
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert counting.passed - passed < size * 0.8
    assert (tmp_path / "root" / container.name / str(version) / "m").read_bytes() == random_bytes(size)


def test_an_upload_that_was_cut_off_sends_only_the_rest(
    azurite: int, container: Container, tmp_path: Path
) -> None:
    (tmp_path / "m").write_bytes(random_bytes(12 * RANGE))
    (file,) = models.hash_all([tmp_path / "m"])
    for index in range(6):
        container.stage(
            file.content.blob, file.ranges[index], random_bytes(12 * RANGE)[index * RANGE :][:RANGE]
        )
    with proxy(azurite) as counting:
        add(connect(account(counting.port), container.name), "m", tmp_path / "m")
        assert counting.passed < 7 * RANGE
    get(container, tmp_path / "root", "azureml:m:1")
    assert read(tmp_path / "root") == {"m/1/m": random_bytes(12 * RANGE)}


def test_the_init_container_says_what_is_missing(azurite: int, tmp_path: Path) -> None:
    environ = {**os.environ, MODELS_DIR: str(tmp_path / "root")}
    command = [sys.executable, "-m", "slipway.storage.fetch", "azureml:never-registered:7"]
    without = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert without.returncode == 1
    assert "neither AZURE_STORAGE_BLOB_ENDPOINT nor AZURE_STORAGE_CONNECTION_STRING is set" in without.stdout
    connect(account(azurite), models.CONTAINER).create()
    environ[CONNECTION_STRING] = account(azurite).connection_string
    absent = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert absent.returncode == 1
    assert "error: azureml:never-registered:7: is not registered" in absent.stdout


def test_a_thousand_models_of_one_container_are_fetched(container: Container, tmp_path: Path) -> None:
    def one(index: int) -> Model:
        path = tmp_path / f"m{index}"
        path.write_bytes(random_bytes(1000, seed=index))
        return Model(f"m{index}", register(container, f"m{index}", path, [PurePosixPath()], print).version)

    with ThreadPoolExecutor(4) as pool:
        wanted = list(pool.map(one, range(1000)))
    assert download(container, wanted, tmp_path / "root", lambda _: None) == 1_000_000
    assert sorted(path.name for path in (tmp_path / "root").iterdir()) == sorted(
        model.name for model in wanted
    )
    assert (tmp_path / "root/m999/1/m999").read_bytes() == random_bytes(1000, seed=999)
