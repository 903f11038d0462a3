"""Predict how diabetes progresses within a year, for one patient a row."""

import json
import os
from pathlib import Path

import joblib
import numpy as np


def init():
    global model
    model = joblib.load(Path(os.environ["AZUREML_MODEL_DIR"]) / "model.joblib")


def run(data):
    """Answer `{"data": [[age, sex, bmi, bp, s1, s2, s3, s4, s5, s6], ...]}` with one number a row."""
    rows = np.array(json.loads(data)["data"], dtype=float)
    return model.predict(rows).tolist()
