"""Values of YAML files as the Pulumi CLI hands them to programs: as texts, JSON for lists and mappings.

The CLI reads YAML 1.2 with Go's libraries and prints what it read with them, so dates, octal numbers,
exponents and JSON look as they look there and not as Python would have them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, cast

import yaml

_INT = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)$")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$")
_BOOL = re.compile(r"(?:true|True|TRUE|false|False|FALSE)$")
_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """YAML 1.2's scalars: `yes`, `off` and `12:30` are texts. A key that stands twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            if isinstance(key, yaml.ScalarNode):
                name = str(key.value)
                if name in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key `{name}` stands twice", problem_mark=key.start_mark
                    )
                seen.add(name)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern) for tag, pattern in resolvers if tag.removeprefix(_TAG) not in {"bool", "int", "float"}
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _name, _pattern in (("bool", _BOOL), ("int", _INT), ("float", _FLOAT)):
    for _first in "tTfF" if _name == "bool" else "-+.0123456789":
        _Loader.yaml_implicit_resolvers.setdefault(_first, []).append((_TAG + _name, _pattern))


def _construct_int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node).replace("_", "")
    digits = text.lstrip("+-")
    old_octal = len(digits) > 1 and digits.isdigit() and digits.startswith("0")
    number = int(digits, 8 if old_octal else 0)
    return -number if text.startswith("-") else number


_Loader.add_constructor(f"{_TAG}int", _construct_int)


def read(text: str) -> object:
    """Read YAML. Raises `yaml.YAMLError`."""
    return yaml.load(text, _Loader)  # noqa: S506 derived from SafeLoader


def as_text(value: object) -> str:  # noqa: PLR0911 one for each kind of value
    """Give a value as a program is handed it."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            plain = 1e-6 <= abs(value) < 1e21 or not value
            return (
                format(Decimal(repr(value)), "f").removesuffix(".0")
                if plain
                else repr(value).replace("e-0", "e-")
            )
        case date():
            moment = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            fraction = f".{moment.microsecond:06d}".rstrip("0") if moment.microsecond else ""
            zone = moment.strftime("%z")
            return f"{moment:%Y-%m-%d %H:%M:%S}{fraction} {zone} {'UTC' if zone == '+0000' else zone}"
        case None:
            return ""
        case _:
            text = json.dumps(_plain(value), separators=(",", ":"), sort_keys=True, ensure_ascii=False)
            return re.sub("[<>&\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", text)


def _plain(value: object) -> object:
    match value:
        case dict():
            return {str(name): _plain(item) for name, item in cast("dict[Any, object]", value).items()}
        case list():
            return [_plain(item) for item in cast("list[object]", value)]
        case float() if value.is_integer() and abs(value) < 1e21:
            return int(value)
        case date():
            return as_text(value)
        case _:
            return value
