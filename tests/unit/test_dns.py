"""Names inside the network: whose zones they are, what stands in them, what somebody else must answer."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st

from components.dns import own_zone, relative, router_records, zone_names
from slipway.engine import Graph
from slipway.hosts import Cloud, Feature, Needs, required
from slipway.settings import Settings
from tests.unit.azure_programs import GROUP_ID, azure, found, given, of, planned, realised

ZONE = "models.example.com"
BLOB = "privatelink.blob.core.windows.net"
HUB = f"{GROUP_ID.removesuffix('rg')}hub/providers/Microsoft.Network/privateDnsZones"
ROUTER = {
    "internal": {"internal": True, "tls": {"domains": [ZONE, f"eu.{ZONE}"], "secrets": ["a"]}},
    "public": {"tls": {"domains": [ZONE], "secrets": ["a"]}},
    "leaf": {"tls": {"leaf_domain_label": "models", "http": "serve"}},
}
OF_STACK = {"own": "internal", "hub": "internal", "servers": "internal", "public": "public", "leaf": "leaf"}
BODY = f"""
from components.dns import Dns, DnsArgs
from slipway.settings import Router, Settings
from slipway.settings.needs import needs

routers = json.loads({json.dumps(json.dumps(ROUTER))})
of_stack = {OF_STACK}
for name, azure in stacks.items():
    router = Router.model_validate(routers[of_stack[name]])
    settings = Settings(azure=azure, router=router)
    parts = azure.workspace.registry, azure.workspace.storage, azure.workspace.key_vault
    endpoints = {{
        what: az.network.PrivateEndpoint(
            f"{{name}}-{{what}}-endpoint", private_endpoint_name=f"pep-{{what}}", resource_group_name="rg"
        )
        for what, part in zip(("registry", "blob", "vault"), parts)
        if part.private_endpoint
    }}
    dns = Dns(name, DnsArgs("aks", "rg", settings, "/vnet", endpoints, needs(settings, azure)))
    pulumi.export(name, dns.entries)
    # stands for a cluster
    az.network.RouteTable(f"{{name}}-after", resource_group_name="rg",
        opts=pulumi.ResourceOptions(depends_on=dns.ready))
"""
REAL = f"""
from components.dns import Dns, DnsArgs
from components.network import Network, NetworkArgs
from slipway.settings import Router, Settings
from slipway.settings.needs import needs

