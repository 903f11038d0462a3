"""`enable_app_insights`: what a collector and Application Insights receive."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.local.azureml_server import environment
from tests.local.router_parts import client, running, scenario
from tests.local.scoring_process import PACKAGE, Replica, replica
from tests.local.telemetry_receiver import Received, attributes, receiver

REQUIREMENTS = [str(PACKAGE / "scoring" / name) for name in ("requirements.txt", "telemetry.txt")]
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SCRIPT = """
import json, logging, sys
from opentelemetry.propagate import inject

def init():
    logging.basicConfig(level="INFO", stream=sys.stdout)
    alone = logging.getLogger("alone")
    alone.propagate = False
    alone.addHandler(logging.StreamHandler(sys.stdout))

def run(data):
    asked = json.loads(data)
    print("prints", asked["name"])
    logging.getLogger("mine").warning("logs %s", asked["name"])
    logging.getLogger("alone").warning("alone %s", asked["name"])
    if asked.get("fail"):
        raise ValueError("as asked")
    outgoing = {}
    inject(outgoing)
    return outgoing
"""
ASYNC = SCRIPT.replace("def run", "async def run").replace(
    "outgoing = {}", "await asyncio.sleep(0); outgoing = {}"
)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("telemetry") / "venv"
    return environment(folder, [argument for file in REQUIREMENTS for argument in ("-r", file)])


@pytest.fixture
def collector() -> Iterator[Received]:
    with receiver() as received:
        yield received


def otlp(received: Received, **more: str) -> dict[str, str]:
    return {"AML_APP_INSIGHTS_ENABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": received.url, **more}


def ask(server: Replica, name: str, fail: bool = False, **headers: str) -> dict[str, Any]:
    sent = {"x-request-id": f"id-{name}", **headers}
    answer = server.score({"name": name, "fail": fail}, headers=sent)
    assert answer.status == (500 if fail else 200)
    return answer.json()


def stop(server: Replica) -> None:
    server.terminate()
    assert server.exit_code() == 0, server.log()


def named(spans: list[Span], name: str) -> Span:
    wanted = [
        span for span in spans if attributes(span.attributes)["http.request.header.x-request-id"] == [name]
    ]
    assert len(wanted) == 1
    return wanted[0]


@pytest.mark.parametrize(
    ("script", "more"),
    [
        pytest.param(SCRIPT, {}, id="plain"),
        pytest.param("import asyncio" + ASYNC, {}, id="async"),
        pytest.param(SCRIPT, {"WORKER_COUNT": "2", "REPLICA_MAX_CONCURRENT_REQUESTS": "2"}, id="processes"),
        pytest.param(
            SCRIPT,
            {"WORKER_COUNT": "2", "REPLICA_MAX_CONCURRENT_REQUESTS": "2", "WORKER_PRELOAD": "true"},
            id="preload",
        ),
    ],
)
def test_when_a_collector_is_named_then_it_gets_spans_durations_and_logs_of_each_request(
    tmp_path: Path, python: str, collector: Received, script: str, more: dict[str, str]
) -> None:
    variables = otlp(collector, SERVICE_NAME="diabetes", OTEL_RESOURCE_ATTRIBUTES="team=blue", **more)
    traceparent = f"00-{TRACE}-{PARENT}-01"
    with replica(tmp_path, script, python=python, wait_ready=True, **variables) as server:
        outgoing = ask(server, "a", traceparent=traceparent, tracestate="v=1")
        ask(server, "b", fail=True)
        server.request("GET", "/")
        server.request("GET", "/nothing", headers={"x-request-id": "id-c"})
        stop(server)

    assert len(collector.spans) == 3  # and none of a probe
    span = named(collector.spans, "id-a")
    assert (span.name, span.kind, span.status.code) == (
        "POST /score",
        Span.SPAN_KIND_SERVER,
        Status.STATUS_CODE_UNSET,
    )
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.trace_state) == (TRACE, PARENT, "v=1")
    assert outgoing == {"traceparent": f"00-{TRACE}-{span.span_id.hex()}-01"} | (
        {"tracestate": "v=1"} if "tracestate" in outgoing else {}
    )
    found = attributes(span.attributes)
    assert (found["http.response.status_code"], found["http.route"], found["url.path"]) == (
        200,
        "/score",
        "/score",
    )
    failed = named(collector.spans, "id-b")
    assert failed.status.code == Status.STATUS_CODE_ERROR
    assert failed.trace_id.hex() != TRACE
    assert named(collector.spans, "id-c").name == "GET"
    resource = collector.resources[0]
    assert (resource["service.name"], resource["team"]) == ("diabetes", "blue")

    duration = [metric for metric in collector.metrics if metric.name == "http.server.request.duration"][-1]
    counts = {
        attributes(point.attributes)["http.response.status_code"]: point.count
        for point in duration.histogram.data_points
    }
    assert (duration.unit, counts) == ("s", {200: 1, 500: 1, 404: 1})

    logs = {record.body.string_value.partition("\n")[0]: record for record in collector.logs}
    lines = [record.body.string_value for record in collector.logs]
    assert [line for line in lines if "logs a" in line] == ["logs a"], "once, though it was printed too"
    for line, severity in (("prints a", "INFO"), ("logs a", "WARN"), ("alone a", "INFO")):
        assert logs[line].severity_text == severity
        assert logs[line].span_id == span.span_id
        assert attributes(logs[line].attributes)["request_id"] == "id-a"
    failure = logs["run() raised an exception"]
    assert "ValueError: as asked" in failure.body.string_value
    assert failure.span_id == failed.span_id


def test_when_opentelemetry_names_the_service_then_that_name_wins(
    tmp_path: Path, python: str, collector: Received
) -> None:
    with replica(
        tmp_path, SCRIPT, python=python, wait_ready=True, **otlp(collector, OTEL_SERVICE_NAME="mine")
    ) as server:
        ask(server, "a")
        stop(server)
    assert collector.resources[0]["service.name"] == "mine"


def test_when_the_collector_is_gone_then_requests_and_the_end_do_not_wait_for_it(
    tmp_path: Path, python: str
) -> None:
    with receiver() as gone:
        pass
    with replica(tmp_path, SCRIPT, python=python, wait_ready=True, **otlp(gone)) as server:
        ask(server, "a")
        stop(server)


def test_when_there_is_a_connection_string_then_application_insights_gets_them(
    tmp_path: Path, python: str, collector: Received
) -> None:
    key = "00000000-0000-0000-0000-000000000001"
    destination = f"InstrumentationKey={key};IngestionEndpoint={collector.url}/"
    variables = {
        "AML_APP_INSIGHTS_ENABLED": "true",
        "APPLICATIONINSIGHTS_CONNECTION_STRING": destination,
    }
    with replica(tmp_path, SCRIPT, python=python, wait_ready=True, **variables) as server:
        ask(server, "a", traceparent=f"00-{TRACE}-{PARENT}-01")
        stop(server)
        assert key not in server.log()
    kinds = {envelope["data"]["baseType"] for envelope in collector.envelopes}
    assert {"RequestData", "MessageData", "MetricData"} <= kinds
    request = next(each for each in collector.envelopes if each["data"]["baseType"] == "RequestData")
    assert request["tags"]["ai.operation.id"] == TRACE
    assert request["data"]["baseData"]["responseCode"] == "200"


def test_when_nothing_says_where_telemetry_goes_then_the_replica_says_so_and_exits_with_3(
    tmp_path: Path,
) -> None:
    with replica(tmp_path, SCRIPT, wait_ready=False, AML_APP_INSIGHTS_ENABLED="true") as server:
        assert server.exit_code() == 3
        assert "set OTEL_EXPORTER_OTLP_ENDPOINT or APPLICATIONINSIGHTS_CONNECTION_STRING" in server.log()


def test_when_the_packages_are_missing_then_the_replica_says_so_and_exits_with_3(tmp_path: Path) -> None:
    bare = environment(tmp_path / "venv", ["-r", REQUIREMENTS[0]])
    variables = {"AML_APP_INSIGHTS_ENABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    with replica(tmp_path, SCRIPT, python=bare, wait_ready=False, **variables) as server:
        assert server.exit_code() == 3
        assert "its packages are not installed" in server.log()


def test_when_a_request_comes_through_the_router_then_one_trace_and_one_id_lead_from_its_log_to_the_span(
    tmp_path: Path, python: str, collector: Received
) -> None:
    @scenario
    async def ask_the_router(server: Replica) -> None:
        async with running(tmp_path) as router, client() as http:
            await router.serve("echo", server)
            sent = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
            answer = await http.post(router.uri("echo"), json={"name": "a"}, headers=sent)
            assert answer.status_code == 200
            (line,) = router.access_log()
        lines.append(line)

    lines: list[dict[str, Any]] = []
    with replica(tmp_path, SCRIPT, python=python, wait_ready=True, **otlp(collector)) as server:
        ask_the_router(server)
        stop(server)
        log = server.log()
    (span,) = collector.spans
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert lines[0]["trace_id"] == TRACE
    assert attributes(span.attributes)["http.request.header.x-request-id"] == [lines[0]["request_id"]]
    assert f'"request_id": "{lines[0]["request_id"]}"' in log
