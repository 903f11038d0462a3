"""The commands against a running stack: what they print, where, and their exit codes."""

import base64
import contextlib
import json
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from slipway.cli import main
from slipway.kube.folder import Object
from slipway.local.container import LocalImage
from slipway.local.state import LocalError
from tests.local.local_stack import (
    IMAGE,
    Stack,
    container,
    deployment,
    get,
    image,
    kill,
    service,
    stack,
    until,
)
from tests.ports import free_ports

ROUTER = "example.org/router:1"
PROGRAM = str(Path(sys.executable).with_name("slipway"))
SERVING = {"auth_enabled": True, "scoring_timeout_ms": 1000, "max_request_wait_time": 500}


def webservice(name: str, *, auth: bool = True) -> list[Object]:
    obj = deployment(name, GREETING="hello")
    labels = {"app": name, "slipway/webservice": name}
    serving = json.dumps({**SERVING, "auth_enabled": auth})
    obj["metadata"] |= {"labels": labels, "annotations": {"slipway/serving": serving}}
    keys: Object = {
        "kind": "Secret",
        "metadata": {"name": f"{name}-keys", "namespace": "slipway", "labels": labels},
        "stringData": {"primary": f"{name}-first", "secondary": f"{name}-second"},
    }
    return [obj, service(name), *([keys] if auth else [])]


def router() -> list[Object]:
    port, admin = free_ports(2)
    obj = deployment("slipway-router", port=port, ADMIN_PORT=str(admin))
    labels = {"app": "slipway-router", "app.kubernetes.io/component": "router"}
    obj["spec"]["template"]["metadata"]["labels"] = obj["metadata"]["labels"] = labels
    server = container(obj)
    server["image"] = ROUTER
    server["ports"].append({"name": "admin", "containerPort": admin})
    server["readinessProbe"]["httpGet"]["port"] = "admin"
    return [obj, service("slipway-router", "LoadBalancer")]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Generator[Path]:
    root = tmp_path_factory.mktemp("project")
    (root / "Pulumi.yaml").write_text("name: slipway\nruntime: python\n")
    (root / "inner").mkdir()
    with stack(root / ".slipway" / "local") as one:
        fake = LocalImage(sys.executable, "/", ("-u", str(Path(__file__).with_name("local_router.py"))))
        images = {IMAGE: image(), ROUTER: fake}
        one.up(*router(), *webservice("echo"), *webservice("open", auth=False), images=images)
        yield root


@pytest.fixture
def slipway(project: Path, monkeypatch: pytest.MonkeyPatch) -> "Slipway":
    monkeypatch.chdir(project / "inner")  # a project is found from anywhere in it
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # and no proxy stands between
    return Slipway(project)


