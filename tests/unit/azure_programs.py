"""Programs of Azure components alone: planned with nobody to answer, or realised by the stand-in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import grpc

from slipway.engine import EngineError, Graph, Made, Registration, Resolver, Value, run
from slipway.engine.sdk import mistakes
from tests.engine.stand_in.client import AzureError, Client
from tests.engine.stand_in.provider import attached
from tests.engine.stand_in.resources import outputs
from tests.engine.stand_in.world import SUBSCRIPTION, TENANT, Resource, World

PROJECT = Path(__file__).parents[2]
GROUP_ID = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"
CLUSTERS = f"{GROUP_ID}/providers/Microsoft.ContainerService/managedClusters"
PLANTED = "planted-in-the-kubeconfig"
KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [
        {"name": "aks", "cluster": {"server": "https://api", "certificate-authority-data": PLANTED}}
    ],
    "users": [
        {
            "name": "clusterUser",
            "user": {
                "exec": {
                    "apiVersion": "client.authentication.k8s.io/v1beta1",
                    "command": "kubelogin",
                    "args": ["get-token", "--server-id", "S", "--tenant-id", TENANT, "--login", "devicecode"],
                }
            },
        }
    ],
    "contexts": [{"name": "aks", "context": {"cluster": "aks", "user": "clusterUser"}}],
    "current-context": "aks",
}
"""As AKS gives it for a cluster with Entra."""
ATTACHED: Mapping[str, list[dict[str, Any]]] = {
    "three": [{"name": "system", "mode": "System", "count": 3, "vmSize": "Standard_D4s_v5"}],
    "two": [{"name": "system", "mode": "System", "count": 2, "vmSize": "Standard_D8s_v5"}],
}
"""Clusters that exist before any program runs, by name, with their pools."""
HEAD = """
import json
import pulumi
import pulumi_azure_native as az
from components.cluster import Cluster, ClusterArgs
from components.workspace import Workspace, WorkspaceArgs
from slipway.settings import Azure

with open("stacks.json") as file:
    stacks = {name: Azure.model_validate(given) for name, given in json.load(file).items()}
"""
Stacks = Mapping[str, Mapping[str, Any]]


def azure(**sections: Any) -> dict[str, Any]:
    """Give the settings of a small stack, some sections otherwise."""
    small = {
        "location": "westeurope",
        "resource_group": {"name": "rg"},
        "workspace": {"name": "workspace"},
        "cluster": {"name": "aks"},
    }
    return small | sections


def planned(folder: Path, stacks: Stacks, body: str) -> Graph:
    """Run a program as in a plan. It has the settings by name as `stacks`, and makes what `body` says."""
    return _checked(run(_program(folder, stacks, body), "test"))


def realised(folder: Path, stacks: Stacks, body: str, resolve: Resolver | None = None) -> Graph:
    """Run a program so that Azure, as far as it is known, makes or refuses each resource in turn."""
    return _checked(run(_program(folder, stacks, body), "test", resolve=resolve or make, invoke=answer))


def found(graph: Graph, name: str, type_: str = "") -> Registration:
    """Give the resource of a name, and of a type that ends so where several have it."""
    (one,) = [r for r in graph.registrations if r.name == name and r.type.endswith(type_)]
    return one


def of(graph: Graph, type_: str, prefix: str = "") -> list[Registration]:
    """Give all resources of a type of Azure's, named by its last part, whose names begin so."""
    kinds = [r for r in graph.registrations if r.type.startswith("azure-native:")]
    return [r for r in kinds if r.type.endswith(f":{type_}") and r.name.startswith(prefix)]


def given(graph: Graph, name: str, type_: str = "") -> dict[str, Any]:
    """Give the inputs of a resource."""
    return found(graph, name, type_).inputs


def _program(folder: Path, stacks: Stacks, body: str) -> Path:
    (folder / "Pulumi.yaml").write_text("name: small\nruntime: python\n", encoding="utf-8")
    (folder / "Pulumi.test.yaml").write_text("config: {}\n", encoding="utf-8")
    (folder / "stacks.json").write_text(json.dumps(stacks), encoding="utf-8")
    (folder / "__main__.py").write_text(HEAD + body, encoding="utf-8")
    (folder / "components").symlink_to(PROJECT / "components")
    return folder


def _checked(graph: Graph) -> Graph:
    """Give a graph back if its inputs are all such as the SDK has."""
    made = [one for one in graph.registrations if not one.external]
    wrong = [f"{one.name}: {line}" for one in made for line in mistakes(one.type, one.inputs)]
    assert not wrong, "\n".join(wrong)
    return graph


_open, _one = ExitStack(), Lock()


def _azure() -> tuple[World, Client]:
    """Give the one world of the program's process; it is asked for by several threads."""
    with _one:
        return _serve()


@cache
def _serve() -> tuple[World, Client]:
    world = World(kubeconfig=json.dumps(KUBECONFIG))
    for name, pools in ATTACHED.items():
        inputs: dict[str, Value] = {
            "resourceGroupName": "rg",
            "resourceName": name,
            "location": "westeurope",
            "identity": {"type": "SystemAssigned"},
            "aadProfile": {"managed": True},
            "oidcIssuerProfile": {"enabled": True},
            "agentPoolProfiles": list(pools),
        }
        world.put(Resource("containerservice:ManagedCluster", f"{CLUSTERS}/{name}", inputs))
    port = _open.enter_context(attached(world))
    client = Client(_open.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}")))
    client.configure(location="westeurope")
    return world, client


def make(registration: Registration) -> Made | None:
    """Make a resource of Azure's, or find one that is read."""
    package, _, type_ = registration.type.partition(":")
    if package != "azure-native":
        return None
    world, client = _azure()
    if registration.external:
        resource = world.find(str(registration.id), type_)
        assert resource is not None, f"{registration.id} does not exist"
        return Made(resource.id, outputs(resource, world))
    try:
        made = client.create(type_, registration.name, **registration.inputs)
    except AzureError as refusal:
        raise EngineError(f"{registration.name}: {refusal}") from None
    return Made(made.id, made.outputs)


def answer(function: str, arguments: dict[str, Value]) -> dict[str, Value]:
    """Answer a function of azure-native."""
    return _azure()[1].invoke(function.removeprefix("azure-native:"), **arguments)
