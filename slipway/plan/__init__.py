"""The graph of a stack, shown: a tree for people, JSON for programs, secrets masked in both.

It is no `pulumi preview`: no provider is asked, so it holds no diff, no check or default of a provider
and no drift of what exists.
"""

from slipway.plan.tree import tree
from slipway.plan.values import to_json

__all__ = ["to_json", "tree"]
