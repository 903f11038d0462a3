"""The policy pack as Pulumi runs it: a process that is shown one resource after the other, then all of them.

The process is driven over its gRPC interface everywhere; with `pulumi` on PATH the CLI drives it too.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
import yaml
from pulumi.runtime.proto import analyzer_pb2 as pb
from pulumi.runtime.proto import analyzer_pb2_grpc

from slipway.engine import Graph, Registration, run, urns
from slipway.engine.wire import write_struct
from slipway.settings import Azure
from slipway.settings.derived import login_server
from tests.engine import real
from tests.engine.real import CommandError, Real
from tests.engine.stand_in.provider import attached
from tests.engine.stand_in.world import World
from tests.unit.stack_flips import FLIPS, Flip

ROOT = Path(__file__).parents[2]
# What an edit of the program could do, done to the program as it is; one value is not known in a preview.
FLIPPED = """
import runpy

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random

unknown = random.RandomString("unknown", length=4).result.apply(lambda _: False)
FLIPS = {
    "azure-native:containerservice:ManagedCluster": {"disableLocalAccounts": False},
    "azure-native:network:Route": {"nextHopType": "Internet"},
    "azure-native:storage:StorageAccount": {"allowSharedKeyAccess": unknown},
}


def flip(args):
    if args.type_ in FLIPS:
        return pulumi.ResourceTransformResult({**args.props, **FLIPS[args.type_]}, args.opts)


pulumi.runtime.register_resource_transform(flip)
runpy.run_path("__main__.py", run_name="__main__")
target = k8s.autoscaling.v2.CrossVersionObjectReferenceArgs(kind="Deployment", name="diabetes")
k8s.autoscaling.v2.HorizontalPodAutoscaler(
    "other",
    metadata=k8s.meta.v1.ObjectMetaArgs(name="other", namespace="slipway-services"),
    spec=k8s.autoscaling.v2.HorizontalPodAutoscalerSpecArgs(max_replicas=9, scale_target_ref=target),
)
"""
with_pulumi = pytest.mark.skipif(
    not real.available(), reason="pulumi and its plugins are not on PATH: the pack ran without the CLI"
)


class Pack:
    """The pack's process, seen from the engine."""

    def __init__(self, analyzer: Any) -> None:
        self._analyzer = analyzer

    def info(self) -> pb.AnalyzerInfo:
        return self._analyzer.GetAnalyzerInfo(pb.AnalyzeRequest())

    def judge(self, graph: Graph) -> set[tuple[str, bool]]:
        """Give the rules that a first preview of a graph breaks, and whether each is mandatory."""
        managed = [found for found in graph.registrations if not found.external]
        managed.sort(key=lambda found: urns.qualified_type(found.urn).count("$"))  # a parent comes first
        found: list[pb.AnalyzeDiagnostic] = []
        for one in managed:
            request = pb.AnalyzeRequest(
                type=one.type,
                name=one.name,
                urn=one.urn,
                properties=write_struct(one.inputs),
                options=pb.AnalyzerResourceOptions(protect=one.protect),
            )
            found += self._analyzer.Analyze(request).diagnostics
        request = pb.AnalyzeStackRequest(resources=map(_at_the_end, graph.registrations))
        found += self._analyzer.AnalyzeStack(request).diagnostics
        return {(one.policyName, one.enforcementLevel == pb.MANDATORY) for one in found}


def _at_the_end(found: Registration) -> pb.AnalyzerResource:
    """Give what a preview knows at its end: nothing of objects in a cluster that does not exist yet."""
    in_cluster = found.type.startswith("kubernetes:")
    return pb.AnalyzerResource(
        type=found.type,
        name=found.name,
        urn=found.urn,
        parent=found.parent,
        properties=write_struct({} if in_cluster else found.outputs),
        options=pb.AnalyzerResourceOptions(protect=found.protect),
        dependencies=found.dependencies,
        propertyDependencies={
            name: pb.AnalyzerPropertyDependencies(urns=used)
            for name, used in found.property_dependencies.items()
        },
    )


@pytest.fixture(scope="module")
def pack() -> Generator[Pack]:
    folder = ROOT / "policies"
    command = [sys.executable, "-u", "-m", "pulumi.policy", "127.0.0.1:0", str(folder)]
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield Pack(cast("Any", analyzer_pb2_grpc).AnalyzerStub(channel))
        finally:
            process.kill()


