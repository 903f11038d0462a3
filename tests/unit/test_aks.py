"""The way into a stack's AKS cluster: what is asked of Azure, and what a person reads when it says no."""

import base64
import json
import os
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from azure.core.credentials import AccessToken

from slipway import aks, entra
from slipway.local.state import LocalError
from slipway.settings import Azure
from tests.unit.azure_stacks import CLUSTER, GROUP, SMALLEST, merged

PROVIDER = "providers/Microsoft.ContainerService/managedClusters"
SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
CONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "c", "cluster": {"server": "https://ml.hcp.westeurope.azmk8s.io:443"}}],
    "users": [{"name": "u", "user": {"exec": {"command": "kubelogin", "args": ["-t", "tenant"]}}}],
    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    "current-context": "c",
}


@pytest.fixture(autouse=True)
def signed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def token(scope: str, authority: str, tenant: str | None = None) -> AccessToken:
        assert (scope, authority, tenant) == (
            "https://management.azure.com/.default",
            "login.microsoftonline.com",
            None,
        )
        return AccessToken("a-token", 0)

    monkeypatch.setattr(entra, "token", token)
    monkeypatch.delenv("ARM_SUBSCRIPTION_ID", raising=False)


def azure(change: dict[str, Any]) -> Azure:
    return Azure.model_validate(merged(SMALLEST, change))


def answers(status: int, body: object, seen: list[httpx.Request]) -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(status, json=body)

    return httpx.MockTransport(answer)


@pytest.mark.parametrize(
    ("change", "config", "id_"),
    [
        pytest.param(
            {},
            {"azure-native:subscriptionId": SUBSCRIPTION},
            f"/subscriptions/{SUBSCRIPTION}/resourceGroups/ml/{PROVIDER}/slipway",
            id="the stack's subscription",
        ),
        pytest.param(
            {"resource_group": {"name": None, "id": GROUP}, "cluster": {"name": "other"}},
            {},
            f"{GROUP}/{PROVIDER}/other",
            id="an adopted group's",
        ),
        pytest.param({"cluster": {"id": CLUSTER}}, {}, CLUSTER, id="an attached cluster"),
    ],
)
def test_the_cluster_of_the_stack_is_asked_for_and_logs_in_by_this_program(
    change: dict[str, Any], config: dict[str, str], id_: str
) -> None:
    seen: list[httpx.Request] = []
    value = base64.b64encode(json.dumps(CONFIG).encode()).decode()
    transport = answers(200, {"kubeconfigs": [{"name": "clusterUser", "value": value}]}, seen)
    found = yaml.safe_load(aks.kubeconfig(azure(change), aks.cluster_id(azure(change), config), transport))
    (request,) = seen
    assert (request.method, request.url.path) == ("POST", f"{id_}/listClusterUserCredential")
    assert request.url.host == "management.azure.com"
    assert request.url.params["format"] == "exec"
    assert request.headers["authorization"] == "Bearer a-token"
    login = found["users"][0]["user"]["exec"]
    assert login["command"] == str(Path(sys.executable).with_name("slipway"))
    assert login["args"] == ["kube-token", "--cloud", "Public", "--tenant", "tenant"]


@pytest.mark.parametrize(
    ("status", "body", "line", "hint"),
    [
        pytest.param(
            403,
            {"error": {"code": "AuthorizationFailed", "message": "The client has no authorization"}},
            "you have no right to the way into cluster ml: The client has no authorization",
            "Azure Kubernetes Service Cluster User Role",
            id="no right",
        ),
        pytest.param(404, {}, "there is no cluster ml in resource group ml", "pulumi up", id="no cluster"),
        pytest.param(
            500, "?", "Azure gives no way into cluster ml: HTTP 500", "", id="something of Azure's own"
        ),
    ],
)
def test_when_azure_refuses_then_a_line_says_why_and_what_to_ask_for(
    status: int, body: object, line: str, hint: str
) -> None:
    with pytest.raises(LocalError) as error:
        aks.kubeconfig(azure({}), CLUSTER, answers(status, body, []))
    assert str(error.value) == line
    assert hint in error.value.hint
    assert "a-token" not in str(error.value)


def test_when_nobody_is_signed_in_then_the_command_to_sign_in_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def token(*_: object) -> AccessToken:
        raise entra.EntraError("Please run 'az login'", "az login")

    monkeypatch.setattr(entra, "token", token)
    with pytest.raises(LocalError, match="not signed in to Azure: Please run") as error:
        aks.kubeconfig(azure({}), CLUSTER)
    assert error.value.hint == "az login"


def test_when_azure_does_not_answer_then_that_is_said() -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route", request=request)

    with pytest.raises(LocalError, match=r"management.azure.com does not answer: no route"):
        aks.kubeconfig(azure({}), CLUSTER, httpx.MockTransport(away))


def test_the_subscription_is_the_one_that_pulumi_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked() -> str:
        return aks.cluster_id(azure({}), {}).split("/")[2]

    script(tmp_path / "az", f"print({SUBSCRIPTION!r})")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert asked() == SUBSCRIPTION, "of `az login`"
    monkeypatch.setenv("ARM_SUBSCRIPTION_ID", "of-the-environment")
    assert asked() == "of-the-environment"
    monkeypatch.delenv("ARM_SUBSCRIPTION_ID")
    script(tmp_path / "az", "raise SystemExit(1)")
    with pytest.raises(LocalError, match="which Azure subscription is not known") as error:
        aks.cluster_id(azure({}), {})
    assert error.value.hint == "az login, or set one of them"


def test_kubectl_is_led_to_the_cluster_whichever_subscription_az_is_on() -> None:
    id_ = aks.cluster_id(azure({}), {"azure-native:subscriptionId": SUBSCRIPTION})
    assert aks.get_credentials(id_) == (
        f"az aks get-credentials --subscription {SUBSCRIPTION} --resource-group ml --name slipway"
    )


def script(path: Path, text: str) -> None:
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(0o755)
