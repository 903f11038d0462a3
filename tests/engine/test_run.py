"""What a run takes and gives: answers for providers, other stacks and functions, and a process of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from slipway.engine import UNKNOWN, EngineError, Graph, Made, Registration, Secret, Value, run

STRING = "random:index/randomString:RandomString"


def make_string(registration: Registration) -> Made | None:
    if registration.type != STRING:
        return None
    return Made("made", {**registration.inputs, "result": Secret("made")})


def refuse(registration: Registration) -> Made | None:
    if registration.custom and registration.type == STRING:
        raise EngineError(f"{registration.name} cannot be made")
    return None


def double(tok: str, args: dict[str, Value]) -> dict[str, Value]:
    assert tok == "test:index:double"
    assert isinstance(args["number"], int)
    return {"number": args["number"] * 2}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.yaml").write_text("name: small\nruntime: python\n")
    (tmp_path / "Pulumi.dev.yaml").write_text(
        "config:\n  small:key:\n    secure: AAAA\n  small:plain: text\n"
    )
    return tmp_path


def write(project: Path, program: str) -> None:
    text = "import pulumi\nimport pulumi_random as random\n\n" + dedent(program)
    (project / "__main__.py").write_text(text)


def found(graph: Graph, name: str) -> Registration:
    return next(registration for registration in graph.registrations if registration.name == name)


def test_when_no_one_answers_then_inputs_are_known_and_all_else_is_not(project: Path) -> None:
    write(
        project,
        """
        string = random.RandomString("a", length=4)
        pulumi.export("length", string.length)
        pulumi.export("result", string.result)
        pulumi.export("id", string.id)
        pulumi.export("urn", string.urn)
        """,
    )
    outputs = run(project, "dev").outputs
    urn = f"urn:pulumi:dev::small::{STRING}::a"
    assert outputs == {"length": 4, "result": UNKNOWN, "id": UNKNOWN, "urn": urn}


def test_when_a_resolver_answers_then_its_values_flow_through_the_program(project: Path) -> None:
    write(
        project,
        """
        string = random.RandomString("a", length=4)
        pulumi.export("text", pulumi.Output.concat("<", string.result, ">"))
        random.RandomPassword("b", length=string.result.apply(len))
        pulumi.export("id", string.id)
        """,
    )
    graph = run(project, "dev", resolve=make_string)
    assert graph.outputs == {"text": Secret("<made>"), "id": "made"}
    assert found(graph, "b").inputs == {"length": Secret(4)}


def test_when_a_resolver_refuses_then_its_reason_is_the_error(project: Path) -> None:
    write(project, 'random.RandomString("a", length=4)')
    with pytest.raises(EngineError, match=r"^a cannot be made$"):
        run(project, "dev", resolve=refuse)


def test_when_a_function_is_called_and_no_one_answers_then_its_answer_is_unknown_and_it_is_named(
    project: Path,
) -> None:
    write(
        project,
        """
        answer = pulumi.runtime.invoke_output("test:index:double", {"number": 2})
        pulumi.export("n", answer.apply(lambda found: found["number"]))
        """,
    )
    graph = run(project, "dev")
    assert graph.outputs == {"n": UNKNOWN}
    assert graph.unasked == ("test:index:double",)


def test_when_a_program_needs_an_answer_at_once_then_the_error_names_function_and_remedy(
    project: Path,
) -> None:
    write(project, 'pulumi.runtime.invoke("test:index:double", {"number": 2}).value["number"]')
    with pytest.raises(EngineError, match="to answer test:index:double: call the `_output` form"):
        run(project, "dev")


def test_when_a_resource_is_read_then_its_id_is_known_and_the_rest_is_not(project: Path) -> None:
    write(
        project,
        """
        found = random.RandomString.get("a", id="given")
        pulumi.export("found", [found.id, found.result])
        """,
    )
    assert run(project, "dev").outputs == {"found": ["given", UNKNOWN]}


def test_when_a_function_is_answered_then_the_program_goes_on_with_that(project: Path) -> None:
    write(
        project,
        'pulumi.export("n", pulumi.runtime.invoke("test:index:double", {"number": 2}).value["number"])',
    )
    assert run(project, "dev", invoke=double).outputs == {"n": 4}


def test_when_another_stack_is_not_given_then_its_outputs_are_unknown(project: Path) -> None:
    write(project, 'pulumi.export("a", pulumi.StackReference("org/other/dev").require_output("a"))')
    assert run(project, "dev").outputs == {"a": UNKNOWN}
    given = {"org/other/dev": {"a": Secret("known")}}
    assert run(project, "dev", stacks=given).outputs == {"a": Secret("known")}


def test_when_config_is_encrypted_then_it_is_an_unknown_secret_by_name(project: Path) -> None:
    write(
        project,
        """
        config = pulumi.Config()
        key = config.require_secret("key")
        pulumi.export("key", key)
        pulumi.export("within", pulumi.Output.concat("<", key, ">"))
        pulumi.export("as", [config.get_secret_int("key"), config.get_secret_object("key")])
        pulumi.export("plain", config.require("plain"))
        """,
    )
    graph = run(project, "dev")
    hidden = Secret(UNKNOWN)
    assert graph.outputs == {"key": hidden, "within": hidden, "as": [hidden, hidden], "plain": "text"}
    assert graph.encrypted_config == ("small:key",)


def test_when_programs_run_one_after_the_other_then_none_leaves_a_trace(project: Path) -> None:
    write(project, 'random.RandomString("a", length=4)\npulumi.export("stack", pulumi.get_stack())')
    (project / "Pulumi.prod.yaml").write_text("config: {}\n")
    before = (Path.cwd(), list(sys.path), dict(os.environ), set(sys.modules))
    first, second, prod = run(project, "dev"), run(project, "dev"), run(project, "prod")
    assert first == second
    assert prod.outputs == {"stack": "prod"}
    assert (Path.cwd(), list(sys.path), dict(os.environ), set(sys.modules)) == before


def test_when_a_program_has_modules_then_they_come_from_its_folder(project: Path) -> None:
    (project / "values.py").write_text("NAME = 'own'\n")  # also a module of the engine
    write(
        project,
        "import os, sys, values\npulumi.export('a', [values.NAME, os.getcwd(), sys.argv[1:], __file__])",
    )
    expected: list[Value] = ["own", str(project), [], str(project / "__main__.py")]
    assert run(project, "dev").outputs == {"a": expected}


def test_when_the_program_is_elsewhere_then_main_says_where(project: Path) -> None:
    (project / "Pulumi.yaml").write_text("name: small\nruntime: {name: python}\nmain: infra/\n")
    (project / "infra").mkdir()
    write(project / "infra", "import os\npulumi.export('a', os.getcwd())")
    assert run(project, "dev").outputs == {"a": str(project / "infra")}


def test_when_a_program_prints_then_it_goes_to_stderr(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(
        project,
        """
        import os
        print("printed")
        os.system("echo from a shell")
        pulumi.log.warn("logged")
        pulumi.log.debug("too much")
        """,
    )
    run(project, "dev")
    captured = capfd.readouterr()
    assert captured.out == ""
    assert sorted(captured.err.split("\n")) == ["", "from a shell", "printed", "warning: logged"]


def test_when_a_program_reads_its_input_then_there_is_none(project: Path) -> None:
    write(project, "import sys\npulumi.export('a', sys.stdin.read())")
    assert run(project, "dev").outputs == {"a": ""}


def test_when_a_resource_is_registered_then_its_source_is_the_users_line(project: Path) -> None:
    (project / "parts").mkdir()
    (project / "parts" / "one.py").write_text(
        "import pulumi_random as random\n\ndef make():\n    random.RandomString('a', length=4)\n"
    )
    write(project, "from parts.one import make\nmake()")
    assert found(run(project, "dev"), "a").source == "parts/one.py:4"


def test_when_a_program_registers_work_for_its_end_then_that_is_done(project: Path) -> None:
    write(
        project,
        """
        import atexit, pathlib
        atexit.register(lambda: pathlib.Path("ended").write_text("yes"))
        random.RandomString("a", length=4)
        """,
    )
    run(project, "dev")
    assert (project / "ended").read_text() == "yes"
