"""Which files enter an image, where they lie in it, and what changes its name."""

import os
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from slipway.images.files import project_files
from slipway.images.layout import install, variables
from slipway.images.recipe import Recipe, environment_hash, image_hash, webservice_recipe
from slipway.problems import Problems
from slipway.spec import WebserviceSpec


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write(tmp_path / "src" / "score.py", "def run(data): return data")
    write(
        tmp_path / "src" / "requirements.txt",
        "# pinned\nnumpy==2.0 \\\n    --hash=sha256:1\n\nscipy  # why\n",
    )
    write(tmp_path / "m" / "model.pkl", "weights")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def spec(**fields: Any) -> WebserviceSpec:
    given = {"name": "abc", "entry_script": "score.py", "source_directory": "src", "models": ["m/model.pkl"]}
    return WebserviceSpec.model_validate(given | fields)


def names(folder: Path) -> list[str]:
    return [name.as_posix() for name in project_files(folder)]


def test_amlignore_wins_over_gitignore_and_they_are_not_merged(tmp_path: Path) -> None:
    for name in ("a.py", "b.log", "data/x.csv", "data/keep.csv", ".git/config", "__pycache__/a.pyc"):
        write(tmp_path / name, "")
    write(tmp_path / ".gitignore", "*.log\n")
    assert names(tmp_path) == [".gitignore", "a.py", "data/keep.csv", "data/x.csv"]
    write(tmp_path / ".amlignore", "data/*\n!data/keep.csv\n.*ignore\n")
    assert names(tmp_path) == ["a.py", "b.log", "data/keep.csv"]


def test_a_link_out_of_the_folder_and_a_pipe_are_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path / "outside.txt", "")
    write(tmp_path / "src" / "a.py", "")
    (tmp_path / "src" / "link").symlink_to(tmp_path / "outside.txt")
    (tmp_path / "src" / "inner").symlink_to(tmp_path / "src" / "a.py")
    os.mkfifo(tmp_path / "src" / "pipe")
    with pytest.raises(Problems) as caught:
        project_files(tmp_path / "src")
    first, second = caught.value.lines
    assert "link: is a link that leaves" in first
    assert "pipe: is a pipe, no regular file" in second