azure = stacks["own"]
router = Router.model_validate(json.loads({json.dumps(json.dumps(ROUTER["internal"]))}))
settings = Settings(azure=azure, router=router)
group = az.resources.ResourceGroup("rg", resource_group_name="rg", location="westeurope")
network = Network("network", NetworkArgs("aks", group.name, azure))
workspace = Workspace("ws", WorkspaceArgs("aks", group.name, azure, network.subnet_ids["private_endpoints"]))
asked = needs(settings, azure)
Dns("dns", DnsArgs("aks", group.name, settings, network.vnet_id, workspace.private_endpoints, asked))
"""
CLOSED = {
    "name": "workspace",
    "registry": {"private_endpoint": True},
    "storage": {"private_endpoint": True},
    "key_vault": {"private_endpoint": True},
}
ADOPTED = {name: f"{HUB}/{name}" for name in (BLOB, ZONE)}
STACKS = {
    "own": azure(workspace=CLOSED, dns={"zone": ZONE}),
    "hub": azure(workspace=CLOSED, dns={"zone": ZONE, "private_zones": ADOPTED}),
    "servers": azure(workspace=CLOSED, dns={"zone": ZONE, "servers": ["10.9.0.4"]}),
    "public": azure(),
    "leaf": azure(),
}


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return planned(tmp_path_factory.mktemp("dns"), STACKS, BODY)


def settings(stack: str, router: dict[str, Any] | None = None) -> Settings:
    return Settings.model_validate({"azure": STACKS[stack], "router": router or ROUTER[OF_STACK[stack]]})


def zones(graph: Graph, stack: str) -> set[str]:
    return {str(one.inputs["privateZoneName"]) for one in of(graph, "PrivateZone", f"{stack}-")}


def entries(graph: Graph, stack: str) -> dict[str, str]:
    """Give the answers by name."""
    listed: Any = graph.outputs[stack]
    return {entry["host"]: entry["answer"] for entry in listed}


def test_each_private_endpoint_keeps_its_records_in_a_zone_of_its_kind(graph: Graph) -> None:
    assert zones(graph, "own") == {
        "privatelink.azurecr.io",
        BLOB,
        "privatelink.vaultcore.azure.net",
        ZONE,
    }
    for what in ("registry", "blob", "vault"):
        group = found(graph, f"own-{what}", ":PrivateDnsZoneGroup")
        behind = group.property_dependencies["privateDnsZoneConfigs"]
        assert behind == (found(graph, f"own-{what}", ":PrivateZone").urn,)
        endpoint = group.property_dependencies["privateEndpointName"]
        assert endpoint == (found(graph, f"own-{what}-endpoint").urn,)


def test_the_network_asks_each_zone_that_is_made_and_writes_nothing_into_it(graph: Graph) -> None:
    links = of(graph, "VirtualNetworkLink", "own-")
    assert len(links) == 4
    for link in links:
        assert link.inputs["virtualNetwork"] == {"id": "/vnet"}
        assert link.inputs["registrationEnabled"] is False
        assert link.inputs["location"] == "global"
    assert all(one.inputs["location"] == "global" for one in of(graph, "PrivateZone"))


def test_the_routers_domains_lead_to_its_internal_address(graph: Graph) -> None:
    records = of(graph, "PrivateRecordSet", "own-")
    found = {str(one.inputs["relativeRecordSetName"]): one.inputs["aRecords"] for one in records}
    address = [{"ipv4Address": router_records(settings("own"))[ZONE]}]
    assert found == {"@": address, "eu": address}


@pytest.mark.parametrize("stack", ["public", "leaf"])
def test_a_public_router_has_no_private_name(graph: Graph, stack: str) -> None:
    assert zones(graph, stack) == set()
    assert not of(graph, "PrivateRecordSet", f"{stack}-")
    assert own_zone(settings(stack)) is None
    assert entries(graph, stack) == {}


def test_an_adopted_zone_is_used_and_its_owner_told_the_routers_records(graph: Graph) -> None:
    assert zones(graph, "hub") == {"privatelink.azurecr.io", "privatelink.vaultcore.azure.net"}
    assert {one.name for one in of(graph, "VirtualNetworkLink", "hub-")} == {"hub-registry", "hub-vault"}
    (config,) = given(graph, "hub-blob", ":PrivateDnsZoneGroup")["privateDnsZoneConfigs"]
    assert config == {"name": BLOB.replace(".", "-"), "privateDnsZoneId": ADOPTED[BLOB]}
    assert not of(graph, "PrivateRecordSet", "hub-")
    assert entries(graph, "hub") == router_records(settings("hub"))


def test_servers_of_ones_own_are_told_each_name_and_whom_to_ask(graph: Graph) -> None:
    answers = entries(graph, "servers")
    assert answers["mcr.microsoft.com"] == "public DNS"
    assert answers["*.hcp.westeurope.azmk8s.io"] == "public DNS"
    assert answers["workspace.blob.core.windows.net"] == f"forward {BLOB} to 168.63.129.16"
    assert answers["workspace.azurecr.io"] == "forward privatelink.azurecr.io to 168.63.129.16"
    assert router_records(settings("servers")).items() <= answers.items()
    assert not any(host.startswith("AzureCloud") for host in answers)
    assert entries(graph, "own") == {}


def test_without_a_zone_somebody_is_told_the_records_of_an_internal_router() -> None:
    router = {"internal": True, "tls": {"domains": ["models.example.com"], "secrets": ["a"]}}
    assert own_zone(settings("leaf", router)) is None
    assert router_records(settings("leaf", router)).keys() == {"models.example.com"}


def test_what_waits_for_the_names_finds_zones_that_answer(graph: Graph) -> None:
    waits = [graph[urn] for urn in found(graph, "own-after").dependencies]
    names = {one.name + one.type.rpartition(":")[2] for one in waits}
    of_kind = ("VirtualNetworkLink", "PrivateDnsZoneGroup")
    assert names >= {f"own-{what}{kind}" for what in ("registry", "blob", "vault") for kind in of_kind}


def test_azure_takes_it(tmp_path: Path) -> None:
    graph = realised(tmp_path, STACKS, REAL)
    names = {str(one.outputs["fqdn"]) for one in of(graph, "PrivateRecordSet")}
    assert names == {f"{ZONE}.", f"eu.{ZONE}."}


LABELS = st.from_regex(r"[a-z]([a-z0-9-]{0,5}[a-z0-9])?", fullmatch=True)


@given_any(inside=st.lists(LABELS, max_size=3), zone=st.lists(LABELS, min_size=2, max_size=4))
def test_a_record_inside_its_zone_is_the_domain_again(inside: list[str], zone: list[str]) -> None:
    domain, parent = ".".join([*inside, *zone]), ".".join(zone)
    record = relative(domain, parent)
    assert (parent if record == "@" else f"{record}.{parent}") == domain
    assert (record == "@") == (not inside)


@pytest.mark.parametrize("cloud", list(Cloud))
def test_zones_are_those_in_which_private_hosts_are_looked_for(cloud: Cloud) -> None:
    private = {Feature.REGISTRY_PRIVATE, Feature.STORAGE_PRIVATE, Feature.KEY_VAULT_PRIVATE}
    asked = Needs(cloud, "westeurope", frozenset(private), registry="r", storage="s", vault="v")
    assert set(zone_names(cloud).values()) == {host.zone for host in required(asked)}
