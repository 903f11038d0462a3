"""Train the model that is committed beside this file; no chance is in it, so it comes out the same.

pip install -r requirements.txt && python train.py [file]
"""

import sys
from pathlib import Path

import joblib
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "model.joblib"
rows, progression = load_diabetes(return_X_y=True, scaled=False)  # it comes with scikit-learn
model = make_pipeline(StandardScaler(), Ridge(alpha=1.0, solver="cholesky"))
model.fit(rows, progression)
joblib.dump(model, path)
print(f"{path}: R2 {model.score(rows, progression):.3f} on {len(rows)} patients")
