"""The web services as far as their files go, of settings that are refused for something else.

With it the mistakes of the files come together with those of the settings.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Mapping
from typing import cast

from pydantic import ValidationError

from slipway.settings.parse import PREFIX
from slipway.spec import WebserviceSpec

FIELDS = ("name", "entry_script", "source_directory", "models", "model_layer_gb_limit", "environment")


def readable(config: Mapping[str, str], secret_keys: Collection[str] = ()) -> list[WebserviceSpec]:
    """Give each web service and version of which the fields that name files are right, with only those.

    Takes what `parse` takes.
    """
    key = f"{PREFIX}webservices"
    entries: object = None
    if key not in secret_keys:
        with contextlib.suppress(ValueError):  # `parse` says so
            entries = json.loads(config.get(key, ""))
    specs: list[WebserviceSpec] = []
    for entry in cast("list[object]", entries) if isinstance(entries, list) else []:
        given = _given(entry)
        versions = _mapping(_mapping(entry).get("versions"))
        if versions:
            first = next(iter(versions))
            given["versions"] = {
                name: _given(version) | {"is_default": name == first} for name, version in versions.items()
            }
        with contextlib.suppress(ValidationError):
            specs += WebserviceSpec.model_validate(given).deployed()
    return specs


def _given(entry: object) -> dict[str, object]:
    return {name: value for name, value in _mapping(entry).items() if name in FIELDS}


def _mapping(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}
