"""Azure ML's contract, the second half: the end of a call of `run()` becomes an HTTP response.

Any JSON value is a body; an `AMLResponse` (or Flask's own) chooses status, headers and body. A failure is 500
with `x-ms-run-function-failed`; its traceback goes to the log and never to the client.
"""

from __future__ import annotations

import json
import re
import traceback
from typing import Any, List, NamedTuple, Optional, Tuple

from slipway.scoring.log import log

Headers = List[Tuple[bytes, bytes]]

JSON: Headers = [(b"content-type", b"application/json"), (b"x-ms-run-function-failed", b"False")]
JSON_FAILED: Headers = [(b"content-type", b"application/json"), (b"x-ms-run-function-failed", b"True")]
TEXT: Headers = [(b"content-type", b"text/html; charset=utf-8")]
BY_SERVER = {"content-length", "transfer-encoding", "connection", "keep-alive", "date"}
"""Headers of a response that a script cannot choose: they follow from the connection and the body."""


class Response(NamedTuple):
    """What will be sent; the length is added by who sends it."""

    status: int
    headers: Headers
    body: bytes


class Timed(NamedTuple):
    """How a call of `run()` ended: a result, or the exception that it raised."""

    elapsed_ms: float
    result: Any
    failure: Optional[BaseException]


def error(status: int, message: str, *, run_failed: bool = False) -> Response:
    body = json.dumps({"message": message}).encode()
    return Response(status, JSON_FAILED if run_failed else JSON, body)


def timed_out(timeout_ms: int) -> Response:
    """Answer 504, and do not count it as a failure of `run()`, which the router would turn into 502."""
    return error(504, f"Scoring timeout after {timeout_ms} ms")


def conclude(timed: Timed, timeout_ms: int) -> Response:
    """Turn the end of a call of `run()` into a response; what failed goes to the log."""
    if timed.elapsed_ms > timeout_ms:
        where = f"\n{user_traceback(timed.failure)}" if timed.failure else ""
        log.error("run() took %.0f ms; scoring_timeout_ms is %d%s", timed.elapsed_ms, timeout_ms, where)
        return timed_out(timeout_ms)
    if timed.failure is not None:
        log.error("run() raised an exception\n%s", user_traceback(timed.failure))
        message = "An unexpected error occurred in scoring script. Check the logs for more info."
        return error(500, message, run_failed=True)
    try:
        status, headers, body = _respond(timed.result)
    except Exception as problem:
        log.exception("the result of run() is no response")
        return error(500, f"The result of run() is no response: {problem}", run_failed=True)
    elapsed = b"%.3f" % timed.elapsed_ms
    return Response(status, [*headers, (b"x-ms-run-fn-exec-ms", elapsed)], body)


def _respond(result: Any) -> Response:
    if result is None:
        return Response(200, JSON, b"{}")
    if not (hasattr(result, "get_data") and hasattr(result, "status_code") and hasattr(result, "headers")):
        return Response(200, JSON, json.dumps(result).encode())
    status: int = result.status_code
    if not 200 <= status <= 599:
        raise ValueError(f"status {status} is not between 200 and 599")
    headers: Headers = []
    for name, value in result.headers.items():
        field, content = str(name), str(value).strip()
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", field) or re.search(
            r"[\x00-\x08\x0a-\x1f\x7f]", content
        ):
            raise ValueError(f"{field!r}: {content!r} is no header")
        if field.lower() not in BY_SERVER and not (
            status >= 500 and field.lower() == "x-ms-run-function-failed"
        ):
            headers.append((field.encode("ascii"), content.encode("latin-1")))
    if status >= 500:
        headers.append((b"x-ms-run-function-failed", b"True"))
    return Response(status, headers, b"" if status in (204, 304) else bytes(result.get_data()))


def user_traceback(problem: BaseException) -> str:
    """Return the traceback without the frames of this server and of the import machinery."""
    frames = problem.__traceback__
    while frames is not None and (
        frames.tb_frame.f_globals.get("__name__", "").startswith(("slipway.scoring.", "importlib."))
        or frames.tb_frame.f_code.co_filename.startswith("<frozen importlib")
    ):
        frames = frames.tb_next
    if frames is None and not isinstance(problem, SyntaxError):  # which tells its file and line itself
        frames = problem.__traceback__
    return "".join(traceback.format_exception(type(problem), problem, frames)).rstrip()
