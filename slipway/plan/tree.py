"""A graph as a tree: who belongs to whom, and beside each node what matters about it.

Default providers and the stack are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import cast

from slipway.engine.graph import Graph, Registration, secrets
from slipway.engine.mask import Mask
from slipway.engine.urns import STACK_TYPE, is_provider
from slipway.plan.details import KINDS, Properties
from slipway.plan.values import masked


def tree(graph: Graph) -> str:
    """Draw the graph, with the outputs of the stack and a line that says what a plan is not."""
    mask = Mask(secrets(graph))
    shown = [r for r in graph.registrations if r.type != STACK_TYPE and (r.parent or not is_provider(r.type))]
    children: dict[str, list[Registration]] = {}
    for registration in shown:
        children.setdefault(registration.parent, []).append(registration)
    there = {registration.urn for registration in shown}
    roots = [node for parent, nodes in children.items() if parent not in there for node in nodes]
    lines = [f"{graph.project} {graph.stack}", *_branches(roots, children, mask, "")]
    if graph.outputs:
        lines += ["", "outputs"]
        lines += [f"  {name}: {text}" for name, text in _flat(masked(graph.outputs, mask), "")]
    custom = sum(registration.custom for registration in shown)
    lines += ["", f"{custom} resources in {len(shown) - custom} components"]
    if graph.encrypted_config:
        lines.append(f"encrypted, so unknown here: {', '.join(graph.encrypted_config)}")
    if graph.unasked:
        lines.append(f"not asked, so unknown here: {', '.join(graph.unasked)}")
    lines.append("This is the graph alone: no provider was asked, so there is no diff and no drift.")
    return "\n".join(lines) + "\n"


def _branches(
    nodes: list[Registration], children: dict[str, list[Registration]], mask: Mask, indent: str
) -> Iterator[str]:
    nodes = sorted(nodes, key=lambda node: (node.custom, node.type, _natural(node.name)))
    same = [list(run) for _, run in groupby(nodes, lambda node: _numbered(node, children))]
    for run in same:
        node, last = run[0], run is same[-1]
        inputs = cast("Properties", masked(node.inputs, mask))
        details = "  ".join(text for text in _details(node, inputs) if text)
        head = f"{_short(node.type)} {mask(_name(node, inputs))}"
        head += f" to {run[-1].name.rpartition('-')[2]}" if len(run) > 1 else ""
        yield f"{indent}{'└─ ' if last else '├─ '}{head}{'  ' if details else ''}{details}"
        below = children.get(node.urn, [])
        yield from _branches(below, children, mask, indent + ("   " if last else "│  "))


def _natural(name: str) -> list[tuple[int, str]]:
    """Give the key by which `a-2` comes before `a-10`."""
    return [(int(number or 0), text) for number, text in re.findall(r"(\d*)(\D*)", name)]


def _numbered(node: Registration, children: dict[str, list[Registration]]) -> tuple[str, ...]:
    """Give what public addresses, which differ by a number alone, have in common; for others who they are."""
    stem, dash, number = node.name.rpartition("-")
    alone = node.type.endswith(":PublicIPAddress") and node.urn not in children
    return (node.type, stem) if dash and number.isdigit() and alone else (node.urn,)


def _short(type_: str) -> str:
    """Give the last part of a type; that of a provider with its package."""
    return f"Provider {type_.rsplit(':', 1)[-1]}" if is_provider(type_) else type_.rsplit(":", 1)[-1]


def _name(node: Registration, inputs: Properties) -> str:
    """Give the name under which a cluster knows an object, else Pulumi's."""
    metadata = inputs.get("metadata")
    if not isinstance(metadata, dict) or "name" not in metadata:
        return node.name
    place = cast("dict[str, object]", metadata)
    return "/".join(str(place[key]) for key in ("namespace", "name") if key in place)


def _details(node: Registration, inputs: Properties) -> Iterator[str]:
    describe = KINDS.get(_short(node.type))
    if describe is not None and not node.external:  # of what is only read no inputs are known
        yield from describe(inputs)
    if node.protect:
        yield "protected"
    if node.external:
        yield "read only"
    if node.ignore_changes:
        yield f"ignores {', '.join(node.ignore_changes)}"


def _flat(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Give each value inside with the path to it; a list of the same again and again is counted."""
    if isinstance(value, dict):
        for name, item in cast("dict[str, object]", value).items():
            yield from _flat(item, f"{path}.{name}".removeprefix("."))
        return
    items = cast("list[object]", value) if isinstance(value, list) else []
    same = len(items) > 1 and items == items[:1] * len(items)
    yield path, f"{len(items)} x {items[0]}" if same else str(cast("object", value))
