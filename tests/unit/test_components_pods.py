"""What the pods of web services are made of: what users write, models, uploads, telemetry."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from slipway.collect.config import SPOOL_BYTES
from slipway.engine import Graph, run
from slipway.engine.graph import Secret
from slipway.kube.resolve import Resolver, from_graph
from slipway.local.container import expand
from slipway.plan import to_json
from slipway.storage.names import FETCH, UPLOAD
from slipway.storage.upload import FINAL_SECONDS
from tests.unit.component_stacks import LOCAL, PROJECT, VARIETY, on_a_platform, project_with
from tests.unit.stack_text import PLANTED


@pytest.fixture(scope="module")
def variety(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return run(project_with(tmp_path_factory.mktemp("variety"), VARIETY), "test", resolve=Resolver())


def test_what_a_user_writes_reaches_the_process_as_it_is(tmp_path: Path) -> None:
    texts = ["$(SERVICE_NAME)", "a$$b", "$HOME"]
    services = [dict(VARIETY["slipway:webservices"][0])]
    services[0]["arguments"] = texts
    services[0]["environment"] = {"environment_variables": {f"V{i}": text for i, text in enumerate(texts)}}
    objects = from_graph(
        run(project_with(tmp_path, VARIETY | {"slipway:webservices": services}), "test", resolve=Resolver())
    ).objects
    deployment = next(
        obj for obj in objects if obj["metadata"]["name"] == "scaled" and "template" in obj["spec"]
    )
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    env = {variable["name"]: variable.get("value", "") for variable in container["env"]}
    assert [expand(text, env) for text in container["args"]] == texts
    assert [expand(env[f"V{i}"], env) for i in range(len(texts))] == texts


def test_registered_models_are_fetched_before_the_service_and_read_only_to_it(variety: Graph) -> None:
    (pod,) = [
        obj["spec"]["template"]["spec"]
        for obj in from_graph(variety).objects
        if obj["kind"] == "Deployment" and obj["metadata"]["name"] == "registered"
    ]
    (fetch,), (scoring,) = pod["initContainers"], pod["containers"]
    assert fetch["image"] == "registry/router@sha256:1", "Slipway's own"
    assert (fetch["command"], fetch["args"]) == (list(FETCH), ["azureml:big:3", "azureml:small:1"])
    folder = "/var/azureml-app/azureml-models"
    assert {"name": "models", "mountPath": folder} in fetch["volumeMounts"]
    assert {"name": "models", "mountPath": folder, "readOnly": True} in scoring["volumeMounts"]
    assert {"name": "AZUREML_MODEL_DIR", "value": folder} in scoring["env"]
    assert scoring["resources"]["requests"]["ephemeral-storage"] == "4096Mi"
    asked = fetch["resources"]["requests"]
    assert asked.items() <= scoring["resources"]["requests"].items(), "no node is needed that is larger"


def test_one_registered_model_is_the_models_folder_itself(tmp_path: Path) -> None:
    services = [VARIETY["slipway:webservices"][3] | {"models": ["azureml:big:3"]}]
    graph = run(
        project_with(tmp_path, VARIETY | {"slipway:webservices": services}), "test", resolve=Resolver()
    )
    (env,) = [
        obj["spec"]["template"]["spec"]["containers"][0]["env"]
        for obj in from_graph(graph).objects
        if obj["kind"] == "Deployment" and obj["metadata"]["name"] == "registered"
    ]
    assert {"name": "AZUREML_MODEL_DIR", "value": "/var/azureml-app/azureml-models/big/3"} in env


def test_what_uploads_begins_before_the_service_ends_after_it_and_shares_its_volumes(variety: Graph) -> None:
    (pod,) = [
        obj["spec"]["template"]["spec"]
        for obj in from_graph(variety).objects
        if obj["kind"] == "Deployment" and obj["metadata"]["name"] == "collecting"
    ]
    (upload,), (scoring,) = pod["initContainers"], pod["containers"]
    assert upload["image"] == "registry/router@sha256:1", "Slipway's own"
    assert (upload["command"], upload["restartPolicy"]) == (list(UPLOAD), "Always")
    shared = [mount for mount in upload["volumeMounts"] if mount in scoring["volumeMounts"]]
    assert shared == upload["volumeMounts"]
    paths = {mount["name"]: mount["mountPath"] for mount in shared}
    assert paths == {"model-data": "/var/slipway/spool", "outputs": "/var/azureml-app/outputs"}
    sizes = {one["name"]: one["emptyDir"].get("sizeLimit") for one in pod["volumes"]}
    assert sizes == {"tmp": None, "model-data": "512Mi", "outputs": "1Gi"}
    assert 2 * SPOOL_BYTES == 512 * 2**20
    env = {one["name"]: one.get("value") for one in scoring["env"]}
    assert env["AML_MODEL_DC_STORAGE_ENABLED"] == "true"
    assert env["MODEL_DATA_SAMPLING_RATE"] == "0.25"
    assert env["MODEL_DATA_SPOOL"] == paths["model-data"]
    given = {one["name"]: one.get("value") for one in upload["env"]}
    assert (given["MODEL_DATA_SPOOL"], given["OUTPUTS"]) == (paths["model-data"], paths["outputs"])
    assert given["SERVICE_NAME"] == "collecting"
    assert pod["terminationGracePeriodSeconds"] - 60 - 15 > FINAL_SECONDS


def test_rows_say_which_workspace_they_are_of_and_the_model_gets_no_token(tmp_path: Path) -> None:
    config = yaml.safe_load((PROJECT / "stacks" / "Pulumi.dev.yaml").read_text())["config"]
    config["slipway:webservices"] = [VARIETY["slipway:webservices"][2] | {"auth_enabled": True}]
    cluster = "/subscriptions/S/resourceGroups/other/providers/a/b/c"
    made = on_a_platform(tmp_path, config, cluster_id=cluster).registrations
    (inputs,) = [
        cast("dict[str, Any]", one.inputs)
        for one in made
        if one.type.endswith(":Deployment") and one.name == "collecting"
    ]
    template: dict[str, Any] = inputs["spec"]["template"]
    env = {one["name"]: one.get("value") for one in template["spec"]["containers"][0]["env"]}
    azure = config["slipway:azure"]
    assert env["AZUREML_ARM_SUBSCRIPTION"] == "S"
    assert env["AZUREML_ARM_RESOURCEGROUP"] == azure["resource_group"]["name"]
    assert env["AZUREML_ARM_WORKSPACE_NAME"] == azure["workspace"]["name"]
    assert template["metadata"]["annotations"] == {"azure.workload.identity/skip-containers": "scoring"}
    assert template["spec"]["serviceAccountName"] == "slipway-webservice"


def insights_pods(graph: Graph) -> list[tuple[dict[str, Any], list[Any]]]:
    """Give the variables of the container `scoring` of each web service, and the Secrets of insights."""
    secrets = [
        found.inputs
        for found in graph.registrations
        if found.type.endswith(":Secret") and found.name.endswith("-insights")
    ]
    deployments = [found.inputs for found in graph.registrations if found.type.endswith(":Deployment")]
    containers = [cast("Any", fields)["spec"]["template"]["spec"]["containers"][0] for fields in deployments]
    return [
        ({each["name"]: each for each in container["env"]}, secrets)
        for container in containers
        if container["name"] == "scoring"
    ]


@pytest.mark.parametrize("layer", ["all", "services"])
def test_when_a_service_exports_to_the_workspace_then_its_pods_read_the_connection_string_from_a_secret(
    tmp_path: Path, layer: str
) -> None:
    config = yaml.safe_load((PROJECT / "stacks" / "Pulumi.dev.yaml").read_text())["config"]
    for spec in config["slipway:webservices"]:
        spec["enable_app_insights"] = True
    if layer == "services":
        graph = on_a_platform(tmp_path, config)
    else:
        graph = run(project_with(tmp_path, config), "test")
    found = insights_pods(graph)
    assert found
    for variables, secrets in found:
        reference = variables["APPLICATIONINSIGHTS_CONNECTION_STRING"]["valueFrom"]["secretKeyRef"]
        names = [secret["metadata"]["name"] for secret in secrets]
        assert reference["name"] in names
        assert reference["key"] == "APPLICATIONINSIGHTS_CONNECTION_STRING"
        assert variables["AML_APP_INSIGHTS_ENABLED"]["value"] == "true"
        for secret in secrets:
            assert isinstance(secret["stringData"], Secret)
    assert f"{PLANTED}connection-string" not in json.dumps(to_json(graph))


def test_when_a_service_names_a_collector_then_it_needs_no_workspace(tmp_path: Path) -> None:
    services = [dict(LOCAL["slipway:webservices"][0])]
    services[0] |= {"enable_app_insights": True}
    services[0]["environment"] = {
        "environment_variables": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
    }
    graph = run(project_with(tmp_path, LOCAL | {"slipway:webservices": services}), "test")
    ((variables, secrets),) = insights_pods(graph)
    assert secrets == []
    assert variables["AML_APP_INSIGHTS_ENABLED"]["value"] == "true"
    assert "APPLICATIONINSIGHTS_CONNECTION_STRING" not in variables
