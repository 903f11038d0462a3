"""What a stack on Azure may say, and what is said of each mistake in it."""

from typing import Any

import pytest

from tests.unit.azure_stacks import (
    CLUSTER,
    GROUP,
    ROUTED,
    SERVICE,
    STACKS,
    VNET,
    azure_of,
    check,
    lines,
    merged,
    mistakes,
    net,
    pool,
    pools,
    read,
    stack,
    subnet_id,
)


@pytest.mark.parametrize("path", STACKS)
def test_the_stacks_that_come_along_have_no_mistake(path: str) -> None:
    assert mistakes(stack(path)) == []


def test_a_stack_stands_on_azure_or_on_a_cluster_of_its_own() -> None:
    assert lines({}) == []
    (line,) = lines({}, kubernetes={"context": "kind"})
    assert line == "slipway:kubernetes and azure: a stack stands on one of them; give only one of the two"


IDS: dict[tuple[str, ...], str] = {
    ("resource_group", "id"): GROUP,
    ("network", "id"): VNET,
    ("network", "subnets", "system", "id"): subnet_id("system"),
    ("egress", "firewall", "id"): f"{GROUP}/providers/Microsoft.Network/azureFirewalls/hub",
    ("workspace", "registry", "id"): f"{GROUP}/providers/Microsoft.ContainerRegistry/registries/ml",
    ("workspace", "storage", "id"): f"{GROUP}/providers/Microsoft.Storage/storageAccounts/ml",
    ("workspace", "key_vault", "id"): f"{GROUP}/providers/Microsoft.KeyVault/vaults/ml",
    ("workspace", "logs", "id"): f"{GROUP}/providers/Microsoft.OperationalInsights/workspaces/ml",
    ("cluster", "id"): CLUSTER,
}


def type_named_by(resource_id: str) -> str:
    parts = resource_id.removeprefix(GROUP).split("/")
    return "/".join([parts[2], *parts[3::2]]) if len(parts) > 2 else "Microsoft.Resources/resourceGroups"


@pytest.mark.parametrize("place", IDS, ids=".".join)
def test_an_id_of_another_kind_is_refused_with_both_kinds(place: tuple[str, ...]) -> None:
    for other, id_ in IDS.items():
        if other == place:
            continue
        change: Any = id_
        for step in reversed(place):
            change = {step: change}
        base: dict[str, Any] = ROUTED if place[0] == "egress" else {}
        found = lines(merged(base, change))
        assert len(found) == 1, found
        assert found[0].startswith(f"slipway:azure.{'.'.join(place)} = ")
        assert f"must be the id of {type_named_by(IDS[place])}, " in found[0]
        assert f"this one is of {type_named_by(id_)};" in found[0]


@pytest.mark.parametrize("text", ["hub", "/subscriptions/x", f"{GROUP}/providers/Microsoft.Network"])
def test_what_is_no_id_is_refused(text: str) -> None:
    (line,) = lines({"network": {"id": text}})
    assert "must be an Azure resource id of Microsoft.Network/virtualNetworks" in line


def test_ids_are_compared_as_azure_does() -> None:
    subnets = {"system": {"id": subnet_id("system", VNET.upper())}, "router": {"prefix": "10.224.9.0/24"}}
    assert lines(net(id=f"{VNET}/", address_space="10.224.0.0/16", subnets=subnets)) == []


