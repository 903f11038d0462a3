"""Probes as Kubernetes counts them. Pure: `pod.py` makes the attempts and keeps the time.

One thing differs: while a container is not ready its readiness is tried at least four times a second,
because on a laptop somebody waits for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from slipway.kube.folder import Object

EAGER = 0.25  # seconds


@dataclass(frozen=True)
class Probe:
    """One probe; times in seconds. Without a path it only connects."""

    kind: str  # startupProbe | livenessProbe | readinessProbe
    port: str | int
    path: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    initial_delay: float = 0
    period: float = 10
    timeout: float = 1
    success_threshold: int = 1
    failure_threshold: int = 3


@dataclass(frozen=True)
class Health:
    """What a probe's results so far amount to."""

    ok: bool | None = None  # None until a threshold was reached
    last: bool | None = None
    streak: int = 0  # equal results in a row


def probe(container: Object, kind: str) -> Probe | None:
    """Read a container's probe, or None if it has none."""
    spec: Object | None = container.get(kind)
    if spec is None:
        return None
    handler: Object = spec.get("httpGet") or spec.get("tcpSocket") or {}
    return Probe(
        kind=kind,
        port=handler["port"],
        path=handler.get("path", "/") if "httpGet" in spec else None,
        headers=tuple((header["name"], header["value"]) for header in handler.get("httpHeaders") or ()),
        initial_delay=spec.get("initialDelaySeconds") or 0,
        period=spec.get("periodSeconds") or 10,
        timeout=spec.get("timeoutSeconds") or 1,
        success_threshold=spec.get("successThreshold") or 1,
        failure_threshold=spec.get("failureThreshold") or 3,
    )


def step(probe: Probe, health: Health, *, success: bool) -> Health:
    """Count one result. Three failures in a row at threshold 3 turn `ok` to False, one less does not."""
    streak = health.streak + 1 if success == health.last else 1
    counted = replace(health, last=success, streak=streak)
    if success and streak >= probe.success_threshold:
        return replace(counted, ok=True)
    if not success and streak >= probe.failure_threshold:
        return replace(counted, ok=False)
    return counted


def wait(probe: Probe, health: Health) -> float:
    """Seconds from the start of one attempt to the start of the next."""
    eager = probe.kind == "readinessProbe" and health.ok is not True
    return min(probe.period, EAGER) if eager else probe.period


def backoff(restarts: int) -> float:
    """Seconds before restart number `restarts`: at once, then 1, 2, 4, ... at most 300.

    Kubernetes begins with 10 s; here somebody waits. A run of `STEADY` seconds begins anew.
    """
    return 0.0 if restarts <= 1 else float(min(300, 2 ** min(restarts - 2, 20)))


STEADY = 600  # seconds, as in Kubernetes
