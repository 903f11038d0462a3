"""Where our answer is not Azure ML's, on purpose: each difference with its reason.

`docs/scoring.md` tells the same list to people. `explains` is true of a request and both answers if that
difference is all there is between them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.local.parity_requests import Case


@dataclass(frozen=True)
class Reply:
    """What a client sees of one answer."""

    status: int
    headers: Mapping[str, Sequence[str]]
    body: bytes

    def without(self, *names: str) -> "Reply":
        """Leave headers out; a name ending in `-` is the beginning of several."""
        kept = {
            name: values
            for name, values in self.headers.items()
            if name not in names and not any(name.startswith(each) for each in names if each.endswith("-"))
        }
        return Reply(self.status, kept, self.body)

    def message(self) -> str:
        """Give the sentence of an error."""
        try:
            return str(json.loads(self.body)["message"])
        except (ValueError, LookupError, TypeError):
            return ""


@dataclass(frozen=True)
class Difference:
    """One difference, in the words of the documentation, and why it is wanted."""

    name: str
    reason: str
    explains: Callable[[Case, Reply, Reply], bool]


ALWAYS_ANSWERED = (
    "x-request-id",
    "x-ms-request-id",
    "x-ms-client-request-id",
    "traceid",
    "x-ms-server-version",
)
CORS = ("access-control-", "vary")
FORMS = {"application/x-www-form-urlencoded", "multipart/form-data"}
RUN = ("x-ms-run-fn-exec-ms", "x-ms-run-function-failed")
FAILED = "An unexpected internal error occurred. Check the logs for more info."


def _unknown(_case: Case, theirs: Reply, ours: Reply) -> bool:
    return theirs.status in {404, 405} and ours.without(*ALWAYS_ANSWERED, *CORS) == theirs


def _empty_id(case: Case, theirs: Reply, ours: Reply) -> bool:
    empty = any(name == "x-request-id" and not value for name, value in case.headers)
    ids = ("x-request-id", "x-ms-request-id")
    return empty and "x-request-id" not in theirs.headers and ours.without(*ids) == theirs.without(*ids)


def _one_id(case: Case, theirs: Reply, ours: Reply) -> bool:
    given = {name for name, value in case.headers if value.strip()}
    same = ours.without("x-request-id") == theirs.without("x-request-id")
    return same and "x-ms-request-id" in given and "x-request-id" not in given


def _slashes(case: Case, _theirs: Reply, ours: Reply) -> bool:
    return "%2F" in case.path and ours.status == 404


def _no_text(_case: Case, theirs: Reply, ours: Reply) -> bool:
    said = ours.message().startswith("POST body could not be decoded as JSON: ")
    return (theirs.status, theirs.message()) == (500, FAILED) and ours.status == 400 and said


def _unfit(_case: Case, theirs: Reply, ours: Reply) -> bool:
    said = ours.message().startswith("The result of run() is no response: ")
    return (theirs.status, theirs.message()) == (500, FAILED) and ours.status == 500 and said


def _timeout(_case: Case, theirs: Reply, ours: Reply) -> bool:
    same = theirs.body == ours.body and theirs.message().startswith("Scoring timeout after ")
    return same and (theirs.status, ours.status) == (500, 504)


def _exit(case: Case, theirs: Reply, ours: Reply) -> bool:
    asked = case.body == b'{"return": "exit"}'
    return asked and theirs.status in {0, 500} and (ours.status, ours.headers[RUN[1]]) == (500, ["True"])


def _async(case: Case, theirs: Reply, ours: Reply) -> bool:
    return case.script == "async" and (theirs.status, ours.status) == (500, 200)


def _form(case: Case, theirs: Reply, ours: Reply) -> bool:
    kind = dict(case.headers).get("Content-Type", "").partition(";")[0]
    if case.script != "plain" or kind not in FORMS or theirs.status != ours.status:
        return False
    their_text, our_text = (json.loads(reply.body).get("data") for reply in (theirs, ours))
    return (their_text, our_text) == ("", (case.body or b"").decode())


def _content_type(case: Case, theirs: Reply, ours: Reply) -> bool:
    both = theirs.headers.get("content-type", [])
    mine = ours.headers.get("content-type", [])
    same = theirs.without("content-type") == ours.without("content-type")
    return same and len(both) > len(mine) >= 1 and set(mine) <= set(both)


def _not_modified(_case: Case, theirs: Reply, ours: Reply) -> bool:
    return theirs.status == 304 and ours.without("content-type", "allow") == theirs


def _url(case: Case, theirs: Reply, ours: Reply) -> bool:
    if case.script != "raw" or theirs.headers != ours.headers or not theirs.body.startswith(b"{"):
        return False
    their_request, our_request = (json.loads(reply.body) for reply in (theirs, ours))
    return their_request.pop("url", "") != our_request.pop("url", "") and their_request == our_request


DIFFERENCES = [
    Difference(
        "404 and 405 carry the ids, the version and, where the route exists, the CORS headers",
        "a request that went astray is found in the logs, and a browser's script may read why",
        _unknown,
    ),
    Difference(
        "an empty `x-request-id` counts as none: one is made",
        "every answer has an id",
        _empty_id,
    ),
    Difference(
        "without an `x-request-id` the id is the `x-ms-request-id`; one is made only where there is neither",
        "it is the router's, and so the same in its access log, in this log and in the answer",
        _one_id,
    ),
    Difference(
        "`/%2Fscore` and the like are unknown paths",
        "a path is what was sent; nothing is merged that a proxy in front did not see merged",
        _slashes,
    ),
    Difference(
        "a body that is no UTF-8, or nested too deeply, is 400 where `run()` has a schema, not 500",
        "the mistake is the client's, and the message names it",
        _no_text,
    ),
    Difference(
        "a result that is no JSON is 500 with `x-ms-run-function-failed: True` and says what it is",
        "the mistake is the script's",
        _unfit,
    ),
    Difference(
        "a time-out is 504 without `x-ms-run-function-failed`, not 500 with it",
        "it tells a slow model from a broken one, and the router does not turn it into 502",
        _timeout,
    ),
    Difference(
        "`SystemExit` in `run()` is 500 and ends that request alone",
        "one request cannot end the worker of the others",
        _exit,
    ),
    Difference(
        "`init()` and `run()` may be async",
        "Azure ML's server answers 500 to each request",
        _async,
    ),
    Difference(
        "a form posted to a plain `run()` is its text, not an empty string",
        "nothing that was sent is lost",
        _form,
    ),
    Difference(
        "an `AMLResponse` whose headers name a content type has that one alone",
        "two content types are no valid answer",
        _content_type,
    ),
    Difference(
        "`AMLRequest.url` holds the query as it was sent",
        "Flask decodes some of it; `args` and `query_string` are the same",
        _url,
    ),
    Difference(
        "a 304 keeps the headers that `run()` chose",
        "what `run()` answers is sent as it is",
        _not_modified,
    ),
]
