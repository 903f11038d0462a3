"""A base image with Python, made from what Debian's packages have installed on this machine."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from slipway.images.built import Built
from slipway.images.cache import Cache
from slipway.images.layers import Entry, Layer, write
from slipway.images.oci import CONFIG, Descriptor, Manifest
from slipway.images.registry import Registry
from slipway.images.transfer import Place, push
from tests.cluster.registries import registry

PYTHON = "/usr/bin/python3"
_MERGED = ("bin", "sbin", "lib", "lib64")
"""Links into /usr, where Debian's packages still name files."""
_NOT_NEEDED = re.compile(r"/usr/share/|/usr/include/|/__pycache__/|/etc/(?!ld\.so|passwd|group)|/test/")


def version() -> str:
    """Give the version of Debian's Python, such as `3.11`."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run(
        [PYTHON, "-I", "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def base(cache: Cache) -> Built:
    """Make the image, in the cache: Python with all that it depends on."""
    layer = layer_of(_entries(_closure(["python3", "libstdc++6", "coreutils", "dash"])), cache)
    variables = ["PATH=/usr/local/bin:/usr/bin:/bin", f"PYTHON_VERSION={version()}"]
    empty = json.dumps({"architecture": "amd64", "os": "linux"}).encode()
    built = Built(Manifest(Descriptor.of(empty, CONFIG), ()), empty)
    built = built.append([("Debian's Python", layer)], {"Env": variables, "Cmd": ["python3"]})
    cache.put(built.config, CONFIG)
    return built


@contextmanager
def served(folder: Path, programs: Mapping[str, str] | None = None) -> Generator[str]:
    """Serve the image from a registry that stands for Microsoft's; give its reference.

    `programs` are scripts to have in /usr/local/bin.
    """
    cache = Cache(folder / "cache")
    made = base(cache)
    for name, script in (programs or {}).items():
        (folder / name).write_text(script)
        entry = Entry(folder / name, executable=True)
        made = made.append([(name, layer_of([(f"usr/local/bin/{name}", entry)], cache))], {})
    cache.put(made.config, CONFIG)
    with registry(folder / "registry") as running:
        yield _pushed(running.host, made, cache)


def push_base(host: str, cache: Cache) -> str:
    """Make the image and push it to a registry; give its reference."""
    return _pushed(host, base(cache), cache)


def layer_of(entries: Iterable[tuple[str, Entry]], cache: Cache) -> Layer:
    """Make a layer, in the cache."""
    with cache.aside() as file:
        layer = write(entries, file, compress=False)
        file.flush()
        cache.adopt(Path(file.name), layer.descriptor.digest)
    return layer


def _pushed(host: str, made: Built, cache: Cache) -> str:
    with Registry(host, ()) as client:
        push(Place(client, "base/python"), made.manifest, cache.path, tags=("3",))
    return f"{host}/base/python:3"


def _closure(packages: Iterable[str]) -> list[str]:
    """Give installed packages and what they need."""
    found: dict[str, None] = {}
    waiting = list(packages)
    while waiting:
        name = waiting.pop()
        shown = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Status}\t${Depends}, ${Pre-Depends}", name],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        status, _, needs = shown.partition("\t")
        if name in found or not status.startswith("install ok"):
            continue  # one of several ways, or of no meaning here
        found[name] = None
        waiting += re.findall(r"(?:^|[,|]\s*)([a-z0-9][a-z0-9+.-]+)", needs)
    return list(found)


def _entries(packages: Iterable[str]) -> Iterator[tuple[str, Entry]]:
    for link in _MERGED:
        if Path("/", link).is_symlink():
            yield link, Entry(link=str(Path("/", link).readlink()))
    shown = subprocess.run(["dpkg-query", "-L", *packages], capture_output=True, text=True, check=True).stdout
    for line in sorted(set(shown.splitlines())):
        path = Path(line)
        if not line.startswith("/") or _NOT_NEEDED.search(line) or not (path.is_symlink() or path.is_file()):
            continue
        name = (path.parent.resolve() / path.name).as_posix().lstrip("/")
        if path.is_symlink():
            yield name, Entry(link=str(path.readlink()))
        else:
            yield name, Entry(path, executable=bool(path.stat().st_mode & 0o100))