@pytest.mark.parametrize(
    ("change", "start", "remedy"),
    [
        (
            {"resource_group": {"name": "ml", "id": GROUP}},
            "azure.resource_group: name and id: give one of them",
            "not both",
        ),
        (
            net(
                id=VNET, address_space="10.224.0.0/16", subnets={"system": {"id": subnet_id("s", VNET + "2")}}
            ),
            f"azure.network: subnets.system.id = {subnet_id('s', VNET + '2')} is not in the network {VNET}",
            "give one of its own",
        ),
        (
            net(subnets={"system": {"id": subnet_id("system")}}),
            "azure.network: subnets.system.id without id",
            "give the network's id",
        ),
        (
            net(subnets={"system": {"size": "10.224.0.0/22"}}),
            "azure.network.subnets.system: size = 10.224.0.0/22 is for an adopted subnet",
            "or give id too",
        ),
        (
            net(model="kubenet", network_policy="cilium"),
            "azure.network: network_policy = cilium with model = kubenet",
            "or model: overlay",
        ),
        (
            net(model="azure", pod_cidr="10.1.0.0/16"),
            "azure.network: pod_cidr = 10.1.0.0/16 with model = azure",
            "remove it",
        ),
        (
            net(address_space="10.224.0.1/16"),
            'azure.network.address_space = "10.224.0.1/16": must be a range without host bits: 10.224.0.0/16',
            "of an adopted one too",
        ),
        (
            net(address_space="fd00::/64"),
            'azure.network.address_space = "fd00::/64": must be an IPv4 range',
            "of an adopted one too",
        ),
        (
            net(dns_service_ip="10.0.0"),
            'azure.network.dns_service_ip = "10.0.0": must be an IPv4 address',
            "not the first",
        ),
        (
            {"egress": {"firewall": {"private_ip": "10.9.0.4"}}},
            "azure.egress: firewall with outbound_type = loadBalancer",
            "or remove firewall",
        ),
        (
            {"egress": {"outbound_type": "userDefinedRouting", "firewall": None}},
            "azure.egress: firewall = null with outbound_type = userDefinedRouting",
            "private_ip of one that exists",
        ),
        (
            {"egress": {"outbound_type": "userDefinedRouting", "public_ips": 2}},
            "azure.egress: public_ips = 2 with outbound_type = userDefinedRouting",
            "set firewall.public_ips instead",
        ),
        (
            {"egress": ROUTED["egress"] | {"firewall": {"id": IDS["egress", "firewall", "id"]}}},
            "azure.egress.firewall: id = ",
            "give private_ip",
        ),
        (
            {"egress": ROUTED["egress"] | {"firewall": {"public_ip": "203.0.113.4"}}},
            "azure.egress.firewall: public_ip without private_ip",
            "give private_ip too",
        ),
        (
            {"egress": ROUTED["egress"] | {"firewall": {"private_ip": "10.9.0.4", "zones": ["1"]}}},
            "azure.egress.firewall: zones = ('1',) with a firewall that exists",
            "remove it",
        ),
        (
            {
                "dns": {
                    "private_zones": {
                        "privatelink.azurecr.io": f"{GROUP}/providers/Microsoft.Network/privateDnsZones/x"
                    }
                }
            },
            "azure.dns: private_zones.privatelink.azurecr.io = ",
            "give the id of privatelink.azurecr.io",
        ),
        (
            {"workspace": {"registry": {"sku": "Basic", "private_endpoint": True}}},
            "azure.workspace.registry: private_endpoint = true with sku = Basic: only Premium has it",
            "set sku: Premium",
        ),
        (
            {"workspace": {"registry": {"sku": "Standard", "data_endpoint": True}}},
            "azure.workspace.registry: data_endpoint = true with sku = Standard: only Premium has it",
            "set sku: Premium",
        ),
        (
            {"workspace": {"name": "ML-workspace"}},
            'azure.workspace.name = "ML-workspace": must match pattern',
            "key vault are named so",
        ),
        (
            {"private": True, "deployer_ranges": ["203.0.113.0/24"]},
            "azure: deployer_ranges = 203.0.113.0/24 with private = true",
            "remove one of the two",
        ),
        (
            {"deployer_ranges": ["203.0.113.0/24", "10.1.0.0/16"]},
            "azure: deployer_ranges = 10.1.0.0/16 is no range of the internet",
            "or set private: true",
        ),
        (
            {"cluster": {"name": "ml_prod"}},
            'azure.cluster.name = "ml_prod": must match pattern',
            "named after the cluster",
        ),
        (
            {"cluster": {"id": CLUSTER, "pools": [pool()]}},
            f"azure.cluster: pools with id = {CLUSTER}: an attached cluster keeps what it has",
            "remove it",
        ),
        (
            {"cluster": {"id": CLUSTER, "kubernetes_version": "1.34"}},
            f"azure.cluster: kubernetes_version with id = {CLUSTER}",
            "remove it",
        ),
        (pools(pool("system")), "azure.cluster: pools: two pools are named `system`", "rename one"),
        (
            pools(pool("Extra")),
            'azure.cluster.pools[Extra].name = "Extra": must match pattern',
            "a letter first",
        ),
        (
            pools(pool(min_count=2)),
            "azure.cluster.pools[extra]: min_count = 2 without max_count",
            "give both, or only count",
        ),
        (
            pools(pool(count=4, max_count=3)),
            "azure.cluster.pools[extra]: count = 4 is not between min_count = 4 and max_count = 3",
            "choose one that is",
        ),
        (
            pools(pool(vcpu=8)),
            "azure.cluster.pools[extra]: vcpu and memory_gb go together",
            "give both, or neither",
        ),
        (
            pools(pool(zones=["1", "1"])),
            'azure.cluster.pools[extra].zones = ["1", "1"]: must name each once',
            '"3"',
        ),
        (
            pools(pool(taints=["dedicated"])),
            'azure.cluster.pools[extra].taints[0] = "dedicated": must match pattern',
            "accelerators get theirs by themselves",
        ),
        (
            pools(pool(labels={"team": "a b"})),
            'azure.cluster.pools[extra].labels.team = "a b": must match pattern',
            "a mapping of node labels",
        ),
        (
            pools(pool(max_pods=251)),
            "azure.cluster.pools[extra].max_pods = 251: must be less than or equal to 250",
            "of the network model without it",
        ),
        (
            pools(pool(accelerator="gpu")),
            'azure.cluster.pools[extra].accelerator = "gpu": must match pattern',
            "what the VM size has without it",
        ),
    ],
)
def test_each_mistake_is_one_line_with_field_value_rule_and_remedy(
    change: dict[str, Any], start: str, remedy: str
) -> None:
    found = lines(change)
    assert len(found) == 1, found
    assert found[0].startswith(f"slipway:{start}"), found[0]
    assert found[0].endswith(remedy), found[0]


