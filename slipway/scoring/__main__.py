"""`python -m slipway.scoring [arguments]`: the arguments are the entry script's, as its `sys.argv[1:]`."""

import sys

from slipway.scoring.server import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
