"""Azure ML's own inference server as the oracle, in an environment of its own: `with oracle(...) as port`."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

from tests.local.scoring_process import DEADLINE, Replica, wait_until
from tests.ports import free_port

REQUIREMENTS = Path(__file__).with_name("azureml_requirements.txt")


def environment(root: Path, requirements: Sequence[str]) -> str:
    """Make a virtual environment, return its interpreter; `requirements` are arguments of uv."""
    uv = find_uv_bin()
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, root], check=True)
    interpreter = str(root / "bin" / "python")
    subprocess.run([uv, "pip", "install", "--quiet", "--python", interpreter, *requirements], check=True)
    return interpreter


@dataclass(frozen=True)
class Started:
    """A server whose start is not waited for yet."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path
    log_file: Path

    def wait(self) -> Replica:
        server = Replica(self.process, self.port, self.folder, self.log_file)

        def answers() -> bool:
            assert self.process.poll() is None, server.log()
            try:
                return server.request("GET", "/").status == 200
            except OSError:
                return False

        wait_until(answers, "the oracle answers", DEADLINE)
        return server


@contextmanager
def oracle(python: str, root: Path, script: str, variables: Mapping[str, str]) -> Generator[Started]:
    """Start gunicorn with Azure ML's application and one worker, as its own command does."""
    folder, log_file = root / "azureml-app", root / "log"
    folder.mkdir(parents=True)
    (folder / "score.py").write_text(script, encoding="utf-8")
    port = free_port()
    values = {
        "PATH": f"{Path(python).parent}:{os.defpath}",
        "AML_APP_ROOT": str(folder),
        "AZUREML_ENTRY_SCRIPT": "score.py",
        **variables,
    }
    arguments = ["-b", f"127.0.0.1:{port}", "-w", "1", "--timeout", "300", "--error-logfile", "-"]
    command = [python, "-m", "gunicorn", *arguments, "azureml_inference_server_http.server.entry:app"]
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            command, env=values, cwd=root, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield Started(process, port, folder, log_file)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
