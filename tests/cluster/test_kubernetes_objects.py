"""All Kubernetes objects of the example stacks before a real API server: strict, and within Pod Security."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from slipway.images import store
from slipway.images.built import Built
from slipway.images.cache import Cache
from slipway.images.oci import CONFIG, Manifest
from slipway.images.recipe import Recipe, environment_hash, router_recipe, webservice_recipe
from slipway.spec import DEVICE_PLUGIN_NAMESPACE, ROUTER_NAMESPACE, WebserviceSpec
from tests.cluster.kubernetes.cluster import Cluster
from tests.cluster.kubernetes.stack import ROOT, copy_project, slipway

FILES = {
    path.suffixes[0][1:]: path
    for path in [*ROOT.glob("stacks/Pulumi.*.yaml"), *ROOT.glob("examples/*/Pulumi.*.yaml")]
}
"""The example stacks."""
ON_AZURE = {
    "tenant_id": "11111111-2222-3333-4444-555555555555",
    "router_client_id": "22222222-3333-4444-5555-666666666666",
}
"""What `pulumi stack output --json` would print, as far as objects need it."""
SECRET_PROVIDER_CLASS: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "secretproviderclasses.secrets-store.csi.x-k8s.io"},
    "spec": {
        "group": "secrets-store.csi.x-k8s.io",
        "scope": "Namespaced",
        "names": {"kind": "SecretProviderClass", "plural": "secretproviderclasses"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "provider": {"type": "string"},
                                    "parameters": {
                                        "type": "object",
                                        "additionalProperties": {"type": "string"},
                                    },
                                },
                            }
                        },
                    }
                },
            }
        ],
    },
}
"""The one kind that is not Kubernetes' own, as far as it counts here: AKS's add-on brings it."""
REALLY = {"Namespace", "ServiceAccount"}
"""Kinds that others cannot be tried without."""


@pytest.fixture(name="objects", scope="module", params=sorted(FILES))
def _objects(
    request: pytest.FixtureRequest, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    """Give the objects of a stack; their namespaces and service accounts are on the cluster."""
    stack: str = request.param
    project = tmp_path_factory.mktemp(stack)
    copy_project(project)
    shutil.copy(FILES[stack], project / "stacks" / f"Pulumi.{stack}.yaml")
    settings = yaml.safe_load(FILES[stack].read_text())["config"]
    seem_built(router_recipe())
    for service in settings["slipway:webservices"]:
        seem_built(webservice_recipe(WebserviceSpec.model_validate(service), project))
    (project / "outputs.json").write_text(json.dumps(ON_AZURE))
    secrets = project / "secrets.yaml"
    text = slipway(project, "render", "-s", stack, "--secrets", str(secrets), "--outputs", "outputs.json")
    objects = [*yaml.safe_load_all(text), *yaml.safe_load_all(secrets.read_text())]
    apply(cluster, [obj for obj in objects if obj["kind"] in REALLY])
    return objects


@pytest.fixture(autouse=True, scope="module")
def _prepared(cluster: Cluster) -> Iterator[None]:
    apply(cluster, [SECRET_PROVIDER_CLASS])
    name = f"crd/{SECRET_PROVIDER_CLASS['metadata']['name']}"
    cluster.kubectl("wait", "--for=condition=Established", name)
    yield
    namespaces = (ROUTER_NAMESPACE, "slipway-services", DEVICE_PLUGIN_NAMESPACE)
    cluster.kubectl("delete", "--ignore-not-found", name, *(f"namespace/{one}" for one in namespaces))


def seem_built(recipe: Recipe) -> None:
    """Let an image count as built on this machine, with nothing in its base or environment."""
    cache = Cache()
    config = json.dumps({"config": {"Env": ["PYTHON_VERSION=3.12"]}}).encode()
    built = Built(Manifest(cache.put(config, CONFIG), ()), config)
    known = store.Known(built, built.manifest.digest)
    store.remember("bases", store.key(recipe.base_image, recipe.architecture), known, cache)
    store.remember("environments", environment_hash(recipe, known.digest), known, cache)


def apply(cluster: Cluster, objects: list[dict[str, Any]], *options: str) -> str:
    command = ["apply", "--server-side", "--validate=strict", "--filename=-", *options]
    return cluster.kubectl(*command, stdin=yaml.safe_dump_all(objects))


def pods(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the pods that Deployments and DaemonSets would make."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                **obj["spec"]["template"]["metadata"],
                "name": obj["metadata"]["name"],
                "namespace": obj["metadata"]["namespace"],
            },
            "spec": obj["spec"]["template"]["spec"],
        }
        for obj in objects
        if obj["kind"] in {"DaemonSet", "Deployment"}
    ]


def test_the_api_server_takes_every_object_as_it_is(cluster: Cluster, objects: list[dict[str, Any]]) -> None:
    said = apply(cluster, objects, "--dry-run=server")
    assert len(said.splitlines()) == len(objects)
    assert all(line.endswith("serverside-applied (server dry run)") for line in said.splitlines())


def test_every_pod_is_within_pod_security_restricted_but_the_device_plugin(
    cluster: Cluster, objects: list[dict[str, Any]]
) -> None:
    levels = {
        obj["metadata"]["name"]: obj["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        for obj in objects
        if obj["kind"] == "Namespace"
    }
    assert {name for name, level in levels.items() if level != "restricted"} <= {DEVICE_PLUGIN_NAMESPACE}
    made = pods(objects)
    assert made
    assert len(apply(cluster, made, "--dry-run=server").splitlines()) == len(made)


def test_a_field_that_kubernetes_does_not_know_is_refused(
    cluster: Cluster, objects: list[dict[str, Any]]
) -> None:
    pod = pods(objects)[0]
    with pytest.raises(AssertionError, match="field not declared in schema"):
        apply(cluster, [{**pod, "spec": {**pod["spec"], "runAsRoot": True}}], "--dry-run=server")


def test_a_pod_beyond_pod_security_is_refused(cluster: Cluster, objects: list[dict[str, Any]]) -> None:
    pod = next(pod for pod in pods(objects) if pod["metadata"]["namespace"] != DEVICE_PLUGIN_NAMESPACE)
    with pytest.raises(AssertionError, match='violates PodSecurity "restricted:latest": host namespaces'):
        apply(cluster, [{**pod, "spec": {**pod["spec"], "hostNetwork": True}}], "--dry-run=server")