def test_a_nat_gateway_has_sixteen_addresses_at_most() -> None:
    def gateway(number: int) -> dict[str, Any]:
        return {"egress": {"outbound_type": "userAssignedNATGateway", "public_ips": number}}

    start = "azure.egress: public_ips = 17 with outbound_type = userAssignedNATGateway"
    check(gateway(16), gateway(17), start, "lower it")


def test_defaults_follow_from_what_else_is_said() -> None:
    assert azure_of(net(model="kubenet")).network.network_policy == "calico"
    assert azure_of(net(model="azure")).network.network_policy == "cilium"
    assert (
        azure_of({"workspace": {"registry": {"private_endpoint": True}}}).workspace.registry.sku == "Premium"
    )
    firewall = azure_of(ROUTED).egress.firewall
    assert firewall is not None
    assert firewall.ours
    assert read(ROUTED).internal
    assert not read({}).internal


def test_a_stack_file_with_ten_mistakes_in_all_sections_reports_ten() -> None:
    config = {
        "slipway:azure": {
            "location": "westeuropa",
            "resource_group": {"name": "ml", "id": GROUP},
            "network": {
                "model": "azure",
                "service_cidr": "172.30.0.0/16",
                "dns_service_ip": "172.30.0.10",
                "subnets": {"system": {"prefix": "10.225.0.0/22"}},
            },
            "egress": {"outbound_typ": "userDefinedRouting"},
            "dns": {"servers": ["dns.example.com"]},
            "workspace": {"name": "mlworkspace", "registry": {"sku": "Basic", "data_endpoint": True}},
            "cluster": {"cluster_purpose": "FastProd", "pools": [{"name": "extra", "count": "3"}]},
        },
        "slipway:router": {"tls": {"leaf_domain_label": "models", "key_vault_certificate": "models"}},
        "slipway:webservices": [SERVICE | {"auth_enabled": False}],
    }
    found = mistakes(config)
    starts = (
        "slipway:azure.location = westeuropa: no region is named so; did you mean `westeurope`?",
        "slipway:azure.resource_group: name and id: give one of them, not both",
        "slipway:azure.network.service_cidr = 172.30.0.0/16 overlaps 172.30.0.0/16",
        "slipway:azure.network.subnets.system = 10.225.0.0/22 is outside address_space = 10.224.0.0/16",
        'slipway:azure.egress.outbound_typ = "userDefinedRouting": no such setting; did you mean',
        'slipway:azure.dns.servers[0] = "dns.example.com": must be an IPv4 address',
        "slipway:azure.workspace.registry: data_endpoint = true with sku = Basic",
        'slipway:azure.cluster.pools[extra].count = "3": must be a valid integer',
        "slipway:router.tls: leaf_domain_label = models with key_vault_certificate",
        "slipway:webservices[abc].auth_enabled = false: anyone may call it",
    )
    for start in starts:
        assert sum(line.startswith(start) for line in found) == 1, (start, found)
    assert len(found) == 10, "\n".join(found)


PEM = "-----BEGIN PRIVATE KEY-----\ntops3cret\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    "config",
    [
        {"slipway:router.tls_key": PEM},
        {"slipway:router": {"tls_key": PEM}},
        {"slipway:router": {"tls": {"domains": ["models.example.com"], "tls_key": PEM}}},
    ],
)
def test_a_plain_key_of_the_router_is_refused_with_the_command_and_not_repeated(
    config: dict[str, Any],
) -> None:
    found = mistakes(stack(STACKS[2]) | config)
    (line,) = [line for line in found if "tls_key" in line]
    assert line.startswith("slipway:router.tls_key: is a secret and never plain text")
    assert "`pulumi config set --secret 'slipway:router.tls_key' < FILE`" in line
    assert "tops3cret" not in "\n".join(found)


@pytest.mark.parametrize(
    "router",
    [
        {"tls": {"pem": PEM}},
        {"tls": {"domains": PEM}},
        {"image": [PEM]},
        {"tls": {"domains": [PEM]}},
        {"tls": {"domains": ["a.example.com"], "certificate": PEM}},
    ],
)
def test_a_key_is_not_repeated_wherever_it_is_put(router: dict[str, Any]) -> None:
    found = lines({}, router=router)
    assert found
    assert "tops3cret" not in "\n".join(found)
