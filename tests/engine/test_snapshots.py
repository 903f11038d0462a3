"""The plans kept in git beside the stacks: what this version would do to what the last one made."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway.engine import run
from slipway.plan import changes_text, diff, load, path_of, snapshot

ROOT = Path(__file__).parents[2]
STACKS = sorted(path.name.split(".")[1] for path in (ROOT / "stacks").glob("Pulumi.*.yaml"))


@pytest.mark.parametrize("stack", STACKS)
def test_when_a_kept_plan_is_opened_then_nothing_is_replaced_and_none_is_missing(stack: str) -> None:
    graph = run(ROOT, stack)
    aliases = {found.urn: found.aliases for found in graph.registrations}
    changes = diff(load(path_of(ROOT, stack)), snapshot(graph), aliases)
    replaced = [update.urn for update in changes.updated if update.replaced_by]
    if changes.created or changes.deleted or replaced:
        pytest.fail(f"is it meant? slipway plan -s {stack} --save\n{changes_text(changes, 'the kept plan')}")
