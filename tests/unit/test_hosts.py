"""The hosts that a stack needs: spelled out for each cloud, and what each option adds."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.hosts import (
    CATALOGUE,
    Cloud,
    Destination,
    Direction,
    Feature,
    ModelHost,
    Needs,
    Protocol,
    Required,
    RuleKind,
    Stage,
    cloud_of,
    required,
    suffixes,
    written,
)
from slipway.hosts.entry import Source
from slipway.problems import Problems
from slipway.settings.regions import CLOUD

REGIONS = {Cloud.PUBLIC: "westeurope", Cloud.US_GOVERNMENT: "usgovvirginia", Cloud.CHINA: "chinanorth3"}
BASE = frozenset({Feature.AKS, Feature.PUBLIC_API_SERVER, Feature.REGISTRY, Feature.STORAGE})
V1 = (  # Azure ML v1's document, its table
    "*.hcp.westeurope.azmk8s.io",
    "mcr.microsoft.com",
    "acme.azurecr.io",
    "acme.table.core.windows.net",
    "acme.blob.core.windows.net",
    "api.azureml.ms",
    "ingest-viennawesteurope.kusto.windows.net",
    "acme.westeurope.cloudapp.azure.com",
)


def needs(*features: Feature, cloud: Cloud = Cloud.PUBLIC) -> Needs:
    return Needs(
        cloud,
        REGIONS[cloud],
        BASE | frozenset(features),
        registry="acme",
        storage="acme",
        vault="acme-vault",
        api_server_ip="198.51.100.7",
    )


def known(cloud: Cloud) -> frozenset[Feature]:
    return frozenset(entry.feature for entry in CATALOGUE if cloud in entry.clouds)


def everything(cloud: Cloud) -> Needs:
    return replace(
        needs(*known(cloud), cloud=cloud),
        features=known(cloud),
        workspace_region=REGIONS[cloud],
        router_name="acme",
        router_ip="10.224.4.10",
        dns_servers=("10.0.0.4", "10.0.0.5"),
        models=(
            ModelHost("fraud", "features.example.com", "looks up a customer's features"),
            ModelHost("fraud", "db.example.com", "reads limits", 5432, Protocol.TCP),
            ModelHost("churn", "203.0.113.0/24", "the old scoring farm", 8443),
        ),
    )


def found(hosts: tuple[Required, ...]) -> set[str]:
    return {f"{one.host} {one.protocol} {one.port}" for one in hosts}


def named(hosts: tuple[Required, ...], host: str) -> Required:
    [one] = [one for one in hosts if one.host == host]
    return one


@pytest.mark.parametrize(
    ("name", "given_needs"),
    [
        ("minimal", needs()),
        ("public", everything(Cloud.PUBLIC)),
        ("usgovernment", everything(Cloud.US_GOVERNMENT)),
        ("china", everything(Cloud.CHINA)),
    ],
)
def test_the_set_of_each_cloud_is_spelled_out(
    name: str, given_needs: Needs, golden: Callable[[str, str], None]
) -> None:
    golden(f"hosts-{name}.txt", written(given_needs, "table"))


@pytest.mark.parametrize(
    ("feature", "new"),
    [
        (Feature.GPU, ["nvidia.github.io", "us.download.nvidia.com", "download.docker.com"]),
        (
            Feature.DEFENDER,
            ["*.ods.opinsights.azure.com", "*.oms.opinsights.azure.com", "*.cloud.defender.microsoft.com"],
        ),
        (
            Feature.POLICY,
            ["data.policy.core.windows.net", "store.policy.core.windows.net", "dc.services.visualstudio.com"],
        ),
        (Feature.KEY_VAULT, ["acme-vault.vault.azure.net"]),
        (Feature.REGISTRY_DATA_ENDPOINT, ["acme.westeurope.data.azurecr.io"]),
        (
            Feature.AZUREML,
            ["api.azureml.ms", "acme.table.core.windows.net", "ingest-viennawesteurope.kusto.windows.net"],
        ),
    ],
)
def test_when_an_option_is_on_then_exactly_its_hosts_join(feature: Feature, new: list[str]) -> None:
    before, after = required(needs()), required(needs(feature))
    assert found(after) - found(before) == {f"{host} HTTPS 443" for host in new}
    assert found(before) <= found(after)
    for one in before:  # what was there gains reasons at most
        assert set(one.reasons) <= set(named(after, one.host).reasons)


def test_when_gpus_are_on_then_three_lines_of_the_table_are_new_and_none_is_gone() -> None:
    before = [line.split() for line in written(needs(), "table").splitlines()]
    after = [line.split() for line in written(needs(Feature.GPU), "table").splitlines()]
    assert [line[0] for line in after if line not in before] == [
        *("download.docker.com", "nvidia.github.io", "us.download.nvidia.com")
    ]
    assert all(line in after for line in before)


def test_azureml_adds_v1s_whole_table_each_host_marked_as_such() -> None:
    hosts = required(replace(needs(Feature.AZUREML), router_name="acme"))
    assert set(V1) <= {one.host for one in hosts}
    for host in V1[:-1]:
        assert Feature.AZUREML in {reason.feature for reason in named(hosts, host).reasons}


def test_the_cloudapp_host_is_there_with_a_leaf_label_only() -> None:
    assert V1[-1] not in {one.host for one in required(needs())}
    labelled = named(required(replace(needs(), router_name="acme")), V1[-1])
    assert (labelled.kind, labelled.direction) == (RuleKind.NONE, Direction.INBOUND)


def test_a_host_of_several_features_is_there_once_with_every_reason_and_stage() -> None:
    login = named(required(needs(Feature.DEFENDER, Feature.AZUREML)), "login.microsoftonline.com")
    assert [reason.feature for reason in login.reasons] == [*(Feature.AKS, Feature.DEFENDER, Feature.AZUREML)]
    assert login.stages == (Stage.CLUSTER, Stage.ROUTER_RUNS)


def test_every_entry_says_who_why_when_and_what_goes_wrong_without_it() -> None:
    for entry in CATALOGUE:
        assert entry.purpose
        assert entry.symptom
        assert entry.stages
        assert entry.clouds
        assert isinstance(entry.source, Source)
        assert entry.source.document
        assert entry.source.dated < entry.source.read
        assert "*" not in entry.pattern[1:]
        assert bool(entry.zone) == (entry.direction is Direction.INTERNAL)


def test_every_entry_has_a_stack_that_gets_it() -> None:
    reasons = {
        (reason.feature, reason.purpose, reason.symptom)
        for cloud in Cloud
        for one in required(everything(cloud))
        for reason in one.reasons
    }
    assert {(entry.feature, entry.purpose, entry.symptom) for entry in CATALOGUE} <= reasons
    assert {entry.feature for entry in CATALOGUE} == set(Feature)


@pytest.mark.parametrize(
    ("feature", "host", "port", "kind", "proxy"),
    [
        (Feature.AKS, "mcr.microsoft.com", 443, RuleKind.APPLICATION, False),
        (Feature.OS_UPDATES, "security.ubuntu.com", 80, RuleKind.APPLICATION, False),
        (Feature.NTP, "ntp.ubuntu.com", 123, RuleKind.NETWORK, True),
        (Feature.MONITOR, "AzureMonitor", 443, RuleKind.NETWORK, False),
        (Feature.PODS_CALL_API_SERVER, "198.51.100.7", 443, RuleKind.NETWORK, False),
    ],
)
def test_the_rules_kind_follows_from_destination_protocol_and_port(
    feature: Feature, host: str, port: int, kind: RuleKind, proxy: bool
) -> None:
    one = named(required(needs(feature)), host)
    assert (one.port, one.kind, one.needs_dns_proxy) == (port, kind, proxy)


def test_a_name_on_another_port_is_a_network_rule_and_needs_the_dns_proxy() -> None:
    model = ModelHost("fraud", "features.example.com", "features", 8443)
    one = named(required(replace(needs(), models=(model,))), model.host)
    assert (one.kind, one.needs_dns_proxy, one.why) == (
        *(RuleKind.NETWORK, True, "web service fraud: features"),
    )


def test_when_the_router_stands_behind_the_firewall_then_dnat_leads_to_it() -> None:
    router = [one for one in required(everything(Cloud.PUBLIC)) if one.kind is RuleKind.DNAT]
    assert {(one.host, one.port) for one in router} == {("10.224.4.10", 80), ("10.224.4.10", 443)}


def test_when_the_registry_is_private_then_it_needs_no_rule_even_if_v1s_table_names_it() -> None:
    private = replace(needs(), features=(BASE - {Feature.REGISTRY}) | {Feature.REGISTRY_PRIVATE})
    hosts = required(replace(private, features=private.features | {Feature.AZUREML}))
    for host in ("acme.azurecr.io", "acme.westeurope.data.azurecr.io"):
        one = named(hosts, host)
        assert (one.kind, one.zone) == (RuleKind.NONE, "privatelink.azurecr.io")
    assert "*.blob.core.windows.net" not in {one.host for one in hosts}


def test_the_api_servers_exact_name_takes_the_wildcards_place_once_it_is_known() -> None:
    name = "acme-1a2b.hcp.westeurope.azmk8s.io"
    hosts = {one.host for one in required(replace(needs(Feature.AZUREML), api_server=name))}
    assert name in hosts
    assert "*.hcp.westeurope.azmk8s.io" not in hosts


def test_a_workspace_in_another_region_has_its_own_hosts_there() -> None:
    far = replace(needs(Feature.REGISTRY_DATA_ENDPOINT, Feature.AZUREML), workspace_region="northeurope")
    hosts = {one.host for one in required(far)}
    assert "acme.northeurope.data.azurecr.io" in hosts
    assert "ingest-viennanortheurope.kusto.windows.net" in hosts
    assert "*.hcp.westeurope.azmk8s.io" in hosts


def test_the_fqdn_tag_stands_for_akss_core_and_for_nothing_else() -> None:
    exact, tagged = required(needs(Feature.GPU)), required(needs(Feature.GPU), fqdn_tag=True)
    tag = named(tagged, "AzureKubernetesService")
    gone = found(exact) - found(tagged)
    assert gone == {
        f"{host} HTTPS 443"
        for host in (
            *("*.hcp.westeurope.azmk8s.io", "mcr.microsoft.com", "*.data.mcr.microsoft.com"),
            *("mcr-0001.mcr-msedge.net", "management.azure.com", "login.microsoftonline.com"),
            *("packages.microsoft.com", "packages.aks.azure.com", "acs-mirror.azureedge.net"),
        )
    }
    assert all(host.split()[0] in tag.why for host in gone)
    assert (tag.destination, tag.kind) == (Destination.FQDN_TAG, RuleKind.APPLICATION)


def test_everything_that_is_wrong_is_named_at_once() -> None:
    features = frozenset({Feature.DEFENDER, Feature.REGISTRY, Feature.AZUREML, Feature.PODS_CALL_API_SERVER})
    models = (ModelHost("fraud", "*", ""),)
    with pytest.raises(Problems) as error:
        required(Needs(Cloud.CHINA, "China North", features, models=models))
    assert [line.split(" = ")[0].split(": is")[0].split(": none")[0] for line in error.value.lines] == [
        *("region", "api_server_ip", "registry", "storage", "Defender"),
        *("fraud: egress.reason", "fraud: egress.host"),
    ]


features = st.sets(
    st.sampled_from(sorted(known(Cloud.PUBLIC) & known(Cloud.CHINA) & known(Cloud.US_GOVERNMENT)))
)


@given(st.sampled_from(Cloud), features, features)
def test_more_options_never_need_fewer_hosts(cloud: Cloud, some: set[Feature], others: set[Feature]) -> None:
    all_on = replace(everything(cloud), features=frozenset(some | others))
    few, many = required(replace(all_on, features=frozenset(some))), required(all_on)
    assert found(few) <= found(many)


@given(st.sampled_from(Cloud), features, st.booleans())
def test_every_rule_can_be_written_and_stands_in_the_order_of_stages(
    cloud: Cloud, on: set[Feature], fqdn_tag: bool
) -> None:
    hosts = required(replace(everything(cloud), features=frozenset(on)), fqdn_tag=fqdn_tag)
    assert [one.stage.order for one in hosts] == sorted(one.stage.order for one in hosts)
    assert len({one.name for one in hosts}) == len(hosts)
    for one in hosts:
        assert not set(one.host) & set("{}<>")
        assert one.kind is not RuleKind.NETWORK or "*" not in one.host
        assert one.reasons


@pytest.mark.parametrize("region", sorted(CLOUD))
def test_every_known_region_is_of_the_cloud_that_its_name_tells(region: str) -> None:
    assert cloud_of(region) == CLOUD[region]


def test_the_clouds_share_no_suffix() -> None:
    for one in Cloud:
        for other in set(Cloud) - {one}:
            assert not set(vars(suffixes(one)).values()) & set(vars(suffixes(other)).values())
