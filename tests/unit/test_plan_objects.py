"""Kubernetes objects against Kubernetes' own schemas: what is found, what passes, what is never repeated."""

from __future__ import annotations

from typing import Any

import pytest

from slipway.engine import UNKNOWN, Graph, Reference, Registration, Secret, Value
from slipway.plan import mistakes_of_objects
from slipway.plan.objects import mistakes


def registration(type_: str, inputs: dict[str, Value], **more: Any) -> Registration:
    return Registration(f"urn:pulumi:dev::test::{type_}::a", type_, "a", True, inputs=inputs, **more)


def deployment(**container: Value) -> dict[str, Value]:
    containers: Value = [{"name": "a", "image": "a", **container}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "a"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": containers}},
        },
    }


def found(inputs: dict[str, Value], version: str = "") -> list[str]:
    return mistakes(registration("kubernetes:apps/v1:Deployment", inputs), version)


IN_CONTAINER = "spec.template.spec.containers[0]"


@pytest.mark.parametrize(
    ("container", "line"),
    [
        ({"imagee": "b"}, 'imagee = "b": no such field; did you mean `image`?'),
        (
            {"ports": [{"containerPort": "80"}]},
            'ports[0].containerPort = "80": has another type; give integer',
        ),
        (
            {"ports": [dict[str, Value]()]},
            "ports[0].containerPort: is required; Kubernetes gives it no default",
        ),
        (
            {"resources": {"limits": {"cpu": [1]}}},
            "resources.limits.cpu = [1]: has another type; give string or number",
        ),
    ],
)
def test_when_a_field_is_wrong_then_its_line_names_path_value_rule_and_remedy(
    container: dict[str, Value], line: str
) -> None:
    assert found(deployment(**container)) == [f"{IN_CONTAINER}.{line}"]


def test_when_several_fields_are_wrong_then_all_are_told_at_once() -> None:
    inputs = deployment(imagee="b", ports=[{}, {"containerPort": True}])
    assert len(found({**inputs, "specc": {}})) == 4


def test_when_values_are_unknown_then_nothing_is_said_of_them() -> None:
    unknown: dict[str, Value] = {
        "image": UNKNOWN,
        "env": UNKNOWN,
        "ports": [UNKNOWN],
        "resources": {"limits": {"cpu": UNKNOWN}},
    }
    assert found(deployment(**unknown)) == []
    assert found({**deployment(), "metadata": UNKNOWN, "spec": Secret(UNKNOWN)}) == []
    assert found(deployment(image=Reference("urn", UNKNOWN))) == []


def test_when_a_value_is_secret_then_it_is_judged_and_not_repeated() -> None:
    inputs = deployment(args=Secret([7]), env=Secret([{"namee": "planted", "planted": 1}]))
    assert found(inputs) == [
        f'{IN_CONTAINER}.args[0] = "[secret]": has another type; give string',
        f"{IN_CONTAINER}.env[0].name: is required; Kubernetes gives it no default",
        f'{IN_CONTAINER}.env[0].[secret] = "[secret]": no such field; see Kubernetes\' reference',
    ]


@pytest.mark.parametrize(
    ("type_", "inputs", "more"),
    [
        ("kubernetes:apps/v1:DeploymentPatch", {"apiVersion": "apps/v1", "kind": "Deployment"}, {}),
        (
            "kubernetes:apps/v1:Deployment",
            {"apiVersion": "apps/v1", "kind": "Deployment"},
            {"external": True},
        ),
        ("kubernetes:helm.sh/v3:Release", {"chart": "a"}, {}),
        ("kubernetes:x.io/v1:Thing", {"apiVersion": "x.io/v1", "kind": "Thing", "a": "b"}, {}),
        ("kubernetes:apps.x.io/v1:Deployment", {"apiVersion": "apps.x.io/v1", "kind": "Deployment"}, {}),
        ("kubernetes:apps/v1:Deployment", {"apiVersion": UNKNOWN, "kind": "Deployment"}, {}),
    ],
)
def test_when_an_object_is_not_kubernetes_own_and_whole_then_it_is_left_alone(
    type_: str, inputs: dict[str, Value], more: dict[str, Any]
) -> None:
    assert mistakes(registration(type_, inputs, **more)) == []


@pytest.mark.parametrize(
    ("version", "known"), [("1.25", False), ("1.27.3", False), ("1.34.2", True), ("1.999", True), ("", True)]
)
def test_when_a_field_is_newer_than_the_cluster_then_it_is_no_field(version: str, known: bool) -> None:
    # of containers since Kubernetes 1.34
    inputs = deployment(restartPolicy="Always")
    wrong = [line.partition(";")[0] for line in found(inputs, version)]
    assert wrong == ([] if known else [f'{IN_CONTAINER}.restartPolicy = "Always": no such field'])


def test_when_a_graph_is_judged_then_its_clusters_version_counts_and_secrets_are_masked() -> None:
    cluster = Registration(
        "urn:pulumi:dev::test::azure-native:containerservice:ManagedCluster::c",
        "azure-native:containerservice:ManagedCluster",
        "c",
        True,
        inputs={"kubernetesVersion": "1.27"},
    )
    secret = registration("kubernetes:core/v1:Secret", {"stringData": Secret({"a": "planted-key"})})
    wrong = registration("kubernetes:apps/v1:Deployment", deployment(restartPolicy="planted-key"))
    graph = Graph("test", "dev", (cluster, secret, wrong), {})
    (line,) = mistakes_of_objects(graph)
    assert line.startswith(f'Deployment a: {IN_CONTAINER}.restartPolicy = "[secret]": no such field')
