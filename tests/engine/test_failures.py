"""Programs that Pulumi would not run fail here too, with the reason and the place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from slipway.engine import EngineError, ProjectError, run
from tests.engine import real
from tests.engine.real import CommandError, Real

IMPORTS = """\
import asyncio
import os
import sys
import pulumi
import pulumi_random as random


class Group(pulumi.ComponentResource):
    def __init__(self, name, opts=None, **more):
        super().__init__("test:index:Group", name, {}, opts, **more)


"""


@dataclass(frozen=True)
class Case:
    program: str
    says: tuple[str, ...]
    denied: str = "nothing"


CASES = {
    "duplicate": Case(
        """
        Group("same")
        Group("same")
        """,
        (
            "duplicate resource URN urn:pulumi:dev::failing::test:index:Group::same",
            "__main__.py:13",
            "__main__.py:14",
        ),
    ),
    "duplicate-below-other-parents": Case(
        """
        a, b = Group("a"), Group("b")
        random.RandomString("same", length=4, opts=pulumi.ResourceOptions(parent=a))
        random.RandomString("same", length=4, opts=pulumi.ResourceOptions(parent=b))
        """,
        ("duplicate resource URN", "Group$random:index/randomString:RandomString::same"),
    ),
    "unknown-parent": Case(
        """
        parent = Group("parent")
        nobody = "urn:pulumi:dev::failing::test:index:Group::nobody"
        parent.__dict__["urn"] = pulumi.Output.from_input(nobody)
        random.RandomString("orphan", length=4, opts=pulumi.ResourceOptions(parent=parent))
        """,
        ("RandomString::orphan: could not find parent resource", "Group::nobody"),
    ),
    "unknown-provider": Case(
        """
        class Ghost(pulumi.ProviderResource):
            def __init__(self):
                self.package = "random"
                self._name, self._type = "ghost", "pulumi:providers:random"
                urn = "urn:pulumi:dev::failing::pulumi:providers:random::ghost"
                self.__dict__["urn"] = pulumi.Output.from_input(urn)
                self.__dict__["id"] = pulumi.Output.from_input("id")

        random.RandomString("a", length=4, opts=pulumi.ResourceOptions(provider=Ghost()))
        """,
        ("unknown provider urn:pulumi:dev::failing::pulumi:providers:random::ghost",),
    ),
    "exception": Case(
        """
        def broken():
            raise ValueError("on purpose")

        broken()
        """,
        ("ValueError: on purpose", "__main__.py", "line 14, in broken"),
    ),
    "exception-in-apply": Case(
        """
        def broken(length):
            raise ValueError(f"on purpose with {length}")

        random.RandomString("a", length=4).length.apply(broken)
        """,
        ("ValueError: on purpose with 4", "in broken"),
    ),
    "exception-in-nested-apply": Case(
        """
        a = random.RandomString("a", length=4)
        a.length.apply(lambda length: a.length.apply(lambda other: length / 0))
        """,
        ("ZeroDivisionError",),
    ),
    "exception-in-awaited-input": Case(
        """
        async def broken():
            await asyncio.sleep(0)
            raise ValueError("on purpose, later")

        pulumi.Output.from_input(broken())
        """,
        ("ValueError: on purpose, later", "in broken"),
    ),
    "exception-in-output": Case(
        """
        pulumi.export("a", random.RandomString("a", length=4).length.apply(lambda length: length.nothing))
        """,
        ("AttributeError", "nothing"),
    ),
    "exception-in-transform": Case(
        """
        def broken(args):
            raise ValueError("on purpose in a transform")

        pulumi.runtime.register_resource_transform(broken)
        random.RandomString("a", length=4)
        """,
        ("on purpose in a transform", "in broken"),
    ),
    "run-error": Case('raise pulumi.RunError("one line for a person")', ("one line for a person",)),
    "missing-config": Case(
        'pulumi.Config().require("needed")', ("Missing required configuration", "failing:needed")
    ),
    "syntax": Case("def broken(:", ("SyntaxError", "__main__.py")),
    "no-module": Case("import does_not_exist", ("ModuleNotFoundError", "does_not_exist")),
    "exit": Case("sys.exit(3)", ("exit code 3",)),
    "killed": Case("os._exit(9)", ("ended with status 9",)),
    "cycle": Case(
        """
        class Selfish(pulumi.ComponentResource):
            def __init__(self, name):
                super().__init__("test:index:Selfish", name)
                opts = pulumi.ResourceOptions(parent=self, depends_on=[self])
                self.child = random.RandomString("child", length=4, opts=opts)
                random.RandomString("other", length=self.child.length, opts=opts)

        Selfish("a")
        """,
        ("circular dependency",),
    ),
    "wrong-type": Case(
        """
        class Odd(pulumi.CustomResource):
            pass

        Odd("odd", "a", {})
        """,
        ("must have the form package:module:name",),
    ),
    "denied-provider": Case(
        'random.RandomString("a", length=4)', ("the default provider of random is disabled",), "random"
    ),
    "wrong-value": Case('Group("a").register_outputs({"a": object()})', ("unexpected input of type object",)),
    "remote-component": Case(
        'Group("far", remote=True)', ("test:index:Group `far` is a remote component", "no plugin runs here")
    ),
}
ONLY_OURS = {"remote-component"}
"""A plugin might exist for the real engine."""
FINE = {
    "logged-error": 'pulumi.log.error("only a message")',
    "forgotten-task": """
        async def broken():
            raise ValueError("nobody waits for this")

        asyncio.ensure_future(broken())
        """,
    "recovered": """
        def broken(length):
            raise ValueError("recovered from")

        random.RandomString("a", length=4).length.apply(broken).recover(lambda error: 5)
        """,
    "exit": "sys.exit(0)",
    "prints": "print('{', flush=True)\nos.system('echo from a shell')",
}
"""What looks wrong and is not, to Pulumi."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "failing"
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text("name: failing\nruntime: python\n")
    (folder / "Pulumi.dev.yaml").write_text("config: {}\n")
    return folder


