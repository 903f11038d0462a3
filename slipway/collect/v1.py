"""`ModelDataCollector`, as Azure ML v1's scripts use it: tables, written as CSV.

Signature, columns and paths are those of azureml-monitoring 0.1.0a21 (MIT), from which no code is taken.
Unlike there, SIGTERM does not end the process here, NumPy needs no pandas beside it, and a day's blob is
`data.csv` for inputs, predictions and labels, as v1's documentation says.
"""

from __future__ import annotations

import importlib
import uuid
import warnings
from datetime import datetime, timezone
from itertools import groupby
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from slipway.collect import collection
from slipway.collect.collection import Collection
from slipway.collect.config import DEFAULT
from slipway.collect.request import request_id, sampled
from slipway.collect.rows import (
    CORRELATIONS,
    MODEL,
    SERVICE,
    TIMESTAMP,
    VERSION,
    WORKSPACE,
    Entry,
    Place,
    blob,
    correlations,
    csv_rows,
)

DESIGNATIONS = ("inputs", "predictions", "labels", "signals", "general")
NO_WORKSPACE = "default/default/default"
NO_REQUEST = "00000000-0000-0000-0000-000000000000"


class Table(NamedTuple):
    """Rows as they are written, with the names of their columns where those are known."""

    columns: Optional[List[str]]
    rows: List[Sequence[Any]]


class ModelDataCollector:
    """Collects what a script gives it: a list is a row, an array or a data frame are several."""

    def __init__(  # noqa: PLR0917 - v1's signature
        self,
        model_name: str,
        designation: str = "default",
        feature_names: Optional[List[str]] = None,
        workspace: str = NO_WORKSPACE,
        webservice_name: str = DEFAULT,
        model_version: str = DEFAULT,
        collection_name: str = DEFAULT,
    ) -> None:
        self._collection: Optional[Collection] = None
        self._correlated = designation == "inputs"
        self._designation = "general" if designation == DEFAULT else designation
        self._features = list(feature_names) if feature_names is not None else None
        found = collection.current()
        if found is None:
            print("Data collection is not enabled: set collect_model_data to true.")  # noqa: T201 - as v1 does
            return
        if self._designation not in DESIGNATIONS:
            given = ", ".join(("default", *DESIGNATIONS))
            print(f"Incorrect designation value {designation!r}. Supported values: {given}")  # noqa: T201
            return
        config = found.config
        self.model_name = model_name
        self.model_version = (
            config.models.get(model_name, DEFAULT) if model_version == DEFAULT else str(model_version)
        )
        self.workspace = config.workspace_id if workspace == NO_WORKSPACE else workspace.lower()
        self.service_name = config.service if webservice_name == DEFAULT else webservice_name
        self._own = Place(self.workspace, self.service_name, model_name, self.model_version)
        named = self._designation in ("signals", "general") and collection_name != DEFAULT
        self._file = f"{collection_name}.csv" if named else "data.csv"
        self._collection = found
        found.automatic = False

    def collect(self, input_data: Any, user_correlation_id: str = "") -> Optional[Dict[str, Any]]:
        """Collect rows; with designation `inputs`, return their correlation values for `add_correlations`."""
        found = self._collection
        if found is None:
            return None
        now = datetime.now(timezone.utc)
        values: Optional[Dict[str, Any]] = None
        if self._designation == "inputs":
            values = self._correlations(user_correlation_id, now)
            input_data = self.add_correlations(input_data, values)
        table = _table(input_data, self._columns())
        if table is None:
            warnings.warn("collect failed: input data must be list, numpy array or data frame", stacklevel=2)
            return None
        if table.rows and sampled(request_id.get() or str(uuid.uuid4()), found.config.sampling_rate):
            entries = list(self._entries(table, now))
            size = sum(len(entry.header) + len(entry.data) for entry in entries)
            found.spool.offer(entries, len(table.rows), size)
        return values

    def add_correlations(self, input_data: Any, correlations: Optional[Dict[str, Any]]) -> Any:
        """Add v1's correlation columns, with the values that `collect` returned."""
        if correlations is None:
            return input_data
        self._correlated = True
        values = [correlations[name] for name in CORRELATIONS]
        if isinstance(input_data, list):
            return [*input_data, *values]
        if hasattr(input_data, "toPandas"):
            input_data = input_data.toPandas()
        if hasattr(input_data, "itertuples"):
            return input_data.assign(**correlations)
        if hasattr(input_data, "tolist"):
            array: Any = importlib.import_module("numpy").array  # who has an array has it
            table = _table(input_data, None)
            return array([[*row, *values] for row in table.rows], dtype=object) if table else input_data
        return input_data

    def _correlations(self, user: str, now: datetime) -> Dict[str, Any]:
        correlation = f"{user}-{uuid.uuid4()}" if user else str(uuid.uuid4())
        identity = request_id.get() or NO_REQUEST
        return dict(zip(CORRELATIONS, correlations(self._own, correlation, identity, now)))

    def _columns(self) -> Optional[List[str]]:
        if self._features is None:
            return None
        return [*self._features, *(CORRELATIONS if self._correlated else ())]

    def _entries(self, table: Table, now: datetime) -> Iterator[Entry]:
        """Write rows for the blob of their day, which is the inputs' where they are correlated with these."""
        header = csv_rows([table.columns]) if table.columns is not None else b""
        columns = table.columns or []
        for (place, when), rows in groupby(table.rows, lambda row: self._place(columns, row, now)):
            lines = list(rows)
            name = blob(place, self._designation, when, self._file)
            yield Entry(name, header, len(lines), csv_rows(lines))

    def _place(self, columns: List[str], row: Sequence[Any], now: datetime) -> Tuple[Place, datetime]:
        known: Dict[str, Any] = {}
        if self._designation in ("predictions", "labels", "signals"):
            known = {name: value for name, value in zip(columns, row) if name in CORRELATIONS}
        names = (WORKSPACE, SERVICE, MODEL, VERSION)
        place = Place(*(str(known.get(name, own)) for name, own in zip(names, self._own)))
        return place, _day(known.get(TIMESTAMP), now)


def _table(data: Any, columns: Optional[List[str]]) -> Optional[Table]:
    if hasattr(data, "toPandas"):
        data = data.toPandas()
    if hasattr(data, "itertuples"):
        known = data.astype(object).where(data.notna(), "")  # as pandas writes CSV: nothing for no value
        return Table([str(name) for name in data.columns], list(known.itertuples(index=False, name=None)))
    if isinstance(data, list):
        return Table(columns, [data])
    if hasattr(data, "tolist") and getattr(data, "ndim", 0) > 0:
        return Table(columns, [data.tolist()] if data.ndim == 1 else data.tolist())
    return None


def _day(timestamp: object, now: datetime) -> datetime:
    try:
        return datetime.fromisoformat(str(timestamp)).replace(hour=0, minute=0, second=0, microsecond=0)
    except ValueError:
        return now.replace(hour=0, minute=0, second=0, microsecond=0)
