"""The examples, as a newcomer meets them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.local.scoring_process import EXAMPLES, replica
from tests.local.test_scoring_versions import REQUIREMENTS, environment

DIABETES = EXAMPLES / "diabetes"
COMPARE = """
import sys, joblib, numpy
from sklearn.datasets import load_diabetes
rows, _ = load_diabetes(return_X_y=True, scaled=False)
ours, again = (joblib.load(path).predict(rows) for path in sys.argv[1:])
print(numpy.abs(ours - again).max())
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("diabetes")
    return environment(root, sys.executable, "-r", str(DIABETES / "requirements.txt"), *REQUIREMENTS)


def test_when_the_diabetes_model_is_trained_again_then_it_predicts_the_same(
    python: str, tmp_path: Path
) -> None:
    again = tmp_path / "model.joblib"
    subprocess.run([python, DIABETES / "train.py", again], check=True, capture_output=True)
    compared = subprocess.run(
        [python, "-c", COMPARE, DIABETES / "model.joblib", again], check=True, capture_output=True, text=True
    )
    assert float(compared.stdout) < 1e-9


def test_when_the_diabetes_sample_is_scored_then_each_patient_gets_a_prediction(
    python: str, tmp_path: Path
) -> None:
    model_dir = tmp_path / "azureml-models" / "model.joblib" / "1"
    model_dir.mkdir(parents=True)
    shutil.copy(DIABETES / "model.joblib", model_dir)
    script = (DIABETES / "score.py").read_text()
    with replica(tmp_path, script, python=python, AZUREML_MODEL_DIR=str(model_dir)) as server:
        answer = server.score(json.loads((DIABETES / "sample-request.json").read_text()))
        assert answer.json() == pytest.approx([205.5, 68.6], abs=0.1)
        assert server.score({"rows": []}).status == 500


def test_when_the_echo_sample_is_scored_then_it_comes_back(tmp_path: Path) -> None:
    sample = json.loads((EXAMPLES / "echo" / "sample-request.json").read_text())
    with replica(tmp_path, (EXAMPLES / "echo" / "score.py").read_text()) as server:
        answer = server.score(sample).json()
        assert answer["echo"] == sample
        assert answer["pid"] == server.process.pid
