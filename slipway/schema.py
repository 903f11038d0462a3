"""What a stack file may hold, told to editors (a JSON schema) and to people (a reference in Markdown).

Both are made from the types themselves, stored by `make schema`, and compared with them in a test.
"""

from __future__ import annotations

import json
from typing import get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from slipway.problems import KEY_FIELDS, model_in
from slipway.settings import PREFIX, Settings
from slipway.settings.router import TLS_FIELDS
from slipway.spec import ROUTER, Version
from slipway.versions import Traffic


def schema() -> dict[str, object]:
    """Describe stack files as a JSON schema, for completion and checks in an editor."""
    described = Settings.model_json_schema(ref_template="#/$defs/{model}")
    definitions: dict[str, dict[str, object]] = described.pop("$defs")
    fields = definitions["WebserviceSpec"]["properties"]
    assert isinstance(fields, dict)
    for name in KEY_FIELDS:
        del fields[name]
    secret = {"type": "object", "required": ["secure"], "properties": {"secure": {"type": "string"}}}
    config = {
        "type": "object",
        "properties": {f"{PREFIX}{name}": value for name, value in described["properties"].items()},
        "patternProperties": {
            f"^{PREFIX}[a-z][-a-z0-9]*\\.({'|'.join(KEY_FIELDS)})$": secret,
            f"^{PREFIX}{ROUTER}\\.({'|'.join(TLS_FIELDS)})$": secret,
            f"^(?!{PREFIX})": {},
        },
        "oneOf": [{"required": [f"{PREFIX}{name}"]} for name in ("kubernetes", "azure")],
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A stack of Slipway",
        "type": "object",
        "properties": {"config": config},
        "$defs": definitions,
    }


def reference() -> str:
    """List every setting of a stack file with its default and meaning."""
    sections = [("All keys", Settings), *_sections(Settings, "slipway:")]
    parts = [
        "# Settings of a stack",
        "<!-- made by `make schema` from the types; do not edit -->",
        "Every mistake in a stack file is one line: the field, the value, the rule, the remedy. "
        "All mistakes come at once.",
        *(f"## {title}\n\n{_first_line(model)}\n\n{_table(model)}" for title, model in sections),
        "## Keys of your own\n\n"
        "Without them, keys are made at random. A key is a secret and never stands in plain text:\n\n"
        f"    pulumi config set --secret '{PREFIX}diabetes.primary_key'\n"
        f"    pulumi config set --secret '{PREFIX}diabetes.secondary_key'\n\n"
        "They are the first keys of a service; afterwards the cluster's Secret is the truth: change it with "
        "`slipway keys NAME --regen primary`. Slipway decrypts nothing: `slipway up` and "
        "`slipway render --secrets` need a stack without them.",
    ]
    return "\n\n".join(parts) + "\n"


def _sections(model: type[BaseModel], prefix: str) -> list[tuple[str, type[BaseModel]]]:
    """Give every model inside a model once, with the place where a stack file has it."""
    found: list[tuple[str, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        inner = model_in(field.annotation)
        if inner is not None and inner not in [other for _, other in found]:
            outer = get_origin(field.annotation)
            many = "[]" if outer is tuple else ".NAME" if outer is dict else ""
            found.append((f"`{prefix}{name}{many}`", inner))
            found += [
                section
                for section in _sections(inner, f"{prefix}{name}{many}.")
                if section[1] not in [other for _, other in found]
            ]
    return found


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").partition("\n")[0]


def _table(model: type[BaseModel]) -> str:
    rows = ["| setting | default | what to give |", "|---|---|---|"]
    own = Traffic if model is Version else model  # all else of a version is a web service's
    for name, field in own.model_fields.items():
        if name in KEY_FIELDS:
            continue
        default = "**required**" if field.is_required() else _default(field.default)
        rows.append(f"| `{name}` | {default} | {field.description} |")
    return "\n".join(rows)


def _default(value: object) -> str:
    if isinstance(value, BaseModel) or value is PydanticUndefined:
        return ""
    return "" if value is None else f"`{json.dumps(value)}`"
