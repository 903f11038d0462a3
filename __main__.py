"""The program: settings -> Platform -> outputs.

`pulumi up` realises its graph on Azure and Kubernetes, `slipway up` on this machine; `slipway plan` shows it.
"""

import datetime
from pathlib import Path

import pulumi
from pulumi.runtime import config as stack_config

from components.platform import Platform, PlatformArgs
from slipway.images.mode import Mode, mode
from slipway.images.recipe import webservice_recipes
from slipway.problems import Problems
from slipway.settings import PREFIX, Settings, parse
from slipway.settings.checks import warnings
from slipway.settings.readable import readable


def read_settings(project: Path) -> tuple[Settings, dict[str, pulumi.Output[str]]]:
    """Give the stack's settings, and its secret values by their config key.

    Raises `Problems` with a line for each mistake, also for files that are missing.
    """
    values: dict[str, str] = stack_config.CONFIG.get()  # the SDK's only list of all keys
    secret = [key for key in values if key.startswith(PREFIX) and stack_config.is_config_secret(key)]
    config = pulumi.Config(PREFIX.removesuffix(":"))
    try:
        settings = parse(values, secret)
    except Problems as mistakes:
        _, missing = webservice_recipes(readable(values, secret), project)
        raise Problems([*mistakes.lines, *missing]) from None
    return settings, {key: config.require_secret(key.removeprefix(PREFIX)) for key in secret}


def main() -> None:
    """Make the graph of this stack."""
    project = Path(__file__).parent
    try:
        settings, keys = read_settings(project)
        platform = Platform("slipway", PlatformArgs(settings, project, keys))
    except Problems as problems:
        raise pulumi.RunError(f"stack `{pulumi.get_stack()}`:\n{problems}") from None
    today, deploys = datetime.datetime.now(datetime.UTC).date(), mode() is Mode.BUILD
    for warning in warnings(settings, today, deploys=deploys):
        pulumi.log.warn(warning)
    for name, value in platform.outputs.items():
        pulumi.export(name, value)


main()
