"""Our stacks on Azure as `pulumi` makes, changes and deletes them, with the stand-in for azure-native.

A stack lives once, from its preview to its end; the tests look at what was seen of that. Kubernetes objects
are written as files. What only a cluster can show is not here: keys and replicas that were changed inside it.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import yaml

from slipway.engine import run
from tests.engine import real, recording
from tests.engine.azure import DESTROY, UP, Slow, previewed_in_cluster, refused, secrets, subscription
from tests.engine.real import Json, Step
from tests.unit.azure_programs import answer

ROOT = Path(__file__).parents[2]
BY_PROVIDER = {"roleAssignmentName", "__createBeforeDelete"}
"""Inputs that azure-native fills in where a stack leaves the name to it."""
DATA = {
    "resources:ResourceGroup",
    "containerregistry:Registry",
    "keyvault:Vault",
    "operationalinsights:Workspace",
    "storage:BlobContainer",
    "storage:BlobServiceProperties",
    "storage:StorageAccount",
}

pytestmark = pytest.mark.skipif(
    not real.available(),
    reason="pulumi and its plugins are not on PATH: the stacks on Azure ran on our engine alone",
)


@dataclass(frozen=True)
class Life:
    """What was seen of a stack from its preview to its end."""

    ours: recording.Facts
    planned: recording.Facts
    made: list[Step]
    again: list[Step]
    """of a second `up`, after AKS added nodes"""
    nodes: tuple[dict[str, int], dict[str, int]]
    """by pool: after AKS added some, and after all that followed"""
    previewed: list[Step]
    """what the edit would change, with the objects in a cluster"""
    edited: list[Step]
    rules: list[Json]
    """the firewall's collections"""
    violating: str
    """what `up` said of a stack that breaks policies"""
    destroying: str
    """what `destroy` said while there was protection"""
    gone: set[str]
    """what both made disappear"""
    left: set[str]
    """the types of what `destroy` left without protection"""
    hidden: set[str]
    shown: str
    """states and plans, in which nothing hidden may stand"""


def live(folder: Path, name: str, edit: Callable[[Json], None]) -> Life:
    """Lead a stack through its life."""
    with subscription(folder) as (stack, world):
        up = (*UP, name, "--policy-pack", "policies")
        stack.create(name)
        states, plan = stack.preview(name)
        ours = recording.of_graph(run(stack.project, name, invoke=answer))
        stack.into_files()
        made = stack.steps(*up)
        hidden = secrets(stack, name, world)
        world.add_nodes()
        nodes = world.nodes
        stack.run("refresh", "--yes", "--skip-preview", "--exclude", "**kubernetes:**", "--stack", name)
        again = stack.steps(*up)
        with stack.config(name) as config:
            edit(config)
        previewed = previewed_in_cluster(stack, name)
        later = (stack.project / "plan.json").read_text()
        edited = stack.steps(*up)
        state = stack.run("stack", "export", "--stack", name)
        rules = [
            one
            for group in world.of("network:FirewallPolicyRuleCollectionGroup")
            for one in group.given["ruleCollections"]
        ]
        before, after = world.ids, {pool: world.nodes[pool] for pool in nodes}
        with stack.config(name) as config:
            config["slipway:router"] |= {"image": "docker.io/library/haproxy:latest"}
        violating = refused(stack, "up", "--yes", "--stack", name, "--policy-pack", "policies")
        destroying = refused(stack, "destroy", "--yes", "--stack", name)
        gone = before - world.ids
        stack.run("state", "unprotect", "--all", "--yes", "--stack", name)
        stack.run(*DESTROY, name)
        return Life(
            ours=ours,
            planned=recording.of_recording(recording.kept(states, plan)),
            made=made,
            again=again,
            nodes=(nodes, after),
            previewed=previewed,
            edited=edited,
            rules=rules,
            violating=violating,
            destroying=destroying,
            gone=gone,
            left={found.type for identity in world.ids if (found := world.find(identity))},
            hidden=hidden,
            shown="".join((json.dumps([states, plan]), later, state)),
        )


