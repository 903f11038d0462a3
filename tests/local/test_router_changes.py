"""What changes while a router runs: replicas, keys, services, HAProxy itself; and what nobody may notice."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from tests.local.router_parts import (
    KEY,
    SECONDS,
    Json,
    Replica,
    RouterProcess,
    client,
    most_offered,
    replicas,
    running,
    scenario,
    statuses,
    until,
    worker_of,
)


@contextlib.asynccontextmanager
async def load(router: RouterProcess, http: httpx.AsyncClient, service: str) -> AsyncGenerator[list[int]]:
    """Send requests all the time, half of them on new connections, and collect their statuses."""
    found: list[int] = []
    ended = asyncio.Event()

    async def send(close: bool) -> None:
        headers = {"connection": "close"} if close else {}
        while not ended.is_set():
            response = await http.post(router.uri(service), json={"sleep": 0.01}, headers=headers)
            found.append(response.status_code)

    tasks = [asyncio.create_task(send(number % 2 == 0)) for number in range(8)]
    try:
        yield found
    finally:
        ended.set()
        await asyncio.gather(*tasks)


@scenario
async def test_when_replicas_and_keys_change_a_hundred_times_then_nothing_is_reloaded_or_lost(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as router, replicas(4) as four, client() as http:
        await router.serve("echo", *four, max_request_wait_time=10_000)
        async with load(router, http, "echo") as found:
            for number in range(100):
                before = (await router.status())["commands"]
                if number % 2:
                    router.keys("echo", KEY, f"secondary {number}")
                else:
                    router.scale("echo", *four[: 1 + (number // 2) % 4])
                await router.until(lambda status, before=before: status["commands"] > before)
        status = await router.up("echo", 2)
        assert status["reloads"] == 0
        assert status["commands"] >= 200
        assert set(found) == {200}
        assert [replica.offered_most for replica in four] == [1, 1, 1, 1]


@scenario
async def test_when_a_key_is_regenerated_then_the_old_one_ends_and_the_other_goes_on(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        await router.serve("echo", replica, keys=("first", "second"))

        async def ask(key: str) -> int:
            headers = {"authorization": f"Bearer {key}"}
            return (await http.post(router.uri("echo"), headers=headers)).status_code

        assert [await ask(key) for key in ("first", "second", "third")] == [200, 200, 401]
        router.keys("echo", "third", "second")
        await router.until(lambda status: status["commands"] == 2)
        assert [await ask(key) for key in ("first", "second", "third")] == [401, 200, 200]
        assert (await router.status())["reloads"] == 0
        files = "".join(path.read_text() for path in router.directory.iterdir() if path.is_file())
        assert not [key for key in ("first", "second", "third") if f"{key}\n" in files or f"{key}:" in files]
        assert {path.stat().st_mode & 0o077 for path in router.directory.iterdir()} == {0}
        assert "Bearer" not in router.log


@scenario
async def test_when_services_are_added_under_load_then_each_reloads_at_most_once_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as router, replicas(3) as three, client() as http:
        await router.serve("echo", *three[:2], max_request_wait_time=10_000)
        async with load(router, http, "echo") as found:
            for number in range(8):
                router.deploy(f"service-{number}", three[2])
                status = await router.up(f"service-{number}", 1)
                assert status["reloads"] <= number + 1
                router.scale("echo", *three[number % 2 : number % 2 + 1])
        assert set(found) == {200}
        assert len(found) > 100
        assert max(replica.offered_most for replica in three) <= 2, "one by the worker that ends"
        router.scale("echo", *three[:2])
        await router.up("echo", 2)
        assert await most_offered(http, [router.uri("echo")], three[:2]) == [1, 1]
        response = await http.post(router.uri("service-7"), json={})
        assert response.json()["port"] == three[2].port


@scenario
async def test_when_a_service_is_taken_away_then_the_others_stay(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        router.deploy("echo", replica)
        await router.serve("fraud", replica)
        router.folder.delete("Deployment", "slipway-services", "fraud")
        await router.until(lambda status: "fraud" not in status["services"] and status["reloads"] == 1)
        assert (await http.post(router.uri("fraud"))).json()["reason"] == "unknown_service"
        assert (await http.post(router.uri("echo"), json={})).status_code == 200


@scenario
async def test_when_limits_change_then_they_count(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas(1) as [replica], client() as http:
        await router.serve("echo", replica)
        router.deploy("echo", replica, replica_max_concurrent_requests=5)
        await router.until(lambda status: status["reloads"] == 1)
        assert await most_offered(http, [router.uri("echo")], [replica]) == [5]


@scenario
async def test_when_one_service_is_broken_then_the_others_are_served_and_status_says_why(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        router.deploy("echo", replica)
        router.deploy("broken", replica)
        router.deploy("locked", replica)
        for kind, name in (("Deployment", "broken"), ("Secret", "locked-keys")):
            namespace = "slipway" if kind == "Secret" else "slipway-services"
            found = router.folder.get(kind, namespace, name)
            assert found is not None
            found["metadata"]["annotations"] = {
                "slipway/serving": '{"scoring_timeout_ms": "1ms\\nbackend x"}'
            }
            found["data"] = {"primary": "****", "secondary": 1}
            router.folder.put(found)
        evil = "echo2\n  server evil 6.6.6.6:80; shutdown sessions server"
        router.folder.put(
            {
                "kind": "Deployment",
                "metadata": {
                    "name": "evil",
                    "namespace": "slipway-services",
                    "labels": {"slipway/webservice": evil},
                    "annotations": {"slipway/serving": "{}"},
                },
            }
        )
        router.start()
        status = await router.up("echo", 1)
        assert "scoring_timeout_ms" in status["services"]["broken"]["error"]
        assert "locked-keys" in status["services"]["locked"]["error"]
        assert "is no name of a service" in status["ignored"][0]
        assert (await http.post(router.uri("echo"), json={})).status_code == 200
        assert (await http.post(router.uri("locked"), json={})).status_code == 401
        assert (await http.post(router.uri("broken"), json={})).status_code == 404
        router.deploy("broken", replica)
        router.keys("locked", KEY, "2")
        await router.up("broken", 1)
        await router.up("locked", 1)


def ended(pid: int) -> bool:
    """Whether a process is gone, or waits for nothing but its parent's notice."""
    try:
        return not Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return True


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("which", ["master", "worker"])
def test_when_haproxy_is_killed_then_it_is_back_with_all_that_it_served(tmp_path: Path, which: str) -> None:
    @scenario
    async def look() -> None:
        async with running(tmp_path) as router, replicas(2) as [first, second], client() as http:
            status = await router.serve("echo", first, max_request_wait_time=30_000)
            router.scale("echo", first, second)  # by commands only: the files must know it too
            await router.up("echo", 2)
            master = status["haproxy_pid"]
            os.kill(master if which == "master" else worker_of(master), signal.SIGKILL)
            served: set[int] = set()

            async def both_serve() -> bool | None:
                with contextlib.suppress(httpx.TransportError):
                    served.add((await http.post(router.uri("echo"), json={})).json()["port"])
                return served == {first.port, second.port} or None

            await until(both_serve, SECONDS, lambda: router.log)
            status = await router.up("echo", 2)
            assert (status["restarts"], status["error"]) == (1, None)
            assert status["haproxy_pid"] != master
            router.scale("echo")
            await router.up("echo", 0)
            waiting = asyncio.create_task(http.post(router.uri("echo"), json={}))
            await router.until(lambda found: found["services"]["echo"]["queued"] == 1)
            router.scale("echo", second)
            assert (await waiting).status_code == 200

    look()


