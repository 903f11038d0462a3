"""`python -m tests.engine.record [NAME ...]`: record previews, with `pulumi` and its plugins on PATH."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.engine import real, recording


def main(names: list[str]) -> int:
    """Record the named programs, or all of them."""
    if not real.available():
        print(
            "pulumi, pulumi-resource-random and pulumi-resource-kubernetes must be on PATH", file=sys.stderr
        )
        return 1
    for name in names or recording.NAMES:
        with tempfile.TemporaryDirectory() as folder:
            found = recording.record(name, Path(folder))
        recording.path_of(name).write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
        print(f"{name}: {len(found['steps'])} resources")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
