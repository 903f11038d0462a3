"""What a web service's image costs on its way into a registry: ours against buildah, from the same inputs.

Both take the same base image, requirements and code, resolve the packages with the same uv, and push to a
registry of their own; a proxy counts what they send. cold: nothing is known on this machine, the registry is
empty. code change: one line of the code is another. no change: everything is there already. Each run is a
process of its own. Needs root and what `python -m tests.cluster.prepare` installs.
"""

import gzip
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

from benchmarks.report import Figure, arguments, finish
from slipway.images.cache import VARIABLE, Cache
from slipway.images.oci import LAYER_GZIP, Manifest
from slipway.images.registry import Registry
from slipway.images.requirements import PACKAGE, own
from slipway.images.transfer import Place, push
from tests.cluster import debian
from tests.cluster.proxies import proxy
from tests.cluster.registries import registry

CASES = ("cold", "code change", "no change")
CODE = 2**20
"""Bytes of a file of data among the code, which no compression makes smaller."""
REQUIREMENTS = ["numpy"]
OURS = """
import sys
from pathlib import Path

from slipway.images.build import Places, build
from slipway.images.cache import Cache
from slipway.images.publish import publish
from slipway.images.recipe import webservice_recipe
from slipway.spec import WebserviceSpec

host, base, project = sys.argv[1], sys.argv[2], Path(sys.argv[3])
environment = {"base_image": base, "requirements": "requirements.txt"}
given = {"name": "bench", "source_directory": "code", "entry_script": "score.py", "environment": environment}
recipe = webservice_recipe(WebserviceSpec.model_validate(given), project)
image = build(recipe, project, Places(host), Cache())
repository, environments = f"{host}/slipway/bench", f"{host}/slipway/environments"
publish(repository, image.digest, Cache(), environments=environments, tags=["v1"])
"""
DOCKERFILE = """
FROM {base} AS environment
ENV SSL_CERT_FILE={certificates}
WORKDIR /tmp
COPY uv /usr/bin/uv
COPY requirements.txt /requirements.txt
RUN ["uv", "pip", "install", "--quiet", "--no-cache", "--python", "/usr/bin/python3", "--only-binary", \
":all:", "--target", "/opt/packages", "-r", "/requirements.txt"]
FROM {base}
COPY --from=environment /opt/packages /opt/packages
COPY runtime /opt/runtime
COPY code /var/azureml-app
"""


@dataclass(frozen=True)
class Run:
    """Seconds until the image is in the registry, and bytes that were sent there."""

    seconds: float
    sent: int


@contextmanager
def base_image(folder: Path) -> Generator[str]:
    """Serve a base image, compressed as bases are, and give its reference."""
    cache = Cache(folder / "base")
    made = debian.base(cache)
    layers = tuple(
        cache.put(gzip.compress(cache.path(layer.digest).read_bytes(), 6, mtime=0), LAYER_GZIP)
        for layer in made.manifest.layers
    )
    with registry(folder / "base-registry") as running, Registry(running.host, ()) as client:
        push(Place(client, "python"), Manifest(made.manifest.config, layers), cache.path, tags=("3",))
        yield f"{running.host}/python:3"


def write_project(folder: Path) -> None:
    """Write what both build from."""
    code = folder / "code"
    code.mkdir(parents=True)
    (code / "data").write_bytes(random.Random(0).randbytes(CODE))
    (code / "requirements.txt").write_text("\n".join(REQUIREMENTS) + "\n")
    change(folder, 0)


def change(project: Path, number: int) -> None:
    """Let one line of the code be another."""
    (project / "code" / "score.py").write_text(
        f"def init():\n    pass\n\n\ndef run(_):\n    return {number}\n"
    )


def ours(host: str, base: str, project: Path, state: Path) -> None:
    """Build and push as `pulumi up` does."""
    more = {VARIABLE: str(state / "cache"), "UV_CACHE_DIR": str(state / "uv")}
    run([sys.executable, "-c", OURS, host, base, str(project)], more)


