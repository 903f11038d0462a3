"""What is asked of a run and what comes back, between our process and the program's. Needs no Pulumi."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from slipway.engine.graph import Graph, Registration, Unknown, Value
from slipway.engine.project import Project
from slipway.images.mode import Mode


class EngineError(Exception):
    """A program that cannot become a graph; the message is for a person."""


@dataclass(frozen=True)
class Made:
    """What a resource would be once it exists; outputs that are not here stay what they are in a preview."""

    id: str | Unknown
    outputs: dict[str, Value]


Resolver = Callable[[Registration], Made | None]
"""Gives what a resource would be, or None where only a realisation can know. Importable, like `Invoke`."""
Invoke = Callable[[str, dict[str, Value]], dict[str, Value]]
"""Answers a call of a provider's function: token and arguments to result."""
StackOutputs = Mapping[str, Mapping[str, Value]]
"""Outputs of other stacks by the names that stack references give them."""


@dataclass(frozen=True)
class Request:
    """What to run, and with what answers."""

    project: Project
    resolve: Resolver | None = None
    invoke: Invoke | None = None
    stacks: StackOutputs | None = None
    check: bool = False
    images: Mode = Mode.CACHED


@dataclass(frozen=True)
class Answer:
    """A graph with what is wrong in it if that was asked, or why there is none."""

    graph: Graph | None = None
    mistakes: tuple[str, ...] = ()
    error: str = ""
