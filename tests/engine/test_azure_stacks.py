"""Our stacks on Azure as `pulumi` makes, changes and deletes them, with the stand-in for azure-native.

A stack lives once, from its preview to its end; the tests look at what was seen of that. Kubernetes objects
are written as files. What only a cluster can show is not here: keys and replicas that were changed inside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from slipway.engine import run
from tests.engine import real, recording
from tests.engine.azure import DESTROY, UP, lines, previewed_in_cluster, refused, secrets, subscription
from tests.engine.real import Json, Step
from tests.engine.test_policy_pack import name_images
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

if not real.available():
    reason = "pulumi and its plugins are not on PATH: stacks on Azure ran on our engine alone"
    pytest.skip(reason, allow_module_level=True)


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
        with stack.config(name) as config:
            name_images(config)
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
