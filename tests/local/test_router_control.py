"""What the control loop does when HAProxy refuses or surprises it: one loop and a feed, in this process."""

import asyncio
import contextlib
import os
import signal
import stat
import time
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from slipway.router import binary
from slipway.router.control import RELOAD_SECONDS, Router
from slipway.router.feed import Objects
from slipway.router.haproxy import HAProxy, HAProxyError, NoReply
from slipway.router.options import Options, Tls
from slipway.router.plan import Command
from slipway.spec import Serving
from tests.local.router_parts import SECONDS, client, replicas, scenario, statuses, until
from tests.ports import free_port

Json = dict[str, Any]
WRAPPER = """\
#!/bin/sh
if [ "$1" = -c ] && [ -e ../refuse ]; then echo "[ALERT]    (1) : config : it is Sunday"; exit 1; fi
exec "{haproxy}" "$@"
"""


def objects(**services: list[int]) -> Objects:
    """Give open services with replicas on these ports."""
    serving = Serving(auth_enabled=False, max_request_wait_time=5_000).model_dump_json()

    def metadata(name: str, service: str) -> Json:
        return {
            "name": name,
            "namespace": "slipway-services",
            "labels": {"slipway/webservice": service},
            "annotations": {"slipway/serving": serving},
        }

    return Objects(
        deployments=[{"metadata": metadata(name, name)} for name in services],
        slices=[
            {
                "metadata": metadata(f"{name}-{port}", name),
                "ports": [{"name": "http", "port": port}],
                "endpoints": [{"addresses": ["127.0.0.1"]}],
            }
            for name, ports in services.items()
            for port in ports
        ],
    )


class QueueFeed:
    """A feed of what a test puts into it."""

    behind = None

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Objects] = asyncio.Queue()

    async def next(self) -> Objects:
        return await self.queue.get()


class Running:
    """A router whose loop runs as a task, with its HAProxy at hand."""

    def __init__(self, folder: Path, tls: Tls | None = None) -> None:
        wrapper = folder / "haproxy"
        wrapper.write_text(WRAPPER.format(haproxy=binary.find()), encoding="ascii")
        wrapper.chmod(stat.S_IRWXU)
        self.port = free_port()
        options = Options(objects=folder, directory=folder, port=self.port, tls=tls)
        self.haproxy = HAProxy(str(wrapper))
        self.feed = QueueFeed()
        self.router = Router(options, self.haproxy, self.feed)

    def config(self) -> str:
        return Path("haproxy.cfg").read_text(encoding="ascii")

    def refuse(self, every_configuration: bool) -> None:
        flag = Path("refuse")
        if every_configuration:
            flag.touch()
        else:
            flag.unlink()

    async def servers(self, service: str) -> set[str]:
        rows = await self.haproxy.statistics()
        return {
            row["svname"]
            for row in rows
            if row["pxname"] == service
            and row["svname"] not in ("BACKEND", "_hold")
            and row["status"] != "MAINT"
        }

    async def until_servers(self, service: str, *ports: int) -> None:
        async def look() -> bool | None:
            with contextlib.suppress(HAProxyError):
                return await self.servers(service) == {f"127.0.0.1:{port}" for port in ports} or None
            return None

        await until(look, SECONDS, lambda: repr(self.router.error))

    async def until_reloads(self, number: int) -> None:
        async def look() -> bool | None:
            return self.router.reloads == number or None

        await until(look, SECONDS, lambda: repr(self.router.error))


@contextlib.asynccontextmanager
async def running(folder: Path, tls: Tls | None = None) -> AsyncGenerator[Running]:
    made, stop, now = Running(folder, tls), asyncio.Event(), asyncio.Event()
    await made.feed.queue.put(objects(echo=[1001]))
    task = asyncio.create_task(made.router.run(stop, now))
    try:
        await made.until_servers("echo", 1001)
        yield made
    finally:
        stop.set()
        now.set()
        await task


