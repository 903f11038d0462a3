"""The rules of the policy pack, over the shipped stacks with one setting or one resource flipped."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pulumi_policy import EnforcementLevel

from policies import cluster
from policies.rules import POLICIES
from slipway.engine import UNKNOWN, Graph, Value, run
from slipway.engine.policies import violations
from slipway.spec import AFTER_BUILD, IMAGE
from tests.unit.stack_flips import (
    CLUSTER,
    DEPLOYMENT,
    FIRST,
    FLIPS,
    ROUTE,
    STORAGE,
    Flip,
    beside,
    changed,
    copied,
    fields,
    unknown,
    without,
)

PROJECT = Path(__file__).parents[2]
ADVISORY = {policy.name for policy in POLICIES if policy.enforcement_level is EnforcementLevel.ADVISORY}


@cache
def shipped(stack: str) -> Graph:
    return run(PROJECT, stack)


@pytest.fixture
def prod() -> Graph:
    return shipped("prod")


def broken(graph: Graph) -> set[str]:
    """Give the names of the rules that a graph breaks."""
    names = {line.rpartition("(policy ")[2][:-1]: mandatory for mandatory, line in violations(graph, PROJECT)}
    assert all(mandatory is (name not in ADVISORY) for name, mandatory in names.items())
    return set(names)


@pytest.mark.parametrize("stack", ["local", "dev", "prod"])
def test_the_shipped_stacks_keep_all_rules(stack: str) -> None:
    assert list(violations(shipped(stack), PROJECT)) == []


@pytest.mark.parametrize("flip", FLIPS, ids=str)
def test_when_an_input_is_flipped_then_its_rule_is_broken_and_no_other(prod: Graph, flip: Flip) -> None:
    assert broken(flip(prod)) == {flip.rule}


def test_when_the_settings_cannot_be_read_then_a_rule_says_so(prod: Graph) -> None:
    for value in (7, UNKNOWN):
        flip = Flip("", "slipway:index:Platform", fields("settings.azure.location"), value)
        assert "settings-known" in broken(flip(prod))


@pytest.mark.parametrize("flip", FLIPS, ids=str)
def test_when_a_rule_meets_an_unknown_value_then_it_is_broken(prod: Graph, flip: Flip) -> None:
    assert flip.rule in broken(from_elsewhere(unknown(flip)(prod)))


def from_elsewhere(graph: Graph) -> Graph:
    """Let what Deployments do not know not be the digest of an image of ours, which may be unknown."""
    return changed(graph, DEPLOYMENT, lambda found: replace(found, property_dependencies={}), "diabetes")


CHANGES: list[tuple[str, Callable[[Graph], Graph]]] = [
    ("data-protected", lambda g: changed(g, STORAGE, lambda found: replace(found, protect=False))),
    ("data-protected", lambda g: changed(g, CLUSTER, lambda found: replace(found, protect=False))),
    ("egress-default-route", lambda g: without(g, ROUTE, addressPrefix="0.0.0.0/0")),
    ("egress-no-bypass", lambda g: beside(g, "azure-native:network:NatGateway", "nat", {})),
    ("egress-no-bypass", lambda g: beside(g, "azure-native:network:PublicIPAddress", "ip", {})),
    ("egress-no-bypass", lambda g: beside(g, "azure-native:network:PublicIPPrefix", "ips", {})),
    ("egress-no-bypass", lambda g: beside(g, ROUTE, "other", {
        "addressPrefix": "198.51.100.0/24", "nextHopType": "Internet"})),
    ("egress-no-bypass", lambda g: beside(g, ROUTE, "other", {
        "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.224.0.9"})),
    ("one-router", lambda g: copied(g, DEPLOYMENT, "router")),
    ("one-autoscaler", lambda g: scaler(g, "kubernetes:autoscaling/v2:HorizontalPodAutoscaler")),
    ("one-autoscaler", lambda g: scaler(g, "kubernetes:keda.sh/v1alpha1:ScaledObject")),
    ("one-autoscaler", lambda g: scaler(g, "kubernetes:autoscaling/v1:HorizontalPodAutoscaler", UNKNOWN)),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "change"), CHANGES)
def test_when_a_resource_is_added_or_removed_then_its_rule_is_broken_and_no_other(
    prod: Graph, rule: str, change: Callable[[Graph], Graph]
) -> None:
    assert broken(change(prod)) == {rule}


def scaler(graph: Graph, type_: str, name: Value = "diabetes") -> Graph:
    target: Value = {"kind": "Deployment", "name": name}
    metadata: Value = {"name": "scaler", "namespace": "slipway-services"}
    return beside(graph, type_, "scaler", {"metadata": metadata, "spec": {"scaleTargetRef": target}})


def test_every_rule_is_broken_by_a_test() -> None:
    by_hand = {"settings-known", "kubenet-retired"}
    flipped = {flip.rule for flip in FLIPS} | {rule for rule, _ in CHANGES} | by_hand
    assert {policy.name for policy in POLICIES} == flipped


def test_when_an_autoscaler_scales_what_is_not_ours_then_no_rule_is_broken(prod: Graph) -> None:
    type_ = "kubernetes:autoscaling/v2:HorizontalPodAutoscaler"
    assert broken(scaler(prod, type_, "something-else")) == set()


def test_when_an_image_waits_for_its_build_then_that_unknown_passes(prod: Graph) -> None:
    waits = Flip("", DEPLOYMENT, (*FIRST, "image"), AFTER_BUILD, "diabetes")
    assert broken(waits(prod)) == set()


def test_when_a_stack_on_azure_names_its_own_image_by_tag_then_that_is_refused(prod: Graph) -> None:
    tag = "slipwayprod.azurecr.io/slipway/diabetes:0123"
    named = changed(prod, IMAGE, lambda found: replace(found, outputs={"reference": tag}), "diabetes")
    assert broken(Flip("", DEPLOYMENT, (*FIRST, "image"), tag, "diabetes")(named)) == {"image-by-digest"}


def test_when_no_settings_are_said_then_a_cluster_is_judged_as_production(prod: Graph) -> None:
    there = {CLUSTER, "pulumi:providers:azure-native"}

    def quiet(graph: Graph) -> Graph:
        return replace(graph, registrations=tuple(f for f in graph.registrations if f.type in there))

    opened = Flip("", CLUSTER, fields("apiServerAccessProfile"), None)
    assert broken(quiet(opened(prod))) == {"api-server-closed"}


def test_when_a_cluster_is_only_read_then_it_is_not_judged(prod: Graph) -> None:
    opened = Flip("", CLUSTER, fields("apiServerAccessProfile"), UNKNOWN)(prod)
    assert broken(changed(opened, CLUSTER, lambda found: replace(found, external=True))) == set()


def test_a_violation_names_field_value_rule_and_remedy(prod: Graph) -> None:
    flip = Flip("", CLUSTER, fields("networkProfile.networkPolicy"), "none")
    assert [line for _, line in violations(flip(prod), PROJECT)] == [
        'ManagedCluster cluster: networkProfile.networkPolicy = "none": enforces no NetworkPolicy; '
        "set azure.network.network_policy (policy network-policy-enforced)"
    ]


def test_when_kubenet_has_retired_then_it_is_refused(prod: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    kubenet = Flip("", CLUSTER, fields("networkProfile.networkPlugin"), "kubenet")(prod)
    monkeypatch.setattr(cluster, "_today", lambda: date(2028, 3, 30))
    assert broken(kubenet) == {"kubenet-retiring"}
    monkeypatch.setattr(cluster, "_today", lambda: date(2028, 3, 31))
    assert broken(kubenet) == {"kubenet-retired"}


@given(st.dates())
def test_kubenet_is_retired_from_its_date_on(day: date) -> None:
    assert cluster.retired(day) == (day >= date(2028, 3, 31))


def test_every_rule_is_in_the_documents_with_its_level_and_reason() -> None:
    rows = re.findall(
        r"^\| `(.+)` \| (\w+) \| (.+) \|$", (PROJECT / "docs/policies.md").read_text(), re.MULTILINE
    )
    levels = {
        policy.name: (policy.enforcement_level or EnforcementLevel.MANDATORY).value for policy in POLICIES
    }
    assert rows == [(policy.name, levels[policy.name], policy.description) for policy in POLICIES]


Settings = dict[str, Any]


def opened(stack: Settings) -> None:
    del stack["slipway:azure"]["deployer_ranges"]
    stack["slipway:webservices"][0]["environment"] = {"image": "docker.io/library/nginx:latest"}


def small(stack: Settings) -> None:
    stack["slipway:azure"] |= {"egress": {"outbound_type": "userAssignedNATGateway"}, "private": True}
    stack["slipway:azure"]["network"] = {"model": "kubenet"}
    stack["slipway:unauthenticated"] = {"diabetes": "a public demonstration"}
    stack["slipway:webservices"][0]["auth_enabled"] = False


@pytest.mark.parametrize(
    ("stack", "change", "rules"),
    [
        ("prod", opened, {"api-server-closed", "image-from-registry", "image-by-digest"}),
        ("dev", small, {"kubenet-retiring"}),
    ],
)
def test_when_settings_are_flipped_then_their_rules_are_broken_and_no_other(
    tmp_path: Path, stack: str, change: Callable[[Settings], None], rules: set[str]
) -> None:
    assert broken(run(project_with(tmp_path, stack, change), stack)) == rules


def project_with(folder: Path, stack: str, change: Callable[[Settings], None]) -> Path:
    for name in ("__main__.py", "Pulumi.yaml", "components", "examples"):
        (folder / name).symlink_to(PROJECT / name)
    (folder / "stacks").mkdir()
    content: Mapping[str, Any] = yaml.safe_load((PROJECT / f"stacks/Pulumi.{stack}.yaml").read_text())
    change(content["config"])
    (folder / f"stacks/Pulumi.{stack}.yaml").write_text(yaml.safe_dump(content))
    return folder
