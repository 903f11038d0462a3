"""The graph of a stack, every resource and field spelled out in `golden/`, and what must always hold of it.

`local` is the stack as it is shipped, whatever its file has become since; `variety` turns on the rest.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import kubernetes_validate  # pyright: ignore[reportMissingTypeStubs]  # it has none
import pulumi_kubernetes as k8s
import pytest
import yaml

from components.router import GRACE_SECONDS, router_url
from slipway.engine import EngineError, Graph, run
from slipway.engine.graph import Secret
from slipway.kube.reachability import allowed, outside, pods, reachable
from slipway.kube.resolve import Resolved, Resolver, from_graph
from slipway.plan import to_json
from slipway.router.config import longest_ms
from slipway.router.control import NOTICE_SECONDS
from slipway.router.state import Limits, Service
from slipway.spec import MAX_TIMEOUT_MS, SERVING, Serving
from tests.unit.component_stacks import LOCAL, PROJECT, SECURE, VARIETY, on_a_platform, project_with

Golden = Callable[[str, str], None]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project_with(tmp_path_factory.mktemp("local"), LOCAL, "local")


@pytest.fixture(scope="module")
def local(shipped: Path) -> Graph:
    return run(shipped, "local", resolve=Resolver())


@pytest.fixture(scope="module")
def variety(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return run(project_with(tmp_path_factory.mktemp("variety"), VARIETY), "test", resolve=Resolver())


@pytest.fixture(scope="module")
def prod() -> Graph:
    return run(PROJECT, "prod")


@pytest.fixture(params=["local", "variety"])
def graph(request: pytest.FixtureRequest) -> Graph:
    return request.getfixturevalue(request.param)


def spelled_out(graph: Graph) -> str:
    """Give all resources with their options and inputs; what depends on file contents is replaced."""
    plan: dict[str, list[dict[str, Any]]] = json.loads(json.dumps(to_json(graph)))
    resources = sorted(plan["resources"], key=lambda resource: str(resource["urn"]))
    for resource in resources:
        resource.pop("source", None)
        resource.pop("outputs", None)
    text = yaml.safe_dump_all(resources, sort_keys=False, width=110)
    return re.sub(r"\b[0-9a-f]{32}\b", "HASH", text)


def test_the_local_stack_is_spelled_out(local: Graph, golden: Golden) -> None:
    golden("local.yaml", spelled_out(local))


def test_a_stack_with_everything_else_is_spelled_out(variety: Graph, golden: Golden) -> None:
    golden("variety.yaml", spelled_out(variety))


def test_all_objects_are_valid_kubernetes(graph: Graph) -> None:
    for obj in from_graph(graph).objects:
        kubernetes_validate.validate(obj, "1.34", strict=True)


def test_a_service_that_may_have_no_replica_begins_without_one(tmp_path: Path) -> None:
    scaled = VARIETY["slipway:webservices"][0] | {"autoscale_min_replicas": 0}
    graph = run(
        project_with(tmp_path, VARIETY | {"slipway:webservices": [scaled]}), "test", resolve=Resolver()
    )
    (found,) = (
        obj
        for obj in from_graph(graph).objects
        if (obj["kind"], obj["metadata"]["name"]) == ("Deployment", "scaled")
    )
    assert found["spec"]["replicas"] == 0
    kubernetes_validate.validate(found, "1.34", strict=True)


def test_versions_have_all_but_keys_of_their_own(tmp_path: Path) -> None:
    service = {
        "name": "iris",
        "environment": {"image": "registry/iris@sha256:3"},
        "namespace": "team-a",
        "versions": {
            "blue": {"is_default": True, "num_replicas": 3},
            "green": {"traffic_percentile": 5, "environment": {"image": "registry/iris@sha256:4"}},
        },
    }
    graph = run(
        project_with(tmp_path, VARIETY | {"slipway:webservices": [service]}), "test", resolve=Resolver()
    )
    objects = [one for one in from_graph(graph).objects if one["metadata"]["name"].startswith("iris")]
    found = {(one["kind"], one["metadata"]["namespace"], one["metadata"]["name"]): one for one in objects}
    assert found.keys() == {("Secret", "slipway", "iris-keys")} | {
        (kind, "team-a", f"iris-{version}")
        for kind in ("Deployment", "Service", "NetworkPolicy")
        for version in ("blue", "green")
    }
    assert found["Secret", "slipway", "iris-keys"]["metadata"]["labels"]["slipway/webservice"] == "iris"
    blue, green = (found["Deployment", "team-a", f"iris-{version}"] for version in ("blue", "green"))
    assert (blue["spec"]["replicas"], green["spec"]["replicas"]) == (3, 1)
    images = [one["spec"]["template"]["spec"]["containers"][0]["image"] for one in (blue, green)]
    assert images == ["registry/iris@sha256:3", "registry/iris@sha256:4"]
    assert json.loads(green["metadata"]["annotations"][SERVING])["version"] == {
        "endpoint": "iris",
        "name": "green",
        "traffic_percentile": 5,
        "is_default": False,
        "is_control_version_type": False,
    }
    assert list(cast("dict[str, Any]", graph.outputs["scoring_uris"])) == ["iris"]


def test_who_may_talk_to_whom(local: Graph, variety: Graph) -> None:
    objects = from_graph(variety).objects
    scaled, router = (
        next(pod for pod in pods(objects) if pod.name == name) for name in ("scaled", "slipway-router")
    )
    talks = {(a.name, b.name, port.name) for a, b, port in reachable(objects) if a.name != b.name}
    assert talks == {
        ("slipway-router", "scaled", "http"),
        ("slipway-router", "open-image", "http"),
        ("slipway-router", "registered", "http"),
        ("slipway-router", "collecting", "http"),
        ("scaled", "slipway-router", "http"),
        ("open-image", "slipway-router", "http"),
        ("registered", "slipway-router", "http"),
        ("collecting", "slipway-router", "http"),
    }
    http, admin, peer = router.ports
    anyone = outside("203.0.113.7")
    assert allowed(objects, anyone, router, http)
    assert not allowed(objects, anyone, router, admin)
    assert not allowed(objects, anyone, router, peer)
    assert not allowed(objects, scaled, router, peer)
    assert allowed(objects, router, router, peer)
    assert not allowed(objects, anyone, scaled, scaled.ports[0])
    assert not allowed(objects, scaled, scaled, scaled.ports[0])
    assert {(a.name, b.name) for a, b, _ in reachable(from_graph(local).objects) if a.name != b.name} == {
        ("slipway-router", "diabetes"),
        ("diabetes", "slipway-router"),
    }


def test_replicas_of_a_scaled_service_are_the_routers_and_fixed_ones_pulumis(variety: Graph) -> None:
    scaled, fixed = (
        next(r for r in variety.registrations if r.type.endswith(":Deployment") and r.name == name)
        for name in ("scaled", "open-image")
    )
    assert tuple(scaled.ignore_changes) == ("spec.replicas",)
    assert "pulumi.com/patchForce" not in str(scaled.inputs)
    assert tuple(fixed.ignore_changes) == ()
    assert "pulumi.com/patchForce" in str(fixed.inputs)


def test_keys_live_in_one_secret_of_the_routers_namespace(variety: Graph) -> None:
    secrets = [r for r in variety.registrations if r.type.endswith(":Secret")]
    assert [r.name for r in secrets] == ["scaled-keys"]
    assert tuple(secrets[0].ignore_changes) == ("data", "stringData")
    objects = from_graph(variety).objects
    keys = next(obj for obj in objects if obj["kind"] == "Secret")["stringData"]
    assert keys["primary"] != keys["secondary"]
    everything = json.dumps(to_json(variety)) + str([obj for obj in objects if obj["kind"] != "Secret"])
    assert not any(key in everything for key in keys.values())


def test_serving_is_what_the_router_reads(variety: Graph) -> None:
    deployments = {
        obj["metadata"]["name"]: obj["metadata"].get("annotations", {})
        for obj in from_graph(variety).objects
        if obj["kind"] == "Deployment"
    }
    assert SERVING not in deployments["slipway-router"]
    assert Serving.model_validate_json(deployments["scaled"][SERVING]).scoring_timeout_ms == 1500
    assert Serving.model_validate_json(deployments["open-image"][SERVING]).num_replicas == 3


def test_scoring_uris_lead_to_the_routers_address(local: Graph, shipped: Path) -> None:
    service = next(r for r in local.registrations if r.type.endswith(":Service") and r.name == "router")
    status: Any = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}
    realised = run(shipped, "local", resolve=Resolver({service.urn: status}))
    assert realised.outputs["scoring_uris"] == {"diabetes": "http://192.0.2.1/api/v1/service/diabetes/score"}


def test_a_stopping_router_has_the_time_that_its_slowest_request_may_take() -> None:
    slowest = Service("abc", Limits(wait_ms=MAX_TIMEOUT_MS, timeout_ms=MAX_TIMEOUT_MS))
    assert longest_ms([slowest]) < GRACE_SECONDS * 1000


def test_a_stopping_router_takes_requests_until_its_readiness_probe_has_failed(variety: Graph) -> None:
    (router,) = (
        obj
        for obj in from_graph(variety).objects
        if (obj["kind"], obj["metadata"]["name"]) == ("Deployment", "slipway-router")
    )
    (container,) = router["spec"]["template"]["spec"]["containers"]
    probe = container["readinessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] < NOTICE_SECONDS


def test_without_a_load_balancer_the_address_is_the_one_inside_the_cluster() -> None:
    core = k8s.core.v1.outputs
    named = core.ServiceStatus(
        load_balancer=core.LoadBalancerStatus(ingress=[core.LoadBalancerIngress(hostname="models.example")])
    )
    assert router_url(named) == "http://models.example"
    inside = "http://slipway-router.slipway.svc"
    assert router_url(core.ServiceStatus(load_balancer=core.LoadBalancerStatus())) == inside
    assert router_url(None) == inside


def test_an_image_of_the_stack_file_needs_no_recipe(local: Graph, variety: Graph) -> None:
    def recipes(resolved: Resolved) -> set[str]:
        return {reference.split(":")[0] for reference in resolved.recipes}

    assert recipes(from_graph(variety)) == {"slipway/scaled", "slipway/collecting"}
    assert recipes(from_graph(local)) == {"slipway/diabetes", "slipway/router"}


KEYS_IN_A_PROGRAM = """
import pulumi
from components.webservice import Webservice, WebserviceArgs
from slipway.spec import WebserviceSpec

