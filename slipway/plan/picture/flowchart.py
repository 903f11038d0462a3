"""Boxes, nodes and arrows as a Mermaid flowchart: the syntax alone, nothing of what they stand for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

Arrow = tuple[str, str, str | None]
"""The keys of both ends, and what goes that way; a dotted line without a head where that is None."""


@dataclass(frozen=True)
class Box:
    """A frame around nodes, labels by key, and other boxes; by its own key it is an end of arrows too."""

    key: str
    title: str
    nodes: dict[str, str] = field(default_factory=dict[str, str])
    boxes: tuple[Box, ...] = ()

    @property
    def empty(self) -> bool:
        """Tell whether there is nothing inside."""
        return not self.nodes and all(box.empty for box in self.boxes)


def flowchart(outside: Mapping[str, str], boxes: Iterable[Box], arrows: Iterable[Arrow]) -> str:
    """Draw from left to right: `outside` as round nodes, without empty boxes and arrows that lack an end."""
    ids: dict[str, str] = {}

    def name(key: str) -> str:
        return ids.setdefault(key, f"n{len(ids) + 1}")

    def drawn(box: Box, indent: str) -> Iterator[str]:
        if box.empty:
            return
        yield f"{indent}subgraph {name(box.key)}[{_quoted(box.title)}]"
        yield from (f"{indent}  {name(key)}[{_quoted(label)}]" for key, label in box.nodes.items())
        for inner in box.boxes:
            yield from drawn(inner, f"{indent}  ")
        yield f"{indent}end"

    inside = [line for box in boxes for line in drawn(box, "  ")]
    ends = {end for source, target, _ in arrows for end in (source, target)}
    round_ = [f"  {name(key)}([{_quoted(label)}])" for key, label in outside.items() if key in ends]
    lines = [
        f"  {ids[source]} {_arrow(label)} {ids[target]}"
        for source, target, label in dict.fromkeys(arrows)
        if source in ids and target in ids
    ]
    return "\n".join(["flowchart LR", *round_, *inside, *lines]) + "\n"


def _arrow(label: str | None) -> str:
    if label is None:
        return "-.-"
    return f"-->|{_quoted(label)}|" if label else "-->"


def _quoted(text: str) -> str:
    """Write a label: in quotes, where only these characters need a code."""
    for character, code in (("#", "#35;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;"), ("\n", "<br/>")):
        text = text.replace(character, code)
    return f'"{text}"'
