"""What a router tells of web services, where it finds their objects."""

import asyncio
import resource
import subprocess
from pathlib import Path
from typing import Any

from tests.local.router_parts import (
    NAMESPACE,
    SECONDS,
    RouterProcess,
    client,
    replicas,
    running,
    scenario,
    until,
)


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


@scenario
async def test_while_the_routers_files_have_no_room_it_tells_why_and_serves_on_and_catches_up_then(
    tmp_path: Path,
) -> None:
    applied = ("slipway_router_config_last_reload_successful",)
    async with running(tmp_path) as router, replicas() as [one]:
        router.deploy("echo", one)
        router.start(stdout=subprocess.DEVNULL)
        await router.up("echo", 1)
        files = {file.name: file.read_text() for file in router.directory.glob("*.[cm]*")}
        assert router.process is not None
        size = len(files["haproxy.cfg"].encode())
        resource.prlimit(router.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        router.deploy("fraud", one)
        told = await until_told(router, "fraud", "ReloadRefused")
        assert "HAProxy cannot be given what it needs: [Errno 27] File too large" in told["note"]
        await router.until(lambda status: status["error"] == told["note"])
        await router.until_metrics({applied: 0})
        async with client() as http:
            assert (await http.post(router.uri("echo"), json={})).status_code == 200
        await asyncio.sleep(3)  # it is tried each second, and told once
        assert router.log.count("ERROR") == 1
        assert files == {name: (router.directory / name).read_text() for name in files}
        limits = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(router.process.pid, resource.RLIMIT_FSIZE, limits)
        await router.up("fraud", 1)
        await router.until_metrics({applied: 1})
        assert (await router.status())["error"] is None
        async with client() as http:
            assert (await http.post(router.uri("fraud"), json={})).status_code == 200
