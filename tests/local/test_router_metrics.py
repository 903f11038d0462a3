"""What `/metrics` says of real requests, also over reloads, restarts and HAProxy's end."""

import asyncio
import os
import signal
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.local.router_parts import client, replicas, running, scenario, taken, worker_of


@scenario
async def test_when_requests_end_then_metrics_count_them_by_service_status_and_reason(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        await router.serve("echo", replica, max_request_wait_time=200)
        for body in ({}, {}, {"raise": True}):
            await http.post(router.uri("echo"), json=body)
        busy = asyncio.create_task(http.post(router.uri("echo"), json={"hold": True}))
        await router.until(lambda status: taken(status) == 1)
        await asyncio.gather(*(http.post(router.uri("echo"), json={}) for _ in range(2)))
        replica.release()
        await busy
        for _ in range(2):
            await http.post(router.uri("nobody"))
        found = await router.until_metrics(
            {
                ("slipway_requests_total", "echo", "2xx"): 3,
                ("slipway_requests_total", "echo", "4xx"): 0,
                ("slipway_requests_total", "echo", "5xx"): 3,
                ("slipway_refusals_total", "echo", "run_failed"): 1,
                ("slipway_refusals_total", "echo", "queue_timeout"): 2,
                ("slipway_refusals_total", "", "unknown_service"): 2,
                ("slipway_replicas_ready", "echo"): 1,
                ("slipway_replicas_desired", "echo"): 1,
                ("slipway_replica_max_concurrent_requests", "echo"): 1,
            }
        )
        assert "nobody" not in str(found)


@scenario
async def test_when_requests_run_and_wait_then_metrics_say_how_many(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        await router.serve("echo", replica, max_request_wait_time=10_000)
        asked = asyncio.gather(*(http.post(router.uri("echo"), json={"hold": True}) for _ in range(3)))
        await router.until_metrics(
            {("slipway_requests_running", "echo"): 1, ("slipway_queue_length", "echo"): 2}
        )
        replica.release()
        await asked
        await router.until_metrics({("slipway_queue_length", "echo"): 0})


@scenario
async def test_when_haproxy_reloads_or_is_killed_then_counts_go_on(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        await router.serve("echo", replica)

        async def count(number: int) -> None:
            await http.post(router.uri("echo"), json={})
            await http.post(router.uri("echo"), json={"raise": True})
            await router.until_metrics(
                {
                    ("slipway_requests_total", "echo", "2xx"): number,
                    ("slipway_refusals_total", "echo", "run_failed"): number,
                }
            )

        await count(1)
        router.deploy("other", replica)
        await router.until_metrics({("slipway_router_reloads_total",): 1})
        await router.up("other", 1)
        await count(2)
        os.kill((await router.status())["haproxy_pid"], signal.SIGKILL)
        await router.until_metrics({("slipway_router_restarts_total",): 1})
        await router.up("echo", 1)
        await count(3)


@scenario
async def test_while_haproxy_stands_still_then_all_who_ask_for_metrics_get_what_was_counted_before(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        worker = worker_of((await router.serve("echo", replica))["haproxy_pid"])
        await http.post(router.uri("echo"), json={})
        counted = {("slipway_requests_total", "echo", "2xx"): 1.0}
        await router.until_metrics(counted)
        os.kill(worker, signal.SIGSTOP)
        try:
            await asyncio.sleep(3)  # it is asked again when what it said is two seconds old
            async with asyncio.timeout(8):  # less than Prometheus waits
                for found in await asyncio.gather(*(router.metrics() for _ in range(8))):
                    assert counted.items() <= found.items()
        finally:
            os.kill(worker, signal.SIGCONT)


@scenario
async def test_when_haproxy_reloads_many_services_then_what_the_old_process_counted_is_kept(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        for number in range(600):
            router.deploy(f"idle-{number}", keys=None, auth_enabled=False)
        await router.serve("echo", replica)
        for number in range(1, 4):
            await http.post(router.uri("echo"), json={}, headers={"connection": "close"})
            router.deploy(f"new-{number}", replica)
            await router.up(f"new-{number}", 1)
            await asyncio.sleep(2)  # by then the old process has ended
            assert (await router.metrics())["slipway_requests_total", "echo", "2xx"] == number


@scenario
async def test_when_it_is_asked_for_then_there_is_haproxys_own_exporter(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas() as [replica]:
        await router.serve("echo", replica)
        everything = (await router.admin.get("/metrics/haproxy")).text
        found = {one.name for family in text_string_to_metric_families(everything) for one in family.samples}
        assert {"haproxy_process_nbthread", "haproxy_backend_status", "haproxy_server_status"} <= found
        scoped = (await router.admin.get("/metrics/haproxy?scope=frontend")).text
        assert "haproxy_frontend_status" in scoped
        assert "haproxy_backend_status" not in scoped
        assert "haproxy_" not in (await router.admin.get("/metrics")).text
