"""What scripts and requests give, as it lies in the blobs. Data frames are in tests/local, on real pandas."""

import csv
import io
import sys
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.collect import Collector, ModelDataCollector, collection, names
from slipway.collect.config import Config, from_environment
from slipway.collect.frames import decode
from slipway.collect.request import request_id
from slipway.collect.rows import CORRELATIONS, csv_rows, text_of
from slipway.collect.spool import ROW_BYTES
from slipway.collect.v2 import CorrelationContext

WORKSPACE = "sub/group/space"


def config(folder: Path, **more: Any) -> Config:
    told: dict[str, Any] = {
        "subscription": "Sub",
        "resource_group": "Group",
        "workspace": "Space",
        "service": "svc",
        "models": {"best": "7"},
    }
    return Config(folder, **told | more)


@pytest.fixture
def found(tmp_path: Path) -> Generator[collection.Collection]:
    made = collection.begin(config(tmp_path), lambda _: None)
    assert made is not None
    yield made
    collection.begin(None, lambda _: None)


def blobs(found: collection.Collection) -> dict[str, list[list[str]]]:
    """Give the rows of each blob, its header first if it has one."""
    found.spool.close()
    written: dict[str, bytes] = {}
    for path in sorted(found.config.spool.glob("*/*.spool")):
        for entry in decode(path.read_bytes()):
            written[entry.name] = written.get(entry.name, entry.header) + entry.data
    return {name: list(csv.reader(io.StringIO(data.decode(), newline=""))) for name, data in written.items()}


def today() -> str:
    return f"{datetime.now(UTC):%Y/%m/%d}"


def test_a_request_and_its_answer_lie_in_v1s_paths_with_v1s_columns(found: collection.Collection) -> None:
    found.request("id-1", b'{"a": "x,\\n"}', 200, b"[1.5]")
    there = blobs(found)
    inputs = there[f"{WORKSPACE}/svc/best/7/inputs/{today()}/data.csv"]
    predictions = there[f"{WORKSPACE}/svc/best/7/predictions/{today()}/data.csv"]
    assert inputs[0] == ["data", *CORRELATIONS]
    assert predictions[0] == ["data", "status", *CORRELATIONS]
    assert inputs[1][0] == '{"a": "x,\\n"}'
    assert predictions[1][:2] == ["[1.5]", "200"]
    row = dict(zip(inputs[0], inputs[1], strict=True))
    assert row["$aml_dc_correlation_id"] == row["$aml_request_id"] == "id-1"
    assert (row["$aml_workspace"], row["$aml_service_name"]) == (WORKSPACE, "svc")
    assert (row["$aml_model_name"], row["$aml_model_version"]) == ("best", "7")
    assert row["$aml_dc_boundary"] == "1440"
    assert row["$aml_dc_scoring_timestamp"] == predictions[1][3]


@given(st.binary(max_size=50), st.text(max_size=20))
def test_any_body_and_any_id_is_one_row_that_reads_back(body: bytes, identity: str) -> None:
    row = csv_rows([[text_of(body), identity]])
    assert next(csv.reader(io.StringIO(row.decode(), newline="")))[0] == text_of(body)
    assert row.endswith(b"\r\n")


def test_a_body_that_is_no_text_is_kept_as_base64() -> None:
    assert text_of(b"\xff\x00") == "data:;base64,/wA="


def test_a_request_is_collected_with_its_answer_or_not_at_all(tmp_path: Path) -> None:
    found = collection.begin(config(tmp_path, sampling_rate=0.3), lambda _: None)
    assert found is not None
    for number in range(200):
        found.request(f"id-{number}", b"{}", 200, b"{}")
    ids = [{row[-1] for row in rows[1:]} for rows in blobs(found).values()]
    assert ids[0] == ids[1]
    assert 20 < len(ids[0]) < 100
    collection.begin(None, lambda _: None)


def test_inputs_give_correlations_that_predictions_carry(found: collection.Collection) -> None:
    names.provide()
    made = sys.modules["azureml.monitoring"].ModelDataCollector
    inputs = made("best", designation="inputs", feature_names=["f1", "f2"])
    predictions = made("best", designation="predictions", feature_names=["p"])
    request_id.set("the-request")
    correlations = inputs.collect([1, "two"], user_correlation_id="mine")
    assert predictions.collect(predictions.add_correlations([0.5], correlations)) is None
    there = blobs(found)
    header, row = there[f"{WORKSPACE}/svc/best/7/inputs/{today()}/data.csv"]
    assert header == ["f1", "f2", *CORRELATIONS]
    assert row[:2] == ["1", "two"]
    assert row[2].startswith("mine-")
    assert row[-1] == "the-request"
    header, other = there[f"{WORKSPACE}/svc/best/7/predictions/{today()}/data.csv"]
    assert header == ["p", *CORRELATIONS]
    assert other == ["0.5", *row[2:]]
    request_id.set("")


def test_predictions_lie_on_the_day_and_at_the_model_of_their_inputs(found: collection.Collection) -> None:
    labels = ModelDataCollector("best", designation="labels", feature_names=["label"])
    values = dict.fromkeys(CORRELATIONS, "x") | {
        "$aml_dc_scoring_timestamp": "2020-02-03T04:05:06.000007",
        "$aml_workspace": "a/b/c",
        "$aml_service_name": "old",
        "$aml_model_name": "other",
        "$aml_model_version": "2",
    }
    labels.collect(labels.add_correlations(["yes"], values))
    assert list(blobs(found)) == ["a/b/c/old/other/2/labels/2020/02/03/data.csv"]


