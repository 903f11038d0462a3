"""AKS's own pods: those on every node and those that stand once in a cluster, with what they ask for.

AKS does not publish one list. Each entry names where its requests were read; where only limits are
documented, the limits count.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from slipway.sizing.resources import Resources

Feature = Literal[
    "kubenet",
    "azure",
    "overlay",
    "calico",
    "cilium",
    "npm",
    "monitor",
    "defender",
    "azure_policy",
    "workload_identity",
]
"""A network model, a network policy (`npm` is Azure's), or a part of AKS that is on."""
SYSTEM_TAINT = "CriticalAddonsOnly=true:NoSchedule"
"""The taint of a dedicated system pool, which AKS's own pods tolerate."""

NODE = "kubectl describe node, identify-memory-saturation-aks.md (2026-07-22)"
SEEN = "kubectl describe node, Kubernetes 1.30 to 1.32 (2025-02 to 2026-01)"
ADDON = "azure-policy add-on, Azure/aks-engine addons.go (2020); kubectl describe node (2022-11)"
INSIGHTS = "microsoft/Docker-Provider charts/azuremonitor-containers/values.yaml (2024-10-08)"
SENSOR = "limits of defender-for-containers-architecture.md (2025-07-15)"
CILIUM = "Azure/azure-container-networking cilium-agent v1.17 daemonset.yaml, its init container (2025)"
DNS = "coredns-autoscale.md (2025-09-08)"
METRICS = "use-metrics-server-vertical-pod-autoscaler.md (2025-08-12); kubectl describe node (2025-10)"
PLUGIN = "components/device_plugin.py: use-nvidia-gpu.md (2026-07-02) asks for nothing"


@dataclass(frozen=True)
class SystemPod:
    """A pod of AKS's own: what it asks for, how many there are, and where that was read."""

    name: str
    pod: Resources
    source: str
    replicas: int = 1


_DAEMONS: tuple[tuple[SystemPod, frozenset[Feature] | None], ...] = (
    (SystemPod("cloud-node-manager", Resources(50, 50), NODE), None),
    (SystemPod("csi-azuredisk-node", Resources(30, 60), NODE), None),
    (SystemPod("csi-azurefile-node", Resources(30, 60), NODE), None),
    (SystemPod("azure-ip-masq-agent", Resources(100, 50), NODE), None),
    (SystemPod("azure-cns", Resources(40, 250), SEEN), frozenset[Feature]({"azure", "overlay"})),
    (SystemPod("azure-npm", Resources(50, 300), SEEN), frozenset[Feature]({"npm"})),
    (SystemPod("calico-node", Resources(0, 0), SEEN), frozenset[Feature]({"calico"})),
    (SystemPod("cilium", Resources(100, 100), CILIUM), frozenset[Feature]({"cilium"})),
    (SystemPod("ama-logs", Resources(150, 550), INSIGHTS), frozenset[Feature]({"monitor"})),
    (
        SystemPod("microsoft-defender-collector", Resources(360, 296), SENSOR),
        frozenset[Feature]({"defender"}),
    ),
    (SystemPod("microsoft-defender-publisher", Resources(60, 200), SENSOR), frozenset[Feature]({"defender"})),
)
"""With the features of which one puts the pod on a node; None: it is always there."""
_KUBE_PROXY = SystemPod("kube-proxy", Resources(100, 0), NODE)
DEVICE_PLUGIN = SystemPod("nvidia-device-plugin", Resources(50, 100), PLUGIN)
"""On nodes with accelerators: ours, or what others bring, which is taken to ask for as much."""
_DNS_BY_CORES = ((1, 2), (512, 3), (1024, 4), (2048, 5))
_DNS_BY_NODES = ((1, 2), (8, 3), (16, 4), (32, 5))


def daemons(features: Collection[Feature], *, accelerated: bool = False) -> list[SystemPod]:
    """Give the pods that stand on every node; Cilium does without kube-proxy."""
    found = [pod for pod, needs in _DAEMONS if needs is None or needs & set(features)]
    if "cilium" not in features:
        found.append(_KUBE_PROXY)
    return [*found, DEVICE_PLUGIN] if accelerated else found


def deployments(nodes: int, vcpus: int, features: Collection[Feature]) -> list[SystemPod]:
    """Give the pods of AKS's own that stand once in a cluster, by its nodes and all of their cores.

    They prefer a system pool, tolerate its taint, and stand elsewhere where it has no room.
    """
    metrics = Resources(155 + -(-nodes // 2), 130 + 4 * nodes)
    found = [
        SystemPod("coredns", Resources(100, 70), DNS, _dns(nodes, vcpus)),
        SystemPod("coredns-autoscaler", Resources(20, 10), SEEN),
        SystemPod("konnectivity-agent", Resources(20, 20), SEEN, 2),
        SystemPod("konnectivity-agent-autoscaler", Resources(20, 10), SEEN),
        SystemPod("metrics-server", metrics, METRICS, 2),
    ]
    if "workload_identity" in features:
        found.append(SystemPod("azure-wi-webhook-controller-manager", Resources(100, 20), SEEN, 2))
    if "calico" in features:
        found += [
            SystemPod(f"calico-{name}", Resources(0, 0), SEEN) for name in ("typha", "kube-controllers")
        ]
    if "monitor" in features:
        found.append(SystemPod("ama-logs-rs", Resources(150, 250), INSIGHTS))
    if "defender" in features:
        found.append(SystemPod("microsoft-defender-collector-misc", Resources(60, 64), SENSOR))
    if "azure_policy" in features:
        found += [
            SystemPod("azure-policy", Resources(30, 50), ADDON),
            SystemPod("azure-policy-webhook", Resources(30, 50), ADDON),
            SystemPod("gatekeeper-audit", Resources(100, 256), ADDON),
            SystemPod("gatekeeper-controller", Resources(100, 256), ADDON, 2),
        ]
    return found


def _dns(nodes: int, vcpus: int) -> int:
    """Read coredns-autoscaler's ladder: the larger of what nodes and cores ask for."""
    by_nodes = max(replicas for least, replicas in _DNS_BY_NODES if nodes >= least)
    return max(by_nodes, *(replicas for least, replicas in _DNS_BY_CORES if vcpus >= least))