class Slipway:
    def __init__(self, project: Path) -> None:
        self.project = project
        self.stack = Stack(project / ".slipway" / "local")

    def __call__(self, *arguments: str, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(main, arguments, input=stdin)


def test_status_shows_each_service_and_the_router(slipway: Slipway) -> None:
    result = slipway("status")
    assert result.exit_code == 0
    header, *rows = [line.split() for line in result.stdout.splitlines()]
    assert header == ["service", "state", "ready", "queued", "restarts", "image", "uri"]
    url = rows[-1][-1]
    assert rows == [
        ["echo", "Healthy", "1/1", "7", "0", "web:1", f"{url}/api/v1/service/echo/score"],
        ["open", "Healthy", "1/1", "7", "0", "web:1", f"{url}/api/v1/service/open/score"],
        ["(router)", "Healthy", "1/1", "0", "router:1", url],
    ]
    assert result.stderr == f"supervisor: running, process {slipway.stack.supervisor()}\n"


def test_replay_asks_the_router_for_its_journal(slipway: Slipway) -> None:
    result = slipway("replay", "--set", "autoscale_min_replicas=2")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("echo: 2026-11-30 08:00:00 to 08:00:01 UTC, 3 requests, ")
    assert "autoscale_min_replicas=2 " in result.stdout


def test_score_prints_the_answers_body(slipway: Slipway, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text('{"a": 1}')
    expected = {"got": '{"a": 1}', "type": "application/json"}
    for name in ("echo", "open"):
        result = slipway("score", name, "--data", str(file))
        assert (result.exit_code, json.loads(result.stdout), result.stderr) == (0, expected, "")
    result = slipway("score", "echo", "--data", "-", "--content-type", "image/png", stdin=b"\x01")
    assert json.loads(result.stdout) == {"got": "\x01", "type": "image/png"}


def test_when_the_router_refuses_then_score_says_why_and_fails(slipway: Slipway) -> None:
    result = slipway("score", "echo", "--data", "-", stdin="busy")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "error: 503 queue_timeout: A sentence for a person.\n"


def test_when_run_raised_then_score_shows_the_replicas_own_words(slipway: Slipway) -> None:
    result = slipway("score", "echo", "--data", "-", stdin="fail")
    assert result.exit_code == 1
    assert "run() raised ValueError" in result.stderr
    assert result.stderr.endswith("\nhint: slipway logs echo\n")


def test_when_run_answers_with_another_2xx_then_that_is_a_success(slipway: Slipway) -> None:
    result = slipway("score", "echo", "--data", "-", stdin="make")
    assert (result.exit_code, result.stdout, result.stderr) == (0, '"made"\n', "")


def test_the_router_is_no_web_service(slipway: Slipway) -> None:
    for command in (("score", "router", "--data", "-"), ("keys", "router"), ("keys", "slipway-router")):
        result = slipway(*command, stdin="{}")
        assert result.exit_code == 1
        assert f"error: no web service `{command[1]}`\n" in result.stderr


def test_when_a_service_is_unknown_then_the_known_ones_are_named(slipway: Slipway) -> None:
    for command in (("score", "ehco", "--data", "-"), ("keys", "ehco"), ("logs", "ehco")):
        result = slipway(*command, stdin="{}")
        assert result.exit_code == 1
        assert result.stderr == "error: no web service `ehco`\n\nhint: web services here: `echo`, `open`\n"


def test_keys_are_shown_and_made_anew_one_at_a_time(slipway: Slipway) -> None:
    assert slipway("keys", "echo").stdout == "primary    echo-first\nsecondary  echo-second\n"
    regenerated = slipway("keys", "echo", "--regen", "primary")
    assert regenerated.exit_code == 0
    (_, primary), (_, secondary) = (line.split() for line in regenerated.stdout.splitlines())
    assert secondary == "echo-second"
    assert primary.isalnum()
    assert len(primary) == 32
    stored = slipway.stack.state.objects.get("Secret", "slipway", "echo-keys")
    assert stored is not None
    assert base64.b64decode(stored["data"]["primary"]).decode() == primary
    assert slipway("score", "echo", "--data", "-", stdin="{}").exit_code == 0


def test_when_a_key_is_wrong_then_score_leads_to_the_keys(slipway: Slipway) -> None:
    folder = slipway.stack.state.objects
    secret = folder.get("Secret", "slipway", "echo-keys")
    assert secret is not None
    folder.put(
        {**secret, "metadata": {**secret["metadata"], "name": "open-keys"}, "stringData": {"primary": "x"}}
    )
    try:
        result = slipway("score", "open", "--data", "-", stdin="{}")
    finally:
        folder.delete("Secret", "slipway", "open-keys")
    assert result.exit_code == 1
    assert result.stderr == "error: 401 key_wrong: A sentence for a person.\n\nhint: slipway keys open\n"


def test_with_an_address_and_a_key_nothing_else_is_asked_for(
    slipway: Slipway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = slipway("status").stdout.split()[-1]
    file = tmp_path / "key"
    file.write_text(slipway("keys", "echo").stdout.split()[1] + "\n")
    empty_project(tmp_path, "elsewhere")
    monkeypatch.chdir(tmp_path)
    call = ("score", "echo", "--data", "-", "-s", "elsewhere", "--url", url)
    assert slipway(*call, "--key-file", str(file), stdin="{}").exit_code == 0
    monkeypatch.setenv("SLIPWAY_KEY", file.read_text().strip())
    assert slipway(*call, stdin="{}").exit_code == 0
    file.write_text("two\nlines")
    refused = slipway(*call, "--key-file", str(file), stdin="{}")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("error: what --key-file or SLIPWAY_KEY gives is no key: ")
    assert "lines" not in refused.stderr
    file.write_bytes(b"\xff\xfe")
    refused = slipway(*call, "--key-file", str(file), stdin="{}")
    assert refused.stderr.startswith("error: what --key-file or SLIPWAY_KEY gives is no key: ")
    for wrong in ("127.0.0.1", "http://["):
        result = slipway(*call[:-1], wrong, stdin="{}")
        assert (result.exit_code, result.stdout) == (1, "")
        assert f"error: the router did not answer at {wrong}: " in result.stderr


def test_when_a_service_has_no_keys_then_keys_says_so(slipway: Slipway) -> None:
    result = slipway("keys", "open")
    assert result.exit_code == 1
    assert result.stderr == "error: web service `open` has no keys\n\nhint: its `auth_enabled` is false\n"


def test_logs_are_printed_of_services_and_of_the_router(slipway: Slipway) -> None:
    assert slipway("logs", "echo").stdout == "starting hello\n"
    assert slipway("logs", "router").stdout == "fake router\n"


def test_when_nothing_has_been_written_then_logs_leads_to_the_status(slipway: Slipway) -> None:
    folder = next((slipway.project / ".slipway" / "local" / "logs").glob("*/open"))
    aside = folder.rename(folder.with_name("aside"))
    try:
        result = slipway("logs", "open")
    finally:
        aside.rename(folder)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "nothing has been written\n\nhint: slipway status\n"


@contextlib.contextmanager
def following(slipway: "Slipway", name: str, output: Path) -> Generator[None]:
    with output.open("wb") as file:
        process = subprocess.Popen([PROGRAM, "logs", name, "--follow"], cwd=slipway.project, stdout=file)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_logs_can_be_followed(slipway: Slipway, tmp_path: Path) -> None:
    output = tmp_path / "followed"
    with following(slipway, "open", output):
        until(lambda: output.read_text() == "starting hello\n")
        kill(slipway.stack.pids("open")[0])
        until(lambda: output.read_text() == "starting hello\n" * 2)  # the next process's words come too


def test_when_much_is_printed_then_following_misses_nothing_where_a_log_is_begun_anew(
    slipway: Slipway, tmp_path: Path
) -> None:
    output = tmp_path / "followed"
    with following(slipway, "open", output):
        until(lambda: output.stat().st_size)
        for _ in range(6):  # 4 MB each
            before = output.stat().st_size
            get(slipway.stack.ready("open")[0], "/print?lines=50000", timeout=30)
            until(lambda size=before: output.stat().st_size >= size + 4_000_000)
        assert output.read_bytes().count(b"y" * 79 + b"\n") == 300_000
    assert len(slipway("logs", "open").stdout.splitlines()) == 5000, "also from the one before"


def test_when_a_replica_is_killed_then_status_counts_it_and_says_how_it_ended(slipway: Slipway) -> None:
    before = slipway.stack.pids("echo")
    kill(before[0])
    until(lambda: slipway.stack.ready("echo") and slipway.stack.pids("echo") != before)
    row = slipway("status").stdout.splitlines()[1].split()
    assert (row[1], row[4:7]) == ("Healthy", ["1", "(exit", "137)"])


def test_wait_ends_when_the_newest_replicas_are_ready_and_the_router_reaches_them(slipway: Slipway) -> None:
    result = slipway("wait")
    lines = "echo: 1 of 1 ready\nopen: 1 of 1 ready\nslipway-router: 1 of 1 ready\n"
    assert (result.exit_code, result.stdout) == (0, lines), result.stderr
    assert slipway("wait", "open").stdout == "open: 1 of 1 ready\n"
    assert slipway("wait", "router").stdout == "slipway-router: 1 of 1 ready\n"
    result = slipway("wait", "ehco")
    assert result.stderr == "error: no web service `ehco`\n\nhint: web services here: `echo`, `open`\n"


def test_when_a_process_ends_again_and_again_then_wait_gives_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty_project(tmp_path, "local")
    monkeypatch.chdir(tmp_path)
    broken = deployment("broken", CRASH="no such model")
    with stack(tmp_path / ".slipway" / "local") as one:
        with pytest.raises(LocalError, match="no such model"):
            one.up(broken, service("broken"))
        result = CliRunner().invoke(main, ["wait"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "error: broken: server ended with exit 1" in result.stderr
    assert "RuntimeError: no such model" in result.stderr


def test_when_another_command_is_at_work_then_down_is_refused(slipway: Slipway) -> None:
    with slipway.stack.state.lock("slipway up"):
        result = slipway("down")
    assert result.exit_code == 1
    assert "error: `slipway up (process" in result.stderr
    assert result.stderr.endswith("hint: wait until it has ended; nothing was changed\n")


def test_when_nothing_runs_then_each_command_leads_to_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty_project(tmp_path, "local", "dev")
    monkeypatch.chdir(tmp_path)
    run = CliRunner()
    for command in (["status"], ["score", "echo", "--data", "-"]):
        result = run.invoke(main, command)
        assert result.exit_code == 1
        assert result.stderr.startswith("error: nothing runs on stack `local` here; no context `nowhere` in ")
        assert "there: `other`" in result.stderr
        assert result.stderr.endswith("\n\nhint: slipway up\n")
    result = run.invoke(main, ["status", "-s", "dev"])
    assert result.stderr.endswith("hint: slipway up -s dev\n")
    result = run.invoke(main, ["down"])
    assert (result.exit_code, result.stderr) == (0, "nothing was running\n")
    assert not (tmp_path / ".slipway").exists()


@pytest.mark.parametrize(
    "command", ["up", "plan", "render", "status", "down", "logs x", "keys x", "score x --data -"]
)
def test_when_the_stack_is_unknown_then_the_nearest_is_named_and_nothing_made(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty_project(tmp_path, "local", "dev")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, [*command.split(), "-s", "lcoal"])
    path = tmp_path / "Pulumi.lcoal.yaml"
    assert result.exit_code == 1
    assert result.stderr == f"error: no stack `lcoal`: {path} does not exist; did you mean `local`?\n"
    assert not (tmp_path / ".slipway").exists()


CURRENT = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: u, user: {}}]
contexts: [{name: other, context: {cluster: c, user: u}}]
current-context: other
"""


def empty_project(folder: Path, *stacks: str) -> None:
    (folder / "Pulumi.yaml").write_text("name: slipway\nruntime: python\n")
    for name in stacks:
        text = "config: {slipway:kubernetes: {context: nowhere, kubeconfig: kubeconfig}}\n"
        (folder / f"Pulumi.{name}.yaml").write_text(text)
    (folder / "kubeconfig").write_text(CURRENT)  # with another context, which is the current one


@pytest.mark.parametrize("on_path", [True, False])
def test_hints_show_commands_as_this_person_types_them(tmp_path: Path, *, on_path: bool) -> None:
    empty_project(tmp_path, "dev")
    env = {"PATH": f"{Path(PROGRAM).parent}:/usr/bin:/bin" if on_path else "/usr/bin:/bin"}
    result = subprocess.run(
        [PROGRAM, "status", "-s", "dev"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    name = "slipway" if on_path else PROGRAM
    assert result.stderr.endswith(f"\nhint: {name} up -s dev\n")


def test_when_there_is_no_project_then_the_error_says_where_it_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["status"])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: no Pulumi.yaml in {tmp_path} or above\n")


@pytest.mark.parametrize("name", ["../x", "a/b", "", "."])
def test_when_a_stacks_name_is_none_then_it_is_refused(slipway: Slipway, name: str) -> None:
    result = slipway("down", "-s", name)
    assert result.exit_code == 1
    assert f"`{name}` is no name of a stack" in result.stderr
