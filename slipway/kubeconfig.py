"""A cluster's kubeconfig, so that it logs in with Entra through `slipway kube-token`."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import yaml

INSTALL = "slipway is not on PATH; activate the project's virtual environment: source .venv/bin/activate"


def exec_kubeconfig(text: str, cloud: str, command: str = "slipway") -> str:
    """Give a kubeconfig whose Entra users get their tokens of `slipway kube-token`; it holds no secret then.

    `command` is how that program is called.

    AKS gives those users `kubelogin` (or, before Kubernetes 1.24, an auth provider that is gone), with the
    tenant among its arguments. A user with a certificate or token of its own, as a cluster without Entra
    has, is kept.
    """
    config = cast("dict[str, Any]", yaml.safe_load(text))
    for entry in config["users"]:
        tenant = _tenant(entry["user"])
        if tenant is not None:
            arguments = ["kube-token", "--cloud", cloud, *(["--tenant", tenant] if tenant else [])]
            entry["user"] = {
                "exec": {
                    "apiVersion": "client.authentication.k8s.io/v1",
                    "command": command,
                    "args": arguments,
                    "interactiveMode": "Never",
                    "provideClusterInfo": False,
                    "installHint": INSTALL,
                }
            }
    return yaml.safe_dump(config, sort_keys=False)


def _tenant(user: dict[str, Any]) -> str | None:
    """Give the tenant in which a user logs in, empty if it is not told; None for who does not use Entra."""
    if "exec" in user:
        arguments = cast("list[str]", user["exec"].get("args") or [])
        return next((value for flag, value in pairwise(arguments) if flag in {"--tenant-id", "-t"}), "")
    if "auth-provider" in user:
        return str(user["auth-provider"].get("config", {}).get("tenant-id", ""))
    return None
