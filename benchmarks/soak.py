"""What a router keeps while everything changes under load: memory, files, workers; and what fails.

`tests/local/soaking.py` says what changes; each look is told on stderr. In the first tenth of the rounds
pools and caches fill; the slope is that of a line through the rest, and means little in less than ten
minutes.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import linear_regression, median

from benchmarks.report import Figure, arguments, finish
from tests.local.soaking import Look, soak


def main() -> int:
    parser = arguments(__doc__, pairs=1)
    parser.add_argument("--minutes", type=float, default=60, help="how long (default: 60)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        soaked = asyncio.run(soak(Path(folder), options.minutes * 60, _tell))
    for reason, number in soaked.failures.items():
        print(f"{number} {reason}", file=sys.stderr)
    looks = soaked.looks[len(soaked.looks) // 10 :]
    times = [one.seconds for one in looks]
    memory = {
        "control plane": [one.control_plane for one in looks],
        "HAProxy": [one.haproxy for one in looks],
    }
    kept = median(one.files for one in looks[-3:]) - median(one.files for one in looks[:3])
    figures = [
        Figure("rounds of changes", (len(soaked.looks),)),
        Figure("answers", (soaked.answers.total(),)),
        Figure("failures", (sum(soaked.failures.values()),), at_most=0),
        *(Figure(f"memory of {whose}", tuple(seen), "MB") for whose, seen in memory.items()),
        *(
            Figure(f"memory of {whose} grows by", (_hourly(times, seen),), "MB an hour", at_most=5)
            for whose, seen in memory.items()
        ),
        Figure("files more than in the beginning", (kept,), at_most=8),
        Figure("processes", tuple(one.processes for one in looks), at_most=looks[0].processes),
    ]
    return finish("Everything changes under load", figures, options)


def _hourly(times: Sequence[float], seen: Sequence[float]) -> float:
    return linear_regression(times, seen).slope * 3600


def _tell(look: Look) -> None:
    print(json.dumps(asdict(look)), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