def name_images(config: dict[str, Any]) -> None:
    """Name images as if they were built: no registry of Azure's answers here; `tests/cluster` has one."""
    registry, digest = login_server(Azure.model_validate(config["slipway:azure"])), f"sha256:{'0' * 64}"
    config.setdefault("slipway:router", {})["image"] = f"{registry}/slipway/router@{digest}"
    for spec in config["slipway:webservices"]:
        spec["environment"] = {"image": f"{registry}/slipway/{spec['name']}@{digest}"}


def previewed(folder: Path, stack: str) -> Graph:
    """Give the graph of a shipped stack as a preview has it, which knows the images that it built."""
    for name in ("__main__.py", "Pulumi.yaml", "components", "examples", "slipway"):
        (folder / name).symlink_to(ROOT / name)
    content = yaml.safe_load((ROOT / "stacks" / f"Pulumi.{stack}.yaml").read_text())
    if "slipway:azure" in content["config"]:
        name_images(content["config"])
    (folder / "stacks").mkdir()
    (folder / "stacks" / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump(content))
    return run(folder, stack)


@pytest.fixture(scope="module")
def prod(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return previewed(tmp_path_factory.mktemp("prod"), "prod")


def test_when_no_level_is_configured_then_the_rules_block_but_for_advice(pack: Pack) -> None:
    levels = {policy.name: policy.enforcementLevel for policy in pack.info().policies}
    assert [name for name, level in levels.items() if level != pb.MANDATORY] == ["kubenet-retiring"]


@pytest.mark.parametrize("stack", ["local", "dev", "prod"])
def test_the_pack_passes_the_shipped_stacks(pack: Pack, stack: str, tmp_path: Path) -> None:
    assert pack.judge(previewed(tmp_path, stack)) == set()


@pytest.mark.parametrize("flip", FLIPS, ids=str)
def test_when_an_input_is_flipped_then_the_pack_blocks_with_that_rule(
    pack: Pack, prod: Graph, flip: Flip
) -> None:
    assert pack.judge(flip(prod)) == {(flip.rule, flip.rule != "kubenet-retiring")}


def project(folder: Path, environment: Mapping[str, str] | None = None) -> Real:
    found = Real(ROOT, folder, environment)
    pack = found.project / "policies" / "PulumiPolicy.yaml"
    settings = yaml.safe_load(pack.read_text())
    pack.write_text(
        yaml.safe_dump(settings | {"runtime": "python"})
    )  # the copy has no environment of its own
    return found


@pytest.fixture
def on_azure(tmp_path: Path) -> Generator[Real]:
    with attached(World()) as port:
        stack = project(tmp_path / "prod", {"PULUMI_DEBUG_PROVIDERS": f"azure-native:{port}"})
        with stack.config("prod") as config:
            name_images(config)
        yield stack


def blocked(stack: Real, name: str) -> set[str]:
    """Give the mandatory rules for which Pulumi refuses a preview."""
    with pytest.raises(CommandError) as refused:
        stack.run("preview", "--policy-pack", "policies", "--stack", name)
    return {line.split()[2] for line in str(refused.value).splitlines() if "[mandatory]" in line}


@with_pulumi
def test_when_the_local_stack_is_previewed_then_the_pack_lets_it_pass(tmp_path: Path) -> None:
    stack = project(tmp_path)
    stack.create("local")
    assert "✅ slipway@" in stack.run("preview", "--policy-pack", "policies", "--stack", "local")


@with_pulumi
def test_when_the_production_stack_is_previewed_then_the_pack_lets_it_pass(on_azure: Real) -> None:
    on_azure.create("prod")
    assert "✅ slipway@" in on_azure.run("preview", "--policy-pack", "policies", "--stack", "prod")


@with_pulumi
def test_when_settings_break_rules_then_the_preview_fails_and_names_them(on_azure: Real) -> None:
    with on_azure.config("prod") as config:
        del config["slipway:azure"]["deployer_ranges"]
        config["slipway:webservices"][0]["environment"] = {"image": "docker.io/library/nginx:latest"}
    on_azure.create("prod")
    assert blocked(on_azure, "prod") == {"api-server-closed", "image-by-digest", "image-from-registry"}


@with_pulumi
def test_when_the_program_is_changed_then_the_preview_fails_and_names_the_rules(on_azure: Real) -> None:
    (on_azure.project / "flipped.py").write_text(FLIPPED)
    settings = yaml.safe_load((on_azure.project / "Pulumi.yaml").read_text())
    (on_azure.project / "Pulumi.yaml").write_text(yaml.safe_dump(settings | {"main": "flipped.py"}))
    on_azure.create("prod")
    assert blocked(on_azure, "prod") == {
        "egress-default-route",
        "egress-no-bypass",
        "local-accounts-off",
        "one-autoscaler",
        "storage-closed",
    }
