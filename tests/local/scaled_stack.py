"""A real router and a real echo service under the real supervisor: what scales a service, from end to end."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import httpx

from slipway.kube.folder import Object
from slipway.local.container import LocalImage
from slipway.spec import Serving
from tests.local.local_stack import Stack, container, deployment, service, stack
from tests.local.router_parts import SECONDS, until
from tests.local.scoring_process import EXAMPLES
from tests.ports import free_ports

ECHO = "example.org/echo:1"
ROUTER = "example.org/router:1"
LABELS = {"app": "echo", "slipway/webservice": "echo"}
Json = dict[str, Any]


class Scaled:
    """The stack, and the two ports of its router."""

    def __init__(self, one: Stack, root: Path, **serving: object) -> None:
        self.stack = one
        self._run = root / "run"
        self.port, self.admin = free_ports(2)
        self.http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}/api/v1/service/echo",
            timeout=60,
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )
        self.serving = serving

    def up(self, replicas: int | None = None) -> None:
        echo = LocalImage(
            sys.executable,
            str(EXAMPLES / "echo"),
            ("-m", "slipway.scoring"),
            {"AML_APP_ROOT": str(EXAMPLES / "echo"), "AZUREML_ENTRY_SCRIPT": "score.py"},
        )
        router = LocalImage(sys.executable, "/", ("-m", "slipway.router"), {})
        images = {ECHO: echo, ROUTER: router}
        self.stack.up(*self._router(), *self._echo(replicas), images=images)

    def _router(self) -> list[Object]:
        admin, run = str(self.admin), str(self._run)
        obj = deployment("slipway-router", port=self.port, ADMIN_PORT=admin, SLIPWAY_RUN_DIR=run)
        server = container(obj)
        server["image"] = ROUTER
        server["ports"].append({"name": "admin", "containerPort": self.admin})
        server["readinessProbe"]["httpGet"]["port"] = "admin"
        return [obj, service("slipway-router", "LoadBalancer")]

    def _echo(self, replicas: int | None) -> list[Object]:
        values = Serving.model_validate({"auth_enabled": False, **self.serving})
        limit = str(values.replica_max_concurrent_requests)
        obj = deployment("echo", port=5001, REPLICA_MAX_CONCURRENT_REQUESTS=limit)
        container(obj)["image"] = ECHO
        obj["metadata"] |= {"labels": LABELS, "annotations": {"slipway/serving": values.model_dump_json()}}
        obj["spec"]["template"]["metadata"]["labels"] = LABELS
        obj["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 30
        del obj["spec"]["replicas"]
        if replicas is not None:
            obj["spec"]["replicas"] = replicas
        found = service("echo")
        found["metadata"]["labels"] = LABELS
        return [obj, found]

    @property
    def replicas(self) -> int:
        found = self.stack.state.objects.get("Deployment", "shop", "echo")
        assert found is not None
        return found["spec"]["replicas"]

    def events(self, reason: str) -> list[str]:
        """The notes of its Events with this reason."""
        events = self.stack.state.objects.list("Event", "shop")
        return [event["note"] for event in events if event["reason"] == reason]

    async def status(self) -> Json:
        return (await self._ask("/status")).json()["services"]["echo"]

    async def journal(self) -> list[Json]:
        text = (await self._ask("/journal?service=echo")).text
        return [json.loads(line) for line in text.splitlines()]

    async def until(self, true: Callable[[], bool], seconds: float) -> None:
        async def look() -> bool | None:
            return true() or None

        await until(look, seconds, lambda: self.stack.log("slipway-router"))

    async def until_status(self, true: Callable[[Json], bool], seconds: float = SECONDS) -> Json:
        async def look() -> Json | None:
            with contextlib.suppress(httpx.TransportError, KeyError):
                status = await self.status()
                return status if true(status) else None
            return None

        return await until(look, seconds, lambda: self.stack.log("slipway-router"))

    async def score(self, seconds: float) -> httpx.Response:
        return await self.http.post("/score", json={"seconds": seconds})

    async def _ask(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False) as http:
            return await http.get(f"http://127.0.0.1:{self.admin}{path}")


@contextlib.asynccontextmanager
async def scaled(root: Path, replicas: int | None = None, **serving: object) -> AsyncGenerator[Scaled]:
    """Give the stack when it is up; nothing of it is left running."""
    with stack(root / "state") as one:
        found = Scaled(one, root, **serving)
        await asyncio.to_thread(found.up, replicas)
        async with found.http:
            yield found
