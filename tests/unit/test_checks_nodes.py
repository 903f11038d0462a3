"""Nodes and what stands on them: values just inside pass, those just outside are one line."""

from typing import Any

import pytest

from slipway.settings import Azure, Settings, capacity
from slipway.sizing import VMS
from slipway.sizing.uploader import UPLOADER
from tests.unit.azure_stacks import (
    CLUSTER,
    DEV_TEST,
    ROUTED,
    SERVICE,
    check,
    lines,
    merged,
    net,
    pool,
    pools,
    read,
    subnet,
    system,
)

FPGA = "xilinx.com/fpga-xilinx_u250_gen3x16_xdma_shell_2_1-0"
Change = dict[str, Any]


def azure_cni(prefix: str, **fields: Any) -> Change:
    return merged(system(**fields), merged(net(model="azure"), subnet("system", prefix)))


AT_SYSTEM = "azure.network.subnets.system"
NODES: list[tuple[Change, Change, str, str]] = [
    (
        azure_cni("10.224.0.0/25", max_pods=29),
        azure_cni("10.224.0.0/25", max_pods=30),
        f"{AT_SYSTEM} = 10.224.0.0/25 has 123 addresses, and its nodes need 124 with their surge",
        "give a /24",
    ),
    (
        azure_cni("10.224.0.0/24", max_pods=49, max_surge=2),
        azure_cni("10.224.0.0/24", max_pods=50, max_surge=2),
        f"{AT_SYSTEM} = 10.224.0.0/24 has 251 addresses, and its nodes need 255 with their surge",
        "give a /23",
    ),
    (
        subnet("system", "10.224.0.0/28"),
        subnet("system", "10.224.0.0/29"),
        f"{AT_SYSTEM} = 10.224.0.0/29 has 3 addresses, and its nodes need 4 with their surge",
        "give a /28",
    ),
    (
        merged(net(model="kubenet"), subnet("system", "10.224.0.0/28")),
        merged(net(model="kubenet"), subnet("system", "10.224.0.0/29")),
        f"{AT_SYSTEM} = 10.224.0.0/29 has 3 addresses",
        "give a /28",
    ),
    (
        net(model="kubenet", pod_cidr="10.128.0.0/15") | pools(pool(count=395)),
        net(model="kubenet", pod_cidr="10.128.0.0/15") | pools(pool(count=396)),
        "azure.network.model = kubenet takes 400 nodes, and there are up to 401 with their surge",
        "lower max_count, or set model: overlay",
    ),
    (
        net(pod_cidr="10.128.0.0/13") | pools(pool(count=995)),
        net(pod_cidr="10.128.0.0/13") | pools(pool(count=996)),
        "azure.egress.outbound_type = loadBalancer gives ports to 1000 nodes, and there are up to 1001",
        "set userAssignedNATGateway",
    ),
    (
        pools(pool(count=251)),
        pools(pool(count=252)),
        "azure.network.pod_cidr = 10.244.0.0/16 has a /24 for 256 nodes, and there are up to 257",
        "give a /15 or larger",
    ),
    (
        net(pod_cidr="10.244.0.0/22"),
        net(pod_cidr="10.244.0.0/23"),
        "azure.network.pod_cidr = 10.244.0.0/23 has a /24 for 2 nodes, and there are up to 4",
        "give a /22 or larger",
    ),
    (
        pools(pool(vm_size="Standard_M8ms", vcpu=8, memory_gb=218.75)),
        pools(pool(vm_size="Standard_M8ms")),
        "azure.cluster.pools[extra].vm_size = Standard_M8ms is not in Slipway's table",
        "give vcpu and memory_gb too",
    ),
    (
        merged(system(vm_size="Own", vcpu=2, memory_gb=4.0), pools(pool(count=3))),
        merged(system(vm_size="Own", vcpu=1, memory_gb=4.0), pools(pool(count=3))),
        "azure.cluster.system_pool.vm_size = Own is too small for a system pool",
        "choose one with 2 cores and 4 GB or more",
    ),
    (
        merged(system(vm_size="Own", vcpu=2, memory_gb=4.0), pools(pool(count=3))),
        merged(system(vm_size="Own", vcpu=2, memory_gb=3.5), pools(pool(count=3))),
        "azure.cluster.system_pool.vm_size = Own is too small for a system pool",
        "choose one with 2 cores and 4 GB or more",
    ),
    (
        pools(pool(vm_size="Standard_NP10s", accelerator=FPGA)),
        pools(pool(vm_size="Standard_NP10s")),
        "azure.cluster.pools[extra].vm_size = Standard_NP10s has accelerators",
        "such as xilinx.com/fpga-... of an FPGA",
    ),
    (
        pools(pool(vm_size="Own", vcpu=8, memory_gb=32.0, accelerator="nvidia.com/gpu", accelerators=1)),
        pools(pool(vm_size="Own", vcpu=8, memory_gb=32.0, accelerator="nvidia.com/gpu")),
        "azure.cluster.pools[extra].accelerator = nvidia.com/gpu, and vm_size = Own has none",
        "give accelerators, or remove it",
    ),
    (
        pools(pool(max_pods=10, count=3)),
        pools(pool(max_pods=10, count=2)),
        "azure.cluster.pools[extra].max_pods = 10 with count = 2: AKS asks for room for 30 pods",
        "raise max_pods to 15, or count",
    ),
    (
        system(),
        system(count=2),
        "azure.cluster.cluster_purpose = FastProd takes 3 nodes and 12 cores, and the pools have 2 and 8",
        "set DevTest",
    ),
    (
        system(vm_size="Standard_D2s_v5", count=6),
        system(vm_size="Standard_D2s_v5", count=5),
        "azure.cluster.cluster_purpose = FastProd takes 3 nodes and 12 cores, and the pools have 5 and 10",
        "set DevTest",
    ),
    (
        system(count=4, min_count=3, max_count=5),
        system(count=4, min_count=2, max_count=5),
        "azure.cluster.cluster_purpose = FastProd",
        "set DevTest",
    ),
    (
        merged(system(count=2), pools(pool(count=1))),
        merged(system(count=2), pools(pool(count=1, min_count=0, max_count=2))),
        "azure.cluster.cluster_purpose = FastProd",
        "set DevTest",
    ),
    (
        DEV_TEST,
        merged(DEV_TEST, system(count=0)),
        "azure.cluster: system_pool has 0 nodes at least",
        "raise count or min_count",
    ),
    (
        {"egress": {"outbound_type": "userAssignedNATGateway"}},
        {"egress": {"outbound_type": "managedNATGateway"}},
        "azure.egress.outbound_type = managedNATGateway: AKS makes its gateway only in a network of its own",
        "set userAssignedNATGateway",
    ),
]


