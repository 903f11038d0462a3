"""What a node of AKS offers to pods: a VM, less what its system, kubelet and AKS's own pods take.

Sources: node-resource-reservations.md of MicrosoftDocs/azure-aks-docs (2026-06-11) for the reservations of
AKS 1.29 and later; three nodes of Kubernetes 1.30 and 1.32, as `kubectl describe node` shows them, agree
with them to the byte. AKS's own pods are in `slipway.sizing.system`.
"""

from __future__ import annotations

from collections.abc import Collection

from slipway.sizing.resources import MIB_PER_GB, Resources
from slipway.sizing.system import Feature, daemons
from slipway.sizing.vms import Vm

EVICTION_MIB = 100
"""The kubelet keeps so much memory free."""
POD_MIB, BASE_MIB = 20, 50
"""Memory kept for the kubelet, for each of `maxPods` and beside; a quarter of the VM's at most."""
SYSTEM_PERCENT, SYSTEM_MIB = 2, 128
"""Memory that a VM has and its system does not show. Not documented: a little above what nodes of 3.5, 8, 16,
32 and 112 GiB lack (166, 253, 375, 674 and 2,005 MiB), so that what is said to fit does."""
_CPU_STEPS = ((1, 60), (2, 40), (4, 20))
_CPU_REST = 10
"""Millicores kept of each core: of the first, the second, the third and fourth, and every further one.

AKS lists 1, 2, 4, 8, 16, 32 and 64 cores; these steps give those figures and all between, as AKS's node
auto provisioning reckons (Azure/karpenter-provider-azure)."""


def reserved(vm: Vm, max_pods: int) -> Resources:
    """Give what AKS keeps of a VM for the kubelet, the eviction threshold included."""
    cpu = below = 0
    for cores, each in _CPU_STEPS:
        cpu += each * (min(cores, vm.vcpu) - below)
        below = min(cores, vm.vcpu)
    cpu += _CPU_REST * (vm.vcpu - below)
    memory = min(POD_MIB * max_pods + BASE_MIB, round(vm.memory_gb * MIB_PER_GB) // 4)
    return Resources(cpu, memory + EVICTION_MIB, 0, 0)


def capacity(vm: Vm, max_pods: int) -> Resources:
    """Give what a node has, as `kubectl describe node` shows it under Capacity; memory at the least."""
    memory = round(vm.memory_gb * MIB_PER_GB)
    seen = memory - -(-memory * SYSTEM_PERCENT // 100) - SYSTEM_MIB
    return Resources(vm.vcpu * 1000, seen, vm.accelerators, max_pods)


def allocatable(vm: Vm, max_pods: int, features: Collection[Feature] = ()) -> Resources:
    """Give what a node offers to web services and the router; nothing of it is ever below 0.

    `features` are the parts of AKS that are on and put a pod of theirs on every node.
    """
    left = capacity(vm, max_pods) - reserved(vm, max_pods)
    for pod in daemons(features, accelerated=vm.accelerators > 0):
        left -= pod.pod
    return Resources(max(0, left.cpu), max(0, left.memory), left.accelerators, max(0, left.pods))
