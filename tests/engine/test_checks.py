"""What a checked run finds: mistakes that the SDKs' annotations show, and what a project's policies say."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from slipway.engine import EngineError, check

POLICY = """
from pulumi_policy import EnforcementLevel, ResourceValidationPolicy, StackValidationPolicy


def judge(args, report):
    if args.resource_type.endswith(":ConfigMap"):
{body}


POLICIES = [ResourceValidationPolicy("rule", "What the rule says.", judge)]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.yaml").write_text("name: small\nruntime: python\n")
    (tmp_path / "Pulumi.dev.yaml").write_text("config:\n  small:key:\n    secure: AAAA\n")
    return tmp_path


def write(project: Path, program: str, policies: str = "") -> None:
    header = "import pulumi\nimport pulumi_azure_native as az\nimport pulumi_kubernetes as k8s\n"
    (project / "__main__.py").write_text(f"{header}import pulumi_random as random\n\n{dedent(program)}")
    (project / "policies").mkdir(exist_ok=True)
    (project / "policies" / "rules.py").write_text(policies)


def of_config_map(body: str) -> str:
    return POLICY.format(body=f"        {body}")


def mistakes(project: Path) -> tuple[str, ...]:
    return check(project, "dev")[1]


def test_when_inputs_break_the_sdk_then_each_has_a_line_with_type_and_name(project: Path) -> None:
    write(
        project,
        """
        az.network.Subnet(
            "inner",
            resource_group_name="g",
            virtual_network_name="v",
            private_endpoint_network_policies="Off",
        )
        az.network.RouteTable("routes", resource_group_name="g", opts=pulumi.ResourceOptions(protect=True))
        """,
        "POLICIES = []",
    )
    (line,) = mistakes(project)
    assert line.startswith('Subnet inner: privateEndpointNetworkPolicies = "Off": is no value')


def test_when_a_project_has_no_policies_then_none_are_judged(project: Path) -> None:
    write(project, "random.RandomString('a', length=4)")
    (project / "policies" / "rules.py").unlink()
    assert mistakes(project) == ()


def test_when_a_policy_reports_then_each_report_is_a_line(project: Path) -> None:
    rule = of_config_map('report("not\\n  good"); report("")')
    write(project, 'k8s.core.v1.ConfigMap("a", data={"x": "1"})', rule)
    assert mistakes(project) == (
        "ConfigMap a: not good (policy rule)",
        "ConfigMap a: What the rule says. (policy rule)",
    )


def test_when_a_mandatory_policy_reads_an_unknown_value_then_that_is_a_mistake(project: Path) -> None:
    write(
        project,
        'k8s.core.v1.ConfigMap("a", data={"x": random.RandomString("s", length=4).result, "y": "1"})',
        of_config_map('args.props["data"]["x"]'),
    )
    assert mistakes(project) == (
        "ConfigMap a: data.x is known only once it exists, so this rule cannot judge it; give it beforehand "
        "(policy rule)",
    )
    (project / "policies" / "rules.py").write_text(of_config_map('assert args.props["data"]["y"] == "1"'))
    assert mistakes(project) == ()


def test_when_an_image_waits_for_its_build_then_policies_read_that_alone(project: Path) -> None:
    program = """
        class Image(pulumi.ComponentResource):
            def __init__(self, name):
                super().__init__("slipway:index:{type_}", name)
                opts = pulumi.ResourceOptions(parent=self)
                self.reference = random.RandomString(name, length=4, opts=opts).result

        k8s.core.v1.ConfigMap("a", data={{"image": Image("i").reference, "other": Image("j").reference}})
        """
    rule = of_config_map('report(args.props["data"]["image"]); args.props["data"]["other"]')
    write(project, program.format(type_="Image"), rule)
    first, second = mistakes(project)
    assert first == "ConfigMap a: digest: after build (policy rule)"
    assert second.startswith("ConfigMap a: data.other is known only once it exists")
    write(project, program.format(type_="Other"), rule)
    (line,) = mistakes(project)
    assert line.startswith("ConfigMap a: data.image is known only once it exists")


def test_when_a_stack_policy_is_judged_then_it_sees_outputs_parents_and_dependencies(project: Path) -> None:
    program = """
        class Group(pulumi.ComponentResource):
            def __init__(self, name):
                super().__init__("test:index:Group", name, {"asked": 1})
                first = k8s.core.v1.ConfigMap("a", data={"x": "1"}, opts=pulumi.ResourceOptions(parent=self))
                after = pulumi.ResourceOptions(parent=self, depends_on=[first])
                k8s.core.v1.ConfigMap("b", data={"x": first.metadata.apply(str)}, opts=after)
                self.register_outputs({"given": 2})


        Group("g")
        """
    rule = """
        from pulumi_policy import StackValidationPolicy


        def judge(args, report):
            found = {resource.name: resource for resource in args.resources}
            report(f"{dict(found['g'].props)}", found["g"].urn)
            a, b = found["a"], found["b"]
            assert b.parent is found["g"] and b.dependencies == [a] and b.property_dependencies["data"] == [a]
            assert a.provider.resource_type == "pulumi:providers:kubernetes"
            report("in all")


        POLICIES = [StackValidationPolicy("whole", "What it says.", judge)]
        """
    write(project, program, dedent(rule))
    assert mistakes(project) == (
        "Group g: {'given': 2.0} (policy whole)",
        "stack dev: in all (policy whole)",
    )


def test_when_a_policy_only_advises_then_it_warns_and_is_no_mistake(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rule = of_config_map('report("better not")').replace("judge)", "judge, EnforcementLevel.{})")
    write(project, 'k8s.core.v1.ConfigMap("a")', rule.format("ADVISORY"))
    assert mistakes(project) == ()
    assert capfd.readouterr().err == "warning: ConfigMap a: better not (policy rule)\n"
    write(project, 'k8s.core.v1.ConfigMap("a")', rule.format("DISABLED"))
    assert mistakes(project) == ()
    assert capfd.readouterr().err == ""


def test_when_a_policy_is_not_applicable_then_it_says_nothing(project: Path) -> None:
    rule = of_config_map('args.not_applicable("elsewhere")')
    write(project, 'k8s.core.v1.ConfigMap("a")', rule)
    assert mistakes(project) == ()


def test_when_a_policy_fails_itself_then_the_error_shows_its_line(project: Path) -> None:
    write(project, 'k8s.core.v1.ConfigMap("a")', of_config_map('args.props["nothing"]'))
    with pytest.raises(EngineError, match=r"(?s)policies/rules\.py.*nothing.*KeyError"):
        check(project, "dev")


def test_when_a_policy_repeats_a_secret_then_it_is_masked(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rule = of_config_map('report(args.props["data"]["x"])')
    program = 'k8s.core.v1.ConfigMap("a", data={"x": pulumi.Output.secret("planted")})'
    write(project, program, rule)
    assert mistakes(project) == ("ConfigMap a: [secret] (policy rule)",)
    write(project, program, rule.replace("judge)", "judge, EnforcementLevel.ADVISORY)"))
    assert mistakes(project) == ()
    assert "planted" not in capfd.readouterr().err
