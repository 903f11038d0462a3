"""Azure ML's own inference server and ours, asked the same: what they answer, byte for byte.

Each difference stands in `parity_differences` with its reason. One that is not there fails, and so does one
that no request shows any more.
"""

import http.client
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pytest
from openapi_spec_validator import OpenAPIV2SpecValidator, OpenAPIV30SpecValidator, OpenAPIV31SpecValidator

from tests.local import parity_scripts as scripts
from tests.local.azureml_server import REQUIREMENTS, environment, oracle
from tests.local.parity_differences import DIFFERENCES, Reply
from tests.local.parity_requests import Case, generate
from tests.local.scoring_process import DEADLINE, PACKAGE, Replica, replica

OWN = PACKAGE / "scoring" / "requirements.txt"
SCRIPTS: dict[str, tuple[str, dict[str, str]]] = {
    "plain": (scripts.PLAIN, {"SCORING_TIMEOUT_MS": "1000", "HTTP_X_MS_SERVER_VERSION": "v/1"}),
    "raw": (scripts.RAW, {}),
    "schema": (
        scripts.SCHEMA,
        {"SERVICE_NAME": "schemas", "SERVICE_VERSION": "2", "SERVICE_PATH_PREFIX": "/a/b/"},
    ),
    "parameters": (scripts.PARAMETERS, {}),
    "async": (scripts.ASYNC, {}),
    "cors": (scripts.PLAIN, {"AML_CORS_ORIGINS": r"https://a.example, https://b.example,https://.*\.c\.example"}),
    "cors-any": (scripts.PLAIN, {"AML_CORS_ORIGINS": "*"}),
}  # fmt: skip
CASES = generate(seed=1)
UNCOMPARED = {"date", "server", "connection", "content-length", "transfer-encoding", "keep-alive"}
"""Headers of the connection; the body itself is compared."""
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

VALIDATORS = {"2": OpenAPIV2SpecValidator, "3": OpenAPIV30SpecValidator, "3.1": OpenAPIV31SpecValidator}

Pairs = dict[str, tuple[Replica, Replica]]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pairs]:
    root = tmp_path_factory.mktemp("parity")
    with ThreadPoolExecutor(2) as makers:
        theirs = makers.submit(environment, root / "theirs", ["-r", str(REQUIREMENTS)])
        # The same packages, but for Azure ML's server and Flask: `rawhttp` is ours there.
        shared = [
            line
            for line in REQUIREMENTS.read_text().splitlines()
            if line.startswith(("inference", "numpy", "pandas"))
        ]
        ours = makers.submit(environment, root / "ours", ["-r", str(OWN), *shared])
        their_python, our_python = theirs.result(), ours.result()
    with ExitStack() as stack:
        started = {
            name: stack.enter_context(oracle(their_python, root / "oracle" / name, script, variables))
            for name, (script, variables) in SCRIPTS.items()
        }
        mine: dict[str, Replica] = {}
        for name, (script, variables) in SCRIPTS.items():
            (root / name).mkdir()
            mine[name] = stack.enter_context(
                replica(root / name, script, python=our_python, wait_ready=True, **variables)
            )
        yield {name: (started[name].wait(), mine[name]) for name in SCRIPTS}


def ask(server: Replica, case: Case) -> Reply:
    """Send exactly this request on a connection of its own; status 0 is one without answer."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)) as connection:
        connection.putrequest(case.method, case.path, skip_host=True, skip_accept_encoding=True)
        for name, value in [("Host", "scoring.example"), *case.headers]:
            connection.putheader(name, value.encode("latin-1"))
        if case.chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        elif case.body is not None:
            connection.putheader("Content-Length", str(len(case.body)))
        body = [case.body or b""] if case.chunked else case.body
        try:
            connection.endheaders(body, encode_chunked=case.chunked)
            response = connection.getresponse()
            content = response.read()
        except (http.client.HTTPException, OSError):
            return Reply(0, {}, b"")
    if case.path.startswith("/swagger.json") and response.status == 200 and content:
        content = json.dumps(json.loads(content), sort_keys=True).encode()
    headers: dict[str, list[str]] = {}
    for name, value in response.getheaders():
        if name.lower() not in UNCOMPARED:
            headers.setdefault(name.lower(), []).append(_normal(name.lower(), value))
    return Reply(response.status, {name: sorted(values) for name, values in headers.items()}, content)


def _normal(name: str, value: str) -> str:
    if name == "x-ms-run-fn-exec-ms":
        return str(re.fullmatch(r"\d+\.\d{3}", value) is not None)
    if name in ("allow", "access-control-allow-headers", "access-control-allow-methods"):
        return ", ".join(sorted(value.split(", ")))
    return UUID.sub("UUID", value)


@pytest.mark.parametrize("script", ["plain", "raw", "schema", "parameters"])
@pytest.mark.parametrize("version", list(VALIDATORS))
def test_when_swagger_is_asked_then_a_validator_accepts_it(pairs: Pairs, script: str, version: str) -> None:
    answer = pairs[script][1].request("GET", f"/swagger.json?version={version}")
    if answer.status == 404:  # swagger 2 has no arrays of several types
        assert (script, version) == ("parameters", "2")
        assert "is not supported for the scoring script" in answer.message
        return
    VALIDATORS[version](answer.json()).validate()


def test_when_asked_the_same_then_both_servers_answer_the_same_but_for_the_reasoned_differences(
    pairs: Pairs,
) -> None:
    unexplained: list[str] = []
    seen: set[str] = set()
    for case in CASES:
        theirs, ours = (ask(server, case) for server in pairs[case.script])
        if theirs == ours:
            continue
        names = [each.name for each in DIFFERENCES if each.explains(case, theirs, ours)]
        seen.update(names)
        if not names:
            unexplained.append(f"{case}\n    theirs: {theirs}\n    ours:   {ours}"[:3000])
    assert not unexplained, f"{len(unexplained)} of {len(CASES)} differ:\n" + "\n".join(unexplained)
    assert {each.name for each in DIFFERENCES} - seen == set(), "no request shows these any more"
    assert len(CASES) >= 300
