"""`python -m slipway.local STATE`: the supervisor of the stack in that folder, until SIGTERM."""

import asyncio
import logging
import os
import sys
from pathlib import Path

from slipway.local.state import State
from slipway.local.supervisor import supervise


def main() -> None:
    """Supervise the stack whose state folder is the only argument."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    os.umask(0o077)
    os.closerange(3, 1024)  # what `up` was given by a shell or by make is not ours to hold open
    state = State(Path(sys.argv[1]))
    os.chdir(state.root)
    asyncio.run(supervise(state))


if __name__ == "__main__":
    main()
