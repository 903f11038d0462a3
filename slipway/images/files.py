"""Which files of a folder belong to a web service's image.

v1's rule: `.amlignore` in the folder, else `.gitignore` there, in git's own patterns; the two are never
merged. Version control, caches and local state never belong to it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from pathspec import GitIgnoreSpec

from slipway.problems import Problems

ALWAYS_IGNORED = (".git/", ".slipway/", "__pycache__/")
MIB = 2**20
MAX_FILES, MAX_BYTES = 2_000, 300 * MIB
"""v1's limits of a folder of code."""
_REMEDY = "correct it or add it to .amlignore"
_SPECIAL = {
    stat.S_IFIFO: "a pipe, no regular file",
    stat.S_IFSOCK: "a socket, no regular file",
    stat.S_IFCHR: "a device, no regular file",
    stat.S_IFBLK: "a device, no regular file",
}


def project_files(folder: Path) -> list[PurePosixPath]:
    """List the files of a folder of code that are not ignored, relative to it and sorted.

    Raises `Problems` with a line for each link that leaves the folder, leads to a folder or nowhere, each
    file that is no regular one, and each file or folder that cannot be read.
    """
    return _files(folder, [*_patterns(folder), *ALWAYS_IGNORED])


def model_files(path: Path) -> list[PurePosixPath]:
    """List the files of a model's folder, or `.` alone for a model that is one file."""
    return _files(path, []) if path.is_dir() else [PurePosixPath()]


def too_much(folder: Path, files: Iterable[PurePosixPath]) -> str:
    """Say how much more a folder of code holds than v1 takes; nothing if it does not."""
    number, size = 0, 0
    for name in files:
        number += 1
        size += (folder / name).stat().st_size
    if number <= MAX_FILES and size <= MAX_BYTES:
        return ""
    allowed = f"{MAX_FILES} of {MAX_BYTES // MIB} MB"
    return f"holds {number} files of {size / MIB:.0f} MB, and code has at most {allowed}"


def _files(folder: Path, patterns: list[str]) -> list[PurePosixPath]:
    ignored = GitIgnoreSpec.from_lines(patterns)
    files: list[PurePosixPath] = []
    lines: list[str] = []
    root = folder.resolve()

    def unreadable(error: OSError) -> None:
        lines.append(f"{error.filename}: cannot be read: {error.strerror}; {_REMEDY}")

    for place, folders, names in os.walk(folder, onerror=unreadable):
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
            wrong = _wrong(folder / relative, root)
            lines += [f"{folder / relative}: {wrong}"] if wrong else []
            files += [] if wrong else [PurePosixPath(relative.as_posix())]
    if lines:
        raise Problems(sorted(lines))
    return sorted(files)


def _wrong(path: Path, root: Path) -> str:
    """Say why a file cannot be part of an image; nothing if it can."""
    if path.is_symlink() and not path.resolve().is_relative_to(root):
        return f"is a link that leaves {root}; copy the file or add it to .amlignore"
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except OSError as error:
        return f"is a link to nothing ({error.strerror}); {_REMEDY}"
    if kind != stat.S_IFREG:
        return f"is {_SPECIAL.get(kind, 'no regular file')}; remove it or add it to .amlignore"
    try:
        path.open("rb").close()
    except OSError as error:
        return f"cannot be read: {error.strerror}; {_REMEDY}"
    return "" if path.name.isprintable() else "has a name that is not UTF-8 or not printable; rename it"


def _patterns(folder: Path) -> list[str]:
    for name in (".amlignore", ".gitignore"):
        if (folder / name).is_file():
            try:
                return (folder / name).read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise Problems([f"{folder / name}: cannot be read: {error}; write it in UTF-8"]) from None
    return []