def buildah(host: str, base: str, project: Path, state: Path) -> None:
    """Build with layers kept, and push."""
    context = state / "context"
    if not context.exists():
        context.mkdir(parents=True)
        shutil.copy(find_uv_bin(), context / "uv")
        (context / "requirements.txt").write_text("\n".join([*own("scoring"), *REQUIREMENTS]) + "\n")
        shutil.copytree(PACKAGE / "scoring", context / "runtime/slipway/scoring")
        certificates = os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")
        (context / "Dockerfile").write_text(DOCKERFILE.format(base=base, certificates=certificates))
        (state / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    shutil.copytree(project / "code", context / "code", dirs_exist_ok=True)
    command = ["buildah", "--root", str(state / "root"), "--runroot", str(state / "run")]
    command += ["--storage-driver", "overlay"]
    common = ["--quiet", "--tls-verify=false", "--signature-policy", str(state / "policy.json")]
    mount = ["--volume", "/etc/ssl/certs:/etc/ssl/certs:ro"]
    build = [*command, "bud", *common, "--layers", "--isolation", "chroot", *mount, "--tag", "bench"]
    run([*build, str(context)], {})
    run([*command, "push", *common, "bench", f"docker://{host}/slipway/bench:v1"], {})


TOOLS = {"ours": ours, "buildah": buildah}


def run(command: list[str], more: Mapping[str, str]) -> None:
    """Run a command to its end; Python keeps what it compiles."""
    environment = {**os.environ, **more, "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"error: {command[:2]}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")


def measured(base: str, folder: Path) -> dict[tuple[str, str], Run]:
    """Take both through all cases, in turn."""
    found: dict[tuple[str, str], Run] = {}
    project = folder / "project"
    write_project(project)
    with ExitStack() as stack:
        # One address a registry: buildah keeps in mind by it what is there.
        places = {
            name: stack.enter_context(proxy(stack.enter_context(registry(folder / name)).host))
            for name in TOOLS
        }
        stack.callback(unmount, folder / "buildah-state/root/overlay")
        for number, case in enumerate(CASES):
            change(project, min(number, 1))
            for name, tool in TOOLS.items():
                before, started = places[name].sent, time.perf_counter()
                tool(places[name].host, base, project, folder / f"{name}-state")
                found[case, name] = Run(time.perf_counter() - started, places[name].sent - before)
    return found


def unmount(path: Path) -> None:
    """Take away what overlay leaves mounted."""
    if path.is_mount():
        subprocess.run(["umount", path], check=True)


def figures(runs: list[dict[tuple[str, str], Run]]) -> list[Figure]:
    """Put times beside each other, and bytes."""
    lines: list[Figure] = []
    for case in CASES:
        for name in TOOLS:
            lines.append(Figure(f"{case}: {name}", tuple(one[case, name].seconds for one in runs), "s"))
        ratio = tuple(one[case, "ours"].seconds / one[case, "buildah"].seconds for one in runs)
        lines.append(Figure(f"{case}: ours / buildah, time", ratio, at_most=1))
    for case in CASES:
        for name in TOOLS:
            sent = tuple(one[case, name].sent / 1e6 for one in runs)
            bar = {"code change": 1.05 * CODE / 1e6, "no change": 0.01}.get(case) if name == "ours" else None
            lines.append(Figure(f"{case}: {name}, sent", sent, "MB", at_most=bar))
    return lines


def main() -> int:
    """Measure and report."""
    options = arguments(__doc__, pairs=3).parse_args()
    run([sys.executable, "-c", OURS.partition("host, base")[0]], {})  # so that no run compiles our modules
    with tempfile.TemporaryDirectory() as folder, base_image(Path(folder)) as base:
        runs = [measured(base, Path(folder, str(number))) for number in range(options.pairs)]
    return finish("images", figures(runs), options)


if __name__ == "__main__":
    sys.exit(main())
