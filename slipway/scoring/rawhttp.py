"""`rawhttp`, `AMLRequest` and `AMLResponse`: for entry scripts that want the HTTP request itself.

Azure ML's classes are Flask's; these have the part of Flask's interface that such scripts use (bytes, JSON,
arguments, headers, forms and files) without Flask. Scripts keep their imports: `provide` registers Azure
ML's module names, each only where no real package provides it. A real package's `rawhttp` and response
classes work as well: `requested` asks it, and any object with `get_data`, `status_code` and `headers` counts
as a response. Left out: cookies, streaming, and everything that Flask keeps in its application.
"""

from __future__ import annotations

import codecs
import io
import json
import sys
import types
from email.parser import HeaderParser
from importlib.util import find_spec
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, TypeVar, Union
from urllib.parse import parse_qsl
from wsgiref.headers import Headers

PACKAGES = (
    "azureml.contrib.services",
    "azureml_contrib_services",
    "azureml_inference_server_http.api",
)

PERCENT = "slipway.percent"
"""Way to decode text of a query or form: bytes that are no UTF-8 stay percent-encoded, as in Flask."""

Run = TypeVar("Run", bound=Callable[..., Any])

_marked: List[Callable[..., Any]] = []


def _percent(problem: UnicodeError) -> Tuple[str, int]:
    assert isinstance(problem, UnicodeDecodeError)
    wrong = problem.object[problem.start : problem.end]
    return "".join(f"%{byte:02X}" for byte in wrong), problem.end


codecs.register_error(PERCENT, _percent)


def rawhttp(run: Run) -> Run:
    """Ask that `run()` be given the HTTP request itself, as an `AMLRequest`, for every method."""
    _marked.append(run)
    return run


def requested() -> bool:
    """Whether the entry script used `rawhttp`, ours or that of a real package."""
    modules = (sys.modules.get(f"{package}.aml_request") for package in PACKAGES)
    return bool(_marked) or any(getattr(module, "_rawHttpRequested", False) for module in modules)


def provide() -> None:
    """Make `from azureml.contrib.services.aml_request import rawhttp` work where nothing else does."""
    for package in PACKAGES:
        for name, contents in (
            ("aml_request", {"AMLRequest": AMLRequest, "rawhttp": rawhttp}),
            ("aml_response", {"AMLResponse": AMLResponse}),
        ):
            path = f"{package}.{name}"
            try:
                installed = path in sys.modules or find_spec(path) is not None
            except ImportError:  # a parent package is missing
                installed = False
            if not installed:
                module = types.ModuleType(path, f"Stands for {path}, which is not installed here.")
                vars(module).update(contents)
                sys.modules[path] = module


class Values(Dict[str, Any]):
    """First values by name, as Flask's `request.args` and `request.form` show them; `getlist` has all."""

    def __init__(self, pairs: List[Tuple[str, Any]]) -> None:
        super().__init__()
        for name, value in pairs:
            self.setdefault(name, value)
        self.pairs = pairs

    def getlist(self, name: str) -> List[Any]:
        return [value for key, value in self.pairs if key == name]

    def to_dict(self, flat: bool = True) -> Dict[str, Any]:
        return dict(self) if flat else {name: self.getlist(name) for name in self}


class File(io.BytesIO):
    """One file of a `multipart/form-data` body; reads like an open file."""

    def __init__(self, content: bytes, name: str, filename: str, content_type: Optional[str]) -> None:
        super().__init__(content)
        self.name = name
        self.filename = filename
        self.content_type = content_type
        self.mimetype = (content_type or "").partition(";")[0].strip().lower()

    @property
    def stream(self) -> io.BytesIO:
        return self

    def save(self, target: Any) -> None:
        """Write the content to a path or to an open file."""
        if hasattr(target, "write"):
            target.write(self.getvalue())
        else:
            with open(target, "wb") as file:  # noqa: PTH123 - a path of any kind
                file.write(self.getvalue())


class Given(Headers):
    """A request's headers; one that is missing is a `KeyError`, as in Flask."""

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value


