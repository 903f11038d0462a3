"""`slipway kube-token` with azure-identity itself; `az` is a script that answers as Azure's CLI does."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import azure.identity
import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from click.testing import CliRunner

from slipway.cli import main

SIGNED_IN = """
if "--resource" not in sys.argv or "6dae42f8-4368-4678-94ff-3960e28e3630" not in sys.argv:
    sys.exit("ERROR: this is no request for a token of AKS")
tenant = sys.argv[sys.argv.index("--tenant") + 1] if "--tenant" in sys.argv else "home"
print(json.dumps({"accessToken": f"token-of-{tenant}", "expires_on": 1800000000, "tokenType": "Bearer"}))
"""
SIGNED_OUT = "sys.exit(\"ERROR: Please run 'az login' to setup account.\")"
EXPIRED = 'sys.exit("ERROR: AADSTS70043: The refresh token has expired. Trace ID: 1")'
ALONE = {"AZURE_TOKEN_CREDENTIALS": "AzureCliCredential"}
"""azure-identity's own setting: ask nobody else, so that no test waits for a network."""


@pytest.fixture
def az(tmp_path: Path) -> Path:
    return tmp_path / "az"


def kube_token(az: Path, script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    az.write_text(f"#!{sys.executable}\nimport json, sys\n{script}", encoding="utf-8")
    az.chmod(0o755)
    environment = {"PATH": f"{az.parent}:{os.defpath}", "HOME": str(az.parent), **ALONE, **variables}
    command = [str(Path(sys.executable).with_name("slipway")), "kube-token", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_when_someone_is_signed_in_then_the_answer_is_a_credential_that_kubernetes_reads(az: Path) -> None:
    done = kube_token(az, SIGNED_IN)
    assert done.stderr == ""
    assert json.loads(done.stdout) == {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {
            "token": "token-of-home",
            "expirationTimestamp": datetime.fromtimestamp(1800000000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
    }


def test_when_a_tenant_is_named_then_the_token_is_of_that_one(az: Path) -> None:
    tenant = "11111111-1111-1111-1111-111111111111"
    done = kube_token(az, SIGNED_IN, "--tenant", tenant)
    assert json.loads(done.stdout)["status"]["token"] == f"token-of-{tenant}"


@pytest.mark.parametrize(
    ("script", "arguments", "line", "hint"),
    [
        (SIGNED_OUT, [], "Please run 'az login' to set up an account", "az login"),
        (SIGNED_OUT, ["--tenant", "T"], "Please run 'az login' to set up an account", "az login --tenant T"),
        (EXPIRED, [], "AADSTS70043: The refresh token has expired. Trace ID: 1", "az login"),
    ],
)
def test_when_there_is_no_token_then_one_line_says_why_and_a_hint_what_to_do(
    az: Path, script: str, arguments: list[str], line: str, hint: str
) -> None:
    done = kube_token(az, script, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: no token for the cluster: {line}\n\nhint: {hint}\n"


FAILED = "\n".join(
    (
        "DefaultAzureCredential failed to retrieve a token from the included credentials.",
        "Attempted credentials:",
        "\tEnvironmentCredential: Authentication failed: AADSTS7000215: Invalid client secret provided.",
        "To mitigate this issue, please refer to the troubleshooting guidelines.",
    )
)
"""What azure-identity says when an application of the environment is refused."""


class Entra:
    """Stands where no test can go: signs an application in, or refuses it."""

    asked: ClassVar[dict[str, object]] = {}
    refuses = False

    def __init__(self, *, authority: str) -> None:
        self.asked["authority"] = authority

    def get_token(self, scope: str, *, tenant_id: str | None) -> AccessToken:
        self.asked.update(scope=scope, tenant=tenant_id)
        if self.refuses:
            raise ClientAuthenticationError(FAILED)
        return AccessToken("token", 1800000000)


@pytest.mark.parametrize(
    ("cloud", "login"),
    [
        ("Public", "login.microsoftonline.com"),
        ("USGovernment", "login.microsoftonline.us"),
        ("China", "login.chinacloudapi.cn"),
    ],
)
def test_an_application_signs_in_where_its_cloud_does(
    monkeypatch: pytest.MonkeyPatch, cloud: str, login: str
) -> None:
    monkeypatch.setattr(azure.identity, "DefaultAzureCredential", Entra)
    done = CliRunner().invoke(main, ["kube-token", "--cloud", cloud, "--tenant", "T"])
    assert done.exit_code == 0
    scope = "6dae42f8-4368-4678-94ff-3960e28e3630/.default"
    assert Entra.asked == {"authority": login, "scope": scope, "tenant": "T"}


def test_when_an_application_is_refused_then_the_line_is_entras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(azure.identity, "DefaultAzureCredential", Entra)
    monkeypatch.setattr(Entra, "refuses", True)
    done = CliRunner().invoke(main, ["kube-token"])
    assert done.exit_code == 1
    line = "Authentication failed: AADSTS7000215: Invalid client secret provided."
    assert done.stderr == f"error: no token for the cluster: {line}\n\nhint: az login\n"
