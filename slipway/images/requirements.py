"""Lines of requirements files: which ones an image can be made from, and what they say of local files.

A line stands in the graph and in the image's hash, so it holds no password, and what it names must be the
same on every machine. Resolving is uv's (`packages`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

import slipway
from slipway.problems import Problems, problem

PACKAGE = Path(slipway.__file__).parent
OWN = {runtime: PACKAGE / runtime / "requirements.txt" for runtime in ("scoring", "router")}
"""What Slipway's own code in an image needs: by hash for the router, resolved with the user's for scoring."""
_ELSEWHERE = ("-r", "-c", "-e", "--requirement", "--constraint", "--editable")
_LOCAL_INDEX = re.compile(
    r"(?:-f|--find-links|-i|--index-url|--extra-index-url)[=\s]*+(?!(?!file:)[a-z][a-z0-9+.-]*://|\$\{)",
    re.IGNORECASE,
)
_USER = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^\s/?#]*)@")
_VARIABLE = re.compile(r"\$\{[A-Z0-9_]+\}")
_ARCHIVE = (".whl", ".tar.gz", ".zip")


def read(path: Path, at: str) -> tuple[str, ...]:
    """Give the lines of a requirements file without comments, continued ones as one.

    `at` names the web service for people. Raises `Problems` with a line for each one that cannot be used.
    """
    found = _lines(path.read_text(encoding="utf-8"))
    field = f"{at}.environment.requirements"
    wrong = [line for one in found for line in _mistakes(one, path.parent, field)]
    if wrong:
        raise Problems(wrong)
    return found


def own(runtime: Literal["scoring", "router"]) -> tuple[str, ...]:
    """Give the lines that a runtime of Slipway needs itself."""
    return _lines(OWN[runtime].read_text(encoding="utf-8"))


def telemetry() -> tuple[str, ...]:
    """Give the lines that `enable_app_insights` adds to the user's own."""
    return _lines(OWN["scoring"].with_name("telemetry.txt").read_text(encoding="utf-8"))


def local_path(line: str) -> PurePosixPath | None:
    """Give the file or folder of the project that a line names, from its source directory; else None."""
    named = re.split(r"\s+(?:--|;)", line.rpartition(" @ ")[2], maxsplit=1)[0].strip()
    named = named.removeprefix("file:")
    local = named.startswith((".", "/")) or (named.endswith(_ARCHIVE) and "://" not in named)
    return PurePosixPath(re.sub(r"\[[\w, -]*\]$", "", named)) if local else None


def conflict(own: Collection[str], theirs: Collection[str], said: str) -> str:
    """Say which lines clash, if what uv says is about ours at all."""
    mine = [line for line in own if _mentioned(line, said)]
    others = [line for line in theirs if _mentioned(line, said)]
    if not mine or not others:
        return "the environment cannot be made"
    ours, yours = (" and ".join(f"`{line}`" for line in lines) for lines in (mine, others))
    return (
        f"the scoring server needs {ours}, the requirements ask for {yours}, and no set of packages has both"
    )


def _lines(text: str) -> tuple[str, ...]:
    lines = [line.split(" #")[0].strip() for line in text.replace("\\\n", " ").splitlines()]
    return tuple(" ".join(line.split()) for line in lines if line and not line.startswith("#"))


def _mistakes(line: str, folder: Path, field: str) -> Iterator[str]:
    if wrong := list(passwords(line, field)):
        yield from wrong
        return
    if line.startswith(_ELSEWHERE):
        rule = "points to another file, which the image's hash would not cover"
        yield problem(field, line, rule, "write the packages themselves")
        return
    if _LOCAL_INDEX.match(line):
        rule = "is a folder, which the image's hash would not cover"
        yield problem(field, line, rule, "name the wheels themselves: ./wheels/NAME.whl")
        return
    path = local_path(line)
    if path is not None and (
        path.is_absolute() or not (folder / path).resolve().is_relative_to(folder.resolve())
    ):
        rule = "is outside the folder of the requirements file, so other machines do not have it"
        yield problem(field, line, rule, "copy it into that folder and write ./NAME")
    elif path is not None and not (folder / path).exists():
        yield problem(field, line, "does not exist", "correct the path")


def passwords(text: str, field: str) -> Iterator[str]:
    """Give a line for each line of a text whose addresses hold passwords, without repeating them."""
    for line in text.splitlines():
        hidden = line.strip()
        for user in map(str, _USER.findall(line)):
            if user != "git" and not _VARIABLE.fullmatch(user.partition(":")[2] or user):
                hidden = hidden.replace(user, "[secret]")
        if hidden != line.strip():
            rule = "holds a password, which everyone who sees the plan would read"
            remedy = (
                "write ${NAME} in its place and set that variable where you deploy, "
                "or UV_INDEX_NAME_USERNAME and UV_INDEX_NAME_PASSWORD"
            )
            yield problem(field, hidden, rule, remedy)


def _mentioned(line: str, said: str) -> bool:
    name = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line)
    pattern = re.sub(r"[-_.]+", "[-_.]+", name[0]) if name else None
    return (
        pattern is not None and re.search(rf"(?<![\w-]){pattern}(?![\w-])", said, re.IGNORECASE) is not None
    )
