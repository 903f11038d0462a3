"""What the server reads from its environment: Azure ML's variables, and the few that Slipway adds.

Everything is read here, once, into one frozen value; a mistake names the variable, its value and the rule,
and all mistakes are told at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import List, Mapping, Optional, Tuple

from slipway.collect import config as collect

BODY_LIMIT = 104_857_600
"""Bytes of payload that Azure ML's front end let through."""

AZURE_DESTINATION = "APPLICATIONINSIGHTS_CONNECTION_STRING"
DESTINATIONS = (
    AZURE_DESTINATION,
    *(f"OTEL_EXPORTER_OTLP_{signal}ENDPOINT" for signal in ("", "TRACES_", "METRICS_", "LOGS_")),
)
"""Variables any of which says where traces, metrics and logs go."""

LOG_LEVELS = ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG")


class ConfigError(Exception):
    """The environment cannot be used; the message has one line for each mistake."""


@dataclass(frozen=True)
class Config:
    """How to serve one entry script."""

    host: str
    port: int
    """0 lets the system choose; the log tells which."""
    app_root: Path
    entry_script: str
    """Relative to `app_root`, with `/` on every system."""
    source_directory: Optional[str]
    max_concurrent_requests: int
    """N: how many requests may be inside `run()` at once."""
    scoring_timeout_ms: int
    worker_count: int
    """Processes that `run()` is called in; 1 is the server's own."""
    worker_preload: bool
    """Whether `init()` is called once, before processes are forked, and not in each of them."""
    max_batch_size: int
    """How many requests one call of `run()` may get; above 1, it is given lists."""
    batch_wait_ms: int
    service_name: str
    service_version: str
    service_path_prefix: str
    server_version: str
    """What `x-ms-server-version` says; empty for no such header."""
    log_level: str
    collect: Optional[collect.Config]
    """What is collected and where to; `None` for nothing."""
    cors_origins: Tuple[str, ...]
    app_insights: bool
    """Whether traces, metrics and logs are exported."""

    @property
    def script(self) -> Path:
        return self.app_root / self.entry_script


def from_environment(environment: Mapping[str, str]) -> Config:
    """Raise `ConfigError` with every mistake in `environment`."""
    mistakes: List[str] = []

    def number(name: str, default: int, low: int, high: int) -> int:
        text = environment.get(name) or str(default)
        if text.isascii() and text.isdigit() and low <= int(text) <= high:
            return int(text)
        mistakes.append(f"{name} = {text!r}, must be a whole number in [{low}, {high}]")
        return default

    entry_script = environment.get("AZUREML_ENTRY_SCRIPT", "")
    if not entry_script:
        mistakes.append(
            "AZUREML_ENTRY_SCRIPT is not set; it names the entry script, relative to AML_APP_ROOT"
        )
    log_level = (environment.get("AZUREML_LOG_LEVEL") or "INFO").upper()
    if log_level not in LOG_LEVELS:
        mistakes.append(f"AZUREML_LOG_LEVEL = {log_level!r}, must be one of {', '.join(LOG_LEVELS)}")
    preload = (environment.get("WORKER_PRELOAD") or "false").lower()
    if preload not in ("true", "false"):
        mistakes.append(f"WORKER_PRELOAD = {preload!r}, must be true or false")
    port = number("PORT", 5001, 0, 65_535)
    requests = number("REPLICA_MAX_CONCURRENT_REQUESTS", 1, 1, 1_000)
    workers = number("WORKER_COUNT", 1, 1, 1_000)
    batch_size = number("MAX_BATCH_SIZE", 1, 1, 1_000)
    if workers * batch_size > requests:
        mistakes.append(
            f"WORKER_COUNT = {workers} with MAX_BATCH_SIZE = {batch_size} needs "
            f"REPLICA_MAX_CONCURRENT_REQUESTS >= {workers * batch_size}, not {requests}: "
            "a worker without requests would only hold memory; raise the limit or lower one of the two"
        )
    cors_origins = tuple(
        origin.strip() for origin in environment.get("AML_CORS_ORIGINS", "").split(",") if origin.strip()
    )
    for origin in cors_origins:
        try:
            re.compile("" if origin == "*" else origin)
        except re.error as problem:
            mistakes.append(f"AML_CORS_ORIGINS: {origin!r} is no regular expression: {problem}")
    app_insights = (environment.get("AML_APP_INSIGHTS_ENABLED") or "false").lower()
    if app_insights not in ("true", "false"):
        mistakes.append(f"AML_APP_INSIGHTS_ENABLED = {app_insights!r}, must be true or false")
    if app_insights == "true" and not any(environment.get(name) for name in DESTINATIONS):
        mistakes.append(
            "AML_APP_INSIGHTS_ENABLED is true, and nothing says where traces, metrics and logs go: "
            "set OTEL_EXPORTER_OTLP_ENDPOINT or APPLICATIONINSIGHTS_CONNECTION_STRING"
        )
    config = Config(
        host=environment.get("POD_IP") or "127.0.0.1",
        port=port,
        app_root=Path(environment.get("AML_APP_ROOT") or "/var/azureml-app"),
        entry_script=entry_script,
        source_directory=environment.get("AZUREML_SOURCE_DIRECTORY") or None,
        max_concurrent_requests=requests,
        scoring_timeout_ms=number("SCORING_TIMEOUT_MS", 60_000, 1, 3_600_000),
        worker_count=workers,
        worker_preload=preload == "true",
        max_batch_size=batch_size,
        batch_wait_ms=number("BATCH_WAIT_MS", 5, 0, 60_000),
        service_name=environment.get("SERVICE_NAME") or "ML service",
        service_version=environment.get("SERVICE_VERSION") or "1.0",
        service_path_prefix=environment.get("SERVICE_PATH_PREFIX") or "",
        server_version=environment.get("HTTP_X_MS_SERVER_VERSION") or "",
        log_level=log_level,
        collect=collect.from_environment(environment, mistakes),
        cors_origins=cors_origins,
        app_insights=app_insights == "true",
    )
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return config
