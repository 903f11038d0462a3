"""Variants of our stacks on the real engine, with the stand-in for azure-native: two layers; adopting all."""

from __future__ import annotations

import base64
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.certificates import certificate
from tests.engine import real
from tests.engine.azure import DESTROY, UP, Slow, lines, refused, secrets, subscription
from tests.engine.real import Json, Step
from tests.engine.test_policy_pack import name_images

ROOT = Path(__file__).parents[2]
ADOPTED = ROOT / "examples" / "existing" / "Pulumi.existing.yaml"
EXISTING = yaml.safe_load(ADOPTED.read_text())["config"]["slipway:azure"]
KEY = "planted-primary-key-0123456789abcdef"
GIVEN = {
    "slipway:router.tls_key": "planted-certificates-key",
    "slipway:scaled.primary_key": KEY,
}
NEW = {
    "slipway:scaled.primary_key": "planted-another-key-0123456789abcdef",
}
CERTIFICATES = [certificate("models.example.com")[0].decode() for _ in range(2)]
MODES = {"scaled": {}, "fixed": {"num_replicas": 2}, "to-fixed": {}, "to-scaled": {"num_replicas": 3}}
CHANGED = {
    "scaled": {"autoscale_min_replicas": 2},
    "fixed": {"num_replicas": 4},
    "to-fixed": {"num_replicas": 5},
    "to-scaled": {"autoscale_min_replicas": 2},
}

if not real.available():
    reason = "pulumi and its plugins are not on PATH: stacks on Azure ran on our engine alone"
    pytest.skip(reason, allow_module_level=True)


@dataclass(frozen=True)
class Layers:
    """What was seen of a platform with kubenet, and of services on it with a certificate and keys."""

    platform: list[Step]
    services: list[Step]
    edited: list[Step]
    """of services, by an edit of modes, a key and the certificate"""
    before: dict[str, Json]
    after: dict[str, Json]
    """the Kubernetes objects by kind and name, before and after that edit"""
    client_id: str
    """of the platform's identity for web services"""
    lacking: str
    """what was said when a service used the storage from a namespace that the platform does not list"""
    hidden: set[str]
    shown: str


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Layers:
    with subscription(tmp_path_factory.mktemp("layers")) as (stack, world):
        with stack.config("dev") as shipped:
            azure: Json = shipped["slipway:azure"] | {"network": {"model": "kubenet"}}
        for name in ("platform", "services"):
            with stack.config(name) as config:
                config |= {"slipway:azure": azure, "slipway:layer": name}
                config["slipway:router"] = router(CERTIFICATES[0])
                config["slipway:webservices"] = webservices(MODES)
                name_images(config)
        with stack.config("services") as config:
            config["slipway:platform_stack"] = "organization/slipway/platform"
        stack.create("platform")
        stack.create("services", GIVEN)
        folder = stack.into_files()
        platform = stack.steps(*UP, "platform")
        with stack.config("services") as config:
            config["slipway:webservices"][0]["namespace"] = "elsewhere"
        lacking = refused(stack, "preview", "--stack", "services")
        with stack.config("services") as config:
            del config["slipway:webservices"][0]["namespace"]
        made = stack.steps(*UP, "services")
        before = objects(folder)
        for name, value in NEW.items():
            stack.run("config", "set", "--secret", "--stack", "services", name, stdin=value)
        with stack.config("services") as config:
            config["slipway:webservices"] = webservices(CHANGED)
            config["slipway:router"] = router(CERTIFICATES[1])
            name_images(config)
        plan = stack.preview("services")
        edited = stack.steps(*UP, "services")
        states = [stack.run("stack", "export", "--stack", name) for name in ("platform", "services")]
        return Layers(
            platform=platform,
            services=made,
            edited=edited,
            before=before,
            after=objects(folder),
            client_id=stack.run("stack", "output", "webservices_client_id", "--stack", "platform").strip(),
            lacking=lacking,
            hidden=secrets(stack, "services", world) | {*NEW.values(), *GIVEN.values()},
            shown="".join((json.dumps(plan), *states)),
        )


def router(certificate: str) -> Json:
    return {"tls": {"domains": ["models.example.com"], "certificate": certificate}}


def webservices(modes: dict[str, dict[str, int]]) -> list[Json]:
    """Give services in these modes, of which the first one uses the storage and exports telemetry."""
    echo = {"source_directory": "examples/echo", "entry_script": "score.py"}
    first, *rest = [{"name": name, **echo, **mode} for name, mode in modes.items()]
    return [first | {"collect_model_data": True, "enable_app_insights": True}, *rest]


def objects(folder: Path) -> dict[str, Json]:
    """Read the objects that would be in the cluster."""
    documents = [found for file in folder.rglob("*.yaml") for found in yaml.safe_load_all(file.read_text())]
    return {f"{found['kind']} {found['metadata']['name']}": found for found in documents}


def test_when_a_kubenet_cluster_is_made_then_rights_and_route_table_are_there_before(layers: Layers) -> None:
    order = [step.name for step in layers.platform]  # and Azure, with its delays, refused nothing
    before = order[: order.index("cluster")]
    assert before.count("network-nodes") == 1
    subnets = {"network-system", "network-router"}
    rights = {"subnet-system", "subnet-router", "route-table", "kubelet-operator"}
    assert {*subnets, *(f"cluster-{right}" for right in rights)} <= set(before)


