"""Each alert fires on the metrics of its real fault, alone, and ends with what the runbook says to do."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
from pathlib import Path

import click
import pytest
import yaml

from slipway.cli import main
from tests.certificates import DAY, NOW, WEAK_AUTHORITY, certificate
from tests.cluster.alerts import RULES, RUNBOOK, Scrape, check, page, promised
from tests.local.router_parts import (
    Replica,
    RouterProcess,
    client,
    replicas,
    running,
    scenario,
)
from tests.local.router_pods import pods
from tests.local.test_router_tls import as_vault, of_secret, put, variables


async def scrape(*routers: RouterProcess) -> Scrape:
    return {f"router-{n}": (await one.admin.get("/metrics")).text for n, one in enumerate(routers)}


async def routing(router: RouterProcess, *endpoints: Replica, wait_ms: int = 500) -> None:
    router.deploy("echo", *endpoints, max_request_wait_time=wait_ms)
    router.start()
    await router.up("echo", len(endpoints))
    await router.until_metrics({("slipway_replicas_ready", "echo"): len(endpoints)})


def test_prometheus_takes_the_rules() -> None:
    said = subprocess.run(["promtool", "check", "rules", RULES], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr


def test_each_alert_has_its_section_in_the_runbook() -> None:
    (group,) = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    sections = re.findall(r"^## (Slipway\w+)$", RULES.with_name("runbook.md").read_text(), re.MULTILINE)
    assert sections == [rule["alert"] for rule in group["rules"]]
    for rule in group["rules"]:
        assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`slipway (.+?)`", RUNBOOK.read_text()))))
def test_slipway_knows_the_commands_of_the_runbook(command: str) -> None:
    name, *arguments = command.replace("NAME", "echo").split()
    found = main.get_command(click.Context(main), name)
    assert found is not None
    found.make_context(name, [*arguments, "-s", "prod"])


def test_prometheus_finds_nothing_to_say_against_the_metrics(tmp_path: Path) -> None:
    texts: list[str] = []

    @scenario
    async def look() -> None:
        async with running(tmp_path) as router, replicas() as [replica], client() as http:
            await routing(router, replica)
            await http.post(router.uri("nobody"))
            await router.until_metrics({("slipway_refusals_total", "", "unknown_service"): 1})
            texts.extend((await scrape(router)).values())

    look()
    command = ["promtool", "check", "metrics"]
    said = subprocess.run(command, input=texts[0], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (0, "")


@scenario
async def test_when_more_requests_wait_than_run_then_the_queue_is_long_until_there_are_replicas(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as router, replicas(4) as found, client() as http:
        await routing(router, found[0], wait_ms=60_000)
        fine = await scrape(router)
        waiting = [asyncio.create_task(http.post(router.uri("echo"), json={"sleep": 2})) for _ in range(4)]
        await router.until_metrics({("slipway_queue_length", "echo"): 3})
        fault = await scrape(router)
        router.scale("echo", *found)
        await asyncio.gather(*waiting)
        await router.until_metrics({("slipway_queue_length", "echo"): 0})
        ended = await scrape(router)
    scrapes = [fine] * 10 + [fault] * 12 + [ended] * 10
    check(tmp_path, scrapes, {10: [], 22: ["SlipwayQueueLong of echo"], 32: []})


@scenario
async def test_when_requests_fail_then_it_is_told_until_they_do_not(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        await routing(router, replica)
        scrapes: list[Scrape] = []

        async def ask(body: object, **count: int) -> None:
            for _ in range(8):
                await http.post(router.uri("echo"), json=body)
            await router.until_metrics(
                {("slipway_requests_total", "echo", f"{k[1:]}"): v for k, v in count.items()}
            )
            scrapes.append(await scrape(router))

        for number in range(1, 7):
            await ask({}, _2xx=8 * number)
        for number in range(1, 7):
            await ask({"raise": True}, _5xx=8 * number)
        for number in range(7, 14):
            await ask({}, _2xx=8 * number)
    (query,) = re.findall(r"`(sum by .*?)`", page("SlipwayRequestsFail"))
    shown = {query.replace("NAME", "echo"): '{reason="run_failed"}'}
    check(tmp_path, scrapes, {6: [], 12: ["SlipwayRequestsFail of echo"], 19: []}, shown)


@scenario
async def test_when_no_replica_is_ready_then_it_is_told_until_one_is(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas(2) as [first, second]:
        await routing(router, first)
        fine = await scrape(router)
        await first.stop()
        await router.until_metrics({("slipway_replicas_ready", "echo"): 0})
        fault = await scrape(router)
        router.scale("echo", second)
        await router.until_metrics({("slipway_replicas_ready", "echo"): 1})
        ended = await scrape(router)
        router.folder.update(
            "Deployment", "slipway-services", "echo", lambda obj: {**obj, "spec": {"replicas": 0}}
        )
        router.scale("echo")
        await router.until_metrics(
            {("slipway_replicas_ready", "echo"): 0, ("slipway_replicas_desired", "echo"): 0}
        )
        on_purpose = await scrape(router)
    scrapes = [fine] * 5 + [fault] * 5 + [ended] * 5 + [on_purpose] * 5
    check(tmp_path, scrapes, {5: [], 10: ["SlipwayNoReadyReplica of echo"], 15: [], 20: []})


@scenario
async def test_when_haproxy_is_killed_then_its_restart_is_told_for_a_while(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas() as [replica]:
        await routing(router, replica)
        fine = await scrape(router)
        os.kill((await router.status())["haproxy_pid"], signal.SIGKILL)
        await router.until_metrics(
            {("slipway_router_restarts_total",): 1, ("slipway_replicas_ready", "echo"): 1}
        )
        fault = await scrape(router)
        (how,) = re.findall(r"HAProxy ended after .*? s: (\w+)", router.log)
        promised("SlipwayRouterRestarts", "`HAProxy ended after ... s`", f"`{how}`")
    check(tmp_path, [fine] * 5 + [fault] * 20, {5: [], 10: ["SlipwayRouterRestarts"], 25: []})


@scenario
async def test_when_haproxy_refuses_a_configuration_then_it_is_told_until_it_takes_one(
    tmp_path: Path,
) -> None:
    gauge = ("slipway_router_config_last_reload_successful",)
    secrets = {**of_secret(), "TLS_SECRETS": "slipway-router-tls more"}
    async with running(tmp_path, **secrets) as router, replicas() as [replica]:
        put(router, *certificate())
        await routing(router, replica)
        fine = await scrape(router)
        public, key = certificate("more.example.com")
        put(router, public + WEAK_AUTHORITY, key, "more")
        await router.until_metrics({gauge: 0})
        fault = await scrape(router)
        assert "tls-more.pem" in (await router.status())["error"]
        promised("SlipwayReloadRefused", "`error` of the admin port's `/status`", "`tls-NAME.pem`")
        put(router, public, key, "more")
        await router.until_metrics({gauge: 1})
        ended = await scrape(router)
    scrapes = [fine] * 5 + [fault] * 5 + [ended] * 5
    check(tmp_path, scrapes, {5: [], 10: ["SlipwayReloadRefused"], 15: []})


@scenario
async def test_when_a_certificate_ends_soon_then_it_is_told_until_there_is_a_new_one(tmp_path: Path) -> None:
    folder, later = tmp_path / "tls", certificate()
    as_vault(folder, *certificate(ends=NOW + 7 * DAY))
    async with running(tmp_path, **variables(folder)) as router, replicas() as [replica]:
        await routing(router, replica)
        fault = await scrape(router)
        (folder / "models-example-com.pem").write_bytes(later[1] + later[0])
        expiry = ("slipway_router_certificate_expiry_timestamp_seconds", "File models-example-com.pem")
        await router.until_metrics({expiry: (NOW + 365 * DAY).timestamp()})
        ended = await scrape(router)
    check(tmp_path, [fault] * 5 + [ended] * 5, {5: ["SlipwayCertificateExpires"], 10: []})


@scenario
async def test_when_a_router_comes_and_goes_then_flapping_is_told_and_a_rollout_is_not(
    tmp_path: Path,
) -> None:
    async with pods(tmp_path, dict.fromkeys("ab", "127.0.0.1")) as found, replicas() as [replica]:
        router = found.first
        found.know("a")
        await routing(router, replica)
        scrapes = [await scrape(router)] * 35
        for number in range(1, 7):
            found.know(*(found.routers if number % 2 else "a"))
            await router.until_metrics({("slipway_router_ownership_changes_total",): number})
            scrapes.append(await scrape(router))
    scrapes += [scrapes[-1]] * 35
    check(tmp_path, scrapes, {35: [], 38: [], 42: ["SlipwayOwnershipFlaps"], 76: []})


@scenario
async def test_when_no_router_tells_anything_then_that_is_told(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas() as [replica]:
        await routing(router, replica)
        fine = await scrape(router)
    none: Scrape = {}
    scrapes = [fine] * 5 + [none] * 12 + [fine] * 3
    check(tmp_path, scrapes, {5: [], 17: ["SlipwayRouterSilent"], 20: []})
