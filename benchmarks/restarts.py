"""Fifty rolling restarts behind the router, under open-loop load: no client repeats a request, none fails."""

import asyncio
import sys
import tempfile
from pathlib import Path

from benchmarks.report import Figure, arguments, finish
from tests.local.rolling import roll


def main() -> int:
    parser = arguments(__doc__, pairs=1)
    parser.add_argument("--restarts", type=int, default=50, help="replicas that are replaced (default: 50)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rolled = asyncio.run(roll(Path(folder), options.restarts))
    for line in rolled.failures:
        print(line, file=sys.stderr)
    times = sorted(rolled.seconds)
    figures = [
        Figure("restarts", (options.restarts,)),
        Figure("requests", (len(times),)),
        Figure("p99", (times[len(times) * 99 // 100] * 1000,), "ms"),
        Figure("failures", (len(rolled.failures),), at_most=0),
    ]
    return finish("Rolling restarts under load", figures, options)


if __name__ == "__main__":
    sys.exit(main())
