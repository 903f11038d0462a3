"""Pulumi's own CLI, where it is on PATH: alone with a state of its own, without network or account.

Each `Real` copies a project into a temporary folder, so that nothing is written into the repository.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]


def available() -> bool:
    """Tell whether the CLI and the provider plugins are on PATH."""
    return all(map(shutil.which, ("pulumi", "pulumi-resource-random", "pulumi-resource-kubernetes")))


class CommandError(Exception):
    """What the CLI said when it failed."""


class Real:
    """One project on the real engine; its copy and state lie in `folder`."""

    def __init__(self, project: Path, folder: Path) -> None:
        self.project = folder / project.name
        ignored = shutil.ignore_patterns(".git", ".venv", ".slipway", "__pycache__", "preview.json")
        shutil.copytree(project, self.project, ignore=ignored)
        (folder / "state").mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")}
        self._env = kept | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "only for this test",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_DISABLE_REGISTRY_RESOLVE": "true",
            "PULUMI_HOME": str(folder / "home"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }
        settings: Json = yaml.safe_load((self.project / "Pulumi.yaml").read_text())
        settings["runtime"] = "python"  # the interpreter is this one: the copy has none of its own
        (self.project / "Pulumi.yaml").write_text(yaml.safe_dump(settings))
        self._stacks = self.project / settings.get("stackConfigDir", ".")

    def create(self, stack: str, secrets: Mapping[str, str] | None = None) -> None:
        """Make a stack from its file; `secrets` are the values of what the file holds encrypted."""
        path = self._stacks / f"Pulumi.{stack}.yaml"
        text = path.read_text()
        for key in secrets or {}:
            text = re.sub(rf"^  {re.escape(key)}:\n(?:    .*\n)+", "", text, flags=re.MULTILINE)
        path.write_text(text)
        self.run("stack", "init", stack)
        for key, value in (secrets or {}).items():
            self.run("config", "set", "--secret", "--stack", stack, key, value)

    def set(self, stack: str, key: str, value: str) -> None:
        """Change a value of the stack's config."""
        self.run("config", "set", "--stack", stack, key, value)

    def preview(self, stack: str) -> tuple[Json, Json]:
        """Preview, and give the states that it plans and the plan that it saves."""
        states = json.loads(
            self.run(
                "preview",
                "--json",
                "--show-sames",
                "--show-reads",
                "--save-plan",
                "plan.json",
                "--stack",
                stack,
            )
        )
        return states, json.loads((self.project / "plan.json").read_text())

    def up(self, stack: str) -> None:
        """Deploy."""
        self.run("up", "--yes", "--skip-preview", "--stack", stack)

    def run(self, *arguments: str) -> str:
        """Run a command of the CLI and give its output. Raises `CommandError`."""
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.project,
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode:
            raise CommandError(f"pulumi {' '.join(arguments)}:\n{done.stdout[-8000:]}\n{done.stderr[-8000:]}")
        return done.stdout
