"""What a node offers to pods: Azure's documents, and nodes as `kubectl describe node` shows them."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.sizing import VMS, Resources, Vm, allocatable
from slipway.sizing.nodes import capacity, reserved
from slipway.sizing.system import daemons, deployments
from slipway.sizing.vms import AMD, NVIDIA

sizes = st.builds(
    Vm,
    name=st.just("any"),
    vcpu=st.integers(1, 192),
    memory_gb=st.floats(2, 4096),
    accelerators=st.integers(0, 8),
)
max_pods = st.integers(10, 250)


@pytest.mark.parametrize(
    ("vcpu", "millicores"), [(1, 60), (2, 100), (4, 140), (8, 180), (16, 260), (32, 420), (64, 740)]
)
def test_cpu_is_kept_as_akss_table_says(vcpu: int, millicores: int) -> None:
    assert reserved(Vm("any", vcpu, 64), 30).cpu == millicores


@given(st.integers(1, 500))
def test_each_core_more_leaves_more_to_pods(vcpu: int) -> None:
    less, more = (1000 * cores - reserved(Vm("any", cores, 64), 30).cpu for cores in (vcpu, vcpu + 1))
    assert more > less


@pytest.mark.parametrize(("memory_gb", "pods", "mib"), [(8, 30, 650), (4, 70, 1024), (8, 110, 2048)])
def test_memory_is_kept_by_pods_but_no_more_than_a_quarter(memory_gb: int, pods: int, mib: int) -> None:
    """The document's examples, and a node of 8 GiB with 110 pods as it was seen; 100 MiB is for eviction."""
    assert reserved(Vm("any", 2, memory_gb), pods).memory == mib + 100


@pytest.mark.parametrize(
    ("vm", "pods", "shown", "offered"),
    [
        (VMS["Standard_B8ms"], 110, 32_864_156, 30_457_756),
        (Vm("2 cores, 8 GiB", 2, 8), 110, 8_129_936, 5_930_384),
        (VMS["Standard_E4s_v5"], 250, 32_865_016, 27_591_416),
    ],
)
def test_nodes_keep_as_much_as_kubectl_describe_node_shows(
    vm: Vm, pods: int, shown: int, offered: int
) -> None:
    """Capacity and Allocatable in KiB, of Kubernetes 1.30 and 1.32."""
    assert reserved(vm, pods).memory * 1024 == shown - offered


@pytest.mark.parametrize(
    ("memory_gb", "shown"),
    [(3.5, 3_500_452), (8, 8_129_936), (16, 16_393_308), (32, 32_863_116), (112, 115_387_540)],
)
def test_a_node_is_never_said_to_have_memory_that_its_system_does_not_show(
    memory_gb: float, shown: int
) -> None:
    said = capacity(Vm("any", 2, memory_gb), 30).memory * 1024
    assert 0.98 * shown < said <= shown


@given(
    sizes, max_pods, st.sets(st.sampled_from(["overlay", "azure", "cilium", "monitor", "defender", "npm"]))
)
def test_what_is_on_never_leaves_more_to_pods(vm: Vm, pods: int, features: set[str]) -> None:
    bare, busy = allocatable(vm, pods), allocatable(vm, pods, features)  # pyright: ignore[reportArgumentType] - sampled
    assert all(map(int.__ge__, bare.vector, busy.vector))
    assert min(busy.vector) >= 0
    assert busy.accelerators == vm.accelerators


def test_the_node_of_an_overlay_cluster_with_cilium_and_insights() -> None:
    """4,000 m less 140 and the pods' 500; 16 GiB less the system's 456, 2,350 kept and the pods' 1,120."""
    node = allocatable(VMS["Standard_D4s_v5"], 110, ["overlay", "cilium", "monitor"])
    assert node == Resources(cpu=3360, memory=12_458, pods=103)


def test_cilium_stands_where_kube_proxy_stood() -> None:
    assert "kube-proxy" in {pod.name for pod in daemons(["overlay", "npm"])}
    assert "kube-proxy" not in {pod.name for pod in daemons(["overlay", "cilium"])}


@pytest.mark.parametrize(
    ("nodes", "vcpus", "replicas"),
    [
        (1, 4, 2),
        (7, 56, 2),
        (8, 64, 3),
        (15, 60, 3),
        (16, 64, 4),
        (32, 64, 5),
        (3, 511, 2),
        (3, 512, 3),
        (3, 2048, 5),
    ],
)
def test_coredns_follows_its_ladder(nodes: int, vcpus: int, replicas: int) -> None:
    assert next(pod for pod in deployments(nodes, vcpus, []) if pod.name == "coredns").replicas == replicas


@pytest.mark.parametrize(("nodes", "cpu", "memory"), [(1, 156, 134), (2, 156, 138), (5, 158, 150)])
def test_metrics_server_asks_for_what_nodes_show(nodes: int, cpu: int, memory: int) -> None:
    pod = next(pod for pod in deployments(nodes, nodes * 4, []) if pod.name == "metrics-server")
    assert (pod.pod.cpu, pod.pod.memory, pod.replicas) == (cpu, memory, 2)


def test_every_number_of_akss_pods_names_its_source() -> None:
    every = ["overlay", "npm", "cilium", "calico", "monitor", "defender", "azure_policy", "workload_identity"]
    found = [*daemons(every, accelerated=True), *deployments(3, 12, every)]  # pyright: ignore[reportArgumentType] - literals
    assert all(pod.source and min(pod.pod.vector) >= 0 and pod.pod.pods == 1 for pod in found)
    assert len({pod.name for pod in found}) == len(found) >= 24


def test_the_table_has_v1s_default_and_the_sizes_of_each_kind() -> None:
    assert (VMS["Standard_D3_v2"].vcpu, VMS["Standard_D3_v2"].memory_gb) == (4, 14)
    assert VMS["Standard_D3_v2"].retires == date(2028, 5, 1)
    assert (VMS["Standard_NC8as_T4_v3"].accelerator, VMS["Standard_NC8as_T4_v3"].accelerators) == (NVIDIA, 1)
    assert VMS["Standard_ND96isr_MI300X_v5"].accelerator == AMD
    assert (VMS["Standard_NP20s"].accelerator, VMS["Standard_NP20s"].accelerators) == (None, 2)
    assert VMS["Standard_E8ds_v5"] == Vm("Standard_E8ds_v5", 8, 64)
    assert len(VMS) > 300
