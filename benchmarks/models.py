"""What fetching models costs before a web service starts: 1,000 registered models of 1 MB each.

models / one blob: against the same bytes as one model of one file, by the same code. models / copy: against
copying the same files on this machine's disk. The storage is Azurite on this machine, far slower than Azure's
own and on the same processor. Needs what `python -m tests.cluster.prepare` installs.
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from benchmarks.report import Figure, arguments, finish
from slipway.storage.blob import Account, connect
from slipway.storage.models import CONTAINER, register
from slipway.storage.names import CONNECTION_STRING, FETCH, MODELS_DIR
from tests.cluster.azurite import account, running

MODELS, BYTES = 1_000, 1_000_000


def stored(folder: Path, storage: Account) -> dict[str, list[str]]:
    """Register the models, and all of their bytes as one; give what the init container is asked for."""
    container = connect(storage, CONTAINER)
    container.create()
    rng, folders = random.Random(1), folder / "many"
    folders.mkdir()
    with (folder / "one").open("wb") as whole:
        for number in range(MODELS):
            data = rng.randbytes(BYTES)
            (folders / f"model-{number}").write_bytes(data)
            whole.write(data)
    names = [f"model-{number}" for number in range(MODELS)]

    def add(name: str) -> None:
        register(container, name, folders / name, [PurePosixPath()], _quiet)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, names))
    register(container, "one", folder / "one", [PurePosixPath()], _quiet)
    return {"many": [f"azureml:{name}:1" for name in names], "one": ["azureml:one:1"]}


def _quiet(_: str) -> None:
    pass


def fetched(models: Sequence[str], storage: Account, folder: Path) -> tuple[float, float]:
    """Run the init container's command into an empty folder; give its seconds and its most memory in MiB."""
    command = [sys.executable, *FETCH[1:], *models]
    environ = os.environ | {CONNECTION_STRING: storage.connection_string, MODELS_DIR: str(folder)}
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"error: {' '.join(command[:4])} ... exited with {process.returncode}")
    shutil.rmtree(folder)
    return seconds, usage.ru_maxrss / 1024


def copied(source: Path, target: Path) -> float:
    """Copy the files on disk; give the seconds."""
    started = time.perf_counter()
    shutil.copytree(source, target)
    seconds = time.perf_counter() - started
    shutil.rmtree(target)
    return seconds


def main() -> int:
    """Measure, print."""
    options = arguments(__doc__, pairs=7).parse_args()
    many: list[float] = []
    memory: list[float] = []
    to_one: list[float] = []
    to_copy: list[float] = []
    with tempfile.TemporaryDirectory() as name, running(Path(name) / "azurite") as port:
        folder, storage = Path(name), account(port)
        print(f"registering {MODELS} models of {BYTES / 1e6:g} MB", file=sys.stderr)
        asked = stored(folder, storage)
        for number in range(options.pairs):
            print(f"models, one blob, copy: {number + 1} of {options.pairs}", file=sys.stderr)
            seconds, most = fetched(asked["many"], storage, folder / "root")
            many.append(seconds)
            memory.append(most)
            to_one.append(seconds / fetched(asked["one"], storage, folder / "root")[0])
            to_copy.append(seconds / copied(folder / "many", folder / "copy"))
    figures = [
        Figure(f"{MODELS:,} models of {BYTES / 1e6:g} MB", tuple(many), "s"),
        Figure("the same / one blob of their size", tuple(to_one)),
        Figure("the same / copying the files", tuple(to_copy)),
        Figure("most memory of the init container", tuple(memory), "MiB"),
    ]
    return finish("registered models before the start", figures, options)


if __name__ == "__main__":
    sys.exit(main())
