"""The HTTP contract of Azure ML's inference server, as seen by a client."""

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.local.scoring_process import ECHO, Replica, replica

ACKNOWLEDGED_AFTER = 0.04
"""Seconds: the least by which Linux delays an acknowledgement that it delays."""
ARGUMENTS = """
import json, os, sys
def init():
    global begun
    begun = list(sys.argv)
def run(data, request_headers):
    return {"data": data, "argv": begun[1:], "model_dir": os.environ["AZUREML_MODEL_DIR"],
            "headers": request_headers}
"""

RAW = """
from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse

def init(): pass

@rawhttp
def run(request):
    assert isinstance(request, AMLRequest)
    if request.method == "GET":
        return AMLResponse(request.full_path.encode(), 200)
    if request.method == "OPTIONS":
        response = AMLResponse("", 200)
        response.headers["Allow"] = "OPTIONS, GET, POST"
        return response
    if "status" in request.args:
        headers = {"X-Both": "1,2", "Content-Type": "text/plain"}
        return AMLResponse("no", int(request.args["status"]), headers)
    if request.files:
        file = request.files["image"]
        return {"name": file.filename, "size": len(file.read()), "form": request.form}
    return bytes(reversed(request.get_data(False))).decode()
"""


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    with replica(tmp_path_factory.mktemp("echo"), ECHO, HTTP_X_MS_SERVER_VERSION="slipway/1") as server:
        yield server


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    with replica(tmp_path_factory.mktemp("raw"), RAW) as server:
        yield server


def test_when_posted_then_run_gets_the_body_and_its_result_comes_as_json(echo: Replica) -> None:
    answer = echo.score({"a": [1, "ä"]})
    assert answer.status == 200
    assert answer.json()["echo"] == {"a": [1, "ä"]}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-ms-run-function-failed"] == "False"
    assert float(answer.headers["x-ms-run-fn-exec-ms"]) < 1000
    assert answer.headers["x-ms-server-version"] == "slipway/1"


def test_when_got_then_run_gets_the_query_as_json(echo: Replica) -> None:
    assert echo.request("GET", "/score?a=1&b=%5B1%5D&c=x&c=2&e=").json()["echo"] == {
        "a": 1,
        "b": [1],
        "c": ["x", 2],
        "e": "",
    }


def test_when_the_script_has_arguments_then_they_are_in_its_argv_and_headers_come_by_name(
    tmp_path: Path,
) -> None:
    with replica(tmp_path, ARGUMENTS, arguments=["--a", "b c"], AZUREML_MODEL_DIR="/models") as server:
        answer = server.request("POST", "/score", b"text", {"x-custom": "7"}).json()
    assert answer["data"] == "text"
    assert answer["argv"] == ["--a", "b c"]
    assert answer["model_dir"] == "/models"
    assert answer["headers"]["X-Custom"] == "7"


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/", 200, b"Healthy"),
        ("GET", "/ready", 200, b"Ready"),
        ("HEAD", "/", 200, b""),
        ("POST", "/", 405, b'{"message": "The method is not allowed for the requested URL."}'),
        ("PUT", "/score", 405, b'{"message": "The method is not allowed for the requested URL."}'),
        ("HEAD", "/score", 405, b""),
        ("OPTIONS", "/score", 200, b""),
    ],
)
def test_when_a_route_is_asked_then_it_answers_as_azure_ml_does(
    echo: Replica, method: str, path: str, status: int, body: bytes
) -> None:
    answer = echo.request(method, path)
    assert (answer.status, answer.body) == (status, body)


def test_when_the_path_is_unknown_then_404_says_so(echo: Replica) -> None:
    for path in ("/nothing", "/score/", "/score/x"):
        answer = echo.score(1) if not path else echo.request("POST", path, b"1")
        assert answer.status == 404
        assert answer.message.startswith("The requested URL was not found on the server.")


def test_when_the_body_is_no_utf8_then_400_says_where(echo: Replica) -> None:
    answer = echo.request("POST", "/score", b"ab\xff")
    assert answer.status == 400
    assert answer.message.startswith("Input cannot be decoded as UTF-8: 'utf-8' codec can't decode byte 0xff")
    assert answer.headers["x-ms-run-function-failed"] == "False"


def test_when_no_id_is_sent_then_one_is_made(echo: Replica) -> None:
    headers = echo.score(1).headers
    assert len(headers["x-request-id"]) == 36
    assert headers["x-ms-request-id"] == headers["x-request-id"]
    assert "x-ms-client-request-id" not in headers


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"x-request-id": "r"}, {"x-request-id": "r", "x-ms-request-id": "r"}),
        ({"x-ms-request-id": "m"}, {"x-ms-request-id": "m", "x-ms-client-request-id": "m"}),
        ({"x-ms-client-request-id": "c"}, {"x-ms-request-id": "c", "x-ms-client-request-id": "c"}),
        ({"TraceId": "t"}, {"traceid": "t"}),
    ],
    ids=["request", "ms", "client", "trace"],
)
def test_when_an_id_is_sent_then_it_comes_back(
    echo: Replica, sent: dict[str, str], expected: dict[str, str]
) -> None:
    headers = echo.score(1, headers=sent).headers
    assert {name: headers[name] for name in expected} == expected


