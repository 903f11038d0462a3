"""The table of the arithmetic, and JSON with the same numbers."""

import json
from collections.abc import Callable
from ipaddress import IPv4Network

from slipway.sizing import Demand, Pool, Resources, place
from slipway.sizing.report import Report, as_json, report, subnet_row, table
from slipway.sizing.vms import NVIDIA

TAINT = frozenset({"sku=gpu:NoSchedule"})
POOLS = [
    Pool("services", Resources(6900, 29_000, 0, 21), 1, 3, subnet="user", addresses=31),
    Pool("gpu", Resources(6900, 53_000, 1, 20), 1, 4, NVIDIA, TAINT, subnet="user", addresses=31),
]
DEMANDS = [
    Demand("router", Resources(900, 800), 3, 3),
    Demand("diabetes", Resources(500, 1024), 3, 60, load=35.0),
    Demand("echo-gpu", Resources(1000, 4096, 1), 1, 6, NVIDIA, TAINT, load=2.5),
]


def shown(demands: list[Demand] = DEMANDS, addresses: int = 1000) -> Report:
    placement = place(POOLS, demands, {"user": addresses})
    subnets = [subnet_row("user", IPv4Network("10.224.64.0/24"), 279)]
    return report(
        POOLS, {"services": "Standard_D8s_v5", "gpu": "Standard_NC8as_T4_v3"}, demands, placement, subnets
    )


def test_the_table_shows_pools_pods_subnets_and_what_runs_out_first(
    golden: Callable[[str, str], None],
) -> None:
    golden("sizing.txt", table(shown()) + "\n")


def test_a_pod_too_large_for_any_node_is_named_first_and_does_not_stop_the_others() -> None:
    huge = Demand("huge", Resources(20_000, 100), 0, 1)
    homeless = Demand("homeless", Resources(1, 1), 0, 1, node_selector=frozenset({("team", "a")}))
    endings = table(shown([*DEMANDS, huge, homeless])).splitlines()[-4:]
    assert endings == [
        "runs out first: cpu on services, when huge has 0 replicas",
        "then: no pool has the labels, taints and accelerator for homeless",
        "then: cpu on services, when diabetes has 36 replicas, 1,260 requests/s",
        "then: nvidia.com/gpu on gpu, when echo-gpu has 4 replicas, 10 requests/s",
    ]


def test_when_addresses_run_out_then_the_table_says_so() -> None:
    endings = table(shown(addresses=100)).splitlines()[-2:]
    assert {ending.split(",")[0].split(": ")[1] for ending in endings} == {
        "addresses on gpu",
        "addresses on services",
    }


def test_json_has_the_tables_numbers() -> None:
    found = json.loads(as_json(shown()))
    assert (found["at_min"], found["at_max"]) == ("fits", "does not fit")
    services, gpu = found["pools"]
    assert services["full"]["pods"] == {"router": 3, "diabetes": 36}
    assert gpu["now"] == {
        "nodes": 1,
        "percent": {"cpu": 15, "memory": 8, NVIDIA: 100, "pods": 5},
        "pods": {"echo-gpu": 1},
    }
    assert found["subnets"] == [{"name": "user", "range": "10.224.64.0/24", "needed": 279, "available": 251}]
