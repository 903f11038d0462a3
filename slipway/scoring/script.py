"""Load the entry script, and say in a paragraph what is wrong with it if it cannot be one."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any, Callable, NamedTuple

from slipway.collect import names
from slipway.scoring import rawhttp
from slipway.scoring.config import Config
from slipway.scoring.contract import Contract, ContractError

MODULE = "entry_module"


class ScriptError(Exception):
    """The entry script is no scoring script."""


class Script(NamedTuple):
    """The two functions of an entry script."""

    init: Callable[[], Any]
    contract: Contract


def load(config: Config) -> Script:
    """Import the entry script.

    Its folder and the application's come first on `sys.path`, as if it were started by `python`. Raises
    `ScriptError`, and whatever the script's own code raises.
    """
    path = config.script
    if not path.is_file():
        folder = path.parent
        there = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
        shown = (
            f"which holds {', '.join(there[:20]) or 'nothing'}" if folder.is_dir() else "which does not exist"
        )
        raise ScriptError(
            f"There is no entry script {config.entry_script!r}: {path} was looked for in {folder}, {shown}. "
            "AZUREML_ENTRY_SCRIPT is relative to AML_APP_ROOT."
        )
    folders = [path.parent, config.app_root]
    if config.source_directory:
        folders.insert(1, config.app_root / config.source_directory)
    sys.path[:0] = list(dict.fromkeys(map(str, folders)))
    rawhttp.provide()
    names.provide()
    spec = spec_from_file_location(MODULE, path)
    if spec is None or spec.loader is None:
        raise ScriptError(f"{path} is no Python file.")
    module = module_from_spec(spec)
    sys.modules[MODULE] = module  # dataclasses and pickle look a class's module up there
    spec.loader.exec_module(module)
    for name in ("init", "run"):
        if not callable(getattr(module, name, None)):
            raise ScriptError(
                f"The entry script {path} has no function {name}(). Azure ML's contract is two functions: "
                "init(), called once before the first request, and run(data), called for each request."
            )
    # Scripts that an SDK generated around the user's: theirs is `init`, which prepares, the user's is `run`.
    driven = getattr(module, "driver_module", None)
    scored = driven if isinstance(driven, ModuleType) and hasattr(driven, "run") else module
    try:
        return Script(module.init, Contract(scored.run))
    except ContractError as problem:
        raise ScriptError(f"The entry script {path} cannot be called: {problem}") from None