@pytest.fixture(autouse=True)
def in_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@scenario
async def test_when_a_command_fails_then_a_reload_makes_it_right(tmp_path: Path) -> None:
    async with running(tmp_path) as one:
        await one.haproxy.tell(Command("set server echo/127.0.0.1:1001 state maint"))
        await one.haproxy.tell(Command("del server echo/127.0.0.1:1001", "Server deleted."))
        await one.feed.queue.put(objects(echo=[1002]))  # its command to the old server fails
        await one.until_reloads(1)
        assert await one.servers("echo") == {"127.0.0.1:1002"}
        assert one.router.error is None
        assert "127.0.0.1:1001" not in one.config()


@scenario
async def test_when_a_configuration_is_refused_then_the_old_one_serves_on_and_replicas_still_change(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as one:
        one.refuse(True)
        await one.feed.queue.put(objects(echo=[1001, 1002], fraud=[1003]))
        await one.until_servers("echo", 1001, 1002)
        assert one.router.error == "HAProxy refuses the configuration: config : it is Sunday"
        assert one.router.reloads == 0
        assert one.router.ready
        assert "fraud" not in one.config()
        one.refuse(False)
        await one.feed.queue.put(objects(echo=[1001], fraud=[1003]))
        await one.until_reloads(1)
        assert await one.servers("fraud") == {"127.0.0.1:1003"}
        assert one.router.error is None


@pytest.mark.parametrize("it_did", [True, False])
def test_when_a_reload_gets_no_reply_then_it_is_no_refusal_and_is_done_again(
    tmp_path: Path, it_did: bool
) -> None:
    @scenario
    async def look() -> None:
        async with running(tmp_path) as one:
            reload, told = one.haproxy.reload, list[str]()

            async def without_reply() -> None:
                one.haproxy.reload = reload
                if it_did:
                    await reload()
                told.append("reload")
                raise NoReply("`reload` got no reply: time is up")

            one.haproxy.reload = without_reply
            await one.feed.queue.put(objects(echo=[1001], fraud=[1003]))
            await one.until_reloads(1)
            assert await one.servers("fraud") == {"127.0.0.1:1003"}
            assert "fraud" in one.config()
            assert (told, one.router.error, one.router.refusal) == (["reload"], None, None)

            one.haproxy.reload = without_reply
            await one.feed.queue.put(objects(echo=[1001]))  # and what was wanted is not wanted any more
            await until_told(told, 2)
            await one.feed.queue.put(objects(echo=[1001], fraud=[1003]))
            await one.until_reloads(2)
            assert await one.servers("fraud") == {"127.0.0.1:1003"}

    look()


async def until_told(told: list[str], number: int) -> None:
    async def look() -> bool | None:
        return len(told) == number or None

    await until(look, SECONDS, lambda: str(told))


@scenario
async def test_when_services_come_in_a_burst_then_reloads_are_a_second_apart_and_replicas_do_not_wait(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as one:
        begin = time.monotonic()

        def most() -> int:
            return 1 + int((time.monotonic() - begin) / RELOAD_SECONDS)

        for number in range(1, 6):
            names = {f"service-{index}": [1003] for index in range(number)}
            await one.feed.queue.put(objects(echo=[1001 + number], **names))
            await one.until_servers("echo", 1001 + number)
        assert one.router.reloads <= most()
        await one.until_servers("service-4", 1003)
        assert one.router.reloads <= most()


@scenario
async def test_when_a_server_is_gone_for_good_then_it_is_deleted(tmp_path: Path) -> None:
    async with running(tmp_path) as one:
        await one.feed.queue.put(objects(echo=[]))

        async def deleted() -> bool | None:
            return "127.0.0.1:1001" not in {row["svname"] for row in await one.haproxy.statistics()} or None

        await until(deleted, SECONDS, str)


@scenario
async def test_when_haproxy_cannot_start_then_the_router_ends_with_its_words(tmp_path: Path) -> None:
    one = Running(tmp_path)
    one.refuse(True)
    await one.feed.queue.put(objects())
    with pytest.raises(HAProxyError, match="it is Sunday"):
        await one.router.run(asyncio.Event(), asyncio.Event())


@scenario
async def test_a_request_that_comes_just_before_a_reload_gets_the_replica_that_comes_after_it(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as one, replicas() as [replica], client() as http:
        await one.feed.queue.put(objects(echo=[]))
        await one.until_servers("echo")
        uri = f"http://127.0.0.1:{one.port}/api/v1/service/echo/score"
        requests: list[asyncio.Task[httpx.Response]] = []
        reload = one.haproxy.reload

        async def just_before() -> None:
            requests.extend(asyncio.create_task(http.post(uri, json={})) for _ in range(3))
            await asyncio.sleep(0.05)  # they are in the old worker now
            await reload()

        one.haproxy.reload = just_before
        await one.feed.queue.put(objects(echo=[], fraud=[1002]))
        await one.until_reloads(1)
        await one.feed.queue.put(objects(echo=[replica.port], fraud=[1002]))
        assert statuses(await asyncio.gather(*requests)) == [200] * 3


@scenario
async def test_when_haproxy_ends_and_cannot_start_then_it_is_tried_again_ever_more_slowly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipway.router.control.LONGEST_PAUSE_SECONDS", 0.0)  # it has lived long enough
    async with running(tmp_path) as one:
        start, tried = one.haproxy.start, list[float]()

        async def fails() -> None:
            monkeypatch.setattr("slipway.router.control.LONGEST_PAUSE_SECONDS", 5.0)
            tried.append(time.monotonic())
            raise OSError("no process to be had")

        async def ready() -> bool | None:
            return one.router.ready or None

        await until(ready, SECONDS, str)
        one.haproxy.start = fails
        assert one.router.pid is not None
        os.kill(one.router.pid, signal.SIGKILL)

        async def often() -> bool | None:
            return len(tried) >= 4 or None

        await until(often, SECONDS, lambda: repr(one.router.error))
        assert tried[3] - tried[0] > 0.1 + 0.2 + 0.4
        assert one.router.error == "no process to be had"
        one.haproxy.start = start

        async def recovered() -> bool | None:
            return (one.router.ready and one.router.error is None) or None

        await until(recovered, SECONDS, lambda: repr(one.router.error))


@scenario
async def test_when_files_cannot_be_written_for_a_while_then_the_router_goes_on_and_catches_up(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as one:
        install, tried = one.haproxy.install, asyncio.Event()

        async def full(files: Mapping[str, str], *, check: bool) -> None:
            tried.set()
            raise OSError(f"no space left for {len(files)} files, {check}")

        one.haproxy.install = full
        await one.feed.queue.put(objects(echo=[1001, 1002]))
        await asyncio.wait_for(tried.wait(), SECONDS)
        assert one.router.ready
        one.haproxy.install = install
        await one.until_servers("echo", 1001, 1002)


@scenario
async def test_an_old_worker_that_does_not_answer_is_there_without_numbers(tmp_path: Path) -> None:
    async with running(tmp_path) as one, replicas() as [replica], client() as http:
        await one.feed.queue.put(objects(echo=[replica.port]))
        await one.until_servers("echo", replica.port)
        uri = f"http://127.0.0.1:{one.port}/api/v1/service/echo/score"
        slow = asyncio.create_task(http.post(uri, json={"hold": True}))

        async def busy() -> bool | None:
            return (await one.router.load())["echo"].busy == 1 or None

        await until(busy, SECONDS, str)
        (old,) = await one.haproxy.workers()
        await one.haproxy.reload()
        os.kill(int(old), signal.SIGSTOP)
        try:
            new, last = await one.haproxy.workers()
            assert (new != old, last) == (True, old)
            assert [bool(rows) for rows in (await one.haproxy.workers()).values()] == [True, False]
        finally:
            os.kill(int(old), signal.SIGCONT)
        assert all((await one.haproxy.workers()).values())
        replica.release()
        assert (await slow).status_code == 200