def test_a_model_of_another_name_and_what_its_caller_says_are_in_the_path(
    found: collection.Collection,
) -> None:
    ModelDataCollector("unknown").collect([1])
    ModelDataCollector(
        "x/y", "signals", workspace="A/B/C", webservice_name="s", model_version="9", collection_name="mine"
    ).collect([1])
    assert sorted(blobs(found)) == sorted(
        [
            f"{WORKSPACE}/svc/unknown/default/general/{today()}/data.csv",
            f"a/b/c/s/x%2Fy/9/signals/{today()}/mine.csv",
        ]
    )


def test_names_stay_below_what_the_storage_takes_and_differ(found: collection.Collection) -> None:
    long = "é" * 400
    for end in ("1", "2"):
        collector = ModelDataCollector(
            long, "general", None, f"{long}/{long}/{long}/{long}", long, long, long + end
        )
        collector.collect([1])
    first, second = blobs(found)
    assert max(len(first), len(second)) < 1_000
    assert first.endswith(".csv")
    assert f"/general/{today()}/" in first


def test_a_script_with_a_collector_turns_the_automatic_mode_off(found: collection.Collection) -> None:
    Collector(name="model_inputs")
    found.request("id", b"{}", 200, b"{}")
    assert blobs(found) == {}


def test_a_wrong_designation_is_told_and_collects_nothing(
    found: collection.Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ModelDataCollector("best", designation="input").collect([1]) is None
    assert "Incorrect designation value 'input'" in capsys.readouterr().out
    assert blobs(found) == {}


def test_what_is_no_table_is_warned_of(found: collection.Collection) -> None:
    collector = ModelDataCollector("best", designation="general")
    with pytest.warns(UserWarning, match="collect failed"):
        assert collector.collect("text") is None
    assert blobs(found) == {}


def test_without_collection_v1_says_so_and_v2_raises_as_theirs_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert ModelDataCollector("best", designation="inputs").collect([1]) is None
    assert "not enabled" in capsys.readouterr().out
    with pytest.raises(Exception, match="custom logging is not enabled"):
        Collector(name="model_inputs")
    told: list[str] = []
    collector = Collector(name="model_inputs", on_error=lambda error: told.append(str(error)))
    assert collector.collect(None, CorrelationContext("id")).get_id() == "id"
    assert len(told) == 2


def test_v2_takes_data_frames_only_and_a_name(found: collection.Collection) -> None:
    with pytest.raises(TypeError, match=r"data type \(list\) not supported"):
        Collector(name="model_inputs").collect([1])
    with pytest.raises(Exception, match="collection name is not provided"):
        Collector(name="")
    assert blobs(found) == {}


def test_a_dropped_row_is_counted_and_told_to_the_scripts_own_on_error_alone(
    found: collection.Collection,
) -> None:
    class Frame:
        """As much of a data frame as the collector asks for; its rows are too large for an append."""

        def itertuples(self) -> None: ...

        def to_json(self, orient: str) -> str:
            return f'[{{"{orient}": "{"x" * 3 * ROW_BYTES}"}}]'

    Frame.__module__ = "pandas.core.frame"
    told: list[str] = []
    Collector(name="quiet").collect(Frame())
    Collector(name="told", on_error=lambda error: told.append(str(error))).collect(Frame())
    assert found.spool.counts.refused == 2
    assert len(told) == 1
    assert told[0].startswith("the row was dropped")


def test_a_context_made_in_a_request_has_the_requests_id() -> None:
    request_id.set("the-request")
    assert CorrelationContext().get_id() == "the-request"
    request_id.set("")
    assert CorrelationContext().get_id() != CorrelationContext().get_id()


def test_scripts_import_azure_mls_names() -> None:
    names.provide()
    space: dict[str, Any] = {}
    exec(  # the statements of scripts
        "from azureml.monitoring import ModelDataCollector\n"
        "from azureml.monitoring.modeldatacollector import ModelDataCollector as again\n"
        "from azureml.ai.monitoring import Collector\n"
        "from azureml.ai.monitoring.context import BasicCorrelationContext\n",
        space,
    )
    assert space["ModelDataCollector"] is space["again"] is ModelDataCollector
    assert space["Collector"] is Collector


def test_the_environment_says_what_and_mistakes_come_at_once(tmp_path: Path) -> None:
    for path in ("a/2", "a/10", "a/beta"):
        (tmp_path / "azureml-models" / path).mkdir(parents=True)
    mistakes: list[str] = []
    told = {
        "AML_MODEL_DC_STORAGE_ENABLED": "true",
        "MODEL_DATA_SPOOL": "/spool",
        "MODEL_DATA_SAMPLING_RATE": "0.25",
        "AZUREML_ARM_SUBSCRIPTION": "S",
        "AZUREML_ARM_RESOURCEGROUP": "G",
        "AZUREML_ARM_WORKSPACE_NAME": "W",
        "SERVICE_NAME": "svc",
        "AZUREML_MODEL_DIR": str(tmp_path / "azureml-models" / "a" / "2"),
    }
    found = from_environment(told, mistakes)
    assert found == Config(Path("/spool"), 0.25, "S", "G", "W", "svc", {"a": "10"})
    assert found is not None
    assert found.model == ("a", "10")
    assert found.workspace_id == "s/g/w"
    assert not mistakes
    assert from_environment({}, mistakes) is None
    assert from_environment({"AML_MODEL_DC_STORAGE_ENABLED": "TRUE"}, []) is not None
    from_environment({"AML_MODEL_DC_STORAGE_ENABLED": "true", "MODEL_DATA_SAMPLING_RATE": "2"}, mistakes)
    assert [line.split()[0] for line in mistakes] == ["MODEL_DATA_SPOOL", "MODEL_DATA_SAMPLING_RATE"]


def test_with_several_models_requests_are_nobodys_in_particular(tmp_path: Path) -> None:
    assert config(tmp_path, models={"a": "1", "b": "1"}).model == ("default", "default")
