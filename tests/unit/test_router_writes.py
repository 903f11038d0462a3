"""What the router writes to a folder of objects: one field of a Deployment, and Events that count."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from slipway.kube.folder import Folder, Object
from slipway.router.feed import FolderFeed, WriteError
from slipway.router.writes import FolderWriter, last_seen

DEPLOYMENT: Object = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "echo", "namespace": "services"},
    "spec": {"replicas": 1, "template": {"spec": {}}},
    "status": {"readyReplicas": 1},
}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    found = Folder(tmp_path)
    found.put(DEPLOYMENT)
    return found


def test_scaling_changes_the_replicas_alone(folder: Folder) -> None:
    asyncio.run(FolderWriter(folder).scale("services", "echo", 3))
    (found,) = folder.list("Deployment")
    assert found["spec"] == {"replicas": 3, "template": {"spec": {}}}
    assert found["status"] == {"readyReplicas": 1}


def test_scaling_what_is_not_there_is_an_error_and_makes_nothing(folder: Folder) -> None:
    with pytest.raises(WriteError, match="there is no Deployment services/gone"):
        asyncio.run(FolderWriter(folder).scale("services", "gone", 3))
    assert [one["metadata"]["name"] for one in folder.list("Deployment")] == ["echo"]


def test_the_same_event_counts_up_and_another_stands_beside_it(folder: Folder) -> None:
    writer = FolderWriter(folder)

    async def write() -> None:
        for note in ("one", "two", "one"):
            await writer.event(DEPLOYMENT, "Normal", "SuccessfulRescale", note)

    asyncio.run(write())
    found = {event["note"]: event for event in folder.list("Event", "services")}
    assert found.keys() == {"one", "two"}
    assert found["one"]["series"]["count"] == 2
    assert "series" not in found["two"]
    assert found["one"]["regarding"]["name"] == "echo"
    assert last_seen(found["one"]) > last_seen(found["two"])


def test_an_event_of_more_than_an_hour_ago_goes_when_another_comes(folder: Folder) -> None:
    writer = FolderWriter(folder)
    asyncio.run(writer.event(DEPLOYMENT, "Normal", "SuccessfulRescale", "old"))
    (old,) = folder.list("Event")
    folder.put({**old, "eventTime": (datetime.now(UTC) - timedelta(hours=2)).isoformat()})
    asyncio.run(writer.event(DEPLOYMENT, "Normal", "SuccessfulRescale", "new"))
    assert [event["note"] for event in folder.list("Event")] == ["new"]


def test_a_snapshot_has_the_pods_of_web_services_and_all_autoscalers(folder: Folder) -> None:
    labels = {"slipway/webservice": "echo"}
    folder.put({"kind": "Pod", "metadata": {"name": "a", "namespace": "services", "labels": labels}})
    folder.put({"kind": "Pod", "metadata": {"name": "b", "namespace": "slipway"}})
    folder.put({"kind": "HorizontalPodAutoscaler", "metadata": {"name": "h", "namespace": "services"}})
    objects = asyncio.run(FolderFeed(folder, "slipway").next())
    assert [one["metadata"]["name"] for one in objects.pods] == ["a"]
    assert [one["metadata"]["name"] for one in objects.autoscalers] == ["h"]
