"""`slipway token`, and `slipway score` of a web service that takes tokens, against the router itself."""

import json
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from slipway.cli import main
from slipway.kube.folder import Object
from slipway.local.container import LocalImage
from slipway.spec import Serving
from tests.local.local_stack import container, deployment, service, stack, until
from tests.ports import free_ports

ROUTER, ECHO = "example.org/router:1", "example.org/echo:1"
FOLDER = Path(__file__).parents[2] / "examples" / "echo"


def router(run: Path) -> list[Object]:
    port, admin = free_ports(2)
    obj = deployment("slipway-router", port=port, ADMIN_PORT=str(admin), SLIPWAY_RUN_DIR=str(run))
    labels = {"app": "slipway-router", "app.kubernetes.io/component": "router"}
    obj["metadata"]["labels"] = obj["spec"]["template"]["metadata"]["labels"] = labels
    server = container(obj)
    server["image"] = ROUTER
    server["ports"].append({"name": "admin", "containerPort": admin})
    server["readinessProbe"]["httpGet"]["port"] = "admin"
    return [obj, service("slipway-router", "LoadBalancer")]


def webservice(name: str, **serving: object) -> list[Object]:
    labels = {"app": name, "slipway/webservice": name}
    values = Serving.model_validate({"num_replicas": 1, **serving})
    obj = deployment(name, port=5001)
    container(obj)["image"] = ECHO
    obj["metadata"] |= {"labels": labels, "annotations": {"slipway/serving": values.model_dump_json()}}
    obj["spec"]["template"]["metadata"]["labels"] = labels
    found = service(name)
    found["metadata"]["labels"] = labels
    keys: Object = {
        "kind": "Secret",
        "metadata": {"name": f"{name}-keys", "namespace": "slipway", "labels": labels},
        "stringData": {"primary": f"{name}-first", "secondary": f"{name}-second"},
    }
    return [obj, found, keys]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Generator[Path]:
    root = tmp_path_factory.mktemp("project")
    (root / "Pulumi.yaml").write_text("name: slipway\nruntime: python\n")
    variables = {"AML_APP_ROOT": str(FOLDER), "AZUREML_ENTRY_SCRIPT": "score.py"}
    echo = LocalImage(sys.executable, str(FOLDER), ("-m", "slipway.scoring"), variables)
    images = {ECHO: echo, ROUTER: LocalImage(sys.executable, "/", ("-m", "slipway.router"), {})}
    with stack(root / ".slipway" / "local") as one:
        services = [*webservice("taking", token_auth_enabled=True), *webservice("keyed")]
        one.up(*router(root / "run"), *services, images=images, timeout=60)
        yield root


@pytest.fixture(autouse=True)
def _inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)


def slipway(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, arguments, input=stdin)


def test_a_token_is_all_of_stdout_and_calls_the_web_service(tmp_path: Path) -> None:
    found = slipway("token", "taking")
    assert found.exit_code == 0, found.stderr
    assert found.stdout.count(".") == 2
    assert len(found.stdout.split()) == 1
    assert found.stderr.startswith("refresh_by: 20")
    file = tmp_path / "token"
    file.write_text(found.stdout)
    answer = slipway("score", "taking", "--data", "-", "--key-file", str(file), stdin='{"a": 1}')
    assert answer.exit_code == 0, answer.stderr


def test_score_gets_a_token_by_itself() -> None:
    answer = slipway("score", "taking", "--data", "-", stdin='{"a": 1}')
    assert answer.exit_code == 0, answer.stderr
    assert json.loads(answer.stdout)


def test_a_web_service_with_keys_gives_no_token() -> None:
    refused = slipway("token", "keyed")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith("error: web service `keyed` takes no tokens\n")


def test_a_login_goes_by_https_or_to_this_machine_only() -> None:
    for url in ("http://10.0.0.1:80", "http://127.evil.example", "http://localhost.example", "http://["):
        refused = slipway("token", "taking", "--url", url)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert f"error: {url} is not https" in refused.stderr


def test_a_new_key_is_made_without_waiting_for_a_router_that_would_not_take_it() -> None:
    made = slipway("keys", "taking", "--regen", "primary")
    assert (made.exit_code, made.stderr) == (0, "")
    until(lambda: slipway("score", "taking", "--data", "-", stdin="{}").exit_code == 0)  # it is heard of soon
