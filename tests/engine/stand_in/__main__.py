"""Serves the stand-in until it is ended: `python -m tests.engine.stand_in [STATE.json [KUBECONFIG]]`.

Prints its port, for `PULUMI_DEBUG_PROVIDERS=azure-native:PORT`.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from tests.engine.stand_in.provider import attached
from tests.engine.stand_in.world import World

if __name__ == "__main__":
    state, kubeconfig = ([Path(argument) for argument in sys.argv[1:]] + [None, None])[:2]
    with attached(
        World(state, duration=0.5, kubeconfig=kubeconfig.read_text() if kubeconfig else "")
    ) as port:
        print(port, flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
