"""What builds images from Dockerfiles: buildah and podman as they are, docker with buildx and BuildKit.

BuildKit is a process of the test's own, so that docker needs no daemon here.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.prepare import BUILDKIT
from tests.cluster.processes import logged_line

BIN = BUILDKIT / "bin"
SERVES = re.compile(r"running server on ([^\s\"]+)")


@contextmanager
def builder(name: str, folder: Path, insecure: str) -> Generator[dict[str, str]]:
    """Give the environment in which a builder alone is on PATH and reads a registry without https."""
    path = {"PATH": str(only(name, folder / "bin"))}
    if name == "docker":
        with buildkit(folder, insecure) as config:
            yield path | config
        return
    registries, storage = folder / "registries.conf", folder / "storage.conf"
    registries.write_text(f'[[registry]]\nlocation = "{insecure}"\ninsecure = true\n')
    # vfs and chroot are all that a container lets root do.
    storage.write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/root"\nrunroot = "{folder}/run"\n')
    files = {"CONTAINERS_REGISTRIES_CONF": str(registries), "CONTAINERS_STORAGE_CONF": str(storage)}
    yield path | files | {"BUILDAH_ISOLATION": "chroot"}


def only(name: str, folder: Path) -> Path:
    """Make a folder that has one program."""
    program = shutil.which(name)
    assert program is not None
    folder.mkdir(parents=True)
    (folder / name).symlink_to(program)
    return folder


def with_buildx(config: Path) -> None:
    """Let docker have buildx by its configuration folder."""
    plugins = config / "cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-buildx").symlink_to(BIN / "buildx")


@contextmanager
def buildkit(folder: Path, insecure: str) -> Generator[dict[str, str]]:
    """Run BuildKit; give what lets docker use it."""
    socket = folder / "sock"
    with_buildx(folder / "docker")
    (folder / "buildkitd.toml").write_text(
        f'root = "{folder}/root"\n[grpc]\naddress = ["unix://{socket}"]\n'
        '[worker.oci]\nsnapshotter = "native"\n[worker.containerd]\nenabled = false\n'
        f'[registry."{insecure}"]\nhttp = true\n'
    )
    log = folder / "log"
    with log.open("wb") as output:
        command = [BIN / "buildkitd", "--config", folder / "buildkitd.toml"]
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        logged_line(process, log, SERVES)
        config = {"DOCKER_CONFIG": str(folder / "docker"), "BUILDX_CONFIG": str(folder / "buildx")}
        create = [BIN / "buildx", "create", "--use", "--driver", "remote", f"unix://{socket}"]
        subprocess.run(create, env=config, capture_output=True, check=True)
        yield config
    finally:
        process.terminate()
        process.wait(30)
