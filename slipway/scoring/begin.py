"""What happens once before the first request, in the process that will call `run()` (or be forked for it)."""

from __future__ import annotations

import asyncio
import inspect
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, Optional, cast

from slipway.scoring.config import Config, ConfigError
from slipway.scoring.contract import Contract
from slipway.scoring.script import ScriptError, load
from slipway.scoring.swagger import Swagger

if TYPE_CHECKING:
    from slipway.scoring.telemetry import Telemetry


class Begun(NamedTuple):
    """An entry script whose `init()` is done."""

    contract: Contract
    swagger: Swagger
    loop: asyncio.AbstractEventLoop
    """The main thread's, and that of an async `init()`."""


def begin(config: Config) -> Begun:
    """Import the entry script and call its `init()`; raise `ScriptError`, and what its own code raises."""
    script = load(config)
    loop = asyncio.new_event_loop()  # a plain run() may ask for the main thread's loop too
    asyncio.set_event_loop(loop)
    begun = script.init()
    if inspect.isawaitable(begun):
        if config.worker_count > 1 and config.worker_preload:
            raise ScriptError(
                f"The init() of {config.script} is async, and what it opens belongs to an event loop that "
                "worker processes cannot share: unset WORKER_PRELOAD, or make init() a plain function."
            )
        loop.run_until_complete(begun)
    if config.max_batch_size > 1 and script.contract.decorated:
        raise ScriptError(
            f"The run() of {config.script} is decorated with @input_schema, which reads one request; with "
            "MAX_BATCH_SIZE it is given lists: remove one of the two."
        )
    return Begun(script.contract, Swagger(config, script.contract.run), loop)


def observe(config: Config) -> "Optional[Telemetry]":
    """Begin to export telemetry if the environment asks for it; raise `ConfigError` without its packages.

    Its threads do not survive a fork, so each process does this after the last one.
    """
    if not config.app_insights:
        return None
    try:
        return cast("Telemetry", import_module("slipway.scoring.telemetry").start(config.service_name))
    except ImportError as problem:
        raise ConfigError(
            f"AML_APP_INSIGHTS_ENABLED is true, and its packages are not installed: {problem}"
        ) from None
