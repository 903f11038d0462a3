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
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]
# The provider writes files instead of calling a cluster if it is configured so; the program is not touched.
INTO_FILES = """
import runpy

import pulumi


def into_files(args):
    if args.type_ == "pulumi:providers:kubernetes":
        kept = {name: value for name, value in args.props.items() if name.startswith("enable")}
        return pulumi.ResourceTransformResult({"renderYamlToDirectory": "rendered"} | kept, args.opts)


pulumi.runtime.register_resource_transform(into_files)
runpy.run_path("__main__.py", run_name="__main__")
"""


def available() -> bool:
    """Tell whether the CLI and the provider plugins are on PATH."""
    return all(map(shutil.which, ("pulumi", "pulumi-resource-random", "pulumi-resource-kubernetes")))


class CommandError(Exception):
    """What the CLI said when it failed."""


@dataclass(frozen=True)
class Step:
    """What an operation did with one resource: `create`, `update`, `replace`, `delete`, ..."""

    op: str
    urn: str
    changed: frozenset[str]
    """the paths of changed inputs"""

    @property
    def name(self) -> str:
        return self.urn.rpartition("::")[2]

    @property
    def type(self) -> str:
        return self.urn.split("::")[2].rpartition("$")[2]


class Real:
    """One project on the real engine; its copy and state lie in `folder`, a new one.

    `environment` is added to the one that the CLI sees.
    """

    def __init__(self, project: Path, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.project = folder / project.name
        ignored = shutil.ignore_patterns(".git", ".venv", ".slipway", "__pycache__", "preview.json")
        shutil.copytree(project, self.project, ignore=ignored)
        (folder / "state").mkdir(parents=True)
        # Nobody's own settings, and no cluster that is not the stack's.
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PULUMI_") and k != "KUBECONFIG"}
        self._env = kept | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "only for this test",
            "PULUMI_DEBUG_COMMANDS": "true",  # for --event-log
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_DISABLE_REGISTRY_RESOLVE": "true",
            "PULUMI_HOME": str(folder / "home"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            **(environment or {}),
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
            self.run("config", "set", "--secret", "--stack", stack, key, stdin=value)

    def into_files(self, *, on: bool = True) -> Path:
        """Let Kubernetes objects be written as YAML files from now on, or no more; give their folder."""
        (self.project / "into_files.py").write_text(INTO_FILES)
        settings: Json = yaml.safe_load((self.project / "Pulumi.yaml").read_text())
        main = {"main": "into_files.py" if on else "."}
        (self.project / "Pulumi.yaml").write_text(yaml.safe_dump(settings | main))
        return self.project / "rendered"

    @contextmanager
    def config(self, stack: str) -> Generator[Json]:
        """Give the config of a stack's file, to change it; without a file an empty one."""
        path = self._stacks / f"Pulumi.{stack}.yaml"
        content: Json = yaml.safe_load(path.read_text()) if path.exists() else {"config": {}}
        yield content["config"]
        path.write_text(yaml.safe_dump(content))

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

    def up(self, stack: str) -> str:
        """Deploy, and give what the CLI said."""
        return self.run("up", "--yes", "--skip-preview", "--stack", stack)

    def steps(self, *arguments: str) -> list[Step]:
        """Run an operation; give what it did, in the order in which it was done, without what stays the same.

        Raises `CommandError`.
        """
        log = self.project / "events.json"
        self.run(*arguments, "--event-log", str(log))
        done = [json.loads(line).get("resOutputsEvent") for line in log.read_text().splitlines()]
        found = [event["metadata"] for event in done if event]
        return [
            Step(step["op"], step["urn"], frozenset(step.get("detailedDiff") or ()))
            for step in found
            if step["op"] != "same"
        ]

    def run(self, *arguments: str, stdin: str = "") -> str:
        """Run a command of the CLI and give its output. Raises `CommandError`."""
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.project,
            env=self._env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode:
            raise CommandError(f"pulumi {' '.join(arguments)}:\n{done.stdout[-8000:]}\n{done.stderr[-8000:]}")
        return done.stdout
