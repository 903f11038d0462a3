"""`slipway plan` and `slipway render` on small programs: what is printed, kept, compared and refused."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from textwrap import dedent

import pytest
import yaml
from click.testing import CliRunner, Result

from slipway.cli import main

POOL = """
    def pool(size, protect=True):
        az.containerservice.AgentPool(
            "pool",
            resource_group_name="g",
            resource_name_="cluster",
            agent_pool_name="pool",
            vm_size=size,
            opts=pulumi.ResourceOptions(protect=protect),
        )
    """
IDENTITY = """
    identity = az.managedidentity.UserAssignedIdentity("router", resource_group_name="g")
    metadata = k8s.meta.v1.ObjectMetaArgs(name="a", namespace="here")
    client = pulumi.Output.concat("<", identity.client_id, ">")
    k8s.core.v1.ConfigMap("a", metadata=metadata, data={"client": client})
    """


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "Pulumi.yaml").write_text("name: small\nruntime: python\nstackConfigDir: stacks\n")
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks" / "Pulumi.dev.yaml").write_text("config: {}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(project: Path, *parts: str) -> None:
    header = "import pulumi\nimport pulumi_azure_native as az\nimport pulumi_kubernetes as k8s\n\n"
    (project / "__main__.py").write_text(header + "\n".join(map(dedent, parts)))


def slipway(*words: str) -> Result:
    return CliRunner().invoke(main, [*words, "-s", "dev"])


def test_when_a_plan_has_mistakes_then_it_is_shown_and_each_has_its_line_and_nothing_is_saved(
    project: Path,
) -> None:
    write(
        project,
        """
        policies = {"private_endpoint_network_policies": "Off"}
        az.network.Subnet("net", resource_group_name="g", virtual_network_name="v", **policies)
        k8s.core.v1.ConfigMap("a", metadata=k8s.meta.v1.ObjectMetaArgs(name="a"), data={"x": 1})
        """,
    )
    (project / "policies").mkdir()
    (project / "policies" / "rules.py").write_text(
        "from pulumi_policy import StackValidationPolicy\n"
        "POLICIES = [StackValidationPolicy('p', 'd', lambda args, report: report('not so'))]\n"
    )
    result = slipway("plan", "--save")
    assert result.exit_code == 1
    assert "└─ ConfigMap a" in result.stdout
    assert [line.partition(" = ")[0] for line in result.stderr.splitlines()] == [
        "error: Subnet net: privateEndpointNetworkPolicies",
        "error: stack dev: not so (policy p)",
        "error: ConfigMap a: data.x",
    ]
    assert not (project / "stacks" / "plan.dev.json").exists()


def test_when_the_program_warns_then_so_does_the_plan(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(project, "pulumi.log.warn('kubenet retires')")
    assert slipway("plan").exit_code == 0
    assert capfd.readouterr().err == "warning: kubenet retires\n"


def test_when_a_plan_is_saved_then_the_next_tells_what_changed_since(project: Path) -> None:
    write(project, POOL, "pool('a', protect=False)")
    result = slipway("plan", "--diff")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "plan.dev.json does not exist; make it with --save" in result.stderr
    result = slipway("plan", "--save")
    assert (result.exit_code, result.stderr) == (0, "saved stacks/plan.dev.json\n")
    assert slipway("plan", "--diff").stdout.startswith("nothing changes since plan.dev.json\n")
    write(project, POOL, "pool('b', protect=False)")
    result = slipway("plan", "--diff")
    assert result.exit_code == 0
    assert result.stdout.startswith('! replace AgentPool pool\n    vmSize: "a" -> "b"  (replaces)\n')
    found = json.loads(slipway("plan", "--diff", "--format", "json").stdout)
    assert found["updated"][0]["replacedBy"] == ["vmSize"]


def test_when_something_protected_would_go_then_the_plan_fails_and_the_snapshot_stays(project: Path) -> None:
    write(project, POOL, "pool('a')")
    assert slipway("plan", "--save").exit_code == 0
    before = (project / "stacks" / "plan.dev.json").read_text()
    write(project, POOL, "pool('b')")
    result = slipway("plan", "--diff", "--save")
    assert result.exit_code == 1
    assert result.stderr.startswith(
        "error: AgentPool pool: is protected and would be replaced, because vmSize"
    )
    write(project, POOL)
    result = slipway("plan", "--diff", "--save")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: AgentPool pool: is protected and would be deleted")
    assert (project / "stacks" / "plan.dev.json").read_text() == before


def test_when_a_git_ref_is_named_then_the_plan_is_compared_with_its_snapshot(project: Path) -> None:
    write(project, POOL, "pool('a')")
    slipway("plan", "--save")
    identity = ["-c", "user.name=n", "-c", "user.email=e"]
    for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "first"], ["tag", "released"]):
        subprocess.run(["git", *words], cwd=project, check=True, capture_output=True)
    write(project, POOL, "pool('a', protect=False)")
    slipway("plan", "--save")
    result = slipway("plan", "--diff", "released")
    assert result.stdout.startswith("~ update  AgentPool pool\n    protect: true -> none\n")
    assert "1 updated since plan.dev.json of released" in result.stdout
    result = slipway("plan", "--diff", "nowhere")
    assert result.exit_code == 1
    assert "at git ref `nowhere`" in result.stderr


def test_when_a_picture_is_asked_for_then_it_is_one_and_differences_have_none(project: Path) -> None:
    write(project, POOL, "pool('a')")
    assert slipway("plan", "--format", "mermaid").stdout.startswith("flowchart LR\n")
    result = slipway("plan", "--format", "mermaid", "--diff")
    assert result.exit_code == 2
    assert "--diff has no picture" in result.stderr


def test_when_an_object_holds_an_unknown_value_then_render_names_it_until_an_output_tells_it(
    project: Path,
) -> None:
    write(project, IDENTITY, 'pulumi.export("router", identity.client_id)')
    result = slipway("render")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(
        "error: ConfigMap here/a, data.client: is known only once it exists, from azure-"
    )
    (project / "outputs.json").write_text('{"router": "1234", "other": [1]}')
    result = slipway("render", "--outputs", "outputs.json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert yaml.safe_load(result.stdout)["data"] == {"client": "<1234>"}


@pytest.mark.parametrize(
    ("exported", "told"),
    [
        ('pulumi.export("other", identity.principal_id)', {"other": "1234", "router": "1234"}),
        ('pulumi.export("router", identity.client_id.apply(str.upper))', {"router": "1234"}),
        ('pulumi.export("router", identity.client_id)', {"router": "[secret]"}),
        ('pulumi.export("router", identity.client_id)', {}),
    ],
    ids=["another property", "computed", "masked", "absent"],
)
def test_when_outputs_do_not_tell_the_value_itself_then_it_is_still_refused(
    project: Path, exported: str, told: dict[str, str]
) -> None:
    write(project, IDENTITY, exported)
    (project / "outputs.json").write_text(json.dumps(told))
    result = slipway("render", "--outputs", "outputs.json")
    assert result.exit_code == 1
    assert "ConfigMap here/a, data.client: is known only once it exists" in result.stderr


def test_when_another_stack_is_read_then_outputs_are_taken_for_its_own(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(
        project,
        """
        pulumi.log.warn("once")
        other = pulumi.StackReference("org/small/platform")
        told = other.require_output("client")
        k8s.Provider("p", kubeconfig=other.require_output("kubeconfig"))
        metadata = k8s.meta.v1.ObjectMetaArgs(name="a", namespace="here")
        k8s.core.v1.ConfigMap("a", metadata=metadata, data={"client": told})
        """,
    )
    assert slipway("render").exit_code == 1
    capfd.readouterr()
    (project / "outputs.json").write_text('{"client": "1234", "kubeconfig": "[secret]"}')
    assert yaml.safe_load(slipway("render", "--outputs", "outputs.json").stdout)["data"] == {"client": "1234"}
    assert capfd.readouterr().err == "warning: once\n"
    result = slipway("render", "--outputs", "outputs.json", "--secrets", "secrets.yaml")
    assert result.exit_code == 1
    assert result.stderr == (
        "error: output kubeconfig: is masked, and Secrets may need it; print all with --show-secrets\n"
    )


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_when_the_outputs_are_no_outputs_then_render_says_how_they_are_made(project: Path, text: str) -> None:
    write(project, IDENTITY)
    (project / "outputs.json").write_text(text)
    result = slipway("render", "--outputs", "outputs.json")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: outputs.json")
    assert "hint: pulumi stack output --json > FILE" in result.stderr
