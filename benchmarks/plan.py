"""What a plan costs: against importing the SDKs that it needs, and as a stack grows.

plan / imports: `slipway plan -s prod`, the whole command, against a process that imports just the classes of
the SDKs whose resources that plan holds. growth: the plan of 1,000 web services against that of 100.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import yaml

from benchmarks.report import Figure, arguments, finish

ROOT = Path(__file__).parents[1]
FEW, MANY = 100, 1_000
SLIPWAY = [str(Path(sys.executable).parent / "slipway")]


def timed(command: list[str], folder: Path) -> float:
    """Run a command to its end and give its seconds."""
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"error: {' '.join(command)}\n{done.stderr[-4000:]}")
    return seconds


def classes() -> list[str]:
    """Name the SDKs' classes whose resources the prod plan holds: their modules load at the first use."""
    command = [*SLIPWAY, "plan", "-s", "prod", "--format", "json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    types: set[str] = {resource["type"] for resource in json.loads(done.stdout)["resources"]}
    return sorted({found for type_ in types for found in _classes(type_)})


def _classes(type_: str) -> Iterable[str]:
    """`kubernetes:rbac.authorization.k8s.io/v1:Role` is `pulumi_kubernetes.rbac.v1.Role`."""
    match type_.split(":"):
        case ["azure-native", module, name]:
            yield f"pulumi_azure_native.{module}.{name}"
        case ["kubernetes", group, name]:
            domain, _, version = group.partition("/")
            if "." not in domain or domain.endswith(".k8s.io"):  # others are no classes of the SDK
                yield f"pulumi_kubernetes.{domain.partition('.')[0]}.{version}.{name}"
        case ["random", *_, name]:
            yield f"pulumi_random.{name}"
        case _:
            pass


def project(folder: Path, services: int) -> Path:
    """Make a project whose one stack has so many web services, in production as `prod` is."""
    for name in ("__main__.py", "Pulumi.yaml", "components", "policies", "examples", "slipway"):
        (folder / name).symlink_to(ROOT / name)
    stack = yaml.safe_load((ROOT / "stacks" / "Pulumi.prod.yaml").read_text(encoding="utf-8"))
    azure = stack["config"]["slipway:azure"]
    azure["network"]["model"] = "overlay"
    azure["network"]["pod_cidr"] = "100.64.0.0/12"
    azure["cluster"]["pools"][0]["max_count"] = 300
    one = {"source_directory": "examples/echo", "entry_script": "score.py", "num_replicas": 1}
    stack["config"]["slipway:webservices"] = [{**one, "name": f"service-{n}"} for n in range(services)]
    (folder / "stacks").mkdir()
    (folder / "stacks" / "Pulumi.prod.yaml").write_text(yaml.safe_dump(stack), encoding="utf-8")
    return folder


def main() -> int:
    """Measure, print, check."""
    parser = arguments(__doc__, pairs=7)
    parser.add_argument("--growth-pairs", type=int, default=3, help="runs of each size (default: 3)")
    options = parser.parse_args()
    plan = [*SLIPWAY, "plan", "-s", "prod"]
    found = classes()
    packages = sorted({name.partition(".")[0] for name in found})
    imports = [sys.executable, "-c", "\n".join([f"import {', '.join(packages)}", *found])]
    ratios: list[float] = []
    plans: list[float] = []
    for number in range(options.pairs):
        print(f"plan and imports: {number + 1} of {options.pairs}", file=sys.stderr)
        plans.append(timed(plan, ROOT))
        ratios.append(plans[-1] / timed(imports, ROOT))
    growth: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folders = {size: Path(name) / str(size) for size in (FEW, MANY)}
        for size, folder in folders.items():
            folder.mkdir()
            project(folder, size)
        for number in range(options.growth_pairs):
            print(f"{FEW} and {MANY} services: {number + 1} of {options.growth_pairs}", file=sys.stderr)
            few, many = (timed(plan, folders[size]) for size in (FEW, MANY))
            growth.append(many / few)
    figures = [
        Figure("plan of prod", tuple(plans), "s"),
        Figure("plan of prod / importing its SDKs", tuple(ratios), at_most=1.5),
        Figure("plan of 1,000 services / of 100", tuple(growth), at_most=13),
    ]
    return finish("slipway plan", figures, options)


if __name__ == "__main__":
    sys.exit(main())
