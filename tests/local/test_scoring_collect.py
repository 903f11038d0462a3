"""What a real scoring server leaves in its spool: of requests as they are, and of scripts' collectors."""

import csv
import io
import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import uv

from slipway.collect.frames import decode
from tests.local.scoring_process import ECHO, PACKAGE, replica, wait_until

V1 = """
import json
import numpy, pandas
from azureml.monitoring import ModelDataCollector

def init():
    global frames, arrays, predictions
    frames = ModelDataCollector("best", designation="inputs")
    arrays = ModelDataCollector("other", designation="inputs", feature_names=["x", "y"])
    predictions = ModelDataCollector("best", designation="predictions", feature_names=["p"])

def run(data):
    values = json.loads(data)
    correlations = frames.collect(pandas.DataFrame({"a": values, "b": [None, "é,"]}))
    predictions.collect(predictions.add_correlations(numpy.array([[0.5], [1.5]]), correlations))
    arrays.collect(numpy.array([[1.0, 2.0], [3.0, 4.0]]))
    predictions.collect(predictions.add_correlations(pandas.DataFrame({"p": values}), correlations))
    return correlations["$aml_dc_correlation_id"]
"""
V2 = """
import json
import pandas
from azureml.ai.monitoring import Collector

def init():
    global inputs, outputs
    inputs, outputs = Collector(name="model_inputs"), Collector(name="model_outputs")

def run(data):
    frame = pandas.DataFrame(json.loads(data))
    context = inputs.collect(frame)
    outputs.collect(frame * 2, context)
    return str(context)
"""
IN_RUN = """
from slipway.collect import ModelDataCollector
import os
def init():
    global collector
    collector = ModelDataCollector("m", designation="general", feature_names=["pid", "data"])
def run(data):
    collector.collect([os.getpid(), data])
    return os.getpid()
"""


def collects(root: Path, **more: str) -> dict[str, str]:
    return {
        "AML_MODEL_DC_STORAGE_ENABLED": "true",
        "MODEL_DATA_SPOOL": str(root / "spool"),
        "SERVICE_NAME": "svc",
        **more,
    }


