"""Random passwords and strings, drawn here within the rules of Pulumi's random provider."""

from __future__ import annotations

import secrets

from slipway.engine import UNKNOWN, EngineError, Made, Registration, Secret, Value

PASSWORD = "random:index/randomPassword:RandomPassword"  # noqa: S105 a type's name
STRING = "random:index/randomString:RandomString"
CLASSES = {
    "lower": "abcdefghijklmnopqrstuvwxyz",
    "upper": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "numeric": "0123456789",
    "special": "!@#$%&*()-_=+[]{}<>:?",
}


def generate(registration: Registration) -> Made | None:
    """Draw a value as the inputs ask, or give None if they are not known.

    Raises `EngineError` if no text can be as they ask.
    """
    inputs = registration.inputs
    if UNKNOWN in inputs.values():
        return None
    letters = {name: _letters(name, inputs) for name in CLASSES}
    least = {name: _number(inputs.get(f"min{name.capitalize()}", 0)) for name in CLASSES}
    length = _number(inputs.get("length", 0))
    try:
        text = draw(length, letters, least)
    except ValueError as error:
        raise EngineError(f"{registration.type} `{registration.name}`: {error}") from None
    if registration.type == STRING:
        return Made(text, {**inputs, "result": text})
    hidden: dict[str, Value] = {"result": Secret(text), "bcryptHash": Secret(UNKNOWN)}
    return Made("none", {**inputs, **hidden})


def draw(length: int, letters: dict[str, str], least: dict[str, int]) -> str:
    """Draw `length` characters of the classes, of each at least as many as asked for.

    Raises ValueError if that cannot be.
    """
    every = "".join(letters.values())
    if not every:
        raise ValueError("no class of characters is allowed")
    short = [name for name, count in least.items() if count and not letters[name]]
    if short:
        raise ValueError(f"{', '.join(short)}: asked for and not allowed")
    if sum(least.values()) > length:
        raise ValueError(f"length = {length} is less than the {sum(least.values())} characters asked for")
    drawn = [secrets.choice(letters[name]) for name, count in least.items() for _ in range(count)]
    drawn += [secrets.choice(every) for _ in range(length - len(drawn))]
    secrets.SystemRandom().shuffle(drawn)
    return "".join(drawn)


def _letters(name: str, inputs: dict[str, Value]) -> str:
    default = inputs.get("number", True) if name == "numeric" else True  # its old name
    if not inputs.get(name, default):
        return ""
    return str(inputs.get("overrideSpecial") or CLASSES[name]) if name == "special" else CLASSES[name]


def _number(value: Value) -> int:
    return value if isinstance(value, int) else 0
