"""The way into a cluster and the rights in it, and v1's rules for one that is attached."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.aks import attach_mistakes, dns_prefix
from slipway.engine import EngineError, Secret
from slipway.kubeconfig import exec_kubeconfig
from slipway.plan import to_json
from tests.engine.stand_in.world import DEPLOYER, TENANT
from tests.unit.azure_programs import (
    CLUSTERS,
    GROUP_ID,
    KUBECONFIG,
    PLANTED,
    azure,
    found,
    given,
    planned,
    realised,
)
from tests.unit.cluster_programs import DEV, POOLS, PROD, REAL, before


def test_azure_takes_it_with_its_rights_and_gives_a_way_in_that_is_secret(tmp_path: Path) -> None:
    settings = azure(cluster=PROD | {"pools": POOLS[:3]}, network={"model": "kubenet"})
    graph = realised(tmp_path, {"real": settings}, REAL)
    outputs = graph.outputs
    assert outputs["id"] == f"{CLUSTERS}/aks"
    assert str(outputs["oidc_issuer"]).startswith("https://westeurope.oic.prod-aks.azure.com/")
    assert str(outputs["fqdn"]).endswith(".hcp.westeurope.azmk8s.io")
    assert outputs["tenant_id"] == TENANT
    secret = outputs["kubeconfig"]
    assert isinstance(secret, Secret)
    assert PLANTED in str(secret.value)
    everything = json.dumps(to_json(graph))
    encoded = base64.b64encode(json.dumps(KUBECONFIG).encode()).decode()
    assert PLANTED not in everything
    assert encoded not in everything
    assert encoded not in str(graph.outputs)


def test_who_deploys_administers_a_cluster_without_groups(tmp_path: Path) -> None:
    graph = realised(tmp_path, {"real": azure(cluster=DEV, network={"model": "kubenet"})}, REAL)
    assert given(graph, "aks-admin")["principalId"] == DEPLOYER
    assert given(graph, "aks-admin")["scope"] == GROUP_ID
    assert found(graph, "aks-admin") in before(graph, found(graph, "aks", "ManagedCluster"))


def test_who_deploys_administers_no_other_cluster_of_a_group_that_exists(tmp_path: Path) -> None:
    adopted = azure(cluster=DEV, network={"model": "kubenet"}, resource_group={"id": GROUP_ID})
    graph = realised(tmp_path, {"real": adopted}, REAL)
    assert given(graph, "aks-admin")["scope"] == f"{CLUSTERS}/aks"


SLOW = """
slow = az.resources.ResourceGroup("slow", resource_group_name="slow", location="westeurope")
args = ClusterArgs("aks", "rg", stacks["real"], "registry", {"system": "subnet"})
Cluster("aks", args, pulumi.ResourceOptions(depends_on=[slow]))
"""


def test_rights_do_not_wait_for_what_the_cluster_waits_for(tmp_path: Path) -> None:
    graph = planned(tmp_path, {"real": azure(cluster=DEV)}, SLOW)
    slow = found(graph, "slow")
    assert slow in before(graph, found(graph, "aks", "ManagedCluster"))
    for right in ("aks-admin", "aks-subnet-system", "aks-kubelet-operator"):
        assert slow not in before(graph, found(graph, right))


ATTACH = """
group = az.resources.ResourceGroup("rg", resource_group_name="rg", location="westeurope")
workspace = Workspace("ws", WorkspaceArgs("aks", group.name, stacks["real"]))
cluster = Cluster("aks", ClusterArgs("aks", group.name, stacks["real"], workspace.registry_id))
pulumi.export("id", cluster.id)
pulumi.export("kubeconfig", cluster.kubeconfig)
"""


@pytest.mark.parametrize(
    ("name", "refusal"),
    [("three", ""), ("two", "takes 3 nodes and 12 cores at least, and the cluster has 2 nodes and 16 cores")],
)
def test_an_attached_cluster_must_fit_v1s_rules(tmp_path: Path, name: str, refusal: str) -> None:
    stacks = {"real": azure(cluster={"id": f"{CLUSTERS}/{name}"})}
    if refusal:
        with pytest.raises(EngineError, match=refusal):
            realised(tmp_path, stacks, ATTACH)
        return
    graph = realised(tmp_path, stacks, ATTACH)
    assert graph.outputs["id"] == f"{CLUSTERS}/{name}"
    assert isinstance(graph.outputs["kubeconfig"], Secret)


@pytest.mark.parametrize(
    ("purpose", "pools", "fits"),
    [
        ("FastProd", [("Standard_D4s_v5", 3)], True),
        ("DenseProd", [("Standard_D4s_v5", 2), ("Standard_D4s_v5", 1)], True),
        ("FastProd", [("Standard_D8s_v5", 2)], False),  # 16 cores, 2 nodes
        ("FastProd", [("Standard_D2s_v5", 5)], False),  # 10 cores
        ("FastProd", [("Standard_D2s_v5", 6)], True),
        ("FastProd", [("Standard_Own", 3)], True),  # nobody knows its cores
        ("FastProd", [("Standard_Own", 2)], False),
        ("DevTest", [("Standard_D2s_v5", 1)], True),
        ("DevTest", [("Standard_D2s_v5", 0)], False),
    ],
)
def test_v1s_rules_hold_just_inside_and_not_just_outside(purpose: Any, pools: Any, fits: bool) -> None:
    assert (attach_mistakes("id", purpose, pools) == []) is fits


def test_the_kubeconfig_logs_in_through_our_command_in_the_clusters_tenant() -> None:
    config = yaml.safe_load(exec_kubeconfig(yaml.safe_dump(KUBECONFIG), "USGovernment"))
    (user,) = config["users"]
    plugin = user["user"]["exec"]
    assert plugin["command"] == "slipway"
    assert plugin["args"] == ["kube-token", "--cloud", "USGovernment", "--tenant", TENANT]
    assert plugin["apiVersion"] == "client.authentication.k8s.io/v1"
    assert plugin["interactiveMode"] == "Never"
    assert {name: config[name] for name in config if name != "users"} == {
        name: value for name, value in KUBECONFIG.items() if name != "users"
    }


@pytest.mark.parametrize(
    ("user", "arguments"),
    [
        ({"auth-provider": {"name": "azure", "config": {"tenant-id": "T"}}}, ["--tenant", "T"]),
        ({"exec": {"command": "kubelogin"}}, []),
        ({"client-certificate-data": "C", "token": "T"}, None),
    ],
)
def test_older_logins_are_replaced_and_credentials_of_a_cluster_without_entra_kept(
    user: dict[str, Any], arguments: list[str] | None
) -> None:
    config = yaml.safe_load(
        exec_kubeconfig(yaml.safe_dump({"users": [{"name": "a", "user": user}]}), "Public")
    )
    (after,) = config["users"]
    if arguments is None:
        assert after == {"name": "a", "user": user}
    else:
        assert list(after["user"]) == ["exec"]
        assert after["user"]["exec"]["args"] == ["kube-token", "--cloud", "Public", *arguments]


@pytest.mark.parametrize(
    ("base", "prefix"),
    [
        ("slipway-prod", "slipway-prod"),
        ("a_b.c", "a-b-c"),
        ("x" * 60, "x" * 54),
        ("x" * 53 + "-y", "x" * 53),
        ("a_", "a"),
    ],
)
def test_the_api_servers_name_begins_as_azure_allows(base: str, prefix: str) -> None:
    assert dns_prefix(base) == prefix
