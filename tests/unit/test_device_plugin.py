"""NVIDIA's device plugin: where it stands, and what else may stand there."""

from __future__ import annotations

from typing import Any

import pytest

from slipway.engine import Graph, Registration
from slipway.engine.policies import violations
from slipway.settings.cluster import NVIDIA_DEVICE_PLUGIN
from tests.unit.azure_graphs import kind, realised
from tests.unit.azure_stacks import CLUSTER, PROJECT, check, lines, merged, pool, pools
from tests.unit.stack_flips import DAEMON_SET, DEPLOYMENT, DIGEST, FIRST, Flip, fields
from tests.unit.test_stacks import on_azure

GPUS = pools(pool("gpu", vm_size="Standard_NC8as_T4_v3", taints=["team=a:NoExecute"]))


def with_plugin(image: str | None) -> Graph:
    return realised(on_azure(GPUS, {"cluster": {"nvidia_device_plugin": image}}))


def of(graph: Graph, name: str) -> list[Registration]:
    return [one for one in graph.registrations if kind(one) == name]


def test_when_a_pool_has_gpus_then_the_plugin_stands_on_its_nodes_whatever_their_taints() -> None:
    graph = realised(on_azure(GPUS))
    (plugin,), (nodes,) = of(graph, "DaemonSet"), of(graph, "AgentPool")
    inputs: dict[str, Any] = plugin.inputs
    pod = inputs["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == nodes.inputs["nodeLabels"]
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert pod["containers"][0]["image"] == NVIDIA_DEVICE_PLUGIN


@pytest.mark.parametrize(
    "size",
    [{}, {"vm_size": "Standard_NP10s", "accelerator": "xilinx.com/fpga-a-1"}],
    ids=["no accelerator", "FPGA"],
)
def test_when_no_pool_has_nvidias_gpus_then_there_is_no_plugin(size: dict[str, str]) -> None:
    assert of(realised(on_azure(pools(pool("extra", **size)))), "DaemonSet") == []


def test_when_something_else_installs_the_plugin_then_the_stack_does_not() -> None:
    assert of(with_plugin(None), "DaemonSet") == []


@pytest.mark.parametrize(
    ("image", "broken"),
    [
        (NVIDIA_DEVICE_PLUGIN, set[str]()),
        (f"mlworkspace.azurecr.io/nvidia/k8s-device-plugin@{DIGEST}", set[str]()),
        ("mlworkspace.azurecr.io/nvidia/k8s-device-plugin:v0.18.2", set[str]()),
        ("nvcr.io/nvidia/k8s-device-plugin:v0.18.2", {"image-from-registry"}),
        ("mcr.microsoft.com.example.com/k8s-device-plugin:v0.18.2", {"image-from-registry"}),
    ],
)
def test_the_plugin_comes_from_the_workspace_or_microsoft(image: str, broken: set[str]) -> None:
    assert rules(with_plugin(image)) - {"api-server-closed", "router-tls"} == broken


def test_when_the_image_of_the_plugin_is_not_the_one_said_then_its_exceptions_are_over() -> None:
    other = Flip("", DAEMON_SET, (*FIRST, "image"), "mcr.microsoft.com/other:v1.2.3")
    assert rules(other(with_plugin(NVIDIA_DEVICE_PLUGIN))) >= {
        "image-from-registry",
        "image-by-digest",
        "pod-security-restricted",
    }


def test_when_the_plugins_image_stands_elsewhere_then_its_exceptions_are_over() -> None:
    graph = with_plugin(NVIDIA_DEVICE_PLUGIN)
    elsewhere = Flip("", DAEMON_SET, fields("metadata.namespace"), "slipway-services")
    as_a_service = Flip("", DEPLOYMENT, (*FIRST, "image"), NVIDIA_DEVICE_PLUGIN)
    for flip in (elsewhere, as_a_service):
        assert rules(flip(graph)) >= {"image-from-registry", "image-by-digest"}


def rules(graph: Graph) -> set[str]:
    return {line.rpartition("(policy ")[2][:-1] for _, line in violations(graph, PROJECT)}


def test_an_image_that_can_be_moved_is_refused() -> None:
    field = "azure.cluster.nvidia_device_plugin"
    for image in ("nvcr.io/nvidia/k8s-device-plugin:latest", "k8s-device-plugin", "a/b@sha256:12", ""):
        (line,) = lines({"cluster": {"nvidia_device_plugin": image}})
        assert line.startswith(f"slipway:{field} = ")
        assert "a whole version or a digest" in line


def test_an_attached_cluster_keeps_what_it_has() -> None:
    attached = {"cluster": {"id": CLUSTER}}
    none = merged(attached, {"cluster": {"nvidia_device_plugin": None}})
    check(attached, none, "azure.cluster: nvidia_device_plugin with id", "remove it")