def test_when_services_stand_on_a_platform_then_they_make_only_what_is_in_its_cluster(
    layers: Layers,
) -> None:
    packages = {step.type.partition(":")[0] for step in layers.services}
    assert packages == {"pulumi", "kubernetes", "random", "slipway"}
    assert not [step for step in layers.platform if step.type.startswith("kubernetes:")]


def test_when_a_service_on_a_platform_uses_the_storage_then_its_pods_are_the_platforms_identity(
    layers: Layers,
) -> None:
    made = {step.name for step in layers.platform}
    assert {"cluster-webservices-slipway-services", "cluster-models", "cluster-uploads"} <= made
    pod = layers.before["Deployment scaled"]["spec"]["template"]["spec"]
    account = layers.before[f"ServiceAccount {pod['serviceAccountName']}"]
    assert account["metadata"]["annotations"]["azure.workload.identity/client-id"] == layers.client_id
    assert "Secret scaled-insights" in layers.before


def test_when_the_platform_lists_other_services_then_the_preview_says_what_to_do(layers: Layers) -> None:
    said = "was not made for storage for namespace elsewhere; give its stack file the same"
    assert said in layers.lacking
    assert "Traceback" not in layers.lacking


def test_when_settings_of_replicas_change_then_scaled_ones_stay_and_fixed_ones_follow(
    layers: Layers,
) -> None:
    def replicas(found: dict[str, Json]) -> dict[str, int]:
        return {name: found[f"Deployment {name}"]["spec"]["replicas"] for name in MODES}

    assert replicas(layers.before) == {"scaled": 1, "fixed": 2, "to-fixed": 1, "to-scaled": 3}
    assert replicas(layers.after) == {"scaled": 1, "fixed": 4, "to-fixed": 5, "to-scaled": 3}


def test_when_a_key_changes_in_the_config_then_the_clusters_stays(layers: Layers) -> None:
    keys = layers.before["Secret scaled-keys"]
    assert KEY in {base64.b64decode(text).decode() for text in keys["data"].values()}
    assert layers.after["Secret scaled-keys"] == keys


def test_when_keys_and_certificates_are_given_then_they_are_in_no_state_or_plan(layers: Layers) -> None:
    certificate = layers.before["Secret slipway-router-tls"]["data"]
    assert base64.b64decode(certificate["tls.key"]).decode() in layers.hidden
    assert [secret for secret in layers.hidden if secret in layers.shown] == []


def test_when_the_certificate_changes_then_it_is_written_over_the_old_one(layers: Layers) -> None:
    assert {step.op for step in layers.edited if step.name == "router-tls"} == {"update"}
    certificate = layers.after["Secret slipway-router-tls"]["data"]["tls.crt"]
    assert base64.b64decode(certificate).decode() == CERTIFICATES[1]


def adopt(world: Slow, nodes: int) -> set[str]:
    """Let all that the example names exist; give the ids."""
    ids = set(re.findall(r"/subscriptions/\S+", ADOPTED.read_text()))
    pool = {"name": "system", "mode": "System", "count": nodes, "vmSize": "Standard_D4s_v5"}
    for one in ids:
        more = {"identity": {"type": "SystemAssigned"}, "agentPoolProfiles": [pool]}
        world.adopt(one, **(more if one == EXISTING["cluster"]["id"] else {}))
    return ids


def test_when_everything_is_adopted_then_nothing_of_it_changes(tmp_path: Path) -> None:
    with subscription(tmp_path / "existing") as (stack, world):
        ids = adopt(world, nodes=1)
        assert world.ids == ids
        adopted = {one: world.find(one) for one in ids}
        shutil.copy(ADOPTED, stack.project / "stacks")
        with stack.config("existing") as config:
            name_images(config)
        stack.create("existing")
        stack.into_files()
        made = stack.steps(*UP, "existing", "--policy-pack", "policies")
        assert lines(step for step in made if step.type.startswith("azure-native:")) == {
            "create authorization:RoleAssignment cluster-pull",
            "create applicationinsights:Component workspace-insights",
            "read containerservice:ManagedCluster cluster",
        }
        assert {step.op for step in stack.steps(*UP, "existing")} == {"read"}
        assert {one: world.find(one) for one in ids} == adopted
        stack.run(*DESTROY, "existing")
        assert {one: world.find(one) for one in world.ids} == adopted


def test_when_an_attached_cluster_is_too_small_for_production_then_nothing_is_made(tmp_path: Path) -> None:
    with subscription(tmp_path / "existing") as (stack, world):
        ids = adopt(world, nodes=2)
        shutil.copy(ADOPTED, stack.project / "stacks")
        with stack.config("existing") as config:
            config["slipway:azure"]["cluster"]["cluster_purpose"] = "FastProd"
        stack.create("existing")
        said = refused(stack, "up", "--yes", "--stack", "existing")
        assert "takes 3 nodes and 12 cores at least, and the cluster has 2 nodes and 8 cores" in said
        assert world.ids == ids
