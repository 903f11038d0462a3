"""Azure ML's names for the collectors, so that scripts keep their imports."""

from __future__ import annotations

import sys
import types

from slipway.collect.v1 import ModelDataCollector
from slipway.collect.v2 import Collector, CorrelationContext

NAMES = {
    "azureml.monitoring": {"ModelDataCollector": ModelDataCollector},
    "azureml.monitoring.modeldatacollector": {"ModelDataCollector": ModelDataCollector},
    "azureml.ai.monitoring": {"Collector": Collector},
    "azureml.ai.monitoring.context": {
        "BasicCorrelationContext": CorrelationContext,
        "CorrelationContext": CorrelationContext,
    },
}


def provide() -> None:
    """Make `from azureml.monitoring import ModelDataCollector` give ours, whatever is installed.

    The real packages hand their rows to Azure ML's own sidecar or, in C++, to a storage key: here both would
    only lose them. Every other module of `azureml` stays the installed one's.
    """
    for path, contents in NAMES.items():
        module = types.ModuleType(path, f"Stands for {path}: what it collects goes into Slipway's spool.")
        vars(module).update(contents)
        sys.modules[path] = module
