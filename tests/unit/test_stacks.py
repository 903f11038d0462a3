"""The stacks on Azure, whole: the shipped ones line by line in `golden/`, and what holds in each variant.

A variant is one choice of each kind: network model, way out, reach of the API server, certificate, cloud.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from slipway.engine import EngineError, Graph
from slipway.engine.graph import secrets
from slipway.engine.sdk import mistakes
from slipway.plan import to_json
from slipway.roles import Role
from tests.certificates import certificate
from tests.unit.azure_graphs import (
    BASE,
    Config,
    Golden,
    as_it_is,
    beneath,
    kind,
    realised,
    shipped,
    with_models,
    without,
)
from tests.unit.azure_stacks import GROUP, SMALLEST, VNET, merged, net, pool, pools, stack, subnet_id
from tests.unit.stack_text import PLANTED, spelled_out


def test_where_the_router_scales_itself_its_pods_are_counted_by_it_and_it_may_resize_them() -> None:
    found: dict[str, tuple[object, ...]] = {}
    for name in ("dev", "prod"):
        made = {kind(one): one for one in shipped(name, as_it_is).registrations if one.name == "router"}
        deployment, role = made["Deployment"], str(made["Role"].inputs)
        told = str(deployment.inputs)
        sizes = [one in told for one in ("ROUTER_REPLICAS", "ROUTER_CPU", "ROUTER_MOST_CPU")]
        marks = [one in told for one in ("slipway/scales-itself", "pulumi.com/patchForce")]
        found[name] = (tuple(deployment.ignore_changes), "pods/resize" in role, sizes, marks)
    assert found["dev"] == ((), False, [False] * 3, [False, True])
    assert found["prod"] == (("spec.replicas",), True, [True] * 3, [True, False])


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_a_shipped_stack_is_spelled_out(name: str, golden: Golden) -> None:
    golden(f"{name}.txt", spelled_out(shipped(name, as_it_is)))


HUB = {
    role: {"id": subnet_id(role), "size": size}
    for role, size in {
        "system": "10.224.64.0/22",
        "user": "10.224.0.0/18",
        "router": "10.224.68.0/24",
        "private_endpoints": "10.224.69.0/24",
    }.items()
}
ADOPTED_NETWORK = net(id=VNET, address_space="10.224.0.0/16", subnets=HUB)
ENDPOINTS = {"workspace": {name: {"private_endpoint": True} for name in ("registry", "storage", "key_vault")}}
BALANCER: Config = {}
NAT: Config = {"egress": {"outbound_type": "userAssignedNATGateway"}}
OURS: Config = {"egress": {"outbound_type": "userDefinedRouting"}}
THEIRS = merged(OURS, {"egress": {"firewall": {"private_ip": "10.225.0.4", "public_ip": "20.0.0.4"}}})
AZURES = merged(THEIRS, {"egress": {"firewall": {
    "id": f"{GROUP}/providers/Microsoft.Network/azureFirewalls/hub", "aks_rules": "exact",
}}})  # fmt: skip
OPEN: Config = {}
LIMITED: Config = {"deployer_ranges": ["203.0.113.0/24"]}
PRIVATE: Config = {"private": True}
SECURE = {"secure": "v1:abc:def"}
PLAIN: Config = {}
LEAF: Config = {"slipway:router": {"tls": {"leaf_domain_label": "models", "http": "serve"}}}
PUBLIC = certificate("models.example.com")[0].decode()
SECRET: Config = {
    "slipway:router": {"tls": {"domains": ["models.example.com"], "certificate": PUBLIC}},
    "slipway:router.tls_key": SECURE,
}
VAULT: Config = {
    "slipway:router": {"tls": {"domains": ["models.example.com"], "key_vault_certificate": "models"}}
}
SERVICE = {
    "name": "echo",
    "source_directory": "examples/echo",
    "entry_script": "score.py",
    "egress": [{"host": "features.example.com", "reason": "looks up features"}],
}
EXTRA = pools(pool("extra", max_count=3), pool("gpu", vm_size="Standard_NC8as_T4_v3"))
LONGEST = {
    "cluster": {"name": "c" * 45, "pools": [{"name": "p" * 12}]},
    "workspace": {"name": "w" * 24},
}


def on_azure(*changes: Config, **keys: Any) -> Config:
    """Configure a stack: changes of its Azure, and other keys."""
    azure = merged(SMALLEST, {"cluster": {"admin_group_ids": ["11111111-2222-3333-4444-555555555555"]}})
    for change in changes:
        azure = merged(azure, change)
    return {"slipway:azure": azure, "slipway:webservices": [SERVICE], **keys}


def in_cloud(cloud: str, location: str) -> Config:
    """Move stack prod to another cloud; Defender's sensor is not in all of them."""
    config = stack("stacks/Pulumi.prod.yaml")
    config["slipway:azure"] |= {"cloud": cloud, "location": location}
    without("defender")(config)
    return config


def layer(name: str, **keys: Any) -> Config:
    return stack("stacks/Pulumi.prod.yaml") | {"slipway:layer": name, **keys}


