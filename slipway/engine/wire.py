"""Values as the monitor's messages carry them, to and from those of `slipway.engine.graph`.

Protobuf's structs know no secrets, unknowns, references or assets: Pulumi writes each as a mapping with
a signature. Output values (a value with its dependencies) exist on the wire only, between transforms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from google.protobuf.struct_pb2 import ListValue, NullValue, Struct
from google.protobuf.struct_pb2 import Value as Wire

from slipway.engine.graph import UNKNOWN, Asset, Reference, Secret, Unknown, Value

UNKNOWN_TEXT = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 a marker, not a password
ASSET = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE = "0def7320c3a5731c473e5ecbe6d01bc7"
RESOURCE = "5cf8f73096256a8f31e491e813e4eb8e"
OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"


def read(wire: Wire, dependencies: set[str] | None = None) -> Value:
    """Give the value, plain where it was an output value; whose dependencies are added to the set."""
    match wire.WhichOneof("kind"):
        case "bool_value":
            return wire.bool_value
        case "number_value":
            number = wire.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            return UNKNOWN if wire.string_value == UNKNOWN_TEXT else wire.string_value
        case "list_value":
            return [read(item, dependencies) for item in wire.list_value.values]
        case "struct_value":
            return _read_struct(wire.struct_value, dependencies)
        case _:
            return None


def read_struct(struct: Struct) -> dict[str, Value]:
    """Give the properties of a resource."""
    return {name: read(value) for name, value in struct.fields.items()}


def _read_struct(struct: Struct, dependencies: set[str] | None) -> Value:
    fields = {name: read(value, dependencies) for name, value in struct.fields.items() if name != SIGNATURE}
    match struct.fields[SIGNATURE].string_value if SIGNATURE in struct.fields else "":
        case "":
            return fields
        case str(signature) if signature == SECRET:
            return Secret(fields.get("value"))
        case str(signature) if signature == RESOURCE:
            identity = fields.get("id") if "id" in fields else None
            identity = UNKNOWN if identity == "" else identity
            return Reference(str(fields["urn"]), identity if isinstance(identity, (str, Unknown)) else None)
        case str(signature) if signature in {ASSET, ARCHIVE}:
            return Asset(signature == ARCHIVE, fields)
        case str(signature) if signature == OUTPUT:
            if dependencies is not None:
                dependencies.update(v.string_value for v in struct.fields["dependencies"].list_value.values)
            value = fields.get("value", UNKNOWN)
            return Secret(value) if fields.get("secret") is True else value
        case signature:
            raise ValueError(f"a value has the unknown signature {signature}")


def write(value: Value) -> Wire:  # noqa: PLR0911 one for each kind of value
    """Give the message for a value."""
    match value:
        case None:
            return Wire(null_value=NullValue.NULL_VALUE)
        case Unknown():
            return Wire(string_value=UNKNOWN_TEXT)
        case bool():
            return Wire(bool_value=value)
        case int() | float():
            return Wire(number_value=value)
        case str():
            return Wire(string_value=value)
        case Secret(inner):
            return _signed(SECRET, {"value": inner})
        case Reference(urn, None):
            return _signed(RESOURCE, {"urn": urn})
        case Reference(urn, identity):
            return _signed(RESOURCE, {"urn": urn, "id": identity})
        case Asset(archive, fields):
            return _signed(ARCHIVE if archive else ASSET, fields)
        case list():
            return Wire(list_value=ListValue(values=[write(item) for item in value]))
        case dict():
            return Wire(struct_value=write_struct(value))


def write_struct(values: Mapping[str, Value]) -> Struct:
    """Give the message for the properties of a resource."""
    return Struct(fields={name: write(value) for name, value in values.items()})


def for_transform(struct: Struct, dependencies: Mapping[str, Iterable[str]]) -> Struct:
    """Give the properties as a transform sees them: output values, which know what they depend on."""
    fields: dict[str, Wire] = {}
    for name, wire in struct.fields.items():
        urns = set(dependencies.get(name, ()))
        value = _outputs(read(wire, urns))
        if urns:
            fields[name] = _output(value, urns)
        else:
            fields[name] = write(value)
    return Struct(fields=fields)


def _outputs(value: Value) -> Value:
    """Turn secrets and unknowns at any depth into output values."""
    match value:
        case Unknown():
            return {SIGNATURE: OUTPUT}
        case Secret(Unknown()):
            return {SIGNATURE: OUTPUT, "secret": True}
        case Secret(inner):
            return {SIGNATURE: OUTPUT, "secret": True, "value": inner}
        case list():
            return [_outputs(item) for item in value]
        case dict():
            return {name: _outputs(item) for name, item in value.items()}
        case _:
            return value


def _output(value: Value, urns: Iterable[str]) -> Wire:
    fields = value if isinstance(value, dict) and SIGNATURE in value else {SIGNATURE: OUTPUT, "value": value}
    return write({**fields, "dependencies": list[Value](sorted(urns))})


def _signed(signature: str, fields: Mapping[str, Value]) -> Wire:
    return write({SIGNATURE: signature, **fields})
