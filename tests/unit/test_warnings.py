"""What works and should be changed all the same."""

import datetime
from typing import Any

import pytest

from slipway.settings import Settings
from slipway.settings.checks import warnings
from tests.certificates import DAY, certificate
from tests.unit.azure_stacks import (
    CLUSTER,
    GROUP,
    ROUTED,
    SERVICE,
    VNET,
    merged,
    net,
    pool,
    pools,
    read,
    subnet,
    system,
)

TODAY = datetime.date(2026, 11, 24)
LABEL = {"tls": {"leaf_domain_label": "models", "http": "serve"}}
Change = dict[str, Any]


def said(change: Change, today: datetime.date = TODAY, **keys: Any) -> list[str]:
    quiet = merged(system(zones=["1", "2", "3"]), change)
    return warnings(read(quiet, **keys), today)


def test_a_stack_as_it_should_be_gets_no_warning() -> None:
    assert said({}) == []
    assert said(pools(pool(vm_size="Standard_NC4as_T4_v3", count=2)), webservices=[SERVICE]) == []


@pytest.mark.parametrize(
    ("change", "start", "remedy"),
    [
        (net(model="kubenet"), "azure.network.model = kubenet retires on 2028-03-31, in 493 days", "overlay"),
        (
            net(network_policy="azure"),
            "azure.network.network_policy = azure retires on 2028-09-30, in 676 days",
            "set network_policy: cilium",
        ),
        (
            pools(pool(vm_size="Standard_F4s_v2")),
            "azure.cluster.pools[extra].vm_size = Standard_F4s_v2 retires on 2028-11-15",
            "choose a newer one",
        ),
        (
            pools(pool(vm_size="Standard_NC6s_v3")),
            "azure.cluster.pools[extra].vm_size = Standard_NC6s_v3 has been retired since 2025-09-30",
            "choose a newer one",
        ),
        (
            {"workspace": {"location": "northeurope"}},
            "azure.workspace.location = northeurope is not azure.location = westeurope",
            "v1 advises one region",
        ),
        ({"private": True}, "azure.private = true: `pulumi up` works from inside the network only", "there"),
        (
            {"deployer_ranges": ["203.0.113.0/24"]},
            "azure.workspace.registry.sku = Standard: only Premium limits a registry to deployer_ranges",
            "set sku: Premium",
        ),
        (
            system(zones=[]),
            "azure.cluster.system_pool without zones: one zone of westeurope that fails",
            'set zones: ["1", "2", "3"]',
        ),
        (
            system(vm_size="Standard_B4ms"),
            "azure.cluster.system_pool.vm_size = Standard_B4ms: AKS does not support B series",
            "choose a D series",
        ),
    ],
)
def test_what_works_and_should_be_changed_is_a_warning(change: Change, start: str, remedy: str) -> None:
    found = [line for line in said(change) if line.startswith(start)]
    assert len(found) == 1, said(change)
    assert found[0].endswith(remedy)


HUB = net(
    id=VNET,
    address_space="10.224.0.0/16",
    subnets={
        "system": {"prefix": "10.224.64.0/22"},
        "router": {"prefix": "10.224.68.0/24"},
    },
)
FIREWALL = merged(ROUTED, subnet("firewall", "10.224.70.0/26"))
REGISTRY = f"{GROUP}/providers/Microsoft.ContainerRegistry/registries/mlregistry"
ADOPTED = {"cluster": {"id": CLUSTER}, "workspace": {"registry": {"id": REGISTRY}}}
SERVERS = {"dns": {"servers": ["10.1.0.53", "10.1.0.54"]}}
ZONE = "privatelink.westeurope.azmk8s.io"


def test_what_a_network_that_exists_keeps_is_said_with_the_command_that_changes_it() -> None:
    (line,) = said(merged(HUB, FIREWALL))
    assert line.endswith(f"run az network vnet update --ids {VNET} --dns-servers 10.224.70.4")
    (line,) = said(merged(HUB, SERVERS))
    assert line.endswith(f"run az network vnet update --ids {VNET} --dns-servers 10.1.0.53 10.1.0.54")
    assert said(HUB) == said(ROUTED) == []


def test_a_right_that_an_attached_cluster_may_have_already_is_said() -> None:
    (line,) = warnings(read(ADOPTED), TODAY)
    assert "ends in RoleAssignmentExists where they have it" in line
    assert warnings(read(merged(ADOPTED, {"workspace": {"registry": {"attached": True}}})), TODAY) == []


def test_dns_servers_that_may_not_find_a_private_api_server_are_said() -> None:
    private = merged(SERVERS, {"private": True})
    assert any(f"give azure.dns.private_zones.{ZONE} if they" in line for line in said(private))
    zone = f"{GROUP}/providers/Microsoft.Network/privateDnsZones/{ZONE}"
    assert len(said(merged(private, {"dns": {"private_zones": {ZONE: zone}}}))) == len(
        said({"private": True})
    )
    kubenet = merged(HUB, net(model="kubenet") | {"private": True})
    assert any("if that network has DNS servers of its own" in line for line in said(kubenet))


def test_an_administrator_who_must_wait_is_said() -> None:
    adopted: Change = {"resource_group": {"name": None, "id": GROUP}}
    (line,) = said(adopted)
    assert line.startswith("azure.cluster.admin_group_ids is not given")
    group = {"cluster": {"admin_group_ids": ["11111111-2222-3333-4444-555555555555"]}}
    assert said(merged(adopted, group)) == []


