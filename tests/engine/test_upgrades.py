"""What this version would do to what the last release made: the same stack files, and plans of that release.

`releases/VERSION/` is `stacks/` as it was released, with its kept plans.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from slipway.engine import Graph, run, urns
from slipway.plan import changes_text, diff, load, snapshot

ROOT = Path(__file__).parents[2]
RELEASES = Path(__file__).parent / "releases"
LAST = max(RELEASES.iterdir(), key=lambda folder: [int(part) for part in folder.name.split(".")])


def upgraded(release: Path, stack: str, folder: Path) -> Graph:
    """Run this version's program with a release's stack file."""
    settings = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump(settings | {"stackConfigDir": str(release)}))
    for name in ("__main__.py", "components", "examples"):
        (folder / name).symlink_to(ROOT / name)
    return run(folder, stack)


@pytest.mark.parametrize("plan", sorted(path.name for path in LAST.glob("plan.*.json")))
def test_when_what_the_last_release_made_is_upgraded_then_nothing_is_replaced(
    plan: str, tmp_path: Path
) -> None:
    graph = upgraded(LAST, plan.split(".")[1], tmp_path)
    aliases = {found.urn: found.aliases for found in graph.registrations}
    changes = diff(load(LAST / plan), snapshot(graph), aliases)
    replaced = [update.urn for update in changes.updated if update.replaced_by]
    renamed = {urns.type_of(urn) for urn in changes.deleted} & {urns.type_of(urn) for urn in changes.created}
    if replaced or renamed or changes.refused:
        pytest.fail(changes_text(changes, LAST.name))


def test_every_release_has_kept_its_plans() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = set(re.findall(r"^## (\S+)(?: \((?!unreleased).*\))?$", changelog, re.MULTILINE))
    assert released <= {folder.name for folder in RELEASES.iterdir()}, "cp -r stacks tests/engine/releases/"
    for folder in RELEASES.iterdir():
        stacks = {path.name.split(".")[1] for path in folder.glob("Pulumi.*.yaml")}
        assert {path.name.split(".")[1] for path in folder.glob("plan.*.json")} == stacks
        assert stacks
