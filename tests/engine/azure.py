"""The project on the real engine with the stand-in for azure-native: a world, and ways to look at a stack."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import pytest

from slipway.plan.replacements import PATHS
from tests.engine.real import CommandError, Json, Real, Step
from tests.engine.stand_in.identities import CLUSTER
from tests.engine.stand_in.provider import attached
from tests.engine.stand_in.resources import computed
from tests.engine.stand_in.world import SUBSCRIPTION, Resource, World
from tests.engine.test_policy_pack import project
from tests.unit.azure_programs import KUBECONFIG, PLANTED

POOL = "containerservice:AgentPool"
SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
"""How a state marks a secret."""
UP = ("up", "--yes", "--skip-preview", "--stack")
DESTROY = ("destroy", "--yes", "--skip-preview", "--stack")


class Slow(World):
    """Azure with its delays: what was not told to wait, for rights or for another write, comes too early."""

    def __init__(self) -> None:
        super().__init__(duration=0.1, kubeconfig=json.dumps(KUBECONFIG))

    def put(self, resource: Resource) -> None:
        if resource.type == "authorization:RoleAssignment":
            time.sleep(0.5)
        super().put(resource)

    @property
    def ids(self) -> set[str]:
        """Give the ids of all that exists."""
        return {resource.id for resource in self.under(f"/subscriptions/{SUBSCRIPTION}")}

    @property
    def nodes(self) -> dict[str, int]:
        """Give the number of nodes by pool."""
        inline = [pool for found in self.of(CLUSTER) for pool in found.given["agentPoolProfiles"]]
        apart = {found.name: found.given["count"] for found in self.of(POOL)}
        return {pool["name"]: pool["count"] for pool in inline} | apart

    def add_nodes(self) -> None:
        """Add a node to every pool that scales, as AKS does by itself."""
        for found in [*self.of(CLUSTER), *self.of(POOL)]:
            inputs: Json = deepcopy(found.inputs)
            for pool in [inputs] if found.type == POOL else inputs["agentPoolProfiles"]:
                pool["count"] += bool(pool.get("enableAutoScaling"))
            self.put(Resource(found.type, found.id, inputs))

    def adopt(self, identifier: str, **more: object) -> None:
        """Let a resource exist; its type and names are those of its id."""
        for type_, path in PATHS.items():
            if found := re.fullmatch(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", path), identifier):
                names = {name: value for name, value in found.groupdict().items() if name != "subscriptionId"}
                inputs: Json = {"location": "westeurope", **names, **more}
                self.put(Resource(type_, identifier, inputs))


@contextmanager
def subscription(folder: Path) -> Generator[tuple[Real, Slow]]:
    """Give a copy of the project, and the world in which its stacks are."""
    world = Slow()
    with attached(world) as port:
        yield project(folder, {"PULUMI_DEBUG_PROVIDERS": f"azure-native:{port}"}), world


def refused(stack: Real, *arguments: str) -> str:
    """Give what an operation says, which must not succeed."""
    with pytest.raises(CommandError) as failure:
        stack.run(*arguments)
    return str(failure.value)


def secrets(stack: Real, name: str, world: World) -> set[str]:
    """Give what may never be seen of a stack: the way into its cluster, keys of telemetry, passwords."""
    found = {PLANTED, base64.b64encode(world.kubeconfig.encode()).decode()}
    insights = world.of("applicationinsights:Component")
    found |= {str(computed(one, world)["instrumentationKey"]) for one in insights}
    state: Json = json.loads(stack.run("stack", "export", "--show-secrets", "--stack", name))
    passwords = [one for one in state["deployment"]["resources"] if one["type"].endswith("RandomPassword")]
    return found | {json.loads(one["outputs"]["result"]["plaintext"]) for one in passwords}


def previewed_in_cluster(stack: Real, name: str) -> list[Step]:
    """Preview as if the Kubernetes objects were in the cluster, which does not answer if one changes."""
    kept = stack.run("stack", "export", "--stack", name)
    state: Json = json.loads(stack.run("stack", "export", "--show-secrets", "--stack", name))
    outputs: Json = json.loads(stack.run("stack", "output", "--json", "--show-secrets", "--stack", name))
    kubeconfig = SECRET | {"plaintext": json.dumps(outputs["kubeconfig"])}
    given = {"kubeconfig": kubeconfig, "clusterIdentifier": outputs["cluster_id"]}
    for resource in state["deployment"]["resources"]:
        if resource["type"] == "pulumi:providers:kubernetes":
            for side in ("inputs", "outputs"):
                resource[side].pop("renderYamlToDirectory")
                resource[side] |= given
    stack.run("stack", "import", "--stack", name, stdin=json.dumps(state))
    stack.into_files(on=False)
    steps = stack.steps("preview", "--save-plan", "plan.json", "--stack", name)
    stack.into_files()
    stack.run("stack", "import", "--stack", name, stdin=kept)
    return steps


def lines(steps: Iterable[Step]) -> set[str]:
    """Say what was done, but for our own components, which only show it."""
    return {
        " ".join([step.op, step.type.partition(":")[2], step.name, *sorted(step.changed)])
        for step in steps
        if not step.type.startswith("slipway:")
    }
