"""What `slipway models` says before it reaches a storage."""

import click
import pytest
from click.testing import CliRunner

from slipway.cli import main
from slipway.cli.common import OPTIONS, typed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("slipway models list", "models list -s prod"),
        ("slipway status, slipway models list", "models list -s prod"),
        ("slipway up", "up -s prod"),
        ("run `pulumi up`", "run `pulumi up -s prod`"),
    ],
)
def test_a_hint_names_the_stack_behind_the_whole_command(text: str, expected: str) -> None:
    context = click.Context(main, info_name="slipway")
    context.meta[OPTIONS] = {"-s": "prod"}
    with context:
        assert typed(text).endswith(expected)


def test_a_path_that_is_not_there_is_refused() -> None:
    result = CliRunner().invoke(main, ["models", "register", "m", "nowhere/at/all"])
    assert result.exit_code == 2
    assert "'nowhere/at/all' does not exist" in result.stderr


def test_what_is_no_version_is_refused_before_anything_is_asked() -> None:
    result = CliRunner().invoke(main, ["models", "download", "m:latest"])
    assert result.exit_code == 1
    assert "error: `latest` is no version" in result.stderr
