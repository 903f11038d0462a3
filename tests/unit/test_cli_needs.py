"""`slipway hosts` and `slipway size`: what a stack file alone says of what it needs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from slipway.cli import main
from slipway.hosts import FQDN_TAG

ROOT = Path(__file__).parents[2]


def slipway(*words: str) -> Result:
    return CliRunner().invoke(main, words)


@pytest.fixture(autouse=True)
def project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("form", ["table", "json", "csv", "azurefirewall", "proxy", "dns"])
def test_when_hosts_are_asked_for_then_each_format_names_them_and_nothing_runs(form: str) -> None:
    result = slipway("hosts", "-s", "prod", "--format", form)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "features.example.com" in result.stdout


def test_when_a_firewall_of_azure_is_there_then_its_tag_stands_for_akss_hosts() -> None:
    assert FQDN_TAG in slipway("hosts", "-s", "prod").stdout
    result = slipway("hosts", "-s", "dev")
    assert FQDN_TAG not in result.stdout
    assert "*.hcp.westeurope.azmk8s.io" in result.stdout


def test_when_the_size_is_asked_for_then_table_and_json_tell_the_same() -> None:
    found = json.loads(slipway("size", "-s", "prod", "--format", "json").stdout)
    lines = slipway("size", "-s", "prod").stdout.splitlines()
    assert [pool["name"] for pool in found["pools"]] == ["system", "services", "gpu"]
    assert [line.split()[0] for line in lines[1:4]] == ["system", "services", "gpu"]


@pytest.mark.parametrize("command", ["hosts", "size"])
def test_when_a_stack_has_no_azure_then_the_commands_say_so(command: str) -> None:
    result = slipway(command, "-s", "local")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: stack `local` has no slipway:azure")


@pytest.mark.parametrize("command", ["hosts", "size"])
def test_when_settings_are_wrong_then_each_mistake_has_its_line(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: slipway\nruntime: python\n")
    (tmp_path / "Pulumi.dev.yaml").write_text(
        "config:\n  slipway:azure: {location: West Europe}\n  slipway:a.primary_key: {secure: AAAA}\n"
    )
    monkeypatch.chdir(tmp_path)
    result = slipway(command, "-s", "dev")
    assert (result.exit_code, result.stdout) == (1, "")
    lines = result.stderr.splitlines()
    assert any(line.startswith('error: slipway:azure.location = "West Europe"') for line in lines)
    assert any(
        line.startswith("error: slipway:a.primary_key = [secret]: no web service `a`") for line in lines
    )
