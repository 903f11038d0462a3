"""`slipway up` on a copy of this project: from stack file to scored request, and what goes wrong."""

import json
import re
import shutil
import socket
import stat
import threading
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType

import httpx
import pytest
import yaml
from click.testing import CliRunner, Result

from slipway.cli import main
from slipway.kube.folder import Object
from slipway.kube.read import is_ready
from slipway.local.state import State
from tests.local.local_stack import Stack, alive, kill, pid_of, stack, until
from tests.ports import free_port

SOURCE = Path(__file__).parents[2]
SCORE = "def init():\n    pass\n\n\ndef run(data):\n    return {'echo': data}\n"
SLOW = SCORE.replace("    return", "    time.sleep(0.03)\n    return").replace(
    "def init", "import time\n\n\ndef init"
)
LISTING = """from pathlib import Path


def init():
    pass


def run(data):
    here = Path.cwd()
    found = [path.relative_to(here) for path in here.rglob("*") if path.is_file()]
    return [str(path) for path in found if "__pycache__" not in path.parts]
"""
BROKEN = "def init():\n    raise RuntimeError('no such model')\n\n\ndef run(data):\n    return data\n"


class Project:
    """A copy of the project without the `slipway` package, with small services."""

    def __init__(self, root: Path, running: Stack, port: int) -> None:
        self.root = root
        self.stack = running
        self.port = port

    def write(self, name: str, script: str = SCORE, requirements: str = "") -> None:
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        (folder / "score.py").write_text(script)
        (folder / "requirements.txt").write_text(requirements)
        (folder / "sample-request.json").write_text('{"data": [1]}')

    def settings(
        self,
        *services: str,
        stack: str = "local",
        num_replicas: int = 1,
        more: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        entries = [
            {
                "name": name,
                "source_directory": name,
                "entry_script": "score.py",
                "environment": {"requirements": "requirements.txt"},
                "num_replicas": num_replicas,
            }
            for name in services
        ]
        config: Mapping[str, object] = {
            "slipway:kubernetes": {"context": "kind-slipway"},
            "slipway:router": {"replicas": 1, "port": self.port},
            "slipway:webservices": entries,
            **more,
        }
        (self.root / f"stacks/Pulumi.{stack}.yaml").write_text(yaml.safe_dump({"config": config}))

    def __call__(self, *arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(main, arguments, input=stdin)

    def swagger(self, name: str, key: str) -> int:
        uri = f"http://127.0.0.1:{self.port}/api/v1/service/{name}/swagger.json"
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.get(uri, headers=headers, trust_env=False).status_code

    def pods(self, service: str) -> list[Object]:
        pods = self.stack.state.objects.list("Pod", "slipway-services")
        return [pod for pod in pods if pod["metadata"]["labels"]["slipway/webservice"] == service]

    def pids(self) -> dict[str, str]:
        pods = self.stack.state.objects.list("Pod")
        live = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        statuses = [pod["status"]["containerStatuses"][0] for pod in live]
        return {status["image"].partition(":")[0]: status["containerID"] for status in statuses}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Generator[Project]:
    root = tmp_path_factory.mktemp("project")
    for name in ("__main__.py", "Pulumi.yaml"):
        shutil.copy(SOURCE / name, root)
    shutil.copytree(SOURCE / "components", root / "components", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "stacks").mkdir()
    with stack(root / ".slipway" / "local") as running:
        yield Project(root, running, free_port())


@pytest.fixture
def project(copy: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(copy.root)
    return copy


def test_from_a_stack_file_to_a_scored_request_and_on_to_another_service(project: Project) -> None:
    project.write("one")
    project.settings("one")
    result = project("up")
    assert result.exit_code == 0, result.stderr
    uri = f"http://127.0.0.1:{project.port}/api/v1/service/one/score"
    assert result.stdout == f"one  {uri}\n"
    assert "one: 1 of 1 ready" in result.stderr
    assert result.stderr.endswith("\nnext: slipway score one --data one/sample-request.json\n")
    scored = project("score", "one", "--data", "one/sample-request.json")
    assert (scored.exit_code, json.loads(scored.stdout)) == (0, {"echo": '{"data": [1]}'})

    before, keys = project.pids(), project("keys", "one").stdout
    assert project("up").exit_code == 0
    assert (project.pids(), project("keys", "one").stdout) == (before, keys), "a second one changes nothing"

    project.write("new")
    (project.root / "new/sample-request.json").unlink()
    project.settings("one", "new")
    result = project("up")
    assert result.exit_code == 0, result.stderr
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["new", "one"]
    hint = "\nnext: slipway score one --data one/sample-request.json\n"
    assert result.stderr.endswith(hint), "one that has a sample"
    assert before.items() < project.pids().items()
    assert project("score", "new", "--data", "-", stdin="{}").exit_code == 0
    assert project("score", "one", "--data", "-", stdin="{}").exit_code == 0

    project.settings("new")
    result = project("up")
    assert result.stderr.endswith("\nnext: slipway score new --data FILE\n")
    assert set(project.pids()) == {"slipway/router", "slipway/new"}
    assert project("score", "one", "--data", "-", stdin="{}").exit_code == 1


def test_when_a_key_is_made_anew_then_it_is_in_force_and_a_restart_keeps_it(project: Project) -> None:
    project.write("two")
    project.settings("two")
    assert project("up").exit_code == 0
    for which in ("primary", "secondary", "primary"):
        new = project("keys", "two", "--regen", which).stdout
        keys = dict(line.split() for line in new.splitlines())
        assert project.swagger("two", keys[which]) == 200, "at once"
    everyone = [int(pid.removeprefix("process://")) for pid in project.pids().values()]
    assert project("down").exit_code == 0
    assert not any(map(alive, everyone))
    assert project("up").exit_code == 0
    assert project("keys", "two").stdout == new
    assert project("score", "two", "--data", "-", stdin="{}").exit_code == 0


def test_when_a_replica_is_killed_under_load_then_only_its_own_request_fails(project: Project) -> None:
    project.write("two", SLOW)
    project.settings("two", num_replicas=2)
    assert project("up").exit_code == 0
    until(lambda: len(project.pods("two")) == 2)  # those of an earlier test may still be ending
    key = project("keys", "two").stdout.split()[1]
    statuses: list[int] = []
    stop = threading.Event()

    def client() -> None:
        uri = f"http://127.0.0.1:{project.port}/api/v1/service/two/score"
        with httpx.Client(trust_env=False, headers={"Authorization": f"Bearer {key}"}) as http:
            while not stop.is_set():
                statuses.append(http.post(uri, content="{}", timeout=30).status_code)

    with ThreadPoolExecutor(2) as pool:
        clients = [pool.submit(client) for _ in range(2)]
        try:
            for name in [pod["metadata"]["name"] for pod in project.pods("two")]:
                answered = len(statuses)
                until(lambda number=answered: len(statuses) > number + 20)
                before = pod_named(project, name)
                kill(pid_of(before))
                until(lambda name=name, before=before: is_again(before, pod_named(project, name)), seconds=40)
        finally:
            stop.set()
        for one in clients:
            one.result()
    failed = [status for status in statuses if status != 200]
    assert set(failed) <= {502}
    assert len(failed) <= 2, "of each process that was killed the request inside, and no other"
    assert len(statuses) > 40


def pod_named(project: Project, name: str) -> Object:
    return next(pod for pod in project.pods("two") if pod["metadata"]["name"] == name)


def is_again(before: Object, pod: Object) -> bool:
    """Whether a pod that ended has another process, which is ready."""
    return pid_of(pod) not in (0, pid_of(before)) and is_ready(pod)


def test_when_the_entry_script_is_broken_then_its_traceback_is_shown_and_the_old_one_serves(
    project: Project,
) -> None:
    project.write("two")
    project.settings("two")
    assert project("up").exit_code == 0
    project.write("two", BROKEN)
    result = project("up")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "error: two exited with code 3 before it was ready\n" in result.stderr
    assert "RuntimeError: no such model" in result.stderr
    assert "score.py" in result.stderr
    assert result.stderr.endswith("\nhint: correct it, then: slipway up\n")
    assert project("status").stderr.endswith("\nhint: slipway logs two\n")
    assert project("score", "two", "--data", "-", stdin="{}").exit_code == 0
    project.write("two")
    assert project("up").exit_code == 0


def test_the_process_sees_what_amlignore_leaves_or_else_gitignore_and_never_both(project: Project) -> None:
    ignores = {"aml": {".amlignore": "*.csv\n"}, "git": {".gitignore": "*.log\n"}}
    ignores["both"] = ignores["aml"] | ignores["git"]
    for name, files in ignores.items():
        project.write(name, LISTING)
        for file, text in {"a.csv": "", "a.log": "", "inner/b.csv": "", "inner/b.py": "", **files}.items():
            (project.root / name / file).parent.mkdir(exist_ok=True)
            (project.root / name / file).write_text(text)
    project.settings(*ignores)
    result = project("up")
    assert result.exit_code == 0, result.stderr
    common = {"score.py", "requirements.txt", "sample-request.json", "inner/b.py"}
    expected = {
        "aml": common | {"a.log", ".amlignore"},
        "git": common | {"a.csv", "inner/b.csv", ".gitignore"},
        "both": common | {"a.log", ".amlignore", ".gitignore"},
    }
    seen = {name: json.loads(project("score", name, "--data", "-", stdin="{}").stdout) for name in ignores}
    assert {name: set(files) for name, files in seen.items()} == expected


def test_when_no_environment_fits_then_nothing_that_runs_is_touched(project: Project) -> None:
    before = project.pids()
    project.write("two", requirements="uvicorn==0.13.0\n")
    project.settings("two")
    result = project("up")
    assert result.exit_code == 1
    assert "the requirements ask for `uvicorn==0.13.0`" in result.stderr
    assert project.pids() == before


def test_when_the_routers_port_is_busy_then_the_hint_names_the_setting(project: Project) -> None:
    project.write("two")
    project.settings("two")
    project("down")
    with socket.create_server(("127.0.0.1", project.port)):
        result = project("up")
    assert result.exit_code == 1
    assert (
        f"error: port {project.port}, which slipway/slipway-router listens on, is in use\n" in result.stderr
    )
    assert "set `slipway:router: {port: ...}` in Pulumi.local.yaml" in result.stderr
    assert project.stack.state.supervisor() is None


def test_when_settings_are_wrong_then_each_mistake_has_its_line(project: Project) -> None:
    project.settings("two", more={"slipway:router": {"port": 80}, "slipway:webservice": ""})
    result = project("up")
    assert result.exit_code == 1
    assert "slipway:router.port = 80" in result.stderr
    assert "slipway:webservice" in result.stderr
    assert "Traceback" not in result.stderr


def test_when_settings_are_wrong_and_files_missing_then_both_are_named_at_once(project: Project) -> None:
    project.write("two")
    services = [
        {"name": "one", "source_directory": "nowhere", "entry_script": "score.py", "gpu_cores": 1.5},
        {"name": "two", "source_directory": "two", "entry_script": "scroe.py", "models": ["m.pkl"], "cpu": 1},
        {"name": "two", "source_directory": "two", "entry_script": "scroe.py"},
        {"name": "three", "source_directory": "nowhere", "entry_script": "score.py", "models": 3},
    ]
    project.settings(more={"slipway:ruoter": {}, "slipway:webservices": services})
    for command in ("plan", "up"):
        result = project(command)
        assert (result.exit_code, result.stdout) == (1, "")
        found = [re.split(" = |: ", line)[0] for line in result.stderr.splitlines() if "slipway:" in line]
        assert sorted(found) == [
            "slipway:ruoter",
            "slipway:webservices",  # two of one name
            "slipway:webservices[one].gpu_cores",
            "slipway:webservices[one].source_directory",
            "slipway:webservices[three].models",
            "slipway:webservices[two].cpu",
            "slipway:webservices[two].entry_script",
            "slipway:webservices[two].models[0]",
        ], result.stderr


@pytest.mark.parametrize(
    ("file", "text", "place", "says"),
    [
        ("stacks/Pulumi.broken.yaml", "config:\n  a: [1,\n", ":3:1", "expected the node content"),
        ("stacks/Pulumi.broken.yaml", "config: {}\nconfig: {}\n", ":2:1", "the key `config` stands twice"),
        ("stacks/Pulumi.broken.yaml", "a: \x00", "", "unacceptable character #x0000"),
        ("Pulumi.yaml", "name: a\n\truntime: python\n", ":2:1", "found character"),
    ],
)
def test_when_a_file_is_no_yaml_then_one_line_says_where_and_nothing_runs(
    file: str, text: str, place: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stacks").mkdir()
    shutil.copy(SOURCE / "Pulumi.yaml", tmp_path)
    (tmp_path / "stacks/Pulumi.broken.yaml").write_text("config: {}\n")
    (tmp_path / file).write_text(text)
    monkeypatch.chdir(tmp_path)
    for command in ("plan", "render", "up"):
        result = CliRunner().invoke(main, [command, "-s", "broken"])
        assert (result.exit_code, result.stdout) == (1, "")
        (line,) = [line for line in result.stderr.splitlines() if line != "running the program"]
        assert line.startswith(f"error: {tmp_path / file}{place}: is not YAML: {says}")
    assert State(tmp_path / ".slipway/broken").supervisor() is None


def test_when_a_value_is_encrypted_then_up_says_what_to_do(project: Project) -> None:
    project.write("two")
    project.settings("two", more={"slipway:two.primary_key": {"secure": "v1:abc:def"}})
    result = project("up")
    assert result.exit_code == 1
    assert "slipway:two.primary_key" in result.stderr
    assert "Traceback" not in result.stderr


def test_when_a_value_is_encrypted_then_render_goes_on_without_secrets(project: Project) -> None:
    project.write("two")
    project.settings("two", more={"slipway:two.primary_key": {"secure": "v1:abc:def"}})
    result = project("render")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "kind: Deployment" in result.stdout
    assert "v1:abc:def" not in result.stdout
    result = project("render", "--secrets", "secrets.yaml")
    assert result.exit_code == 1
    assert "slipway:two.primary_key" in result.stderr


def test_plan_shows_the_graph_without_making_anything(project: Project) -> None:
    project.write("two")
    project.settings("two", stack="dev")
    result = project("plan", "-s", "dev")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "Webservice two" in result.stdout
    graph = json.loads(project("plan", "-s", "dev", "--format", "json").stdout)
    assert graph["stack"] == "dev"
    assert not (project.root / ".slipway/dev").exists()


def test_when_the_secrets_file_cannot_be_written_then_render_says_so(project: Project) -> None:
    project.write("two")
    project.settings("two")
    result = project("render", "--secrets", "nowhere/secrets.yaml")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: nowhere/secrets.yaml cannot be written: No such file or directory\n"


def test_render_keeps_secrets_apart(project: Project, tmp_path: Path) -> None:
    project.write("two")
    project.settings("two", stack="dev")
    file = tmp_path / "secrets.yaml"
    file.write_text("")
    file.chmod(0o644)
    result = project("render", "-s", "dev", "--secrets", str(file))
    assert (result.exit_code, result.stderr) == (0, "")
    kinds = {obj["kind"] for obj in yaml.safe_load_all(result.stdout)}
    assert {"Deployment", "Service"} <= kinds
    assert "Secret" not in kinds
    (secret,) = yaml.safe_load_all(file.read_text())
    assert secret["kind"] == "Secret"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not any(key in result.stdout for key in secret["stringData"].values())
