"""What a router keeps while everything changes under load: memory, files, workers; and what fails.

`tests/local/soaking.py` says what changes. In the first tenth of the rounds pools and caches fill; the slope
is that of a line through the rest, and means little in less than ten minutes.
"""

import asyncio
import sys
import tempfile
from pathlib import Path
from statistics import linear_regression, median

from benchmarks.report import Figure, arguments, finish
from tests.local.soaking import soak


def main() -> int:
    parser = arguments(__doc__, pairs=1)
    parser.add_argument("--minutes", type=float, default=60, help="how long (default: 60)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        soaked = asyncio.run(soak(Path(folder), options.minutes * 60))
    for reason, number in soaked.failures.items():
        print(f"{number} {reason}", file=sys.stderr)
    looks = soaked.looks[len(soaked.looks) // 10 :]
    slope = linear_regression([one.seconds for one in looks], [one.megabytes for one in looks]).slope
    kept = median(one.files for one in looks[-3:]) - median(one.files for one in looks[:3])
    figures = [
        Figure("rounds of changes", (len(soaked.looks),)),
        Figure("answers", (soaked.answers.total(),)),
        Figure("failures", (sum(soaked.failures.values()),), at_most=0),
        Figure("memory", tuple(one.megabytes for one in looks), "MB"),
        Figure("memory grows by", (slope * 3600,), "MB an hour", at_most=5),
        Figure("files more than in the beginning", (kept,), at_most=8),
        Figure("processes", tuple(one.processes for one in looks), at_most=looks[0].processes),
    ]
    return finish("Everything changes under load", figures, options)


if __name__ == "__main__":
    sys.exit(main())