@pytest.mark.parametrize(
    ("vm", "resource", "plugin"),
    [
        ({"vm_size": "Standard_ND96isr_MI300X_v5"}, "amd.com/gpu", "ROCm/k8s-device-plugin"),
        (
            {"vm_size": "Standard_NP10s", "accelerator": "xilinx.com/fpga-a-1"},
            "xilinx.com/fpga-a-1",
            "Xilinx/FPGA_as_a_Service",
        ),
    ],
)
def test_accelerators_of_others_need_a_device_plugin_of_theirs(
    vm: Change, resource: str, plugin: str
) -> None:
    (line,) = [line for line in said(pools(pool(**vm))) if "device plugin" in line]
    assert line.startswith(f"azure.cluster.pools with {resource}")
    assert plugin in line


def test_after_its_date_kubenet_is_named_as_retired() -> None:
    (before,) = said(net(model="kubenet"), datetime.date(2028, 3, 30))
    (on,) = said(net(model="kubenet"), datetime.date(2028, 3, 31))
    assert "retires on 2028-03-31, in 1 days" in before
    assert "has been retired since 2028-03-31" in on


def test_a_leaf_label_without_a_certificate_is_http() -> None:
    (line,) = said({}, router=LABEL)
    assert line.startswith("router.tls.leaf_domain_label = models without secrets: clients use http")
    assert said({}, router={"tls": {"leaf_domain_label": "models", "secrets": ["models"]}}) == []


@pytest.mark.parametrize(
    ("ends", "line"),
    [
        (datetime.date(2026, 10, 1), "has expired on 2026-10-01; renew it"),
        (datetime.date(2026, 11, 30), "expires on 2026-11-30, in 9 days; renew it"),
        (datetime.date(2027, 3, 1), None),
    ],
)
def test_the_plan_says_when_a_certificate_of_its_file_ends(ends: datetime.date, line: str | None) -> None:
    end = datetime.datetime.combine(ends, datetime.time(), datetime.UTC)
    public, _ = certificate("a.example.com", begins=end - 365 * DAY, ends=end)
    router = {"tls": {"domains": ["a.example.com"], "certificate": public.decode()}}
    stack = {"kubernetes": {"context": "kind"}, "router": router}
    on = datetime.date(2026, 11, 21)
    assert warnings(Settings.model_validate(stack), on) == (
        [f"router.tls.certificate for a.example.com, 127.0.0.1: {line}"] if line else []
    )


def test_when_not_all_replicas_fit_then_the_first_limit_is_named() -> None:
    (line,) = said({}, webservices=[SERVICE | {"cpu_cores": 1, "autoscale_max_replicas": 100}])
    assert line.startswith("webservices: their most replicas do not all fit on the nodes: abc stops at ")
    assert "there is no cpu left on system" in line


def test_a_service_with_an_accelerator_needs_a_spare_one_to_roll() -> None:
    gpu = SERVICE | {"gpu_cores": 1, "num_replicas": 2}

    def cards(count: int) -> Change:
        return pools(pool(vm_size="Standard_NC4as_T4_v3", count=count))

    assert said(cards(3), webservices=[gpu]) == []
    (line,) = said(cards(2), webservices=[gpu])
    assert line.startswith("webservices[abc]: there is no room for one pod more than its lowest scale")
    assert said(cards(2) | {}, webservices=[gpu | {"num_replicas": 1}]) == []


def test_without_a_registry_each_image_that_nodes_cannot_pull_is_named_with_the_remedies() -> None:
    services = [SERVICE, SERVICE | {"name": "named", "environment": {"image": f"a.test/b@sha256:{'0' * 64}"}}]
    stack: Change = {"kubernetes": {"context": "kind"}, "webservices": services}

    def said(**keys: Any) -> list[str]:
        return warnings(Settings.model_validate(stack | keys), TODAY, deploys=True)

    router, service = said()
    assert router.startswith("router.image is not given")
    assert service.startswith("webservices[abc].environment.image is not given")
    assert all("set slipway:images: {registry: HOST}" in line for line in (router, service))
    assert said(router={"image": "a.test/slipway:1"}) == [service]
    assert said(images={"registry": "localhost:5000"}) == []
    assert warnings(Settings.model_validate(stack), TODAY) == []


def test_a_service_without_replicas_whose_requests_do_not_wait_for_one_is_named() -> None:
    service = SERVICE | {"autoscale_min_replicas": 0}
    (on_azure,) = said({}, webservices=[service])
    stack: Change = {"kubernetes": {"context": "kind"}, "webservices": [service]}
    assert warnings(Settings.model_validate(stack), TODAY) == [on_azure]
    assert on_azure.startswith(
        "webservices[abc].max_request_wait_time = 500: with autoscale_min_replicas = 0"
    )
    assert said({}, webservices=[service | {"max_request_wait_time": 30_000}]) == []


def test_tokens_over_http_are_a_warning() -> None:
    taking = [SERVICE | {"token_auth_enabled": True}]
    (line,) = said({}, webservices=taking)
    assert line.startswith("webservices[abc].token_auth_enabled = true without router.tls")
    assert not [one for one in said({}, webservices=taking, router=LABEL) if "token_auth" in one]


def test_a_stack_without_azure_has_no_warnings() -> None:
    assert warnings(Settings.model_validate({"kubernetes": {"context": "kind"}}), TODAY) == []
