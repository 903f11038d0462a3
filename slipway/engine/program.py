"""The process in which a program runs: what Pulumi's language host does, around our monitor.

A process of its own, because a program owns its process: working directory, `sys.path`, modules, event
loop, Pulumi's global state. The request comes on stdin, the graph or the error goes to the file
descriptor given as the only argument, both pickled; both ends are this package. What the program prints
goes to stderr.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import json
import logging
import os
import pickle
import runpy
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pulumi
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime import Settings, configure, run_in_stack, set_all_config
from pulumi.runtime.proto import engine_pb2

from slipway.engine.checks import mistakes
from slipway.engine.exports import exported
from slipway.engine.monitor import Monitor
from slipway.engine.project import Project
from slipway.engine.request import Answer, Request
from slipway.engine.wire import UNKNOWN_TEXT
from slipway.images import mode


class _Engine:
    """The engine's other service: messages to people, none of which fails a program."""

    def Log(self, request: engine_pb2.LogRequest) -> Empty:  # noqa: N802 the protocol's name
        if request.severity != engine_pb2.DEBUG:
            severity = engine_pb2.LogSeverity.Name(request.severity).lower()
            print(f"{severity}: {request.message}", file=sys.stderr)  # noqa: T201 messages are for people
        return Empty()

    def RequirePulumiVersion(self, request: object) -> engine_pb2.RequirePulumiVersionResponse:  # noqa: N802 as above
        return engine_pb2.RequirePulumiVersionResponse()


def run(request: Request) -> Answer:
    """Run the program to its end in this process, which no other program may share."""
    project = request.project
    monitor = Monitor(project, request.resolve, request.invoke, request.stacks)
    _set_config(project)
    os.environ[mode.VARIABLE] = request.images
    os.environ.pop("KUBECONFIG", None)  # the SDK writes it into providers, and a graph is no machine's
    _leave_aliases_to_us()
    configure(
        Settings(
            project=project.name,
            stack=project.stack,
            root_directory=str(project.root),
            organization="organization",
            monitor=monitor,
            engine=_Engine(),
            dry_run=True,
        )
    )
    logging.getLogger("asyncio").setLevel(
        logging.CRITICAL
    )  # as Pulumi: futures of a failed program stay unseen
    folder = project.main if project.main.is_dir() else project.main.parent
    os.chdir(folder)
    sys.argv = [str(project.main)]
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    error = ""
    exports: dict[str, tuple[str, str]] = {}
    try:
        exports = loop.run_until_complete(_run(project.main))
    except SystemExit as exit_:
        error = "" if exit_.code in {None, 0} else f"the program ended with exit code {exit_.code}"
    except pulumi.RunError as failure:
        error = str(failure)
    except Exception as failure:
        error = monitor.failure or _traceback(failure, folder) + _unasked(monitor)
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        monitor.close()
    error = error or monitor.failure
    if error:
        return Answer(error=error)
    graph = replace(monitor.graph(), exported=exports)
    try:
        return Answer(graph, tuple(mistakes(graph, project.root)) if request.check else ())
    except Exception as failure:  # of a policy
        return Answer(error=_traceback(failure, project.root))


def _leave_aliases_to_us() -> None:
    """Let the SDK not compute URNs of aliases, about a hundred a resource, which only old engines read.

    It computes them in every constructor (`Resource._aliases`) and sends the aliases themselves.
    """
    setattr(pulumi.resource, "collapse_alias_to_urn", _no_alias)  # noqa: B010 not exported


def _no_alias(*_: object) -> str:
    return ""


async def _run(main: Path) -> dict[str, tuple[str, str]]:
    await run_in_stack(lambda: _program(main))
    return await exported()  # in one task: the SDK keeps the stack in its context


def _program(main: Path) -> None:
    runpy.run_path(str(main), run_name="__main__")


def _set_config(project: Project) -> None:
    """Give the configuration as the language host does; encrypted values are unknown ones."""
    values: dict[str, Any] = {**project.config, **{key: pulumi.output.Unknown() for key in project.encrypted}}
    os.environ["PULUMI_CONFIG"] = json.dumps(project.config | dict.fromkeys(project.encrypted, UNKNOWN_TEXT))
    os.environ["PULUMI_CONFIG_SECRET_KEYS"] = json.dumps(project.encrypted)
    set_all_config(values, list(project.encrypted))
    for name in ("_get_bool", "_get_int", "_get_float", "_get_object"):
        setattr(pulumi.Config, name, _unless_unknown(getattr(pulumi.Config, name)))


def _unless_unknown(convert: Callable[..., Any]) -> Callable[..., Any]:
    """Let unknown values pass where the SDK would read a number or an object from a text."""

    def get(config: pulumi.Config, key: str, *args: Any, **kwargs: Any) -> Any:
        value: object = config.get(key)
        return value if isinstance(value, pulumi.output.Unknown) else convert(config, key, *args, **kwargs)

    return get


def _traceback(failure: BaseException, folder: Path) -> str:
    """Format an exception from the program's own first line on, or without the lines of this process."""
    shown = traceback.TracebackException.from_exception(failure)
    frames = list(shown.stack)
    own = [index for index, frame in enumerate(frames) if Path(frame.filename).is_relative_to(folder)]
    ours = (__file__, str(Path(asyncio.__file__).parent))
    others = [index for index, frame in enumerate(frames) if not frame.filename.startswith(ours)]
    first = (own or others or [0])[0]
    shown.stack = traceback.StackSummary.from_list(frames[first:])
    return "the program failed:\n" + "".join(shown.format()).rstrip()


def _unasked(monitor: Monitor) -> str:
    """Say it when a program may have failed for want of an answer: only Outputs can be unknown."""
    names = ", ".join(sorted(monitor.unasked))
    return f"\nno provider runs here to answer {names}: call the `_output` form of a function" * bool(names)


def _main() -> None:
    gc.disable()  # a run keeps nearly all that it makes: looking for garbage took up to 2/3 of a plan
    answers = int(sys.argv[1])
    os.set_inheritable(answers, False)
    request: Request = pickle.load(sys.stdin.buffer)  # noqa: S301 from our own parent process
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 a device
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)  # what the program prints, and the processes it starts
    answer = run(request)
    sys.stdout.flush()
    with os.fdopen(answers, "wb") as pipe:
        pickle.dump(answer, pipe)
    atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage] as at any other end of a program
    sys.stderr.flush()
    os._exit(0)  # without taking the SDKs' modules apart, which took as long as half of them to import


if __name__ == "__main__":
    _main()