@pytest.fixture
def _nobody() -> Generator[None]:
    """Be somebody who may not read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    for name in ("src/locked.py", "src/folder/a.py", "src/a.py"):
        write(tmp_path / name, "")
    (tmp_path / "src" / "gone").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tmp_path / "src" / "socket"))
    os.close(os.open(os.fsencode(tmp_path / "src") + b"/caf\xe9.py", os.O_CREAT, 0o644))
    (tmp_path / "src" / "locked.py").chmod(0)
    (tmp_path / "src" / "folder").chmod(0)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o777 == 0o700:  # pytest's own
            folder.chmod(0o755)
    request.getfixturevalue("_nobody")
    with pytest.raises(Problems) as caught:
        project_files(tmp_path / "src")
    said = [line.removeprefix(f"{tmp_path}/src/") for line in caught.value.lines]
    assert said == [
        "caf\udce9.py: has a name that is not UTF-8 or not printable; rename it",
        "folder: cannot be read: Permission denied; correct it or add it to .amlignore",
        "gone: is a link to nothing (No such file or directory); correct it or add it to .amlignore",
        "locked.py: cannot be read: Permission denied; correct it or add it to .amlignore",
        "socket: is a socket, no regular file; remove it or add it to .amlignore",
    ]


@pytest.mark.parametrize(("files", "size"), [(2001, 0), (1, 300 * 2**20 + 1)])
def test_more_code_than_v1_takes_is_refused_with_its_advice(project: Path, files: int, size: int) -> None:
    (project / "src" / "many").mkdir()
    for index in range(files):
        with (project / "src" / "many" / f"{index}.bin").open("wb") as file:
            file.truncate(size)
    with pytest.raises(
        Problems, match=r"code has at most 2000 of 300 MB; name what is no code in .amlignore"
    ):
        webservice_recipe(spec(), project)
    write(project / "src" / ".amlignore", "many/\n")
    assert webservice_recipe(spec(), project).entry_script == "score.py"


def test_a_link_to_a_folder_is_refused_unless_it_is_ignored(tmp_path: Path) -> None:
    write(tmp_path / "src" / "real" / "a.py", "")
    (tmp_path / "src" / "link").symlink_to("real")
    with pytest.raises(Problems, match="link: is a link to a folder"):
        project_files(tmp_path / "src")
    write(tmp_path / "src" / ".amlignore", "link/\n.amlignore\n")
    assert names(tmp_path / "src") == ["real/a.py"]


@pytest.mark.parametrize("name", ["../outside.py", "ignored.py"])
def test_an_entry_script_that_the_image_would_lack_is_refused(project: Path, name: str) -> None:
    write(project / "src" / name, "")
    write(project / "src" / ".amlignore", "ignored.py\n")
    with pytest.raises(Problems) as caught:
        webservice_recipe(spec(entry_script=name), project)
    (line,) = caught.value.lines
    assert f'.entry_script = "{name}": is not among the files of src' in line


def test_requirements_are_read_line_by_line(project: Path) -> None:
    recipe = webservice_recipe(spec(environment={"requirements": "requirements.txt"}), project)
    assert recipe.requirements == ("numpy==2.0 --hash=sha256:1", "scipy")
    assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_telemetry_joins_the_environment_only_where_it_is_asked_for(project: Path) -> None:
    asked = {"environment": {"requirements": "requirements.txt"}}
    plain = webservice_recipe(spec(**asked), project)
    exporting = webservice_recipe(spec(**asked, enable_app_insights=True), project)
    assert plain.requirements == exporting.requirements[: len(plain.requirements)]
    added = [line.partition(">=")[0] for line in exporting.requirements[len(plain.requirements) :]]
    assert added == [
        "opentelemetry-sdk",
        "opentelemetry-exporter-otlp-proto-http",
        "azure-monitor-opentelemetry-exporter",
    ]
    assert environment_hash(plain) != environment_hash(exporting)


def test_requirements_that_point_elsewhere_are_refused(project: Path) -> None:
    write(project / "src" / "requirements.txt", "-r other.txt\nnumpy\n-e .\n")
    with pytest.raises(Problems) as caught:
        webservice_recipe(spec(environment={"requirements": "requirements.txt"}), project)
    assert len(caught.value.lines) == 2


def test_every_missing_file_is_named_at_once(project: Path) -> None:
    wrong = spec(entry_script="scroe.py", models=["m/nodel.pkl"], environment={"requirements": "r.txt"})
    with pytest.raises(Problems) as caught:
        webservice_recipe(wrong, project)
    assert 'entry_script = "scroe.py": is no file in src' in caught.value.lines[0]
    assert [line.split(" = ")[0].split("].", 1)[1] for line in caught.value.lines] == [
        "entry_script",
        "environment.requirements",
        "models[0]",
    ]


def test_the_hash_changes_with_content_alone(project: Path) -> None:
    recipe = webservice_recipe(spec(), project)
    first = image_hash(recipe, project)
    os.utime(project / "src" / "score.py", (1, 1))
    (project / "src" / "score.py").chmod(0o600)
    write(project / "src" / "__pycache__" / "score.pyc", "cache")
    assert image_hash(recipe, project) == first
    seen = {first}
    for path, text in (
        ("src/score.py", "def run(data): return 1"),
        ("src/new.py", ""),
        ("m/model.pkl", "other weights"),
    ):
        write(project / path, text)
        seen.add(image_hash(recipe, project))
    assert len(seen) == 4


def test_code_and_models_leave_the_environments_hash_alone() -> None:
    one = Recipe(runtime="scoring", requirements=("numpy==2.0",), source_directory="a", models=("m",))
    two = Recipe(runtime="scoring", requirements=("numpy==2.0",), source_directory="b")
    three = Recipe(runtime="scoring", requirements=("numpy==2.1",), source_directory="a")
    assert environment_hash(one) == environment_hash(two) != environment_hash(three)


def test_models_too_large_for_an_image_are_refused_with_the_command_that_registers_them(
    project: Path,
) -> None:
    write(project / "m" / "small", "x")
    write(project / "m" / "model.pkl", "weights" * 100_000)
    fits = spec(models=["m/small", "m/model.pkl"], model_layer_gb_limit=0.001)
    assert webservice_recipe(fits, project).models == ("m/small", "m/model.pkl")
    write(project / "m" / "model.pkl", "weights" * 200_000)
    with pytest.raises(Problems) as caught:
        webservice_recipe(fits, project)
    (line,) = caught.value.lines
    assert 'models[1] = "m/model.pkl": an image holds 0.001 GB of models, and these have 0.0013' in line
    assert (
        "run `slipway models register model.pkl m/model.pkl` and write azureml:model.pkl:VERSION here" in line
    )


def test_registered_models_are_no_part_of_an_image(project: Path) -> None:
    registered = webservice_recipe(spec(models=["azureml:a:1"]), project)
    assert registered == webservice_recipe(spec(models=[]), project)


def test_one_model_and_several_lie_as_v1_lays_them(project: Path) -> None:
    write(project / "m" / "tree" / "deep" / "part.bin", "x")
    one, several = spec(), spec(models=["m/model.pkl", "m/tree"])
    for given, at in ((one, "azureml-models/model.pkl/1"), (several, "azureml-models")):
        root = project / f"root{len(given.models)}"
        recipe = webservice_recipe(given, project)
        install(recipe, project, root)
        told = variables(recipe, str(root))
        assert told["AML_APP_ROOT"] == f"{root}/azureml-app"
        assert told["AZUREML_MODEL_DIR"] == f"{root}/azureml-app/{at}"
        assert (Path(told["AML_APP_ROOT"]) / told["AZUREML_ENTRY_SCRIPT"]).is_file()
    assert (project / "root1/azureml-app/azureml-models/model.pkl/1/model.pkl").read_text() == "weights"
    assert (project / "root2/azureml-app/azureml-models/tree/1/tree/deep/part.bin").read_text() == "x"
