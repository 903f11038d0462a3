"""What the SDKs' annotations say: right inputs pass, each wrong one has a line of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway.engine import UNKNOWN, Asset, Reference, Secret, Value, run
from slipway.engine.sdk import mistakes, previewed, schema

ROOT = Path(__file__).parents[2]
CLUSTER = "azure-native:containerservice:ManagedCluster"
RULES = "azure-native:network:FirewallPolicyRuleCollectionGroup"
SUBNET = "azure-native:network:Subnet"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
SECRET = "kubernetes:core/v1:Secret"
PASSWORD = "random:index/randomPassword:RandomPassword"

PROGRAM = """
import pulumi, pulumi_azure_native as az, pulumi_random as random
n, c, rg = az.network, az.containerservice, az.resources.ResourceGroup("rg")
g = rg.name
vnet = n.VirtualNetwork("vnet", resource_group_name=g,
    address_space=n.AddressSpaceArgs(address_prefixes=["10.0.0.0/8"]),
    dhcp_options=n.DhcpOptionsArgs(dns_servers=["10.1.0.4"]))
table = n.RouteTable("table", resource_group_name=g, disable_bgp_route_propagation=True)
n.Route("default", resource_group_name=g, route_table_name=table.name, address_prefix="0.0.0.0/0",
    next_hop_type=n.RouteNextHopType.VIRTUAL_APPLIANCE, next_hop_ip_address="10.1.0.4")
subnet = n.Subnet("nodes", resource_group_name=g, virtual_network_name=vnet.name,
    address_prefix="10.2.0.0/16", route_table=n.RouteTableArgs(id=table.id),
    private_endpoint_network_policies="Enabled")
policy = n.FirewallPolicy("policy", resource_group_name=g,
    sku=n.FirewallPolicySkuArgs(tier=n.FirewallPolicySkuTier.STANDARD),
    dns_settings=n.DnsSettingsArgs(enable_proxy=True))
n.FirewallPolicyRuleCollectionGroup("rules", resource_group_name=g, firewall_policy_name=policy.name,
    priority=200, rule_collections=[
    n.FirewallPolicyFilterRuleCollectionArgs(
        rule_collection_type="FirewallPolicyFilterRuleCollection", name="web", priority=100,
        action=n.FirewallPolicyFilterRuleCollectionActionArgs(type="Allow"),
        rules=[
            n.ApplicationRuleArgs(rule_type="ApplicationRule", name="mcr",
                source_addresses=["10.2.0.0/16"], target_fqdns=["mcr.microsoft.com"],
                protocols=[n.FirewallPolicyRuleApplicationProtocolArgs(protocol_type="Https", port=443)]),
            n.NetworkRuleArgs(rule_type="NetworkRule", name="ntp", ip_protocols=["UDP"],
                source_addresses=["*"], destination_fqdns=["ntp.ubuntu.com"], destination_ports=["123"]),
        ])])
ident = az.managedidentity.UserAssignedIdentity("identity", resource_group_name=g)
az.authorization.RoleAssignment("role", scope=subnet.id, principal_id=ident.principal_id,
    principal_type=az.authorization.PrincipalType.SERVICE_PRINCIPAL, role_definition_id="/role")
cluster = c.ManagedCluster("aks", resource_group_name=g, dns_prefix="aks",
    sku=c.ManagedClusterSKUArgs(name="Base", tier="Standard"),
    identity=c.ManagedClusterIdentityArgs(type=c.ResourceIdentityType.USER_ASSIGNED,
        user_assigned_identities=[ident.id]),
    agent_pool_profiles=[c.ManagedClusterAgentPoolProfileArgs(name="system", mode="System", count=3,
        vm_size="Standard_D4s_v5", vnet_subnet_id=subnet.id, availability_zones=["1", "2"])],
    network_profile=c.ContainerServiceNetworkProfileArgs(network_plugin="kubenet",
        network_policy="calico", outbound_type="userDefinedRouting", pod_cidr="10.244.0.0/16"),
    api_server_access_profile=c.ManagedClusterAPIServerAccessProfileArgs(authorized_ip_ranges=["1.2.3.4/32"]))
c.AgentPool("gpu", resource_group_name=g, resource_name_=cluster.name, count=1, scale_down_mode="Delete",
    vm_size="Standard_NC4as_T4_v3", mode="User", node_taints=["sku=gpu:NoSchedule"])
az.storage.StorageAccount("store", resource_group_name=g, kind="StorageV2",
    sku=az.storage.SkuArgs(name="Standard_ZRS"), allow_shared_key_access=False)
