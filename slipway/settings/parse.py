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
from slipway.settings.router import TLS_FIELDS, Tls
from slipway.settings.stack import Settings
from slipway.spec import ROUTER

PREFIX = "slipway:"


def key_setting(service: str, field: str) -> str:
    """Name the secret config key that holds a key of a web service, given by its user."""
    return f"{PREFIX}{service}.{field}"


def secret_remedy(service: str, field: str) -> str:
    """Say how a key is given without a stack file ever holding it in plain text."""
    given = " < FILE`" if service == ROUTER else "`, which asks for it"
    return (
        f"is a secret and never plain text; remove it here and run "
        f"`pulumi config set --secret '{key_setting(service, field)}'{given}"
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
    secret = {key for key in secret_keys if key.startswith(PREFIX)}
    fields, plain = _without_secrets(fields, names)
    lines = [f"{key_setting(*place)}: {secret_remedy(*place)}" for place in plain]
    lines += [
        f"{PREFIX}webservices: {names.count(name)} are named `{name}`: names are unique, rename one"
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    lines += _secret_mistakes(names, secret)
    if fields.get("layer") != "platform":  # the router is the other stack's
        lines += _tls_mistakes(fields.get(ROUTER), secret)

    def at(location: Location) -> str:
        return _place(fields, location)

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
    return list(map(_mapping, cast("list[object]", services))) if isinstance(services, list) else []


def _mapping(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _without_secrets(
    fields: dict[str, object], names: list[str]
) -> tuple[dict[str, object], list[tuple[str, str]]]:
    """Give what is left without secrets that stand in plain text, and the places of those."""
    plain = [place for name in fields if (place := _key_place(name))]
    left = {name: value for name, value in fields.items() if not _key_place(name)}

    def without(value: object, owner: str, known: tuple[str, ...]) -> object:
        given = _mapping(value)
        plain.extend((owner, name) for name in known if name in given)
        return {name: item for name, item in given.items() if name not in known} if given else value

    services = left.get("webservices")
    if isinstance(services, list):
        pairs = zip(cast("list[object]", services), names, strict=True)
        left["webservices"] = [without(service, name, KEY_FIELDS) for service, name in pairs]
    if ROUTER in left:
        left[ROUTER] = without(left[ROUTER], ROUTER, TLS_FIELDS)
        router = _mapping(left[ROUTER])
        if "tls" in router:
            tls = without(router["tls"], ROUTER, TLS_FIELDS)
            if "PRIVATE KEY" in str(_mapping(tls).get("certificate")):  # the two are often in one file
                tls = {name: value for name, value in _mapping(tls).items() if name != "certificate"}
                plain.append((ROUTER, "tls_key"))
            left[ROUTER] = router | {"tls": tls}
    return left, plain


def _place(fields: dict[str, object], location: Location) -> str:
    """Name a place as a stack file does; an item of a list by its name, if it has one."""
    text, here = PREFIX, cast("object", fields)
    for depth, step in enumerate(location):
        if step == "[key]":  # pydantic's word for a key that is wrong itself
            continue
        if isinstance(step, int):
            here = cast("list[object]", here)[step] if isinstance(here, list) else None
            name = _mapping(here).get("name")
            text += f"[{name if isinstance(name, str) else step}]"
        else:
            text += f".{step}" if depth else step
            here = _mapping(here).get(step)
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
            lines.append(f"{key} = [secret]: only keys are secret here; {remedy}")
        elif place[0] == ROUTER:
            continue  # judged with its settings
        elif place[0] not in names:
            lines.append(f"{key} = [secret]: no web service `{place[0]}`; {nearest(place[0], names)}")
        elif place[1] == "secondary_key" and key_setting(place[0], "primary_key") not in secret_keys:
            lines.append(f"{key} = [secret]: a secondary key needs a primary one; set that too")
    return lines


def _tls_mistakes(router: object, secret_keys: set[str]) -> list[str]:
    """Check that a certificate in the stack file has its key, and the key its certificate."""
    tls = _mapping(_mapping(router).get("tls"))
    if tls.keys() - Tls.model_fields.keys():
        return []  # misspelt, perhaps what would be missing here
    setting, certificate = key_setting(ROUTER, "tls_key"), f"{PREFIX}router.tls.certificate"
    if setting in secret_keys and not tls.get("certificate"):
        return [f"{setting} = [secret] without `{certificate}`, whose key it is: give that, or remove it"]
    if tls.get("certificate") and setting not in secret_keys:
        return [
            f"{setting}: is required for `{certificate}`; run `pulumi config set --secret '{setting}' < FILE`"
        ]
    return []
