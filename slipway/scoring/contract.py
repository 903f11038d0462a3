"""Azure ML's contract, the first half: an HTTP request becomes the arguments of `run()`.

Pure: no sockets, no threads. The texts of the errors are Azure ML's, since clients may match them. `run()`'s
first parameter receives the body as text, `request_headers` (if it has that) the headers; `@rawhttp` and
`@input_schema` change what it receives.
"""

from __future__ import annotations

import inspect
import json
import sys
import uuid
from typing import Any, Callable, Dict, List, NamedTuple, Optional, cast
from urllib.parse import parse_qs

from slipway.scoring import rawhttp
from slipway.scoring.response import Headers, error

ID_LIMIT = 100


class Request(NamedTuple):
    """What was received, as it was received; `id` and `traceparent` are what the server made of it."""

    method: str
    path: str
    query: bytes
    headers: Headers
    body: bytes
    id: str = ""
    """`x-request-id`, the client's or ours."""
    traceparent: str = ""


class Refused(Exception):
    """The request cannot become arguments for `run()`; `response` says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.response = error(status, message)


class ContractError(Exception):
    """`run()` is declared in a way that cannot be called."""


Parse = Callable[[Request], Dict[str, Any]]


class Contract:
    """How one script's `run()` wants to be called."""

    def __init__(self, run: Callable[..., Any]) -> None:
        self.run = run
        plain = inspect.unwrap(run)
        self.asynchronous = inspect.iscoroutinefunction(plain) or inspect.iscoroutinefunction(
            getattr(plain, "__call__", None)  # noqa: B004 - an object whose __call__ is async
        )
        self.raw = rawhttp.requested()
        parameters = list(inspect.signature(run).parameters.values())
        if any(p.kind not in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters):
            raise ContractError("run() cannot accept positional-only arguments, *args, or **kwargs.")
        self._wants_headers = any(p.name == "request_headers" for p in parameters)
        parameters = [p for p in parameters if p.name != "request_headers"]
        if not parameters:
            raise ContractError("run() needs to accept an argument for input data.")
        schema = sys.modules.get("inference_schema.schema_util")
        self.decorated = schema is not None and bool(schema.is_schema_decorated(run))
        if self.raw and self.decorated:
            raise ContractError("run() cannot be decorated with both @rawhttp and @input_schema")
        self._parse: Parse
        if self.raw:
            self._parse = _raw(parameters[0].name)
        elif self.decorated:
            self._parse = _by_schema(parameters)
        else:
            self._parse = _text(parameters[0].name)

    def arguments(self, request: Request) -> Dict[str, Any]:
        """Raise `Refused` if the request is none that `run()` can be called with."""
        arguments = self._parse(request)
        if self._wants_headers:
            arguments["request_headers"] = header_values(request.headers)
        return arguments


def _text(parameter: str) -> Parse:
    def parse(request: Request) -> Dict[str, Any]:
        if request.method == "GET":
            return {parameter: json.dumps(query_values(request.query))}
        if request.method != "POST":
            raise Refused(405, "Method not allowed")
        try:
            return {parameter: str(request.body, "utf-8")}
        except UnicodeDecodeError as problem:
            raise Refused(400, f"Input cannot be decoded as UTF-8: {problem}") from None

    return parse


def _raw(parameter: str) -> Parse:
    def parse(request: Request) -> Dict[str, Any]:
        headers = list(header_values(request.headers).items())
        query = request.query.decode("latin-1")
        return {parameter: rawhttp.AMLRequest(request.method, request.path, query, headers, request.body)}

    return parse


def _by_schema(parameters: List[inspect.Parameter]) -> Parse:
    def parse(request: Request) -> Dict[str, Any]:
        if request.method == "GET":
            values = query_values(request.query)
        elif request.method == "POST":
            values = _json_object(request)
        else:
            raise Refused(405, "Method not allowed")
        for parameter in parameters:
            if parameter.name not in values and parameter.default is inspect.Parameter.empty:
                raise Refused(400, f"A value is not provided for the {parameter.name!r} parameter.")
        return {parameter.name: values.get(parameter.name, parameter.default) for parameter in parameters}

    return parse


def _json_object(request: Request) -> Dict[str, Any]:
    content_type = dict(request.headers).get(b"content-type", b"").decode("latin-1")
    if not rawhttp.is_json(content_type):
        raise Refused(415, "Expects Content-Type to be application/json")
    if not request.body:
        raise Refused(400, "POST body is empty. Expecting a JSON dictionary.")
    try:
        value: Any = json.loads(request.body)
    except (ValueError, RecursionError) as problem:
        raise Refused(400, f"POST body could not be decoded as JSON: {problem}") from None
    if not isinstance(value, dict):
        raise Refused(400, "POST body should be a JSON dictionary.")
    return cast("Dict[str, Any]", value)


def header_values(headers: Headers) -> Dict[str, str]:
    """Name the headers as WSGI does, as in `X-Ms-Request-Id`; of a repeated one the values are joined.

    Spaces around a value are not part of it (RFC 9110, 5.5), and httptools leaves those at its end.
    """
    values: Dict[str, str] = {}
    for field, content in headers:
        name, value = field.decode("latin-1").title(), content.decode("latin-1").strip()
        values[name] = f"{values[name]},{value}" if name in values else value
    return values


def query_values(query: bytes) -> Dict[str, Any]:
    """Read each value as JSON if it is JSON, else as text; a repeated name gives a list.

    `a=1&b=[1,2]&c=x&c=null` is `{"a": 1, "b": [1, 2], "c": ["x", None]}`.
    """

    def value(text: str) -> Any:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text

    names = parse_qs(query.decode("latin-1"), keep_blank_values=True, errors=rawhttp.PERCENT)
    values: Dict[str, Any] = {
        name: value(texts[0]) if len(texts) == 1 else [value(text) for text in texts]
        for name, texts in names.items()
    }
    return values


class Ids(NamedTuple):
    """A request's own id, what is wrong with its ids, if anything, and the headers that answer them."""

    request: str
    wrong: Optional[str]
    echo: Headers


def identify(headers: Dict[bytes, bytes]) -> Ids:
    """Read or make the ids of a request."""
    legacy = headers.get(b"x-ms-request-id", b"").strip()
    # The router's own, if the client gave none.
    request_id = headers.get(b"x-request-id", b"").strip() or legacy[:ID_LIMIT] or str(uuid.uuid4()).encode()
    client = headers.get(b"x-ms-client-request-id", b"").strip() or legacy
    echo: Headers = [(b"TraceId", headers[b"traceid"])] if b"traceid" in headers else []
    text = request_id[:ID_LIMIT].decode("latin-1")
    if len(request_id) > ID_LIMIT:
        return Ids(text, f"x-request-id must not exceed {ID_LIMIT} characters", echo)
    echo.append((b"x-request-id", request_id))
    legacy = legacy or client or request_id
    if len(legacy) > ID_LIMIT or len(client) > ID_LIMIT:
        wrong = f"x-ms-request-id and x-ms-client-request-id must not exceed {ID_LIMIT} characters"
        return Ids(text, wrong, echo)
    echo.append((b"x-ms-request-id", legacy))
    if client:
        echo.append((b"x-ms-client-request-id", client))
    return Ids(text, None, echo)