@pytest.mark.parametrize(("inside", "outside", "start", "remedy"), NODES)
def test_nodes_are_known_enough_and_find_addresses(
    inside: Change, outside: Change, start: str, remedy: str
) -> None:
    check(inside, outside, start, remedy)


@pytest.mark.parametrize("uploads", ["collect_model_data", "upload_outputs"])
def test_a_version_without_sidecars_is_refused_where_a_service_uploads(uploads: str) -> None:
    def versioned(version: str) -> Change:
        return {"cluster": {"kubernetes_version": version}}

    assert lines(versioned("1.28"), webservices=[SERVICE]) == []
    check(
        versioned("1.29"),
        versioned("1.28.5"),
        "azure.cluster.kubernetes_version = 1.28.5, and webservices[abc] uploads",
        "that takes 1.29; raise it",
        webservices=[SERVICE | {uploads: True}],
    )


def test_an_attached_clusters_nodes_are_not_judged_here() -> None:
    attached = {"cluster": {"id": CLUSTER}, "egress": {"outbound_type": "managedNATGateway"}}
    assert lines(attached, webservices=[SERVICE | {"num_replicas": 1000, "cpu_cores": 8}]) == []


def one_node(settings: Settings) -> int:
    """Give the millicores that AKS's own pods and the router leave on the only node."""
    azure = settings.azure
    assert isinstance(azure, Azure)
    (node,) = capacity.pools(azure)
    others = [one for one in capacity.demands(settings, azure) if one.name != SERVICE["name"]]
    return node.node.cpu - sum(one.pod.cpu * one.min_replicas for one in others)


def test_the_lowest_scale_fits_to_the_millicore() -> None:
    left = one_node(read(DEV_TEST))
    assert left > 0

    def service(millicores: int) -> list[dict[str, Any]]:
        return [SERVICE | {"num_replicas": 1, "cpu_cores": millicores / 1000, "memory_gb": 0.1}]

    assert lines(DEV_TEST, webservices=service(left)) == []
    (line,) = lines(DEV_TEST, webservices=service(left + 1))
    assert line.startswith("slipway:azure.cluster: not even the lowest scale fits on its nodes: ")
    assert "there is no cpu left on system" in line
    assert line.endswith("raise max_count or choose a larger vm_size")


