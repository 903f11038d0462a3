"""Recipes become environments and folders: made once, whole or not at all, with uv's own explanations."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from slipway.images.recipe import Recipe, image_hash
from slipway.local.container import LocalImage
from slipway.local.realise import prune, prune_unused, realise
from slipway.local.state import LocalError, State


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "code/score.py").write_text("def init(): pass\ndef run(data): return data\n")
    (tmp_path / "code/.amlignore").write_text("*.log\n")
    (tmp_path / "code/big.log").write_text("x")
    (tmp_path / "model.bin").write_bytes(b"weights")
    return tmp_path


def make(project: Path, *requirements: str, python: str = "", said: list[str] | None = None) -> LocalImage:
    state = State(project / ".slipway/local")
    state.make()
    recipe = Recipe("scoring", python, requirements, "code", "score.py", ("model.bin",))
    name = f"slipway/web:{image_hash(recipe, project)}"
    return realise(name, recipe, project, state, said.append if said is not None else lambda _: None)


def test_an_image_is_an_environment_a_runtime_code_and_models(project: Path) -> None:
    image = make(project)
    env = {"PATH": "/usr/bin", **image.env}
    app = Path(env["AML_APP_ROOT"])
    assert image.working_directory == str(app)
    assert (app / env["AZUREML_ENTRY_SCRIPT"]).is_file()
    assert not (app / "big.log").exists()
    assert (Path(env["AZUREML_MODEL_DIR"]) / "model.bin").read_bytes() == b"weights"
    code = "import slipway, slipway.scoring, sys, uvicorn; print(slipway.__file__, sys.prefix)"
    shown = subprocess.run(
        [image.python, "-c", code], env=env, cwd=app, capture_output=True, text=True, check=True
    ).stdout.split()
    assert Path(shown[0]).is_relative_to(project / ".slipway/runtime")
    assert Path(shown[1]).is_relative_to(project / ".slipway/environments")
    assert not (Path(shown[0]).parent / "local").exists(), "the scoring runtime and nothing else"


def test_when_the_code_has_a_module_named_as_one_of_pythons_then_the_server_starts(
    project: Path,
) -> None:
    (project / "code/logging.py").write_text("raise RuntimeError('not mine')\n")
    image = make(project)
    shown = subprocess.run(
        [image.python, *image.argv],
        env={**image.env, "PORT": "http"},
        cwd=image.working_directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "PORT = 'http', must be a whole number" in shown.stderr


def test_what_was_made_is_used_again_and_only_what_changed_is_made(project: Path) -> None:
    said: list[str] = []
    first = make(project, said=said)
    assert said == ["making the environment of slipway/web", "copying code and models of slipway/web"]
    said.clear()
    assert make(project, said=said) == first
    assert said == []
    (project / "code/score.py").write_text("def init(): pass\ndef run(data): return 1\n")
    changed = make(project, said=said)
    assert said == ["copying code and models of slipway/web"]
    assert changed.python == first.python
    assert changed.working_directory != first.working_directory


def test_when_no_environment_fits_then_the_error_names_both_lines_and_passes_uv_on(project: Path) -> None:
    with pytest.raises(LocalError) as caught:
        make(project, "h11>=0.8", "uvicorn==0.13.0")
    first, *explanation = str(caught.value).splitlines()
    assert "needs `uvicorn>=" in first
    assert "the requirements ask for `uvicorn==0.13.0`" in first
    assert "unsatisfiable" in "".join(explanation)
    assert ".new-" not in str(caught.value)
    assert caught.value.hint == "correct environment.requirements, then: slipway up"
    assert [p.name for p in (project / ".slipway/environments").iterdir()] == [".lock"], "nothing half made"


def test_when_the_users_own_lines_clash_then_ours_is_not_blamed(project: Path) -> None:
    with pytest.raises(LocalError) as caught:
        make(project, "h11==0.13.0", "h11==0.14.0")
    assert str(caught.value).startswith("the environment cannot be made\n")
    assert "h11==0.13.0" in str(caught.value)


def test_when_the_user_pins_uvicorn_then_the_pin_wins(project: Path) -> None:
    image = make(project, "uvicorn==0.30.0")
    code = "import importlib.metadata; print(importlib.metadata.version('uvicorn'))"
    shown = subprocess.run([image.python, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "0.30.0"


def test_when_another_python_is_asked_for_then_it_is_refused_at_once(project: Path) -> None:
    with pytest.raises(LocalError, match=r"asks for Python <3\.5, and Slipway runs on Python 3"):
        make(project, python="<3.5")
    assert not (project / ".slipway/environments").exists()


def test_when_an_up_was_killed_midway_then_the_next_one_cleans_up(project: Path) -> None:
    half = project / ".slipway/environments/.new-abc"
    half.mkdir(parents=True)
    (half / "pyvenv.cfg").write_text("")
    make(project)
    assert not half.exists()


def test_when_the_python_of_an_environment_is_gone_then_it_is_made_anew(project: Path) -> None:
    image = make(project)
    python = Path(image.python)
    python.unlink()
    python.symlink_to("/no/such/python")
    said: list[str] = []
    assert make(project, said=said) == image
    assert said == ["making the environment of slipway/web"]
    assert python.resolve() == Path(sys.executable).resolve()


def test_images_that_no_pod_needs_are_removed(project: Path) -> None:
    state = State(project / ".slipway/local")
    first = make(project)
    (project / "model.bin").write_bytes(b"other")
    second = make(project)
    state.write_images({f"slipway/web:{Path(second.working_directory).parent.name}": second})
    prune(state)
    assert not Path(first.working_directory).exists()
    assert Path(second.working_directory).exists()


def test_what_no_stack_runs_and_no_up_asked_for_in_30_days_is_removed(project: Path) -> None:
    shared = project / ".slipway"
    state, other = State(shared / "local"), State(shared / "other")
    used = make(project)
    environments = shared / "environments"
    folders = {
        name: shared / name
        for name in ("environments/old", "environments/other", "environments/new", "runtime/old")
    }
    folders |= {name: state.models / name for name in ("m/1", "m/2")}
    for folder in folders.values():
        (folder / "part").mkdir(parents=True)
    marks = [folders[name].with_suffix(".whole") for name in ("m/1", "m/2")]
    for mark in marks:
        mark.touch()
    other.make()
    other.write_images({"slipway/a:1": replace(used, python=f"{folders['environments/other']}/bin/python")})
    month_ago = time.time() - 31 * 24 * 3600
    aged = [folders["environments/old"], folders["environments/other"], folders["runtime/old"], marks[0]]
    for path in (*aged, *environments.iterdir()):
        if path != folders["environments/new"]:
            os.utime(path, (month_ago, month_ago))
    assert make(project) == used
    prune_unused(state)
    assert {name for name, folder in folders.items() if folder.exists()} == {
        "environments/other",
        "environments/new",
        "m/2",
    }
    assert not marks[0].exists()
    assert Path(used.python).exists()
    assert not list(shared.glob("*/.new-*"))


def test_the_router_is_this_python(project: Path) -> None:
    recipe = Recipe("router")
    image = realise("slipway/router:x", recipe, project, State(project / ".slipway/local"))
    assert (image.python, image.argv[-1]) == (sys.executable, "slipway.router")
    assert str(Path(sys.executable).parent) in image.env["PATH"].split(os.pathsep)
