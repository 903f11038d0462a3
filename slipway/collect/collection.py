"""What one process collects: from its collectors, or from its requests as they are if the script has none."""

from __future__ import annotations

import csv
import hashlib
import io
from datetime import datetime, timezone
from functools import lru_cache
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple
from urllib.parse import quote

from slipway.collect.config import SPOOL_BYTES, Config
from slipway.collect.frames import Entry
from slipway.collect.journal import Counts
from slipway.collect.request import sampled
from slipway.collect.spool import Item, Spool

CORRELATION = "$aml_dc_correlation_id"
TIMESTAMP = "$aml_dc_scoring_timestamp"
BOUNDARY = "$aml_dc_boundary"
WORKSPACE = "$aml_workspace"
SERVICE = "$aml_service_name"
MODEL = "$aml_model_name"
VERSION = "$aml_model_version"
REQUEST = "$aml_request_id"
CORRELATIONS = (CORRELATION, TIMESTAMP, BOUNDARY, WORKSPACE, SERVICE, MODEL, VERSION, REQUEST)
"""v1's columns that tell which rows belong together."""
DAY_MINUTES = 24 * 60
PART_LENGTH = 112
"""The longest part of a blob's name: eleven of them stay below the 1,024 that the storage takes."""
OVERHEAD = 1024
"""Bytes that a row takes in memory beside its content, at most."""


class Collection:
    """A configuration and its spool. `automatic` is true until the script makes a collector of its own."""

    def __init__(self, config: Config, report: Callable[[Counts], None]) -> None:
        self.config = config
        self.spool = Spool(config.spool, SPOOL_BYTES, report)
        self.automatic = True
        self._headers = {
            "inputs": csv_row(["data", *CORRELATIONS]),
            "predictions": csv_row(["data", "status", *CORRELATIONS]),
        }

    def request(self, identity: str, body: bytes, status: int, answer: bytes) -> None:
        """Collect a request of `/score` and its answer, if it is a sampled one. Never waits."""
        if not self.automatic or not sampled(identity, self.config.sampling_rate):
            return
        now = datetime.now(timezone.utc)

        def make() -> Iterator[Entry]:
            values = correlations(self.config, self.config.model, identity, identity, now)
            for designation, content, more in (("inputs", body, []), ("predictions", answer, [status])):
                name = self.blob(designation, now)
                row = csv_row([text_of(content), *more, *values.values()])
                yield Entry(name, self._headers[designation], 1, row)

        self.spool.offer(Item(2, len(body) + len(answer) + OVERHEAD, make))

    def blob(self, designation: str, when: datetime, file: str = "data.csv", **of: str) -> str:
        """Name a blob as v1 does; `of` says workspace, service, model or version, where not this one's."""
        model, version = self.config.model
        workspace = of.get("workspace", self.config.workspace_id)
        places = (of.get("service", self.config.service), of.get("model", model), of.get("version", version))
        parts = [*workspace.split("/", 2), *places, designation, *f"{when:%Y/%m/%d}".split("/"), file]
        return _joined(*parts)


_current: Optional[Collection] = None


def begin(config: Optional[Config], report: Callable[[Counts], None]) -> Optional[Collection]:
    """Let this process collect, or not: before its script is loaded."""
    global _current  # noqa: PLW0603 - a script makes collectors without naming what they belong to
    _current = Collection(config, report) if config is not None else None
    return _current


def current() -> Optional[Collection]:
    """Return what this process collects into, or `None` if it does not."""
    return _current


def automatic() -> bool:
    """Tell whether requests are to be collected as they are."""
    return _current is not None and _current.automatic


def end() -> None:
    """Write what this process has collected."""
    if _current is not None:
        _current.spool.close()


def correlations(
    config: Config, model: Tuple[str, str], correlation: str, request: str, now: datetime
) -> Dict[str, object]:
    """Give v1's correlation values of a row, in the order of its columns."""
    values = (correlation, f"{now:%Y-%m-%dT%H:%M:%S.%f}", DAY_MINUTES, config.workspace_id, config.service)
    return dict(zip(CORRELATIONS, (*values, *model, request)))


def csv_row(values: Sequence[object]) -> bytes:
    """Write one line of a CSV file."""
    return csv_rows([values])


def csv_rows(rows: "List[Sequence[object]]") -> bytes:
    """Write lines of a CSV file."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "replace")


def text_of(content: bytes) -> str:
    """Give a body as text; one that is no text as a `data:` address (RFC 2397)."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        import base64  # noqa: PLC0415 - few services need it

        return f"data:;base64,{base64.b64encode(content).decode()}"


@lru_cache(maxsize=256)
def _joined(*parts: str) -> str:
    return "/".join(map(_part, parts))


def _part(text: str) -> str:
    """Make a text a part of a blob's name: without slashes, not dots alone, and of bounded length."""
    quoted = quote(text, safe=" ()+,=@$&'!~")
    if len(quoted) > PART_LENGTH:
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        return f"{quoted[: PART_LENGTH - 26]}~{digest}~{quoted[-8:]}"  # with the suffix of a file
    return quoted if quoted.strip(".") else quoted.replace(".", "%2E") or "_"