def test_what_uploads_for_a_service_takes_its_room_on_a_node() -> None:
    left = one_node(read(DEV_TEST))
    small = SERVICE | {"num_replicas": 1, "cpu_cores": left / 1000, "memory_gb": 0.1}
    assert lines(DEV_TEST, webservices=[small]) == []
    for switch in ("collect_model_data", "upload_outputs"):
        (line,) = lines(DEV_TEST, webservices=[small | {switch: True}])
        assert "there is no cpu left on system" in line
        beside = small | {switch: True, "cpu_cores": (left - UPLOADER.cpu) / 1000}
        assert lines(DEV_TEST, webservices=[beside]) == []


def test_when_no_pool_has_an_accelerator_then_the_line_says_so() -> None:
    gpu = SERVICE | {"gpu_cores": 1}
    here = pools(pool(vm_size="Standard_NC4as_T4_v3"))
    assert lines(here, webservices=[gpu]) == []
    assert lines(here, webservices=[gpu | {"gpu_cores": 2}]) != []
    for change, service in (({}, gpu), (here, gpu | {"accelerator": "amd.com/gpu"})):
        (line,) = lines(change, webservices=[service])
        assert "no pool takes the pods of abc; add one with their accelerator" in line


def test_pods_that_a_pool_only_rather_not_has_may_stand_there() -> None:
    services = [SERVICE | {"num_replicas": 3, "cpu_cores": 7}]

    def tainted(effect: str) -> Change:
        return pools(pool(vm_size="Standard_D8s_v5", count=3, taints=[f"dedicated=team:{effect}"]))

    assert lines(tainted("PreferNoSchedule"), webservices=services) == []
    assert len(lines(tainted("NoSchedule"), webservices=services)) == 1


@pytest.mark.parametrize(
    ("own", "servers"),
    [
        ({"dns": {"servers": ["10.1.0.53"]}}, "10.1.0.53"),
        (ROUTED, "10.224.70.4 (the firewall's)"),
    ],
)
def test_a_private_api_server_with_kubenet_and_dns_of_ones_own_is_refused(own: Change, servers: str) -> None:
    private = net(model="kubenet") | {"private": True}
    assert lines(private) == lines(merged(own, net(model="kubenet"))) == []
    assert lines(merged(own, {"private": True})) == []
    (line,) = lines(merged(private, own))
    assert line == (
        f"slipway:azure.private = true with azure.network.model = kubenet and DNS servers {servers}: AKS "
        "fails to create such a cluster; set model: overlay"
    )


LOAD = {"requests_per_second": 20.0, "seconds_per_request": 10.0}


def loaded(most: int, **load: float) -> list[dict[str, Any]]:
    return [SERVICE | {"autoscale_max_replicas": most, "expected_load": LOAD | load}]


def test_v1s_example_needs_286_replicas() -> None:
    room = pools(pool(vm_size="Standard_D32s_v5", count=1, max_count=3))
    assert lines(room, webservices=loaded(286)) == []
    (line,) = lines(room, webservices=loaded(285))
    assert line == (
        "slipway:webservices[abc].autoscale_max_replicas = 285: the expected load needs 286 replicas; "
        "raise it to 286"
    )
    (line,) = lines(room, webservices=[{**SERVICE, "num_replicas": 285, "expected_load": LOAD}])
    assert line.startswith("slipway:webservices[abc].num_replicas = 285: the expected load needs 286")


def test_the_expected_load_fits_on_the_nodes() -> None:
    (line,) = lines({}, webservices=loaded(300))
    assert line.startswith("slipway:webservices[abc].expected_load needs 286 replicas, and ")
    assert line.endswith("raise max_count or choose a larger vm_size")
    assert lines({}, webservices=loaded(300, requests_per_second=1.0)) == []


def test_what_others_could_grow_to_does_not_count_against_an_expected_load() -> None:
    room = pools(pool(vm_size="Standard_D8s_v5", count=1, max_count=2))
    other = {"name": "other", "entry_script": "score.py", "autoscale_max_replicas": 5_000}
    assert lines(room, webservices=[*loaded(40, requests_per_second=2.0), other]) == []


def test_sizes_that_a_stack_describes_keep_what_the_table_knows_of_them() -> None:
    known = VMS["Standard_NC4as_T4_v3"]
    change = pools(pool(vm_size=known.name, vcpu=2, memory_gb=14.0))
    azure = read(change).azure
    assert azure is not None
    vm = capacity.vm_of(azure.cluster.pools[0])
    assert vm is not None
    assert (vm.vcpu, vm.accelerator, vm.accelerators) == (2, "nvidia.com/gpu", 1)