spec = WebserviceSpec(name="abc", entry_script="score.py", primary_key="of-the-spec", secondary_key="also")
Webservice("abc", WebserviceArgs(spec=spec, image="image"))
Webservice("two", WebserviceArgs(spec=spec.model_copy(update={"name": "two"}), image="image", primary_key=%r))
"""


def test_a_programs_keys_come_from_the_spec_or_from_arguments_which_win(tmp_path: Path) -> None:
    project = project_with(tmp_path, VARIETY)
    (project / "__main__.py").write_text(KEYS_IN_A_PROGRAM % "of-the-arguments", encoding="utf-8")
    objects = from_graph(run(project, "test", resolve=Resolver())).objects
    keys = {obj["metadata"]["name"]: obj["stringData"] for obj in objects if obj["kind"] == "Secret"}
    assert keys == {
        "abc-keys": {"primary": "of-the-spec", "secondary": "also"},
        "two-keys": {"primary": "of-the-arguments", "secondary": "also"},
    }


def test_a_key_that_no_header_can_carry_is_refused_without_repeating_it(tmp_path: Path) -> None:
    project = project_with(tmp_path, VARIETY)
    (project / "__main__.py").write_text(KEYS_IN_A_PROGRAM % "tops3cret\n", encoding="utf-8")
    with pytest.raises(EngineError, match="two-primary-key: a key is one or more visible") as caught:
        run(project, "test")
    assert "tops3cret" not in str(caught.value)


def test_given_keys_are_the_secret_and_unknown_until_pulumi_decrypts_them(tmp_path: Path) -> None:
    keys = {f"slipway:scaled.{field}": SECURE for field in ("primary_key", "secondary_key")}
    graph = run(project_with(tmp_path, VARIETY | keys), "test")
    assert not [r for r in graph.registrations if r.type.endswith(":RandomPassword")]
    secret = next(r for r in graph.registrations if r.type.endswith(":Secret"))
    assert isinstance(secret.inputs["stringData"], Secret)
    assert "v1:abc:def" not in json.dumps(to_json(graph))


@pytest.mark.parametrize("vault", [False, True])
def test_when_services_stand_on_a_platform_then_they_read_of_it_what_such_a_platform_has(
    tmp_path: Path, *, vault: bool
) -> None:
    dev = yaml.safe_load((PROJECT / "stacks" / "Pulumi.dev.yaml").read_text())["config"]
    if vault:
        dev["slipway:router"] = {"tls": {"domains": ["a.example.com"], "key_vault_certificate": "a"}}
    made = on_a_platform(tmp_path, dev).registrations
    assert not [found for found in made if found.type.startswith("azure-native:")]
    classes = [found.inputs["spec"] for found in made if found.inputs.get("kind") == "SecretProviderClass"]
    tenants: list[Any] = [fields["parameters"]["tenantId"] for fields in cast("list[Any]", classes)]
    assert tenants == ["<UserAssignedIdentity cluster-router-identity.tenantId>"] * vault


def test_when_a_stack_keeps_data_then_it_keeps_the_group_with_which_azure_would_delete_them(
    prod: Graph,
) -> None:
    kept = {
        found.type for found in prod.registrations if found.protect and found.options.get("retainOnDelete")
    }
    assert {"azure-native:storage:StorageAccount", "azure-native:resources:ResourceGroup"} <= kept


def test_when_a_stack_makes_its_cluster_then_what_is_in_it_waits_for_rights_and_pools(prod: Graph) -> None:
    namespaces = [found for found in prod.registrations if found.type == "kubernetes:core/v1:Namespace"]
    assert namespaces
    for namespace in namespaces:
        names = {urn.rpartition("::")[2] for urn in namespace.dependencies}
        assert names >= {"cluster-pull", "cluster-certificate", "cluster-services", "cluster-gpu"}
        assert any(name.startswith("cluster-admin-") for name in names)


def test_mistakes_of_a_stack_come_at_once_and_before_any_resource(tmp_path: Path) -> None:
    services = [
        {"name": "one", "entry_script": "nothing.py", "source_directory": "examples/echo"},
        {"name": "two", "entry_script": "score.py", "source_directory": "examples/nowhere"},
    ]
    with pytest.raises(EngineError) as caught:
        run(project_with(tmp_path, VARIETY | {"slipway:webservices": services}), "test")
    message = str(caught.value)
    assert "slipway:webservices[one].entry_script" in message
    assert "slipway:webservices[two].source_directory" in message
    assert "Traceback" not in message