def write(project: Path, program: str, denied: str = "nothing") -> None:
    config = f"config: {{'pulumi:disable-default-providers': [{denied}]}}\n"
    (project / "Pulumi.dev.yaml").write_text(config)
    (project / "__main__.py").write_text(IMPORTS + dedent(program).lstrip("\n"))


@pytest.mark.parametrize("name", CASES)
def test_when_a_program_is_wrong_then_the_error_says_what_and_where(name: str, project: Path) -> None:
    write(project, CASES[name].program, CASES[name].denied)
    with pytest.raises(EngineError) as caught:
        run(project, "dev")
    for part in CASES[name].says:
        assert part in str(caught.value)


@pytest.mark.parametrize("name", sorted(CASES.keys() - ONLY_OURS))
@pytest.mark.skipif(
    not real.available(), reason="pulumi is not on PATH: wrong programs ran on our engine alone"
)
def test_when_a_program_is_wrong_then_the_real_engine_refuses_it_too(
    name: str, project: Path, tmp_path: Path
) -> None:
    write(project, CASES[name].program, CASES[name].denied)
    (tmp_path / "real").mkdir()
    engine = Real(project, tmp_path / "real")
    engine.create("dev")
    with pytest.raises(CommandError):
        engine.preview("dev")


@pytest.mark.parametrize("name", FINE)
def test_when_a_program_only_looks_wrong_then_it_runs(name: str, project: Path) -> None:
    write(project, FINE[name])
    assert run(project, "dev").project == "failing"


@pytest.mark.parametrize("name", FINE)
@pytest.mark.skipif(
    not real.available(), reason="pulumi is not on PATH: odd programs ran on our engine alone"
)
def test_when_a_program_only_looks_wrong_then_the_real_engine_runs_it_too(
    name: str, project: Path, tmp_path: Path
) -> None:
    write(project, FINE[name])
    (tmp_path / "real").mkdir()
    engine = Real(project, tmp_path / "real")
    engine.create("dev")
    engine.preview("dev")


def test_when_an_exception_is_shown_then_it_begins_in_the_program(project: Path) -> None:
    write(project, "def broken():\n    raise ValueError('here')\n\nbroken()\n")
    with pytest.raises(EngineError) as caught:
        run(project, "dev")
    assert "runpy" not in str(caught.value)
    assert "slipway/engine" not in str(caught.value)


def test_when_a_duplicate_is_awaited_by_others_then_the_reason_is_still_the_duplicate(project: Path) -> None:
    program = """
    Group("same")
    second = Group("same")
    random.RandomString("child", length=4, opts=pulumi.ResourceOptions(parent=second))
    pulumi.export("urn", second.urn)
    """
    write(project, program)
    with pytest.raises(EngineError, match="duplicate resource URN"):
        run(project, "dev")


def test_when_there_is_no_such_stack_then_the_error_names_those_there_are(project: Path) -> None:
    with pytest.raises(ProjectError, match=r"no stack `prod`: .*; known here: dev"):
        run(project, "prod")


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("Pulumi.yaml", "runtime: python\n", "name is missing"),
        ("Pulumi.yaml", "name: a\nruntime: nodejs\n", "only python programs run here"),
        ("Pulumi.yaml", "[1]\n", "must be a mapping"),
        ("Pulumi.dev.yaml", "config: [\n", "is not YAML"),
        ("Pulumi.dev.yaml", "config: 3\n", "config must be a mapping"),
        ("Pulumi.dev.yaml", "\x00", "is not YAML"),
        ("Pulumi.dev.yaml", "config:\n  a:b: 1\n  a:b: 2\n", "the key `a:b` stands twice"),
        ("Pulumi.dev.yaml", "config: {a:b: {c: [{d: 1, d: 1}]}}\n", "the key `d` stands twice"),
    ],
)
def test_when_a_file_cannot_be_read_then_the_error_names_it(
    file: str, text: str, says: str, project: Path
) -> None:
    (project / file).write_text(text)
    with pytest.raises(ProjectError) as caught:
        run(project, "dev")
    assert file in str(caught.value)
    assert says in str(caught.value)
