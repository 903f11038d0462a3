import json
import sys
import types
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.scoring.contract import Contract, Refused, Request, identify, query_values
from slipway.scoring.rawhttp import AMLRequest, AMLResponse
from slipway.scoring.response import Timed, conclude

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def post(body: bytes, *headers: tuple[bytes, bytes]) -> Request:
    return Request("POST", "/score", b"", list(headers), body)


@given(st.text())
def test_when_text_is_posted_then_run_gets_just_that_text(text: str) -> None:
    def run(data: str) -> None: ...

    assert Contract(run).arguments(post(text.encode())) == {"data": text}


@given(st.dictionaries(st.text(min_size=1), JSON_VALUES, max_size=4))
def test_when_json_values_are_in_a_query_then_they_are_read_back(values: dict[str, Any]) -> None:
    query = urlencode({name: json.dumps(value) for name, value in values.items()}).encode()
    assert query_values(query) == values


def test_when_a_name_is_repeated_in_a_query_then_its_values_are_a_list() -> None:
    assert query_values(b"a=1&b=[1,2]&c=x&c=null&d=") == {"a": 1, "b": [1, 2], "c": ["x", None], "d": ""}


def test_when_the_method_is_neither_get_nor_post_then_405() -> None:
    def run(data: str) -> None: ...

    with pytest.raises(Refused) as caught:
        Contract(run).arguments(Request("HEAD", "/score", b"", [], b""))
    assert caught.value.response.status == 405


def test_when_run_is_async_then_the_contract_knows_it() -> None:
    async def run(data: str) -> None: ...

    class Model:
        async def __call__(self, data: str) -> None: ...

    def plain(data: str) -> None: ...

    assert Contract(run).asynchronous
    assert Contract(Model()).asynchronous
    assert not Contract(plain).asynchronous


@pytest.fixture
def by_schema(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes, bytes], dict[str, Any]]:
    schema = types.ModuleType("inference_schema.schema_util")
    vars(schema)["is_schema_decorated"] = lambda _run: True  # pyright: ignore[reportUnknownLambdaType]
    monkeypatch.setitem(sys.modules, schema.__name__, schema)

    def run(a: int, b: int = 2) -> None: ...

    contract = Contract(run)
    return lambda body, kind=b"application/json": contract.arguments(post(body, (b"content-type", kind)))


def test_when_run_has_a_schema_then_it_gets_its_parameters_by_name(
    by_schema: Callable[..., dict[str, Any]],
) -> None:
    assert by_schema(b'{"a": 1, "c": 3}') == {"a": 1, "b": 2}
    assert by_schema(b'{"a": 1, "b": 3}', b"application/vnd.x+json; charset=utf-8") == {"a": 1, "b": 3}


@pytest.mark.parametrize(
    ("body", "kind", "status", "says"),
    [
        (b'{"a": 1}', b"text/plain", 415, "Expects Content-Type to be application/json"),
        (b"", b"application/json", 400, "POST body is empty. Expecting a JSON dictionary."),
        (b"{", b"application/json", 400, "POST body could not be decoded as JSON: "),
        (b"[" * 100_000, b"application/json", 400, "POST body could not be decoded as JSON: "),
        (b"[1]", b"application/json", 400, "POST body should be a JSON dictionary."),
        (b"{}", b"application/json", 400, "A value is not provided for the 'a' parameter."),
    ],
    ids=["kind", "empty", "broken", "deep", "list", "missing"],
)
def test_when_a_body_does_not_fit_the_schema_then_it_is_refused_with_the_reason(
    by_schema: Callable[..., dict[str, Any]], body: bytes, kind: bytes, status: int, says: str
) -> None:
    with pytest.raises(Refused) as caught:
        by_schema(body, kind)
    assert caught.value.response.status == status
    assert json.loads(caught.value.response.body)["message"].startswith(says)


@given(JSON_VALUES)
def test_when_run_returns_json_then_the_body_is_that_json(value: Any) -> None:
    response = conclude(Timed(1.0, value, None), timeout_ms=2)
    assert response.status == 200
    assert json.loads(response.body) == ({} if value is None else value)


def test_when_run_took_longer_than_its_time_then_its_result_does_not_count() -> None:
    assert conclude(Timed(2.001, "late", None), timeout_ms=2).status == 504
    assert conclude(Timed(2.0, "in time", None), timeout_ms=2).status == 200


@pytest.mark.parametrize(
    ("status", "headers"),
    [(700, {}), (100, {}), (200, {"a b": "x"}), (200, {"a": "x\r\nb: y"}), (200, {"a": "\u20ac"})],
    ids=["above", "below", "name", "split", "charset"],
)
def test_when_a_response_cannot_be_sent_then_500_instead(status: int, headers: dict[str, str]) -> None:
    response = conclude(Timed(1.0, AMLResponse("x", status, headers), None), timeout_ms=2)
    assert response.status == 500
    assert (b"x-ms-run-function-failed", b"True") in response.headers


def test_when_a_response_sets_what_belongs_to_the_connection_then_that_is_left_out() -> None:
    result = AMLResponse("x", 200, {"Content-Length": "5", "Connection": "close", "X-A": "1, 2"})
    names = [name for name, _ in conclude(Timed(1.0, result, None), timeout_ms=2).headers]
    assert names == [b"Content-Type", b"x-ms-run-function-failed", b"X-A", b"X-A", b"x-ms-run-fn-exec-ms"]


@given(st.lists(st.tuples(st.text("abc", min_size=1), st.binary()), max_size=4))
def test_when_files_come_in_a_form_then_their_bytes_are_untouched(files: list[tuple[str, bytes]]) -> None:
    boundary = "never-in-random-bytes"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="f"\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for name, content in files
    ]
    body = b"".join(parts) + f"--{boundary}--\r\n".encode()
    headers = [("Content-Type", f'multipart/form-data; boundary="{boundary}"')]
    request = AMLRequest("POST", "/score", "", headers, body)
    assert {name: [file.read() for file in request.files.getlist(name)] for name in request.files} == {
        name: [content for other, content in files if other == name] for name, _ in files
    }


def test_when_a_form_is_posted_then_its_fields_and_json_are_read() -> None:
    form = AMLRequest(
        "POST", "/s", "q=1&q=2", [("Content-Type", "application/x-www-form-urlencoded")], b"a=1"
    )
    assert (form.form, form.args, form.args.getlist("q")) == ({"a": "1"}, {"q": "1"}, ["1", "2"])
    assert form.get_json(silent=True) is None
    sent = AMLRequest("POST", "/s", "", [("Content-Type", "application/json"), ("Host", "h")], b"[1]")
    assert (sent.json, sent.get_json(force=True), sent.url) == ([1], [1], "http://h/s")


ID = st.binary(max_size=110)


@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys((b"x-request-id", b"x-ms-request-id", b"x-ms-client-request-id"), ID)
    )
)
def test_when_ids_are_short_then_every_answer_has_both_ids_and_else_the_long_one_is_refused(
    headers: dict[bytes, bytes],
) -> None:
    ids = identify(headers)
    answered = dict(ids.echo)
    assert (ids.wrong is not None) == any(len(value) > 100 for value in headers.values())
    assert 0 < len(ids.request) <= 100
    if ids.wrong is None:
        assert answered[b"x-request-id"]
        assert answered[b"x-ms-request-id"]
