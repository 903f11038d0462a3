"""Load at a given rate, whatever became of the requests before, from the Go program `benchmarks/go/sender`.

A request's time counts from when it was due, so what waits behind a stall is late, too. wrk's does not: its
connections wait for their answers before they send again, and so it is for throughput only.
"""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.processes import pinned, program, real_time

GO = Path(__file__).with_name("go")


SHARES = ("p50", "p99", "p99.9")


def build(folder: Path, *packages: str) -> None:
    """Compile programs that the module `benchmarks/go` has or needs into a folder."""
    go = program("go", "install Go 1.26 or newer")
    environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
    command = [go, "build", "-C", str(GO), "-trimpath", "-buildvcs=false", "-ldflags=-s -w"]
    command += ["-o", f"{folder}/", *packages]
    subprocess.run(command, check=True, env=environment)


def send(
    sender: Path,
    body: str,
    headers: Mapping[str, str],
    *,
    url: str,
    paths: int,
    rate: float,
    seconds: float,
    cores: Sequence[int],
    replica: int,
) -> dict[str, float]:
    """Send Poisson arrivals, always the same; give milliseconds by SHARES, and refuse a run with an error.

    Meanwhile neither the sender nor the replica's process waits for others on their core.
    """
    command = [*pinned(cores), str(sender), "-rate", str(rate), "-seconds", str(seconds), "-body", body]
    command += ["-paths", str(paths)]
    command += [part for name, value in headers.items() for part in ("-header", f"{name}: {value}")]
    real_time(replica)
    done = subprocess.run([*command, url], capture_output=True, text=True, check=False, preexec_fn=real_time)
    real_time(replica, on=False)
    if done.returncode:
        raise SystemExit(f"error: the sender failed\n{done.stderr}")
    said = json.loads(done.stdout)
    if said["wrong"]:
        raise SystemExit(f"error: the sender saw {said['wrong']}")
    return said["ms"]
