"""What a router tells of web services, where it finds their objects."""

from pathlib import Path
from typing import Any

from tests.local.router_parts import NAMESPACE, SECONDS, RouterProcess, replicas, running, scenario, until


async def until_told(router: RouterProcess, name: str, reason: str) -> dict[str, Any]:
    """Wait for the Event with a reason on a Deployment."""

    async def look() -> dict[str, Any] | None:
        found = router.folder.list("Event", NAMESPACE)
        return next(
            (one for one in found if (one["regarding"]["name"], one["reason"]) == (name, reason)), None
        )

    return await until(look, SECONDS, lambda: router.log)


@scenario
async def test_when_a_service_comes_and_its_replica_goes_then_its_events_tell(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas() as [one]:
        router.start()
        await router.until(lambda _: True)
        router.deploy("echo", one)
        routable = await until_told(router, "echo", "Routable")
        assert routable["note"] == "Requests for echo have a replica to go to"
        assert routable["regarding"]["uid"] == router.folder.list("Deployment")[0]["metadata"]["uid"]
        router.scale("echo")
        assert (await until_told(router, "echo", "NoReadyReplica"))["type"] == "Warning"


@scenario
async def test_when_a_deployment_cannot_be_read_then_its_event_says_why(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas() as [one]:
        router.deploy("echo", one)
        found = router.folder.list("Deployment")[0]
        found["metadata"]["annotations"]["slipway/serving"] = '{"scoring_timeout_ms": 0}'
        router.folder.put(found)
        router.start()
        told = await until_told(router, "echo", "Misconfigured")
        assert "scoring_timeout_ms = 0: must be greater than 0" in told["note"]
