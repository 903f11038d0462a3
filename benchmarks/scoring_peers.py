"""The servers that `benchmarks/scoring.py` compares: how each is installed, told the same model, and started.

The model adds up five numbers, after so many rounds of arithmetic as the variable ROUNDS says. Each server
has one worker, and otherwise the settings that its documentation starts with.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import slipway

ROOT = Path(slipway.__file__).parent.parent
NUMBERS = "[0.0380759064, 0.0506801187, 0.0616962065, 0.0218723855, -0.0442234984]"
MODEL = """
import os, time
ROUNDS = int(os.environ.get("ROUNDS", "0"))
SECONDS = float(os.environ.get("SECONDS", "0"))
def predict(rows):
    value = 0
    for number in range(ROUNDS): value += number * number
    if SECONDS: time.sleep(SECONDS)
    return [sum(row) for row in rows]
"""
SCORE = """
import json
from model import predict
def init(): pass
def run(data): return predict(json.loads(data)["data"])
"""
BATCHES = """
import json
from model import predict
def init(): pass
def run(data): return predict([json.loads(one)["data"][0] for one in data])
"""
MLSERVER = """
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse, ResponseOutput
from model import predict
class Sum(MLModel):
    async def predict(self, payload):
        found = predict([payload.inputs[0].data.root])
        output = ResponseOutput(name="sum", shape=[1], datatype="FP64", data=found)
        return InferenceResponse(model_name=self.name, outputs=[output])
"""
LITSERVE = """
import sys, litserve
from model import predict
class Sum(litserve.LitAPI):
    def setup(self, device): pass
    def decode_request(self, request): return request["data"]
    def predict(self, rows): return predict(rows)
    def encode_response(self, output): return output
if __name__ == "__main__":
    server = litserve.LitServer(Sum(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False)
"""
BENTOML = """
import bentoml
from model import predict
@bentoml.service(workers=1)
class Sum:
    @bentoml.api
    def score(self, data: list[list[float]]) -> list[float]: return predict(data)
"""
ROWS = f'{{"data": [{NUMBERS}]}}'
TENSOR = f'{{"inputs": [{{"name": "data", "shape": [1, 5], "datatype": "FP64", "data": {NUMBERS}}}]}}'


@dataclass(frozen=True)
class Peer:
    """One server. `{port}`, `{bin}` and `{folder}` in its command and variables are filled in."""

    name: str
    requirements: tuple[str, ...]
    command: tuple[str, ...]
    files: Mapping[str, str]
    path: str = "/score"
    body: str = ROWS
    variables: Mapping[str, str] = field(default_factory=dict[str, str])

    def install(self, folder: Path) -> None:
        """Make its environment and write its files."""
        folder.mkdir()
        print(f"installing {self.name}", file=sys.stderr)
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, folder / "venv"], check=True)
        python = folder / "venv" / "bin" / "python"
        command = [
            *uv,
            "pip",
            "install",
            "--quiet",
            "--compile-bytecode",
            "--python",
            python,
            *self.requirements,
        ]
        subprocess.run(command, check=True)
        for name, text in {"model.py": MODEL, **self.files}.items():
            (folder / name).write_text(text, encoding="utf-8")

    def start(self, folder: Path, port: int) -> tuple[Sequence[str], Mapping[str, str]]:
        """Give its command and its environment."""
        values = {"port": str(port), "bin": str(folder / "venv" / "bin"), "folder": str(folder)}
        variables = {name: text.format(**values) for name, text in self.variables.items()}
        own = {"PATH": f"{values['bin']}:{os.defpath}", "HOME": str(folder), "PYTHONPATH": str(folder)}
        return [part.format(**values) for part in self.command], {**own, **variables}


def _slipway(name: str, script: str, **variables: str) -> Peer:
    return Peer(
        name,
        ("-r", str(ROOT / "slipway" / "scoring" / "requirements.txt")),
        ("{bin}/python", "-P", "-m", "slipway.scoring"),
        {"score.py": script},
        variables={
            "PYTHONPATH": str(ROOT),
            "POD_IP": "127.0.0.1",
            "PORT": "{port}",
            "AML_APP_ROOT": "{folder}",
            "AZUREML_ENTRY_SCRIPT": "score.py",
            **variables,
        },
    )


OURS = _slipway("slipway", SCORE)
ONE_BY_ONE = _slipway("one by one", SCORE, SECONDS="0.01")
CALL_MS, BATCH_WAIT_MS, BATCH = 10, 5, 8
BATCHED = _slipway(
    "batched",
    BATCHES,
    SECONDS="0.01",
    MAX_BATCH_SIZE=str(BATCH),
    BATCH_WAIT_MS=str(BATCH_WAIT_MS),
    REPLICA_MAX_CONCURRENT_REQUESTS=str(BATCH),
)
AZUREML = Peer(
    "azureml",
    ("azureml-inference-server-http==1.5.1",),
    ("{bin}/azmlinfsrv", "--entry_script", "{folder}/score.py", "--port", "{port}"),
    {"score.py": SCORE},
)
PEERS = (
    OURS,
    AZUREML,
    Peer(
        "mlserver",
        ("mlserver==1.7.1",),
        ("{bin}/mlserver", "start", "{folder}"),
        {
            "peer.py": MLSERVER,
            "settings.json": '{"metrics_endpoint": null, "parallel_workers": 0, "debug": false}',
            "model-settings.json": '{"name": "sum", "implementation": "peer.Sum"}',
        },
        path="/v2/models/sum/infer",
        body=TENSOR,
        variables={
            "MLSERVER_HOST": "127.0.0.1",
            "MLSERVER_HTTP_PORT": "{port}",
            "MLSERVER_GRPC_PORT": "0",
        },
    ),
    Peer(
        "litserve",
        ("litserve==0.2.19",),
        ("{bin}/python", "{folder}/peer.py", "{port}"),
        {"peer.py": LITSERVE},
        path="/predict",
    ),
    Peer(
        "bentoml",
        ("bentoml==1.4.40",),
        (
            "{bin}/bentoml",
            "serve",
            "peer:Sum",
            "--working-dir",
            "{folder}",
            "--port",
            "{port}",
            "--host",
            "127.0.0.1",
        ),
        {"peer.py": BENTOML},
        variables={"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": "{folder}/bentoml"},
    ),
)
