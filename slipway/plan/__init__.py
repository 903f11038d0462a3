"""The graph of a stack, shown, checked and compared; secrets are masked in everything.

It is no `pulumi preview`: no provider is asked, so it holds no check or default of a provider and no drift
of what exists.
"""

from slipway.plan.changes import text as changes_text
from slipway.plan.changes import to_json as changes_to_json
from slipway.plan.diff import diff
from slipway.plan.objects import in_graph as mistakes_of_objects
from slipway.plan.picture import mermaid
from slipway.plan.snapshot import load, path_of, save, snapshot
from slipway.plan.tree import tree
from slipway.plan.values import to_json

__all__ = [
    "changes_text",
    "changes_to_json",
    "diff",
    "load",
    "mermaid",
    "mistakes_of_objects",
    "path_of",
    "save",
    "snapshot",
    "to_json",
    "tree",
]