az.keyvault.Vault("vault", resource_group_name=g, properties=az.keyvault.VaultPropertiesArgs(
    tenant_id="t", enable_rbac_authorization=True, sku=az.keyvault.SkuArgs(family="A", name="standard")))
az.privatedns.PrivateRecordSet("record", resource_group_name=g, private_zone_name="z", record_type="A",
    ttl=300, a_records=[az.privatedns.ARecordArgs(ipv4_address="10.0.0.9")])
random.RandomPassword("password", length=32, special=False)
"""


def rules(*collections: Value) -> dict[str, Value]:
    return {"resourceGroupName": "g", "firewallPolicyName": "p", "ruleCollections": [*collections]}


def deployment(**container: Value) -> dict[str, Value]:
    pod: dict[str, Value] = {"containers": [{"name": "main", **container}]}
    return {"spec": {"selector": {}, "template": {"metadata": {}, "spec": pod}}}


def test_when_a_program_is_written_with_the_sdks_classes_then_nothing_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: platform\nruntime: python\n")
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {}\n")
    (tmp_path / "__main__.py").write_text(PROGRAM)
    found = [(r.type, r.inputs) for r in run(tmp_path, "dev").registrations if r.custom]
    assert len([type_ for type_, _ in found if schema(type_)]) == 15
    assert [line for type_, inputs in found for line in mistakes(type_, inputs)] == []


def test_when_the_local_stack_is_run_then_nothing_in_it_is_wrong() -> None:
    found = run(ROOT, "local").registrations
    assert any(schema(registration.type) for registration in found)
    assert [line for each in found for line in mistakes(each.type, each.inputs)] == []


@pytest.mark.parametrize(
    ("type_", "inputs", "line"),
    [
        (
            SUBNET,
            {"resourceGroupName": "g"},
            "virtualNetworkName: is required; give a text",
        ),
        (
            SUBNET,
            {"resourceGroupName": "g", "virtualNetworkName": "v", "adressPrefix": "10.0.0.0/24"},
            'adressPrefix = "10.0.0.0/24": no such input; did you mean `addressPrefix`?',
        ),
        (
            SUBNET,
            {"resourceGroupName": "g", "virtualNetworkName": "v", "defaultOutboundAccess": "false"},
            'defaultOutboundAccess = "false": has another type in the SDK; give true or false',
        ),
        (
            SUBNET,
            {"resourceGroupName": "g", "virtualNetworkName": "v", "addressPrefixes": "10.0.0.0/24"},
            'addressPrefixes = "10.0.0.0/24": has another type in the SDK; give a list of a text',
        ),
        (
            CLUSTER,
            {"resourceGroupName": "g", "agentPoolProfiles": [{"name": "a"}, {"vmSize": "b"}]},
            "agentPoolProfiles[1].name: is required; give a text",
        ),
        (
            CLUSTER,
            {"resourceGroupName": "g", "networkProfile": {"outboundType": "userdefinedrouting"}},
            'networkProfile.outboundType = "userdefinedrouting": is no value that the SDK lists; '
            "did you mean `userDefinedRouting`?",
        ),
        (
            RULES,
            rules({"ruleCollectionType": "FirewallPolicyFilterRuleCollection", "rules": [{"name": "a"}]}),
            "ruleCollections[0].rules[0].ruleType: is required; "
            "give one of ApplicationRule, NatRule, NetworkRule",
        ),
        (
            RULES,
            rules({"ruleCollectionType": "Filter"}),
            'ruleCollections[0].ruleCollectionType = "Filter": is no value that the SDK lists; '
            "known here: FirewallPolicyFilterRuleCollection, FirewallPolicyNatRuleCollection",
        ),
        (
            DEPLOYMENT,
            deployment(image="a", comand=["b"]),
            'spec.template.spec.containers[0].comand = ["b"]: no such input; did you mean `command`?',
        ),
        (
            DEPLOYMENT,
            deployment(ports=[{"containerPort": 80.5}]),
            "spec.template.spec.containers[0].ports[0].containerPort = 80.5: "
            "has another type in the SDK; give a whole number",
        ),
        (
            DEPLOYMENT,
            {"kind": "Deploymnt", "spec": deployment()["spec"]},
            'kind = "Deploymnt": is no value that the SDK lists; did you mean `Deployment`?',
        ),
        (PASSWORD, {"length": True}, "length = true: has another type in the SDK; give a whole number"),
    ],
)
def test_when_one_input_is_wrong_then_its_line_names_path_value_rule_and_remedy(
    type_: str, inputs: dict[str, Value], line: str
) -> None:
    assert mistakes(type_, inputs) == [line]


def test_when_a_rule_is_of_another_kind_then_its_own_fields_count() -> None:
    rule: dict[str, Value] = {"ruleType": "NetworkRule", "name": "a", "targetFqdns": ["b"]}
    collection: Value = {"ruleCollectionType": "FirewallPolicyFilterRuleCollection", "rules": [rule]}
    (line,) = mistakes(RULES, rules(collection))
    assert line.startswith('ruleCollections[0].rules[0].targetFqdns = ["b"]: no such input')


def test_when_several_inputs_are_wrong_then_each_has_a_line() -> None:
    assert len(mistakes(CLUSTER, {"dnsPrefix": 1, "tags": {"a": 1, "b": "c"}, "sku": []})) == 4


@pytest.mark.parametrize(
    "value", [UNKNOWN, Secret(UNKNOWN), Secret("text"), Reference("urn"), Asset(False, {"text": "a"}), None]
)
def test_when_a_value_is_known_only_later_then_it_passes_wherever_a_value_may_stand(value: Value) -> None:
    inputs: dict[str, Value] = {"resourceGroupName": "g", "virtualNetworkName": "v"}
    inputs |= {"addressPrefix": value, "serviceEndpoints": [{"service": value}]}
    assert mistakes(SUBNET, inputs) == []


@pytest.mark.parametrize(
    "inputs",
    [
        {"stringData": Secret({"planted": 5})},
        {"stringData": Secret(["planted"])},
        {"type": Secret(["planted"])},
        {"metadata": Secret({"planted": "planted"})},
        {"kind": Secret("planted")},
        {"planted_": Secret("planted")},
        {"misspelt": {"inside": [Secret("planted")]}},
    ],
)
def test_when_a_secret_is_wrong_then_its_line_does_not_repeat_it(inputs: dict[str, Value]) -> None:
    (line,) = mistakes(SECRET, inputs)
    assert "planted" not in line.replace("planted_", "")


def test_when_a_required_input_is_null_then_it_is_missing() -> None:
    assert mistakes(PASSWORD, {"length": None}) == ["length: is required; give a whole number"]


def test_when_a_whole_number_stands_for_a_number_then_it_is_one() -> None:
    store = "azure-native:containerregistry:Registry"
    assert schema(store) is not None
    spec = "kubernetes:policy/v1:PodDisruptionBudget"
    assert (
        mistakes(spec, {"spec": {"minAvailable": 1}})
        == mistakes(spec, {"spec": {"minAvailable": "50%"}})
        == []
    )


def test_when_a_schema_is_asked_for_then_it_tells_types_required_enums_and_secrets() -> None:
    found = schema(CLUSTER)
    assert found is not None
    assert found.required == {"resourceGroupName"}
    assert found.properties["dnsPrefix"].scalars == {"a text"}
    password, secret = schema(PASSWORD), schema(SECRET)
    assert password is not None
    assert secret is not None
    assert password.secret_outputs == ("bcryptHash", "result")
    assert secret.secret_outputs == ("data", "stringData")
    assert secret.properties["kind"].enum == ("Secret",)


@pytest.mark.parametrize(
    ("type_", "known"),
    [
        ("azure-native:network/v20240501:Subnet", True),  # the SDK's own API version
        ("azure-native:network/v20180601:Subnet", False),
        ("azure-native:network:Sbnet", False),
        ("azure-native:nowhere:Subnet", False),
        ("kubernetes:example.com/v1:Certificate", False),
        ("pulumi:pulumi:Stack", False),
        ("pulumi:providers:azure-native", False),
        ("pulumi-python:dynamic:Resource", False),
        ("slipway:index:Webservice", False),
        ("nonsense", False),
        ("", False),
    ],
)
def test_when_no_sdk_has_a_type_at_that_version_then_there_is_no_opinion(type_: str, known: bool) -> None:
    assert (schema(type_) is not None) is known
    assert known or mistakes(type_, {"anything": 1}) == []


def test_when_inputs_are_previewed_then_those_with_the_shape_of_outputs_are_known() -> None:
    identity: Value = {"type": "UserAssigned", "userAssignedIdentities": ["/identity"]}
    found = previewed(CLUSTER, {"dnsPrefix": "aks", "identity": identity, "tags": {"a": Secret("b")}})
    assert found is not None
    assert (found["dnsPrefix"], found["tags"], found["fqdn"]) == ("aks", {"a": Secret("b")}, UNKNOWN)
    unknown = dict.fromkeys(
        ("delegatedResources", "principalId", "tenantId", "userAssignedIdentities"), UNKNOWN
    )
    assert found["identity"] == {"type": "UserAssigned", **unknown}
    assert "resourceGroupName" not in found
    assert previewed("azure-native:network:Sbnet", {}) is None
