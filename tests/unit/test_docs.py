"""What the documents say exists, and what exists is documented."""

import re
from pathlib import Path
from typing import get_args

from slipway.cli import main
from slipway.router.state import Reason
from tests.local.parity_differences import DIFFERENCES

PROJECT = Path(__file__).parents[2]


def text(name: str) -> str:
    return (PROJECT / name).read_text(encoding="utf-8")


def test_every_reason_of_a_refusal_is_explained() -> None:
    sentences = re.search(r"SENTENCES = \{(.*?)\n\}", text("slipway/router/router.lua"), re.DOTALL)
    assert sentences
    reasons = set(re.findall(r"^  (\w+) =", sentences[1], re.MULTILINE)) | {"run_failed"}
    assert set(re.findall(r"^\| \d+ \| `(\w+)`", text("docs/refusals.md"), re.MULTILINE)) == reasons


def test_every_reason_of_an_event_is_explained() -> None:
    explained = set(re.findall(r"^\| \w+ \| `(\w+)`", text("docs/events.md"), re.MULTILINE))
    assert explained == set(get_args(Reason))


def test_every_link_of_the_readme_leads_somewhere() -> None:
    for name in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", text(name)):
            assert (PROJECT / target).exists(), f"{name}: {target}"


def test_every_command_is_in_the_readme() -> None:
    missing = {name for name in main.commands if f"slipway {name}" not in text("README.md")}
    assert not missing


def test_the_version_is_the_newest_in_the_changelog() -> None:
    newest = re.search(r"^## (\S+)", text("CHANGELOG.md"), re.MULTILINE)
    version = re.search(r'^version = "(.+)"', text("pyproject.toml"), re.MULTILINE)
    assert newest
    assert version
    assert newest[1] == version[1]


def test_the_differences_from_azure_mls_server_are_those_that_the_parity_test_holds() -> None:
    table = (
        text("docs/scoring.md")
        .partition("## Differences from Azure ML's server")[2]
        .partition("|---|---|\n")[2]
    )
    rows = table.partition("\n\n")[0].splitlines()
    assert rows == [f"| {each.name} | {each.reason} |" for each in DIFFERENCES]
