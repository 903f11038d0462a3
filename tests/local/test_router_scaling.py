"""A real service is scaled by its load: in a second up, in a minute down, and no request is lost by it."""

import asyncio
import time
from pathlib import Path

from tests.local.router_parts import scenario, statuses
from tests.local.scaled_stack import Scaled, scaled


@scenario
async def test_a_service_with_a_fixed_number_of_replicas_keeps_it_under_any_load(tmp_path: Path) -> None:
    async with scaled(tmp_path, 1, num_replicas=1, max_request_wait_time=20_000) as echo:
        answers = await asyncio.gather(*(echo.score(0.2) for _ in range(20)))
        assert set(statuses(answers)) == {200}
        assert echo.replicas == 1
        assert await echo.journal() == []
        assert (await echo.status())["scaling"] is None


@scenario
async def test_when_there_is_no_replica_then_the_first_request_waits_for_one(tmp_path: Path) -> None:
    async with scaled(tmp_path, 0, autoscale_min_replicas=0, max_request_wait_time=30_000) as echo:
        await echo.until_status(lambda status: status["scaling"] is not None)
        assert echo.replicas == 0
        answer = await echo.score(0)
        assert answer.status_code == 200
        assert any(note.startswith("Scaled from 0 to ") for note in echo.events("SuccessfulRescale"))


@scenario
async def test_when_another_autoscaler_is_there_then_the_router_gives_way_and_says_so(tmp_path: Path) -> None:
    async with scaled(tmp_path, 1, max_request_wait_time=20_000) as echo:
        echo.stack.state.objects.put(
            {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": {
                    "name": "keda-hpa-echo",
                    "namespace": "shop",
                    "labels": {"scaledobject.keda.sh/name": "echo"},
                },
                "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "echo"}, "maxReplicas": 4},
            }
        )
        said = "HorizontalPodAutoscaler shop/keda-hpa-echo of KEDA's ScaledObject echo scales this Deployment"
        status = await echo.until_status(lambda status: "off" in (status["scaling"] or {}))
        assert status["scaling"]["off"].startswith(said)
        assert set(statuses(await asyncio.gather(*(echo.score(0.3) for _ in range(15))))) == {200}
        assert echo.replicas == 1
        (note,) = echo.events("AutoscalerConflict")
        assert note.startswith(said)
        echo.stack.state.objects.delete("HorizontalPodAutoscaler", "shop", "keda-hpa-echo")
        await echo.until_status(lambda status: "off" not in (status["scaling"] or {"off": ""}))


@scenario
async def test_a_burst_scales_up_in_one_step_and_down_in_a_minute_and_what_is_idle_scales_to_zero(
    tmp_path: Path,
) -> None:
    wait = {"max_request_wait_time": 30_000}
    async with (
        scaled(
            tmp_path / "b", 1, autoscale_max_replicas=3, replica_max_concurrent_requests=2, **wait
        ) as burst,
        scaled(tmp_path / "i", 1, autoscale_min_replicas=0, **wait) as idle,
    ):
        await asyncio.gather(_burst(burst), _idle(idle))


async def _burst(echo: Scaled) -> None:
    """All at once, then one after the other until surplus goes; no request is lost by that."""
    await echo.until_status(lambda status: status["scaling"] is not None)
    burst = [asyncio.create_task(echo.score(0.5)) for _ in range(40)]
    await echo.until(lambda: echo.replicas == 3, 9)  # one replica alone would need ten seconds
    await asyncio.to_thread(echo.up)
    assert echo.replicas == 3, "`up` leaves what was scaled as it is"
    answers = await asyncio.gather(*burst)
    ended = time.monotonic()
    while echo.replicas == 3 or len(echo.stack.pods("echo")) == 3:
        answers.append(await echo.score(0.1))
        await asyncio.sleep(0.2)
        assert time.monotonic() - ended < 95, await echo.journal()
    assert time.monotonic() - ended > 20, "what was needed stays for a while"
    assert set(statuses(answers)) == {200}
    assert max(answer.json()["running"] for answer in answers) == 2
    assert len({answer.json()["pid"] for answer in answers}) == 3, "each replica had some"
    journal = await echo.journal()
    changes = [(line["replicas"], line["wanted"]) for line in journal if line["outcome"] == "scaled"]
    assert changes[0] == (1, 3)
    assert changes[1][0] == 3
    # The latest requests are of after the latest line.
    assert len(answers) - 10 <= sum(line["arrivals"] for line in journal) <= len(answers)


async def _idle(echo: Scaled) -> None:
    """Nothing for a minute, then one request."""
    await echo.until(lambda: echo.replicas == 0 and not echo.stack.pods("echo"), 95)
    assert (await echo.score(0)).status_code == 200
    status = await echo.until_status(lambda status: status["up"] > 0)
    assert status["scaling"]["startup_seconds"] >= 0