def blobs(root: Path) -> dict[str, bytes]:
    """Give what is in the spool, by designation or collection."""
    found: dict[str, bytes] = {}
    for path in sorted((root / "spool").glob("*/*.*")):
        if path.suffix in (".spool", ".open"):
            for entry in decode(path.read_bytes()):
                parts = entry.name.split("/")
                name = f"{parts[4]}/{parts[6]}"
                found[name] = found.get(name, entry.header) + entry.data
    return found


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give an interpreter of an environment such as users have."""
    root = tmp_path_factory.mktemp("environment")
    requirements = str(PACKAGE / "scoring" / "requirements.txt")
    command = [uv.find_uv_bin(), "venv", "--quiet", "--python", sys.executable, str(root / "venv")]
    subprocess.run(command, check=True)
    interpreter = str(root / "venv" / "bin" / "python")
    packages = ["--requirements", requirements, "pandas", "numpy"]
    install = [uv.find_uv_bin(), "pip", "install", "--quiet", "--python", interpreter, *packages]
    subprocess.run(install, check=True)
    subprocess.run([interpreter, "-c", "import pandas"], check=True)  # the first time compiles it
    return interpreter


@pytest.mark.parametrize("workers", ["1", "2"])
def test_every_request_is_collected_with_its_answer(tmp_path: Path, workers: str) -> None:
    more = {"WORKER_COUNT": workers, "REPLICA_MAX_CONCURRENT_REQUESTS": "2"}
    with replica(tmp_path, ECHO, wait_ready=True, **collects(tmp_path, **more)) as server:
        for number in range(50):
            assert server.score({"n": number}, headers={"x-request-id": f"id-{number}"}).status == 200
        assert server.request("POST", "/score", b"\xff").status == 400
        server.terminate()
        assert server.exit_code() == 0
    found = blobs(tmp_path)
    inputs, predictions = rows(found["default/inputs"]), rows(found["default/predictions"])
    for number in range(50):
        assert json.loads(inputs[number]["data"]) == {"n": number}
        assert predictions[number]["status"] == "200"
        assert inputs[number]["$aml_request_id"] == predictions[number]["$aml_request_id"] == f"id-{number}"
    assert inputs[50]["data"] == "data:;base64,/w=="
    assert predictions[50]["status"] == "400"


def test_v1s_collector_takes_frames_and_arrays(tmp_path: Path, python: str) -> None:
    with replica(tmp_path, V1, python=python, wait_ready=True, **collects(tmp_path)) as server:
        answer = server.request("POST", "/score", json.dumps([1, 2]), {"x-request-id": "the-id"})
        correlation = answer.json()
        server.terminate()
        assert server.exit_code() == 0
    found = {name: rows(content) for name, content in blobs(tmp_path).items()}
    assert [(row["a"], row["b"]) for row in found["best/inputs"]] == [("1", ""), ("2", "é,")]
    assert [row["p"] for row in found["best/predictions"]] == ["0.5", "1.5", "1", "2"]
    assert [(row["x"], row["y"]) for row in found["other/inputs"]] == [("1.0", "2.0"), ("3.0", "4.0")]
    for row in [*found["best/inputs"], *found["best/predictions"]]:
        assert row["$aml_dc_correlation_id"] == correlation
        assert row["$aml_request_id"] == "the-id"
    assert "default/inputs" not in found, "the script collects itself"


def test_v2s_collector_writes_lines_of_json(tmp_path: Path, python: str) -> None:
    with replica(tmp_path, V2, python=python, wait_ready=True, **collects(tmp_path)) as server:
        body = json.dumps({"col1": [1, 2], "col2": ["a", "b"]})
        assert server.request("POST", "/score", body, {"x-request-id": "the-id"}).json() == "the-id"
        server.terminate()
        assert server.exit_code() == 0
    found = blobs(tmp_path)
    line = json.loads(found["default/model_inputs"])
    assert line["data"] == [{"col1": 1, "col2": "a"}, {"col1": 2, "col2": "b"}]
    assert (line["correlationid"], line["xrequestid"]) == ("the-id", "the-id")
    assert line["type"] == "azureml.inference.model_inputs"
    assert json.loads(found["default/model_outputs"])["data"][1] == {"col1": 4, "col2": "bb"}


@pytest.mark.parametrize("preload", ["true", "false"])
def test_collectors_work_in_each_worker_process(tmp_path: Path, preload: str) -> None:
    more = {"WORKER_COUNT": "2", "WORKER_PRELOAD": preload, "REPLICA_MAX_CONCURRENT_REQUESTS": "2"}
    environment = collects(tmp_path, **more)
    with (
        replica(tmp_path, IN_RUN, wait_ready=True, **environment) as server,
        ThreadPoolExecutor(4) as clients,
    ):
        pids = Counter(answer.json() for answer in clients.map(server.score, range(60)))
        server.terminate()
        assert server.exit_code() == 0
    found = blobs(tmp_path)
    assert list(found) == ["m/general"], "requests as they are come from scripts without collectors alone"
    seen = Counter(int(row["pid"]) for row in rows(found["m/general"]))
    assert seen == pids


def test_collectors_that_workers_make_in_run_end_the_automatic_rows_with_a_warning(tmp_path: Path) -> None:
    lazy = IN_RUN.replace("def init():", "def init(): pass\ndef begin():").replace(
        "def run(data):", "collector = None\ndef run(data):\n    if collector is None: begin()"
    )
    more = {"WORKER_COUNT": "2", "REPLICA_MAX_CONCURRENT_REQUESTS": "2"}
    with replica(tmp_path, lazy, wait_ready=True, **collects(tmp_path, **more)) as server:
        for number in range(20):
            assert server.score(number).status == 200
        server.terminate()
        assert server.exit_code() == 0
        assert server.log().count("make collectors in init()") == 1
    found = blobs(tmp_path)
    assert list(found) == ["m/general"]
    assert len(rows(found["m/general"])) == 20


def test_at_a_sampling_rate_of_zero_nothing_is_written(tmp_path: Path) -> None:
    environment = collects(tmp_path, MODEL_DATA_SAMPLING_RATE="0")
    with replica(tmp_path, ECHO, wait_ready=True, **environment) as server:
        assert server.score({}).status == 200
        server.terminate()
        assert server.exit_code() == 0
    assert not (tmp_path / "spool").exists()


def test_a_wrong_rate_ends_the_server_with_the_rule(tmp_path: Path) -> None:
    environment = collects(tmp_path, MODEL_DATA_SAMPLING_RATE="many")
    with replica(tmp_path, ECHO, wait_ready=False, **environment) as server:
        assert server.exit_code() == 3
        assert "MODEL_DATA_SAMPLING_RATE = 'many', must be a number in [0, 1]" in server.log()


def test_a_spool_that_cannot_be_written_fails_no_request(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    environment = {**collects(tmp_path), "MODEL_DATA_SPOOL": str(tmp_path / "file" / "spool")}
    with replica(tmp_path, ECHO, wait_ready=True, **environment) as server:
        assert server.score({}).status == 200
        wait_until(lambda: "data collection dropped 2 of 2 rows" in server.log(), "the log says so")
        server.terminate()
        assert server.exit_code() == 0