@scenario
async def test_when_told_to_stop_then_it_is_unready_first_and_finishes_what_waits_and_runs(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        await router.serve("echo", replica, max_request_wait_time=20_000)
        assert router.process is not None
        tasks = [asyncio.create_task(http.post(router.uri("echo"), json={"hold": True})) for _ in range(8)]
        await router.until(lambda status: status["services"]["echo"]["queued"] == 7)
        router.process.send_signal(signal.SIGTERM)

        async def unready() -> bool | None:
            return (await router.admin.get("/ready")).status_code == 503 or None

        await until(unready, SECONDS, lambda: router.log)
        replica.release()
        late = await http.post(router.uri("echo"), json={})  # others may not have noticed yet
        assert late.status_code == 200
        assert set(statuses(await asyncio.gather(*tasks))) == {200}
        assert await asyncio.to_thread(router.process.wait, SECONDS) == 0
        with pytest.raises(httpx.TransportError):
            await http.post(router.uri("echo"), json={})


@scenario
async def test_when_told_to_stop_then_a_client_that_kept_its_connection_learns_it_with_its_next_answer(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        await router.serve("echo", replica)
        kept = await http.post(router.uri("echo"), json={})
        assert kept.headers.get("connection") != "close"
        assert router.process is not None
        router.process.send_signal(signal.SIGTERM)

        async def refuses() -> bool | None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", router.port)
            except OSError:
                return True
            writer.close()
            return None

        await until(refuses, SECONDS, lambda: router.log)
        await asyncio.sleep(1)  # it has nothing to ask for a while
        last = await http.post(router.uri("echo"), json={})
        assert (last.status_code, last.headers["connection"]) == (200, "close")
        assert await asyncio.to_thread(router.process.wait, SECONDS) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a child end with its parent")
@scenario
async def test_when_the_control_plane_is_killed_then_no_haproxy_stays_and_the_next_one_serves(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        router.deploy("echo", replica)
        router.start()
        master = (await router.up("echo", 1))["haproxy_pid"]
        assert router.process is not None
        router.process.kill()
        router.process.wait()

        async def gone() -> bool | None:
            return ended(master) or None

        await until(gone, SECONDS, lambda: router.log)
        router.start()
        await router.up("echo", 1)
        assert (await http.post(router.uri("echo"), json={})).status_code == 200


@pytest.mark.parametrize("taken", ["port", "admin_port"])
def test_when_a_port_is_taken_then_the_router_says_which_and_does_not_start(
    tmp_path: Path, taken: str
) -> None:
    @scenario
    async def look() -> None:
        async with running(tmp_path) as router:
            other = await Replica().start(getattr(router, taken))
            router.start()
            assert router.process is not None
            assert await asyncio.to_thread(router.process.wait, SECONDS) == 1
            assert router.log.startswith(f"error: 127.0.0.1:{getattr(router, taken)} cannot be listened on")
            await other.stop()

    look()


def test_when_variables_are_missing_then_the_process_says_all_of_them() -> None:
    command = [sys.executable, "-m", "slipway.router"]
    ended = subprocess.run(
        command, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: SLIPWAY_RUN_DIR is not set")
    assert "SLIPWAY_OBJECTS is not set" in ended.stderr


@scenario
async def test_when_nothing_is_there_yet_then_the_router_is_ready_and_takes_what_comes(
    tmp_path: Path,
) -> None:
    def empty(status: Json) -> bool:
        return status["services"] == {}

    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        router.start()
        await router.until(empty)
        router.deploy("echo", replica)
        await router.up("echo", 1)
        assert (await http.post(router.uri("echo"), json={})).status_code == 200
