"""Which files of a folder belong to a web service's image.

v1's rule: `.amlignore` in the folder, else `.gitignore` there, in git's own patterns; the two are never
merged. Version control, caches and local state never belong to it.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from pathspec import GitIgnoreSpec

from slipway.problems import Problems

ALWAYS_IGNORED = (".git/", ".slipway/", "__pycache__/")


def project_files(folder: Path) -> list[PurePosixPath]:
    """List the files of a folder of code that are not ignored, relative to it and sorted.

    Raises `Problems` for each symbolic link that leaves the folder, each one to a folder, and each file that
    is no regular one.
    """
    return _files(folder, [*_patterns(folder), *ALWAYS_IGNORED])


def model_files(path: Path) -> list[PurePosixPath]:
    """List the files of a model's folder, or `.` alone for a model that is one file."""
    return _files(path, []) if path.is_dir() else [PurePosixPath()]


def _files(folder: Path, patterns: list[str]) -> list[PurePosixPath]:
    ignored = GitIgnoreSpec.from_lines(patterns)
    files: list[PurePosixPath] = []
    lines: list[str] = []
    root = folder.resolve()
    for place, folders, names in os.walk(folder):
        here = Path(place).relative_to(folder)
        folders[:] = [name for name in folders if not ignored.match_file(f"{(here / name).as_posix()}/")]
        lines += [
            f"{Path(place, name)}: is a link to a folder; copy the folder or add it to .amlignore"
            for name in folders
            if Path(place, name).is_symlink()
        ]
        for name in names:
            relative = here / name
            if ignored.match_file(relative.as_posix()):
                continue
            path = folder / relative
            if not path.resolve().is_relative_to(root):
                lines.append(f"{path}: is a link that leaves {folder}; copy the file or add it to .amlignore")
            elif not path.is_file():
                lines.append(f"{path}: is no regular file; remove it or add it to .amlignore")
            else:
                files.append(PurePosixPath(relative.as_posix()))
    if lines:
        raise Problems(sorted(lines))
    return sorted(files)


def _patterns(folder: Path) -> list[str]:
    for name in (".amlignore", ".gitignore"):
        if (folder / name).is_file():
            return (folder / name).read_text(encoding="utf-8").splitlines()
    return []
