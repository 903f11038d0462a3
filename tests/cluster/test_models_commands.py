"""`slipway models` and `slipway up` with registered models, on Azurite, as a person types them."""

import json
import os
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from slipway.cli import main
from slipway.local.state import State
from slipway.storage.names import CONNECTION_STRING
from tests.cluster.azurite import account
from tests.ports import free_port

SOURCE = Path(__file__).parents[2]
SCORE = """import os
from pathlib import Path

root = Path(os.environ["AZUREML_MODEL_DIR"])
found = {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def init():
    pass


def run(data):
    return found
"""


class Project:
    """A copy of the project with one service, which answers with its models."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.port = free_port()

    def write(self, *models: str) -> None:
        service = {
            "name": "models",
            "source_directory": "src",
            "entry_script": "score.py",
            "models": list(models),
            "num_replicas": 2,
        }
        config = {
            "slipway:kubernetes": {"context": "kind-slipway"},
            "slipway:router": {"replicas": 1, "port": self.port},
            "slipway:webservices": [service],
        }
        (self.root / "stacks/Pulumi.local.yaml").write_text(yaml.safe_dump({"config": config}))

    def __call__(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, arguments)

    def done(self, *arguments: str) -> str:
        result = self(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Project]:
    root = tmp_path / "project"
    (root / "stacks").mkdir(parents=True)
    (root / "src").mkdir()
    (root / "src/score.py").write_text(SCORE)
    for name in ("__main__.py", "Pulumi.yaml"):
        shutil.copy(SOURCE / name, root)
    shutil.copytree(SOURCE / "components", root / "components", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(root)
    made = Project(root)
    made.write()
    yield made
    made("down")


@pytest.fixture
def storage(azurite: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONNECTION_STRING, account(azurite).connection_string)


def test_without_a_storage_the_commands_say_how_to_name_one(project: Project) -> None:
    result = project("models", "list")
    assert result.exit_code == 1
    assert "neither AZURE_STORAGE_CONNECTION_STRING nor AZURE_STORAGE_BLOB_ENDPOINT is set" in result.stderr


@pytest.mark.usefixtures("storage")
def test_a_model_is_registered_listed_and_got_back(project: Project, tmp_path: Path) -> None:
    (tmp_path / "m.bin").write_text("first")
    assert (
        project.done("models", "register", "round-trip", str(tmp_path / "m.bin")) == "azureml:round-trip:1\n"
    )
    (tmp_path / "m.bin").write_text("second")
    assert (
        project.done("models", "register", "round-trip", str(tmp_path / "m.bin")) == "azureml:round-trip:2\n"
    )
    rows = [line.split()[:3] for line in project.done("models", "list").splitlines()]
    assert ["azureml:round-trip:1", "1", "0.0"] in rows
    project.done("models", "download", "round-trip:1", "--output", str(tmp_path / "one"))
    project.done("models", "download", "round-trip", "--output", str(tmp_path / "newest"))
    assert (tmp_path / "one/m.bin").read_text() == "first"
    assert (tmp_path / "newest/m.bin").read_text() == "second"
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["m.bin"]


@pytest.mark.usefixtures("storage")
def test_an_unknown_model_is_told_with_the_command_that_lists_them(project: Project) -> None:
    result = project("models", "download", "nothing", "-s", "local")
    assert result.exit_code == 1
    assert "error: azureml:nothing:1: is not registered: no model of this name is registered" in result.stderr
    assert "hint: slipway models list" in result.stderr.replace(str(SOURCE), "")


@pytest.mark.usefixtures("storage")
def test_up_serves_registered_models_where_v1_lays_them_out(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tree/deep").mkdir(parents=True)
    (tmp_path / "tree/deep/leaf").write_text("leaf")
    (tmp_path / "one.bin").write_text("one")
    project.done("models", "register", "up-tree", str(tmp_path / "tree"))
    project.done("models", "register", "up-one", str(tmp_path / "one.bin"))
    (tmp_path / "request.json").write_text("{}")

    def scored() -> object:
        return json.loads(project.done("score", "models", "--data", str(tmp_path / "request.json")))

    project.write("azureml:up-one:1")
    project.done("up")
    assert scored() == {"one.bin": "one"}
    project.write("azureml:up-one:1", "azureml:up-tree:1")
    project.done("up")
    assert scored() == {"up-one/1/one.bin": "one", "up-tree/1/tree/deep/leaf": "leaf"}
    project.done("down")
    monkeypatch.delenv(CONNECTION_STRING)
    project.done("up")  # what was fetched once needs no storage again
    pods = State(project.root / ".slipway/local").objects.list("Pod", "slipway-services")
    assert [pod["status"]["phase"] for pod in pods] == ["Running", "Running"]
    assert CONNECTION_STRING not in os.environ


@pytest.mark.usefixtures("storage")
def test_up_with_a_model_that_is_not_registered_starts_nothing(project: Project) -> None:
    project.write("azureml:never-registered:3")
    result = project("up")
    assert result.exit_code == 1
    assert "error: azureml:never-registered:3: is not registered" in result.stderr
    assert State(project.root / ".slipway/local").supervisor() is None