def edit_dev(config: Json) -> None:
    cluster = config["slipway:azure"]["cluster"]
    cluster["system_pool"]["max_count"] = 4
    cluster["pools"] = [{"name": "extra", "vm_size": "Standard_D4s_v5", "count": 1}]


def edit_prod(config: Json) -> None:
    pools = config["slipway:azure"]["cluster"]["pools"]
    pools[0]["max_count"] = 10
    pools.append({"name": "batch", "vm_size": "Standard_D8s_v5", "count": 1, "zones": ["1"]})
    host = {"host": "more.example.com", "reason": "looks up what is new"}
    config["slipway:webservices"][1]["egress"].append(host)


EDITS = {"dev": edit_dev, "prod": edit_prod}
EDITED = {
    "dev": {
        "create network:NetworkSecurityGroup network-user",
        "create network:Subnet network-user",
        "create authorization:RoleAssignment cluster-subnet-user",
        "create containerservice:AgentPool cluster-extra",
        "update containerservice:ManagedCluster cluster agentPoolProfiles[0].maxCount",
    },
    "prod": {
        "create containerservice:AgentPool cluster-batch",
        "update containerservice:AgentPool cluster-services maxCount",
        "update network:FirewallPolicyRuleCollectionGroup firewall-application ruleCollections[0].rules[26]",
    },
}
IN_STORE = {"workspace-blobs", "workspace-models", "workspace-outputs", "workspace-modeldata"}
FIRST_PROTECTED = {
    "dev": {"workspace-registry", "workspace-vault", "workspace-logs", *IN_STORE},
    "prod": {"cluster", *IN_STORE},  # on the others something of these stands, or an endpoint of theirs
}
"""What `destroy` comes to first; what they stand on it does not even try."""
Lives = Callable[[str], Life]
both = pytest.mark.parametrize("stack", EDITS)


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Lives:
    @cache
    def found(name: str) -> Life:
        return live(tmp_path_factory.mktemp(name), name, EDITS[name])

    return found


def lines(steps: Iterable[Step]) -> set[str]:
    """Say what was done, but for our own components, which only show it."""
    return {
        " ".join([step.op, step.type.partition(":")[2], step.name, *sorted(step.changed)])
        for step in steps
        if not step.type.startswith("slipway:")
    }


@both
def test_when_a_stack_is_previewed_then_our_graph_equals_it(life: Lives, stack: str) -> None:
    found = life(stack)
    assert sorted(found.ours) == sorted(found.planned)
    for urn, facts in found.planned.items():
        filled = BY_PROVIDER - found.ours[urn]["inputs"].keys()
        inputs = {name: value for name, value in facts["inputs"].items() if name not in filled}
        assert found.ours[urn] == facts | {"inputs": inputs}, urn


@both
def test_when_a_stack_is_deployed_then_the_second_time_changes_nothing(life: Lives, stack: str) -> None:
    found = life(stack)
    assert {step.op for step in found.made} == {"create"}
    assert len(found.made) == len(found.ours)
    assert found.again == []


@both
def test_when_aks_adds_nodes_then_they_stay(life: Lives, stack: str) -> None:
    scaled, after = life(stack).nodes
    assert scaled == after


@both
def test_when_settings_change_then_only_what_follows_from_them_does(life: Lives, stack: str) -> None:
    found = life(stack)
    assert lines(found.edited) == EDITED[stack]
    assert lines(found.previewed) == EDITED[stack]


@both
def test_when_a_stack_is_known_then_its_secrets_are_in_no_state_or_plan(life: Lives, stack: str) -> None:
    found = life(stack)
    assert len(found.hidden) >= 5
    assert [secret for secret in found.hidden if secret in found.shown] == []


def test_when_a_firewall_is_made_then_each_group_waits_for_the_one_before_and_none_is_empty(
    life: Lives,
) -> None:
    rules = life("prod").rules  # Azure refuses two writes at a time, and what is empty
    assert [collection["name"] for collection in rules] == ["dnat", "network", "application"]
    assert all(collection["rules"] for collection in rules)


