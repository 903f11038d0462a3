"""`Collector`, as Azure ML v2's scripts use it: data frames, written as lines of JSON.

Signature, behaviour and fields are those of azureml-ai-monitoring 1.0.0 (MIT) and of v2's documentation, from
which no code is taken. A collection is a designation of v1's path scheme, and its blob `data.jsonl`.
"""

from __future__ import annotations

import json
import time
import uuid
from datetime import datetime, timezone
from typing import Any, Callable, Dict, Optional

from slipway.collect import collection
from slipway.collect.collection import Collection
from slipway.collect.request import request_id, sampled
from slipway.collect.rows import Entry, blob


class CorrelationContext:
    """What inputs and outputs of one call have in common."""

    def __init__(
        self,
        id: Optional[str] = None,  # noqa: A002 - v2's name
        timestamp: Optional[int] = None,
        headers: Optional[Dict[str, Any]] = None,
    ) -> None:
        self.id = id or request_id.get() or str(uuid.uuid4())
        self.timestamp = timestamp or int(time.time())
        self.headers = headers or {}

    def get_id(self) -> str:
        return self.id

    def get_timestamp(self) -> int:
        """Return seconds since 1970."""
        return self.timestamp

    def get_headers(self) -> Dict[str, Any]:
        return self.headers

    def __str__(self) -> str:
        return self.get_id()


class Collector:
    """A named collection. What goes wrong is given to `on_error`, and raised without one.

    A row that is dropped is not raised, unlike theirs: it is counted, and no request fails by it.
    """

    def __init__(self, *, name: str, on_error: Optional[Callable[[Exception], Any]] = None) -> None:
        self.name = name
        self._on_error = on_error or _raise
        self._on_drop = on_error or _ignore
        found = self._usable()
        if found is not None:
            found.automatic = False

    def collect(
        self, data: Any, correlation_context: Optional[CorrelationContext] = None
    ) -> CorrelationContext:
        """Collect a pandas data frame; return the context for what belongs to it."""
        context = correlation_context or CorrelationContext()
        found = self._usable()
        if found is None or not sampled(request_id.get() or context.get_id(), found.config.sampling_rate):
            return context
        if type(data).__module__.partition(".")[0] != "pandas" or not hasattr(data, "itertuples"):
            kind = type(data).__name__
            self._on_error(TypeError(f"data type ({kind}) not supported, supported types: pandas.DataFrame"))
            return context
        line = self._line(found, data.to_json(orient="records"), context)
        when = datetime.fromtimestamp(context.get_timestamp(), timezone.utc)
        entry = Entry(blob(found.config.place, self.name, when, "data.jsonl"), b"", 1, line)
        if not found.spool.offer([entry], 1, len(line)):
            self._on_drop(Exception("the row was dropped: it is too large, or too many wait to be written"))
        return context

    def _usable(self) -> Optional[Collection]:
        found = collection.current()
        if not self.name:
            self._on_error(Exception("collection name is not provided"))
            return None
        if found is None:
            self._on_error(Exception("custom logging is not enabled, drop the data: set collect_model_data"))
        return found

    def _line(self, found: Collection, content: str, context: CorrelationContext) -> bytes:
        config = found.config
        size = len(content.encode())
        when = datetime.fromtimestamp(context.get_timestamp(), timezone.utc)
        more = {
            "specversion": "1.0",
            "id": str(uuid.uuid4()),
            "source": config.source,
            "type": f"azureml.inference.{self.name}",
            "datacontenttype": "application/json",
            "time": f"{when:%Y-%m-%dT%H:%M:%SZ}",
            "correlationid": context.get_id(),
            "xrequestid": request_id.get() or context.get_id(),
            "modelversion": config.model[1],
            "collectdatatype": "pandas.core.frame.DataFrame",
            "contentrange": f"bytes 0-{size - 1}/{size}",
            **{name: str(value) for name, value in context.get_headers().items()},
        }
        return f'{json.dumps(more)[:-1]}, "data": {content}}}\n'.encode()


def _raise(problem: Exception) -> None:
    raise problem


def _ignore(problem: Exception) -> None:
    del problem
