"""Waiting for rollouts: what is new is said, and the first failure ends it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime

from slipway.kube.read import is_ready, is_router
from slipway.kube.rollout import Done, Failed, Rollout, Waiting, verdict
from slipway.local.state import LocalError
from slipway.running.backend import Backend, Look, deployment, versions


async def follow(
    backend: Backend, names: Sequence[str], say: Callable[[str], None], seconds: float | None = None
) -> list[Rollout]:
    """Wait until the rollouts of `names` are done, of all if there are none, and return them.

    Raises LocalError with the one reason when it fails, or with what is missing after `seconds`.
    """
    said: dict[str, Sequence[str]] = {}
    try:
        async with asyncio.timeout(seconds):
            return await _until_done(backend, names, say, said)
    except TimeoutError:
        missing = [line for lines in said.values() for line in lines]
        message = "\n".join([f"not done after {seconds:g} s", *missing])
        raise LocalError(message, "slipway status, or wait longer: --timeout") from None


async def _until_done(
    backend: Backend, names: Sequence[str], say: Callable[[str], None], said: dict[str, Sequence[str]]
) -> list[Rollout]:
    began, unknown = datetime.now(UTC), ""
    async with aclosing(backend.looks()) as looks:
        async for look in looks:
            if look.unknown != unknown and (unknown := look.unknown):
                say(unknown)
            rollouts, routers = _chosen(look, names), _coming(look)
            if routers:  # it can reach no replica yet, for a reason of its own
                began = datetime.now(UTC)
            waits = False
            for rollout in [*rollouts, *(one for one in routers if one not in rollouts)]:
                match verdict(dataclasses.replace(rollout, began=began), datetime.now(UTC)):
                    case Failed(reason, hint):
                        raise LocalError(reason, hint)
                    case Waiting(lines):
                        waits = True
                        for line in lines:
                            if line not in said.get(rollout.name, ()):
                                say(line)
                        said[rollout.name] = lines
                    case Done(number):
                        if said.pop(rollout.name, None):
                            say(f"{rollout.name}: {number} of {number} ready")
            if not waits:
                return rollouts
    raise AssertionError("looks do not end")


def _coming(look: Look) -> list[Rollout]:
    """Find the router's rollout while none of its pods is ready."""
    return [one for one in look.rollouts if is_router(one.deployment) and not any(map(is_ready, one.pods))]


def _chosen(look: Look, names: Sequence[str]) -> list[Rollout]:
    """Find the rollouts by name. Raises LocalError."""
    deployments = [rollout.deployment for rollout in look.rollouts]
    if not names:
        if not deployments:
            raise LocalError("there is no web service yet", "slipway up, or `pulumi up`")
        return list(look.rollouts)
    wanted = [
        one
        for name in names
        for one in versions(deployments, name).values() or (deployment(deployments, name),)
    ]
    return [rollout for rollout in look.rollouts if rollout.deployment in wanted]
