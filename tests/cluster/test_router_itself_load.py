"""The router scales itself by what it sees alone: from more load than a thread can bear to another, and back.

Nothing is shortened but how long it must be calm before a thread goes: half a minute instead of five.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections.abc import Generator
from pathlib import Path

import pytest
import yaml

import slipway
from benchmarks import wrk
from benchmarks.processes import REPLICA
from slipway.images import build
from slipway.router.scaling.itself import BUSY, ROUTING_SECONDS
from slipway.spec import Serving
from tests.cluster.kubernetes.cluster import Cluster
from tests.cluster.kubernetes.stack import Stack, deployed, new_stack
from tests.cluster.test_router_cluster import ECHO, Router, applied, copied, load
from tests.cluster.test_router_itself import Itself, replace, scale_itself
from tests.local.router_parts import scenario, until

CPU = 400
CONNECTIONS = 200
SLICE_SECONDS = 5
UP_SECONDS, DOWN_SECONDS = 300.0, 150.0
"""By the router's own times they take 105 and 30 at least."""
FAST = Serving(
    auth_enabled=False,
    num_replicas=1,
    autoscale_enabled=False,
    replica_max_concurrent_requests=CONNECTIONS,
)
RUN = """
echo "$CONFIG" > /tmp/replica.cfg
exec "$(python3 -c 'from slipway.router.binary import find; print(find())')" -db -f /tmp/replica.cfg
"""


@pytest.fixture(scope="module", name="stack")
def _stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    folder = tmp_path_factory.mktemp("load")
    package = shutil.copytree(Path(slipway.__file__).parent, folder / "slipway")
    replace(package / "router/scaling/itself.py", "CALM_SECONDS = 300.0", "CALM_SECONDS = 30.0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "PACKAGE", package)
        made = new_stack(cluster, folder / "project", [ECHO], replicas=1, cpu_cores=CPU / 1000)
    scale_itself(made)
    with deployed(made):
        yield made


def fast(stack: Stack) -> str:
    """Give a web service whose replica is HAProxy: a model's server would be slower than the router."""
    objects = list(yaml.safe_load_all(copied(stack, "fast", FAST.model_dump_json())))
    (deployment,) = (obj for obj in objects if obj["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    container |= {"image": stack.router["image"], "command": ["sh", "-c", RUN]}
    container["env"].append({"name": "CONFIG", "value": REPLICA.format(port=5001)})
    return yaml.safe_dump_all(objects)


async def threads(router: Router) -> int:
    """Give how many HAProxy says that it has."""
    text = (await router.admin.get("/metrics/haproxy", params={"scope": "global"})).text
    (line,) = (line for line in text.splitlines() if line.startswith("haproxy_process_nbthread "))
    return int(line.split()[1])


async def overload(router: Router, folder: Path) -> None:
    """Send more than a thread can bear, until HAProxy has two, and a while longer; no request may fail."""
    script = wrk.post(folder, "{}", {"content-type": "application/json"})
    url, cores = f"{router.http.base_url}/api/v1/service/fast/score", sorted(os.sched_getaffinity(0))
    began, two = time.monotonic(), False
    while not two:
        assert time.monotonic() < began + UP_SECONDS, await router.status()
        two = await threads(router) == 2
        await asyncio.to_thread(wrk.load, script, url, CONNECTIONS, SLICE_SECONDS, cores)


@scenario
async def test_overload_brings_a_thread_with_its_cpu_and_calm_takes_both_back(
    stack: Stack, tmp_path: Path
) -> None:
    itself = Itself(stack.cluster)
    await itself.until_pods(1)
    with applied(stack.cluster, fast(stack)):
        router = Router(stack)
        async with router.http, router.admin:
            await router.until(lambda status: status["services"].get("fast", {}).get("up") == 1)
            assert (await threads(router), itself.cpu(router.pod)) == (1, f"{CPU}m")
            async with load(router, every=0.2) as answers:
                await overload(router, tmp_path)
                assert itself.cpu(router.pod) == f"{2 * CPU}m"

                async def calm() -> bool | None:
                    return (await threads(router) == 1 and itself.cpu(router.pod) == f"{CPU}m") or None

                await until(calm, DOWN_SECONDS, lambda: str(itself.status(router.pod)))
            assert answers
            assert set(answers) == {200}, answers
    assert itself.status(router.pod)["restartCount"] == 0
    lines = await itself.journal()
    seen = [(line["step"], line["threads"], line["outcome"]) for line in lines]
    assert seen == [("enable", 1, "scaled"), ("up", 1, "scaled"), ("down", 2, "scaled")]
    for line in lines[:2]:
        assert line["routing_seconds"] > ROUTING_SECONDS
        assert line["cpu"] >= BUSY
    events = json.loads(itself.kubectl("get", "events", "-o=json"))["items"]
    told = {(event["reason"], event["message"]) for event in events}
    of = f"threads of {router.pod}"
    assert {
        ("SelfScalingEnabled", f"{router.pod}: {lines[0]['rule']}"),
        ("SuccessfulRescale", f"Scaled from 1 to 2 {of}; {lines[1]['rule']}"),
        ("SuccessfulRescale", f"Scaled from 2 to 1 {of}; {lines[2]['rule']}"),
    } <= told
