"""What is collected, a collector's rows or a request as it was, and how it lies in blobs, as v1's does.

The rows of a request are made by whoever reads the spool: its own process has others to serve.
"""

from __future__ import annotations

import csv
import hashlib
import io
from datetime import datetime, timezone
from functools import lru_cache
from typing import Iterable, List, NamedTuple, Sequence, Union
from urllib.parse import quote

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


class Place(NamedTuple):
    """Whose rows they are."""

    workspace: str
    service: str
    model: str
    version: str


class Entry(NamedTuple):
    """Some rows for the end of one blob, which begins with `header`; each ends with the end of its line."""

    name: str
    header: bytes
    rows: int
    data: bytes


class Request(NamedTuple):
    """A request of `/score` and its answer, `when` in seconds since 1970: two rows."""

    place: Place
    identity: str
    when: float
    status: int
    body: bytes
    answer: bytes


def entries_of(one: Union[Entry, Request]) -> List[Entry]:
    """Make the rows of a request, one for its inputs and one for its predictions."""
    if isinstance(one, Entry):
        return [one]
    when = datetime.fromtimestamp(one.when, timezone.utc)
    values = correlations(one.place, one.identity, one.identity, when)
    return [
        Entry(
            blob(one.place, designation, when),
            csv_rows([["data", *columns, *CORRELATIONS]]),
            1,
            csv_rows([[text_of(content), *more, *values]]),
        )
        for designation, content, columns, more in (
            ("inputs", one.body, [], []),
            ("predictions", one.answer, ["status"], [one.status]),
        )
    ]


def correlations(place: Place, correlation: str, request: str, when: datetime) -> List[object]:
    """Give v1's correlation values of a row, in the order of its columns."""
    return [correlation, f"{when:%Y-%m-%dT%H:%M:%S.%f}", DAY_MINUTES, *place, request]


def csv_rows(rows: Iterable[Sequence[object]]) -> bytes:
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


def blob(place: Place, designation: str, when: datetime, file: str = "data.csv") -> str:
    """Name a blob as v1 does."""
    workspace, *of = place
    return _joined(*workspace.split("/", 2), *of, designation, *f"{when:%Y/%m/%d}".split("/"), file)


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
