"""The init container of a web service with registered models: fetches them, then the service starts.

`python -m slipway.storage.fetch azureml:NAME:VERSION ...` puts them into the folder MODELS_DIR, as v1 lays
them out. What an attempt that was cut off has fetched is used by the next one. On a laptop `slipway up` has
fetched them into MODELS_CACHE already.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from slipway.model import Model, model_of
from slipway.storage import models
from slipway.storage.blob import StorageError, account_of, connect
from slipway.storage.names import BLOB_ENDPOINT, CONNECTION_STRING, MODELS_CACHE, MODELS_DIR


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Fetch the models that the arguments name; give the exit code."""
    wanted = [model_of(text) for text in arguments]
    root, cache = Path(environ[MODELS_DIR]), environ.get(MODELS_CACHE)
    began = time.monotonic()
    try:
        size = _link(wanted, Path(cache), root) if cache else _download(wanted, root, environ)
    except StorageError as error:
        _say(f"error: {error}" + (f"\nhint: {error.hint}" if error.hint else ""))
        return 1
    _say(f"{len(wanted)} models, {models.megabytes(size)} MB, {time.monotonic() - began:.1f} s")
    return 0


def _download(wanted: Sequence[Model], root: Path, environ: Mapping[str, str]) -> int:
    account = account_of(environ)
    if account is None:
        raise StorageError(f"no storage account: neither {BLOB_ENDPOINT} nor {CONNECTION_STRING} is set")
    return models.download(connect(account, models.CONTAINER), wanted, root, _say)


def _link(wanted: Sequence[Model], cache: Path, root: Path) -> int:
    """Lay out what was fetched before, without another copy of it."""
    for model in wanted:
        shutil.rmtree(root / model.place, ignore_errors=True)
        shutil.copytree(cache / model.place, root / model.place, copy_function=os.link)
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # the container's log


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], os.environ))
