"""From the keys of a stack file to `Settings`.

`parse` takes the keys as Pulumi hands them to a program (strings, JSON for anything that is no string)
and gives `Settings` or every mistake. Reading stack files and decrypting are Pulumi's, not done here.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import cast

from pydantic import ValidationError

from slipway.problems import KEY_FIELDS, Location, Problems, explain, nearest
from slipway.settings.router import TLS_FIELDS
from slipway.settings.stack import Settings
from slipway.spec import ROUTER

PREFIX = "slipway:"


def key_setting(service: str, field: str) -> str:
    """Name the secret config key that holds a key of a web service, given by its user."""
    return f"{PREFIX}{service}.{field}"


def secret_remedy(service: str, field: str) -> str:
    """Say how a key is given without a stack file ever holding it in plain text."""
    return (
        f"is a secret and never plain text; remove it here and run "
        f"`pulumi config set --secret '{key_setting(service, field)}'`, which asks for it"
    )


def parse(config: Mapping[str, str], secret_keys: Collection[str] = ()) -> Settings:
    """Give the settings that the `slipway:*` keys of `config` mean.

    `secret_keys` names the keys whose values are encrypted in the stack file; their values are not read.
    Raises `Problems` with one line for each mistake.
    """
    fields = {
        key.removeprefix(PREFIX): _value(text)
        for key, text in config.items()
        if key.startswith(PREFIX) and key not in secret_keys
    }
    entries = _entries(fields.get("webservices"))
    names = [str(entry.get("name", index)) for index, entry in enumerate(entries)]
    plain = [place for name in fields if (place := _key_place(name))]
    plain += [
        (name, key) for name, entry in zip(names, entries, strict=True) for key in KEY_FIELDS if key in entry
    ]
    lines = [f"{key_setting(*place)}: {secret_remedy(*place)}" for place in plain]
    lines += [
        f"{PREFIX}webservices: {names.count(name)} are named `{name}`: names are unique, rename one"
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    secret = {key for key in secret_keys if key.startswith(PREFIX)}
    lines += _secret_mistakes(names, secret) + _tls_mistakes(fields.get(ROUTER), secret)
    fields = {name: value for name, value in fields.items() if not _key_place(name)}
    if entries:
        without = [{k: v for k, v in entry.items() if k not in KEY_FIELDS} for entry in entries]
        given = cast("list[object]", fields["webservices"])
        fields["webservices"] = [w if isinstance(g, dict) else g for w, g in zip(without, given, strict=True)]

    def at(location: Location) -> str:
        return _place(location, names)

    try:
        settings = Settings.model_validate(fields)
    except ValidationError as error:
        raise Problems(explain(error, Settings, at) + lines) from None
    if lines:
        raise Problems(lines)
    return settings


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _entries(services: object) -> list[dict[str, object]]:
    """Give the entries of `webservices` as mappings; what is none becomes an empty one."""
    if not isinstance(services, list):
        return []
    entries = cast("list[object]", services)
    return [cast("dict[str, object]", entry) if isinstance(entry, dict) else {} for entry in entries]


def _place(location: Location, names: list[str]) -> str:
    text = PREFIX.removesuffix(":")
    for depth, step in enumerate(location):
        if depth == 0:
            text = f"{PREFIX}{step}"
        elif isinstance(step, int):
            text += f"[{names[step] if depth == 1 and location[0] == 'webservices' else step}]"
        else:
            text += f".{step}"
    return text


def _key_place(setting: str) -> tuple[str, str] | None:
    service, _, field = setting.removeprefix(PREFIX).rpartition(".")
    known = TLS_FIELDS if service == ROUTER else KEY_FIELDS
    return (service, field) if field in known and service else None


def _secret_mistakes(names: list[str], secret_keys: set[str]) -> list[str]:
    lines: list[str] = []
    for key in sorted(secret_keys):
        place = _key_place(key)
        name = key.removeprefix(PREFIX)
        if name in Settings.model_fields:
            lines.append(
                f"{key} = [secret]: nothing can be encrypted here or inside; write it in plain text, "
                f"and give a key by `pulumi config set --secret '{key_setting('NAME', 'primary_key')}'`"
            )
        elif place is None:
            remedy = nearest(name, Settings.model_fields)
            lines.append(
                f"{key} = [secret]: only keys and the router's certificate are secret here; {remedy}"
            )
        elif place[0] == ROUTER:
            continue  # judged with its settings
        elif place[0] not in names:
            lines.append(f"{key} = [secret]: no web service `{place[0]}`; {nearest(place[0], names)}")
        elif place[1] == "secondary_key" and key_setting(place[0], "primary_key") not in secret_keys:
            lines.append(f"{key} = [secret]: a secondary key needs a primary one; set that too")
    return lines


def _tls_mistakes(router: object, secret_keys: set[str]) -> list[str]:
    """Check that a name of one's own has one certificate: two secrets, or one in the key vault."""
    tls = cast("dict[str, object]", router).get("tls") if isinstance(router, dict) else None
    fields = cast("dict[str, object]", tls) if isinstance(tls, dict) else {}
    given = [name for name in TLS_FIELDS if key_setting(ROUTER, name) in secret_keys]
    vault, names = fields.get("key_vault_certificate"), fields.get("domains")
    if given and (vault or not names):
        reason = (
            "the key vault has the certificate" if vault else "`slipway:router.tls.domains` names nothing"
        )
        return [f"{key_setting(ROUTER, name)} = [secret]: {reason}; remove one of the two" for name in given]
    if len(given) == 1 or (names and not vault and not given):
        missing = [name for name in TLS_FIELDS if name not in given]
        return [
            f"{key_setting(ROUTER, name)}: is required for `slipway:router.tls.domains`; run "
            f"`pulumi config set --secret '{key_setting(ROUTER, name)}' < FILE`, or set key_vault_certificate"
            for name in missing
        ]
    return []