class AMLRequest:
    """An HTTP request with the names that Flask gives its parts."""

    def __init__(
        self, method: str, path: str, query: str, headers: List[Tuple[str, str]], body: bytes = b""
    ) -> None:
        self.method = method
        self.path = path
        self.query_string = query.encode("latin-1")
        self.headers = Given(headers)
        self.data = body
        self.args = Values(parse_qsl(query, keep_blank_values=True, errors=PERCENT))
        self._form: Optional[Tuple[Values, Values]] = None

    @property
    def full_path(self) -> str:
        """The path with its query, and with `?` even if that is empty, as in Flask."""
        return f"{self.path}?{self.query_string.decode('latin-1')}"

    @property
    def host(self) -> str:
        return self.headers.get("Host") or ""

    @property
    def base_url(self) -> str:
        return f"http://{self.host}{self.path}"

    @property
    def url(self) -> str:
        return f"http://{self.host}{self.full_path}".rstrip("?")

    @property
    def values(self) -> Values:
        """What came in the query and, in a POST, in the form."""
        return Values([*self.args.pairs, *(self.form.pairs if self.method == "POST" else ())])

    @property
    def content_type(self) -> Optional[str]:
        return self.headers.get("Content-Type")

    @property
    def mimetype(self) -> str:
        return (self.content_type or "").partition(";")[0].strip().lower()

    @property
    def content_length(self) -> int:
        return len(self.data)

    @property
    def is_json(self) -> bool:
        return is_json(self.content_type)

    @property
    def json(self) -> Any:
        return self.get_json()

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        """Parse the body as JSON; raise `ValueError` if it is none, or if its content type says that."""
        del cache
        if not (force or self.is_json):
            if silent:
                return None
            raise ValueError("the content type of the request is not application/json")
        try:
            return json.loads(self.data)
        except ValueError:
            if silent:
                return None
            raise

    def get_data(
        self, cache: bool = True, as_text: bool = False, parse_form_data: bool = False
    ) -> Union[bytes, str]:
        del cache, parse_form_data
        return self.data.decode("utf-8", "replace") if as_text else self.data

    @property
    def form(self) -> Values:
        return self._parsed_form()[0]

    @property
    def files(self) -> Values:
        return self._parsed_form()[1]

    def _parsed_form(self) -> Tuple[Values, Values]:
        if self._form is None:
            fields: List[Tuple[str, Any]] = []
            files: List[Tuple[str, Any]] = []
            if self.mimetype == "application/x-www-form-urlencoded":
                fields.extend(
                    parse_qsl(self.data.decode("utf-8", "replace"), keep_blank_values=True, errors=PERCENT)
                )
            elif self.mimetype == "multipart/form-data":
                for part in _multipart(self.content_type or "", self.data):
                    (files if isinstance(part[1], File) else fields).append(part)
            self._form = (Values(fields), Values(files))
        return self._form


def is_json(content_type: Optional[str]) -> bool:
    """Flask's rule: `application/json` and `application/*+json`, with any parameters."""
    mimetype = (content_type or "").partition(";")[0].strip().lower()
    return mimetype == "application/json" or (
        mimetype.startswith("application/") and mimetype.endswith("+json")
    )


def _multipart(content_type: str, body: bytes) -> List[Tuple[str, Union[str, File]]]:
    header = HeaderParser().parsestr(f"Content-Type: {content_type}\r\n\r\n")
    boundary = header.get_boundary()
    if not boundary:
        return []
    parts: List[Tuple[str, Union[str, File]]] = []
    for chunk in (b"\r\n" + body).split(b"\r\n--" + boundary.encode("latin-1"))[1:]:
        if chunk.startswith(b"--"):
            break
        head, _, content = chunk.partition(b"\r\n\r\n")
        fields = HeaderParser().parsestr(head.lstrip().decode("utf-8", "replace") + "\r\n\r\n")
        name = str(fields.get_param("name", "", "Content-Disposition"))
        filename = fields.get_filename()
        if filename is None:
            parts.append((name, content.decode("utf-8", "replace")))
        else:
            parts.append((name, File(content, name, filename, fields.get("Content-Type"))))
    return parts


class AMLResponse:
    """What `run()` may return to choose status, headers and body itself.

    `message`: text or bytes, or an iterable of them; with `json_str` anything that JSON can hold; `None` is
    an empty JSON object. A comma in a header's value separates repeated headers, as in Azure ML.
    """

    def __init__(
        self,
        message: Any,
        status_code: int,
        response_headers: Optional[Mapping[str, str]] = None,
        json_str: bool = False,
        run_function_failed: bool = False,
    ) -> None:
        content_type = "text/html; charset=utf-8"
        if json_str or message is None:
            self.data = json.dumps({} if message is None else message).encode()
            content_type = "application/json"
        elif isinstance(message, str):
            self.data = message.encode()
        elif isinstance(message, (bytes, bytearray)):
            self.data = bytes(message)
        else:
            self.data = b"".join(
                part.encode() if isinstance(part, str) else bytes(memoryview(part)) for part in message
            )
        self.status_code = status_code
        self.headers = Headers([])
        given = response_headers or {}
        if "content-type" not in {name.lower() for name in given}:
            self.headers["Content-Type"] = content_type
        self.headers["x-ms-run-function-failed"] = str(run_function_failed)
        for name, values in given.items():
            for value in values.split(","):
                self.headers.add_header(name, value.strip())

    def get_data(self, as_text: bool = False) -> Union[bytes, str]:
        return self.data.decode("utf-8") if as_text else self.data

    def set_data(self, value: Union[bytes, str]) -> None:
        self.data = value.encode() if isinstance(value, str) else bytes(value)
