"""What is wrong in a graph, as far as the program's own process can tell: its SDKs and policies are there.

One line a mistake: `Type name: ...`. Kubernetes objects are not judged by their SDK, because Kubernetes'
own schemas say the same and more; `slipway.plan` asks those.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from slipway.engine import sdk
from slipway.engine.graph import Graph, secrets
from slipway.engine.mask import Mask
from slipway.engine.urns import is_provider


def mistakes(graph: Graph, project: Path) -> list[str]:
    """Give a line for each mistake in a graph, secrets masked; advice of policies goes to stderr."""
    mask = Mask(secrets(graph))
    return [mask(line) for line in (*_of_sdks(graph), *_of_policies(graph, project, mask))]


def _of_sdks(graph: Graph) -> Iterator[str]:
    for found in graph.registrations:
        judged = found.custom and not found.external and not found.type.startswith("kubernetes:")
        if judged and not is_provider(found.type):
            yield from (f"{found.called}: {line}" for line in sdk.mistakes(found.type, found.inputs))


def _of_policies(graph: Graph, project: Path, mask: Mask) -> Iterator[str]:
    if not (project / "policies" / "rules.py").is_file():
        return
    from slipway.engine.policies import violations  # noqa: PLC0415 only a project with policies needs them

    for mandatory, line in violations(graph, project):
        if mandatory:
            yield line
        else:
            print(f"warning: {mask(line)}", file=sys.stderr)  # noqa: T201 messages are for people
