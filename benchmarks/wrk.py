"""Load from `wrk`: as many requests as a number of connections can send, one after the other on each."""

import json
import math
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import pinned, program

UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True)
class Load:
    """What wrk said of one run."""

    total: int
    per_second: float
    p50_ms: float
    p99_ms: float


def post(folder: Path, body: str, headers: Mapping[str, str], paths: Sequence[str] = ()) -> Path:
    """Write the script with which wrk sends one and the same POST, to the URL or to these paths in turn."""
    lines = ['wrk.method = "POST"', f"wrk.body = '{body}'"]
    lines += [f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items()]
    if paths:
        lines += [f"local paths = {{{', '.join(map(json.dumps, paths))}}}", *_IN_TURN]
    path = folder / "post.lua"
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    return path


_IN_TURN = (
    "local requests, number = {}, 0",
    "function init() for i, path in ipairs(paths) do requests[i] = wrk.format(nil, path) end end",
    "function request() number = number % #requests + 1 return requests[number] end",
)


def load(script: Path, url: str, connections: int, seconds: float, cores: Sequence[int]) -> Load:
    """Send for whole seconds, and refuse a run with any error in it."""
    binary = program("wrk", "apt-get install wrk (Debian, Ubuntu), brew install wrk (macOS)")
    options = ["-t1", f"-c{connections}", f"-d{math.ceil(seconds)}s", "--timeout", "30s", "--latency"]
    options += ["-s", str(script), url]
    done = subprocess.run([*pinned(cores), binary, *options], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    total = re.search(r"(\d+) requests in", said)
    times = {share: float(value) * UNITS[unit] for share, value, unit in _PERCENTILE.findall(said)}
    if done.returncode or "Non-2xx" in said or "Socket errors" in said or not (rate and total and times):
        raise SystemExit(f"error: wrk saw errors\n{said}")
    return Load(int(total[1]), float(rate[1]), times["50"], times["99"])


_PERCENTILE = re.compile(r"(50|99)%\s+([\d.]+)(us|ms|s)\b")