KUBENET, NODE_SUBNET, OVERLAY = net(model="kubenet"), net(model="azure"), net(model="overlay")
VARIANTS: dict[str, Config] = {
    "kubenet, load balancer": on_azure(KUBENET, BALANCER, OPEN, **LEAF),
    "kubenet, NAT gateway, private": on_azure(KUBENET, NAT, PRIVATE, ENDPOINTS, **VAULT),
    "kubenet, our firewall": on_azure(KUBENET, OURS, LIMITED, EXTRA, **SECRET),
    "kubenet, their firewall, private": on_azure(KUBENET, THEIRS, PRIVATE, **PLAIN),
    "node subnet, load balancer, private": on_azure(NODE_SUBNET, BALANCER, PRIVATE, EXTRA, **SECRET),
    "node subnet, NAT gateway": on_azure(NODE_SUBNET, NAT, LIMITED, ENDPOINTS, **LEAF),
    "node subnet, our firewall, private": on_azure(NODE_SUBNET, OURS, PRIVATE, ENDPOINTS, **VAULT),
    "node subnet, their firewall": on_azure(NODE_SUBNET, AZURES, LIMITED, EXTRA, **VAULT),
    "overlay, load balancer": on_azure(OVERLAY, BALANCER, LIMITED, EXTRA, ENDPOINTS, **VAULT),
    "overlay, NAT gateway, private": on_azure(OVERLAY, NAT, PRIVATE, EXTRA, **SECRET),
    "overlay, our firewall": on_azure(OVERLAY, OURS, OPEN, **PLAIN),
    "overlay, Azure's firewall, adopted network": on_azure(
        OVERLAY, ADOPTED_NETWORK, AZURES, LIMITED, EXTRA, ENDPOINTS, **VAULT
    ),
    "all adopted": stack("examples/existing/Pulumi.existing.yaml"),
    "attached, AKS's NAT gateway": merged(
        stack("examples/existing/Pulumi.existing.yaml"),
        {"slipway:azure": {"egress": {"outbound_type": "managedNATGateway"}}},
    ),
    "US Government": in_cloud("USGovernment", "usgovvirginia"),
    "China": in_cloud("China", "chinanorth3"),
    "layer platform": layer("platform"),
    "layer services": layer("services", **{"slipway:platform_stack": BASE}),
    "registered models": on_azure(
        ENDPOINTS, **{"slipway:webservices": [SERVICE | {"models": ["azureml:a:1"]}]}
    ),
    "registered models, layer services": layer(
        "services",
        **{
            "slipway:platform_stack": BASE,
            "slipway:webservices": [SERVICE | {"models": ["azureml:a:1"]}],
        },
    ),
    "longest names": on_azure(OURS, LIMITED, ENDPOINTS, LONGEST, **VAULT),
}
every = pytest.mark.parametrize("variant", VARIANTS)
Variants = Callable[[str], Graph]


@pytest.fixture(scope="module")
def variants() -> Iterator[Variants]:
    with ThreadPoolExecutor(2) as two:
        made = {name: two.submit(realised, config) for name, config in VARIANTS.items()}
        yield lambda name: made[name].result()


@every
def test_every_input_is_one_that_the_sdk_has(variants: Variants, variant: str) -> None:
    made = [one for one in variants(variant).registrations if one.custom and not one.external]
    assert [f"{one.name}: {line}" for one in made for line in mistakes(one.type, one.inputs)] == []


@every
def test_no_secret_is_in_the_plan(variants: Variants, variant: str) -> None:
    graph = variants(variant)
    assert any(text.startswith(PLANTED) for text in secrets(graph)) or variant == "layer platform"
    assert PLANTED not in json.dumps(to_json(graph))


def test_what_a_cluster_may_do_follows_from_its_roles(variants: Variants) -> None:
    roles = {role.definition: role for role in Role}
    found = {
        str(one.inputs["scope"]): roles[str(one.inputs["roleDefinitionId"])]
        for one in variants("kubenet, our firewall").registrations
        if kind(one) == "RoleAssignment"
        and one.inputs["principalId"] == "<UserAssignedIdentity cluster-cluster-identity.principalId>"
    }
    assert found == {
        "<Subnet network-system>": Role.NETWORK_CONTRIBUTOR,
        "<Subnet network-user>": Role.NETWORK_CONTRIBUTOR,
        "<Subnet network-router>": Role.NETWORK_CONTRIBUTOR,
        "<RouteTable network-nodes>": Role.NETWORK_CONTRIBUTOR,
        "<UserAssignedIdentity cluster-kubelet-identity>": Role.MANAGED_IDENTITY_OPERATOR,
    }


@pytest.mark.parametrize(
    ("variant", "variable", "volume"),
    [("kubenet, our firewall", "TLS_SECRETS", None), ("node subnet, their firewall", "TLS_DIR", "csi")],
)
def test_a_certificate_of_ours_is_watched_and_the_key_vaults_is_mounted(
    variants: Variants, variant: str, variable: str, volume: str | None
) -> None:
    router = next(
        one for one in variants(variant).registrations if (kind(one), one.name) == ("Deployment", "router")
    )
    spec: Any = router.inputs["spec"]
    pod: Any = spec["template"]["spec"]
    names = {one["name"] for one in pod["containers"][0]["env"] if one["name"].startswith("TLS_")}
    assert names == {"TLS_PORT", "TLS_HTTP", "TLS_DOMAINS", variable}
    assert [key for one in pod["volumes"] if one["name"] == "tls" for key in one if key != "name"] == (
        [volume] if volume else []
    )


def test_when_a_platform_was_made_for_other_services_then_theirs_fail_with_what_it_lacks() -> None:
    services = layer("services", **{"slipway:platform_stack": BASE})
    platform = {BASE: realised(beneath(services)).outputs}
    with_models(services)
    said = r"was not made for storage for namespace slipway-services; give its stack file the same"
    with pytest.raises(EngineError, match=said):
        realised(services, stacks=platform)


def test_when_a_platform_is_not_there_yet_then_its_services_say_that_it_comes_first() -> None:
    services = layer("services", **{"slipway:platform_stack": BASE})
    with pytest.raises(EngineError, match=r"no layer platform is there .* run `pulumi up` on it first"):
        realised(services, stacks={BASE: {}})