@both
def test_when_a_policy_is_broken_then_up_names_it_and_stops(life: Lives, stack: str) -> None:
    found = life(stack)
    named = {line.split()[2] for line in found.violating.splitlines() if "[mandatory]" in line}
    assert named == {"image-by-digest", "image-from-registry"}
    assert found.gone == set()


@both
def test_when_a_stack_is_destroyed_then_it_names_what_is_protected_and_all_stays(
    life: Lives, stack: str
) -> None:
    found = life(stack)
    named = set(re.findall(r'::([\w-]+)" cannot be deleted\n +because it is protected', found.destroying))
    assert named == FIRST_PROTECTED[stack]
    assert found.gone == set()


@both
def test_when_protection_is_taken_away_then_destroy_leaves_the_data_alone(life: Lives, stack: str) -> None:
    assert life(stack).left == DATA


# Two layers: a platform with kubenet, and services on it with a certificate and a key of their own.

KEY, OTHER_KEY = "planted-primary-key-0123456789abcdef", "planted-another-key-0123456789abcdef"
GIVEN = {
    "slipway:router.tls_certificate": "planted-certificate",
    "slipway:router.tls_key": "planted-certificates-key",
    "slipway:scaled.primary_key": KEY,
}
MODES = {"scaled": {}, "fixed": {"num_replicas": 2}, "to-fixed": {}, "to-scaled": {"num_replicas": 3}}
CHANGED = {
    "scaled": {"autoscale_min_replicas": 2},
    "fixed": {"num_replicas": 4},
    "to-fixed": {"num_replicas": 5},
    "to-scaled": {"autoscale_min_replicas": 2},
}


@dataclass(frozen=True)
class Layers:
    """What was seen of two stacks, the one on the other."""

    platform: list[Step]
    services: list[Step]
    before: dict[str, Json]
    after: dict[str, Json]
    """the Kubernetes objects by kind and name, before and after an edit of modes and key"""
    hidden: set[str]
    shown: str


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Layers:
    with subscription(tmp_path_factory.mktemp("layers")) as (stack, world):
        with stack.config("dev") as shipped:
            azure: Json = shipped["slipway:azure"] | {"network": {"model": "kubenet"}}
        with stack.config("platform") as config:
            config |= {"slipway:azure": azure, "slipway:layer": "platform"}
        with stack.config("services") as config:
            config |= {"slipway:azure": azure, "slipway:layer": "services"}
            config["slipway:platform_stack"] = "organization/slipway/platform"
            config["slipway:router"] = {"tls": {"domains": ["models.example.com"]}}
            config["slipway:webservices"] = webservices(MODES)
        stack.create("platform")
        stack.create("services", GIVEN)
        folder = stack.into_files()
        platform = stack.steps(*UP, "platform")
        made = stack.steps(*UP, "services")
        before = objects(folder)
        arguments = ("config", "set", "--secret", "--stack", "services", "slipway:scaled.primary_key")
        stack.run(*arguments, stdin=OTHER_KEY)
        with stack.config("services") as config:
            config["slipway:webservices"] = webservices(CHANGED)
        plan = stack.preview("services")
        stack.run(*UP, "services")
        states = [stack.run("stack", "export", "--stack", name) for name in ("platform", "services")]
        return Layers(
            platform=platform,
            services=made,
            before=before,
            after=objects(folder),
            hidden=secrets(stack, "services", world) | {OTHER_KEY, *GIVEN.values()},
            shown="".join((json.dumps(plan), *states)),
        )


def webservices(modes: dict[str, dict[str, int]]) -> list[Json]:
    echo = {"source_directory": "examples/echo", "entry_script": "score.py"}
    return [{"name": name, **echo, **mode} for name, mode in modes.items()]


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


# Adopting everything.

ADOPTED = ROOT / "examples" / "existing" / "Pulumi.existing.yaml"
EXISTING = yaml.safe_load(ADOPTED.read_text())["config"]["slipway:azure"]


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
