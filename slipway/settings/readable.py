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
    """Give each web service of which the fields that name files are right, with only those.

    Takes what `parse` takes.
    """
    key = f"{PREFIX}webservices"
    entries: object = None
    if key not in secret_keys:
        with contextlib.suppress(ValueError):  # `parse` says so
            entries = json.loads(config.get(key, ""))
    specs: list[WebserviceSpec] = []
    for entry in cast("list[object]", entries) if isinstance(entries, list) else []:
        if isinstance(entry, dict):
            fields = cast("dict[str, object]", entry)
            given = {name: fields[name] for name in FIELDS if name in fields}
            with contextlib.suppress(ValidationError):
                specs.append(WebserviceSpec.model_validate(given))
    return specs