@pytest.mark.parametrize("name", ["x-request-id", "x-ms-request-id", "x-ms-client-request-id"])
def test_when_an_id_is_too_long_then_431(echo: Replica, name: str) -> None:
    assert echo.score(1, headers={name: "x" * 100}).status == 200
    answer = echo.score(1, headers={name: "x" * 101})
    assert answer.status == 431
    assert "must not exceed 100 characters" in answer.message


def test_when_a_connection_is_kept_then_it_serves_again(echo: Replica) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", echo.port, timeout=5)) as connection:
        for number in range(3):
            connection.request("POST", "/score", json.dumps(number))
            assert json.loads(connection.getresponse().read())["echo"] == number
        connection.request("POST", "/nothing", b"x" * 1000)
        assert connection.getresponse().read()
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"Healthy"


def test_when_many_requests_use_one_connection_then_none_waits_for_an_acknowledgement(echo: Replica) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", echo.port, timeout=5)) as connection:
        times: list[float] = []
        for number in range(60):
            began = time.perf_counter()
            connection.request("POST", "/score", json.dumps(number))
            connection.getresponse().read()
            times.append(time.perf_counter() - began)
    # No answer that waited comes before that, but for the first few: Linux acknowledges those at once.
    assert sorted(times[30:])[17] < ACKNOWLEDGED_AFTER


def test_when_swagger_is_asked_then_it_describes_the_service(echo: Replica) -> None:
    two = echo.request("GET", "/swagger.json").json()
    assert two["swagger"] == "2.0"
    assert list(two["paths"]) == ["/", "/score", "/swagger.json"]
    assert two["definitions"]["ServiceInput"] == {"type": "object", "example": {}}
    assert echo.request("GET", "/swagger.json?version=3").json()["openapi"] == "3.0.3"
    assert echo.request("GET", "/swagger.json?version=3.1").json()["openapi"] == "3.1.0"
    unknown = echo.request("GET", "/swagger.json?version=9")
    assert unknown.status == 404
    assert unknown.message == "Swagger version [9] is not valid. Supported versions: [2, 3, 3.1]."


def test_when_the_user_has_a_swagger_file_then_that_is_served(tmp_path: Path) -> None:
    (tmp_path / "azureml-app").mkdir()
    (tmp_path / "azureml-app" / "swagger2.json").write_text('{"mine": 2}')
    (tmp_path / "azureml-app" / "swagger3.json").write_text('{"mine": 3}')
    with replica(tmp_path, ECHO) as server:
        assert server.request("GET", "/swagger.json").json() == {"mine": 2}
        assert server.request("GET", "/swagger.json?version=3").json() == {"mine": 3}


def test_when_the_users_swagger_file_is_no_json_then_the_replica_says_which_and_exits_with_3(
    tmp_path: Path,
) -> None:
    (tmp_path / "azureml-app").mkdir()
    (tmp_path / "azureml-app" / "swagger3.json").write_text("{")
    with replica(tmp_path, ECHO, wait_ready=False) as server:
        assert server.exit_code() == 3
        assert "swagger3.json is no JSON" in server.log()
        assert "Traceback" not in server.log()


def test_when_rawhttp_then_run_sees_the_request_itself(raw: Replica) -> None:
    assert raw.request("GET", "/score?a=1").body == b"/score?a=1"
    assert raw.request("POST", "/score", b"abc").json() == "cba"
    assert raw.request("OPTIONS", "/score").headers["allow"] == "OPTIONS, GET, POST"


@pytest.mark.parametrize(("status", "failed"), [(201, "False"), (404, "False"), (500, "True"), (503, "True")])
def test_when_run_returns_a_response_then_its_status_and_headers_are_sent(
    raw: Replica, status: int, failed: str
) -> None:
    answer = raw.request("POST", f"/score?status={status}", b"")
    assert (answer.status, answer.body) == (status, b"no")
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["x-ms-run-function-failed"] == failed


def test_when_run_answers_without_content_then_no_body_is_sent(raw: Replica) -> None:
    answer = raw.request("POST", "/score?status=204", b"")
    assert (answer.status, answer.body) == (204, b"")
    assert raw.request("POST", "/score?status=200", b"").body == b"no"


def test_when_a_form_with_a_file_comes_then_rawhttp_reads_both(raw: Replica) -> None:
    content = bytes(range(256)) + b"\r\n--"
    body = (
        b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
        b'--b\r\nContent-Disposition: form-data; name="image"; filename="i.png"\r\n'
        b"Content-Type: image/png\r\n\r\n" + content + b"\r\n--b--\r\n"
    )
    answer = raw.request("POST", "/score", body, {"Content-Type": "multipart/form-data; boundary=b"}).json()
    assert answer == {"name": "i.png", "size": len(content), "form": {"a": "1"}}
