"""The in-process engine: runs a Pulumi program without Pulumi's CLI and gives the graph that it registers.

    graph = run(Path("."), "local")

The program is run unmodified, as in a preview: what only a realisation can know is unknown, unless a
resolver says what it would be. Whatever Pulumi would refuse before it asks a provider is refused:
duplicate URNs, parents and providers that do not exist, exceptions, also those of applies.

Left out: providers and state, so no checks or defaults of theirs, no diff and no drift.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

from slipway.engine.graph import UNKNOWN, Asset, Graph, Reference, Registration, Secret, Unknown, Value
from slipway.engine.project import ProjectError, load
from slipway.engine.request import Answer, EngineError, Invoke, Made, Request, Resolver, StackOutputs
from slipway.images.mode import Mode

__all__ = [
    "UNKNOWN",
    "Asset",
    "EngineError",
    "Graph",
    "Made",
    "ProjectError",
    "Reference",
    "Registration",
    "Resolver",
    "Secret",
    "Unknown",
    "Value",
    "check",
    "run",
]


def run(
    project: Path,
    stack: str,
    *,
    resolve: Resolver | None = None,
    invoke: Invoke | None = None,
    stacks: StackOutputs | None = None,
    quiet: bool = False,
    images: Mode = Mode.CACHED,
) -> Graph:
    """Run the program of `project` for `stack` in a process of its own.

    `resolve`, `invoke` and `stacks` answer what providers and other stacks would; the functions must be
    importable, because they are called in that process. What the program prints goes to stderr, or nowhere
    with `quiet`. `images` says how the program may know an image.
    Raises `ProjectError` for files that cannot be read, `EngineError` for a program that Pulumi would not
    run.
    """
    return _ask(Request(load(project, stack), resolve, invoke, stacks, images=images), quiet=quiet)[0]


def check(project: Path, stack: str) -> tuple[Graph, tuple[str, ...]]:
    """Run the program likewise; give its graph and a line for each mistake that can be seen in it.

    Checked are the inputs of resources against the annotations of their SDKs, and the rules of the
    project's own policy pack. Raises as `run` does.
    """
    return _ask(Request(load(project, stack), check=True))


def _ask(request: Request, *, quiet: bool = False) -> tuple[Graph, tuple[str, ...]]:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as answers:
        try:
            process = subprocess.Popen(
                # -P: modules of the working directory are the program's, not ours
                [sys.executable, "-P", "-m", "slipway.engine.program", str(writer)],
                stdin=subprocess.PIPE,
                stderr=subprocess.DEVNULL if quiet else None,
                pass_fds=[writer],
            )
        finally:
            os.close(writer)
        with process:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError), process.stdin:  # it may have ended already
                pickle.dump(request, process.stdin)
            content = answers.read()
    if not content:
        raise EngineError(
            f"the program's process ended with status {process.returncode} and without an answer"
        )
    answer: Answer = pickle.loads(content)  # noqa: S301 from our own child process
    if answer.graph is None:
        raise EngineError(answer.error)
    return answer.graph, answer.mistakes
