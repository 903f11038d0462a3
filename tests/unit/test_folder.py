"""The folder of objects behaves as an API server does, as far as its readers and writers rely on it."""

import base64
import json
import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.kube.folder import Folder, Object


def config_map(name: str = "settings", namespace: str | None = "default", **data: str) -> Object:
    metadata: Object = {"name": name} if namespace is None else {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "objects")


def test_when_an_object_is_put_then_get_and_list_return_it_with_an_identity(folder: Folder) -> None:
    stored = folder.put(config_map(colour="red"))
    assert folder.get("ConfigMap", "default", "settings") == stored
    assert folder.list("ConfigMap") == [stored]
    assert stored["data"] == {"colour": "red"}
    assert stored["metadata"]["uid"]
    assert stored["metadata"]["creationTimestamp"].endswith("Z")
    assert stored["metadata"]["resourceVersion"] == "1"
    assert stored["metadata"]["generation"] == 1


def test_when_nothing_was_put_then_there_is_nothing(folder: Folder) -> None:
    assert folder.list("Pod") == []
    assert folder.get("Pod", "default", "x") is None
    assert folder.delete("Pod", "default", "x") is False
    assert folder.update("Pod", "default", "x", lambda pod: pod) is None


def test_when_an_object_is_replaced_then_identity_stays_and_versions_move(folder: Folder) -> None:
    first = folder.put(
        {"kind": "Deployment", "metadata": {"name": "a", "namespace": "n"}, "spec": {"replicas": 1}}
    )
    second = folder.put(
        {"kind": "Deployment", "metadata": {"name": "a", "namespace": "n"}, "spec": {"replicas": 2}}
    )
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    assert second["metadata"]["generation"] == 2
    assert second["metadata"]["resourceVersion"] == "2"


def test_when_only_the_status_changes_then_the_generation_stays(folder: Folder) -> None:
    obj: Object = {"kind": "Deployment", "metadata": {"name": "a", "namespace": "n"}, "spec": {"replicas": 1}}
    folder.put(obj)
    updated = folder.update("Deployment", "n", "a", lambda o: {**o, "status": {"readyReplicas": 1}})
    assert updated is not None
    assert updated["metadata"]["generation"] == 1
    again = folder.put(obj)
    assert again["status"] == {"readyReplicas": 1}, "an object put without a status keeps the one it had"


def test_when_a_secret_has_string_data_then_it_is_stored_as_base64(folder: Folder) -> None:
    stored = folder.put(
        {
            "kind": "Secret",
            "metadata": {"name": "k", "namespace": "n"},
            "stringData": {"primary": "schlüssel"},
        }
    )
    assert "stringData" not in stored
    assert base64.b64decode(stored["data"]["primary"]).decode() == "schlüssel"


def test_when_an_object_has_no_namespace_then_it_is_cluster_scoped(folder: Folder) -> None:
    folder.put(config_map("a", None))
    folder.put(config_map("b", "n"))
    assert folder.get("ConfigMap", "", "a") is not None
    assert [o["metadata"]["name"] for o in folder.list("ConfigMap", "")] == ["a"]
    assert [o["metadata"]["name"] for o in folder.list("ConfigMap")] == ["a", "b"]


def test_when_objects_are_written_then_only_their_owner_can_read_them(folder: Folder) -> None:
    previous = os.umask(0)
    try:
        folder.put(config_map())
    finally:
        os.umask(previous)
    for path in [folder.root, *folder.root.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_when_a_file_is_half_written_then_it_is_left_out(folder: Folder) -> None:
    folder.put(config_map("whole"))
    (folder.root / "ConfigMap/default/half.json").write_text('{"kind": "Conf')
    (folder.root / "ConfigMap/default/list.json").write_text("[]")
    assert [o["metadata"]["name"] for o in folder.list("ConfigMap")] == ["whole"]
    assert folder.get("ConfigMap", "default", "half") is None


def test_when_anything_changes_then_the_fingerprint_does_and_else_not(folder: Folder) -> None:
    seen = [folder.fingerprint()]
    folder.put(config_map(colour="red"))
    seen.append(folder.fingerprint())
    folder.put(config_map(colour="red"))
    assert folder.fingerprint() == seen[-1], "putting what is there already changes nothing"
    folder.put(config_map(colour="sky"))
    seen.append(folder.fingerprint())
    folder.update("ConfigMap", "default", "settings", lambda _: None)
    assert folder.fingerprint() == seen[-1]
    folder.delete("ConfigMap", "default", "settings")
    seen.append(folder.fingerprint())
    folder.put(config_map("other"))
    seen.append(folder.fingerprint())
    for number in range(50):  # within a tick of the clock
        folder.put(config_map("other", colour=str(number % 2)))
        seen.append(folder.fingerprint())
    assert len(set(seen)) == len(seen)


def test_when_many_update_at_once_then_no_update_is_lost(folder: Folder) -> None:
    folder.put({"kind": "Lease", "metadata": {"name": "l", "namespace": "n"}, "spec": {"count": 0}})

    def count(lease: Object) -> Object:
        lease["spec"]["count"] += 1
        return lease

    def work() -> None:
        for _ in range(25):
            folder.update("Lease", "n", "l", count)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lease = folder.get("Lease", "n", "l")
    assert lease is not None
    assert lease["spec"]["count"] == 100


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b"])
def test_when_a_name_would_leave_the_folder_then_it_is_refused(folder: Folder, name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a Kubernetes object"):
        folder.put(config_map(name))
    assert not list(folder.root.rglob("*.json"))


def test_when_a_write_fails_then_the_old_object_stays_and_no_litter(folder: Folder) -> None:
    folder.put(config_map(colour="red"))
    with pytest.raises(TypeError):
        folder.put({**config_map(), "data": object()})
    assert [p.name for p in (folder.root / "ConfigMap/default").iterdir()] == ["settings.json"]
    assert json.loads((folder.root / "ConfigMap/default/settings.json").read_text())["data"] == {
        "colour": "red"
    }


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(max_examples=50)
@given(data=st.dictionaries(st.text(), values))
def test_whatever_an_object_holds_it_comes_back(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, object]
) -> None:
    folder = Folder(tmp_path_factory.mktemp("objects"))
    folder.put({**config_map(), "data": data})
    stored = folder.get("ConfigMap", "default", "settings")
    assert stored is not None
    assert stored["data"] == data
