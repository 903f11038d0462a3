"""What exists in the stand-in's subscription: resources by id, and the writes under way."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid5

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct

from slipway.engine import wire
from slipway.engine.graph import Asset, Reference, Secret, Unknown, Value, children
from slipway.plan.replacements import PATHS, path_inputs

Json = Mapping[str, Any]
SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
TENANT = "11111111-1111-1111-1111-111111111111"
DEPLOYER = "22222222-2222-2222-2222-222222222222"
"""the object id of whoever deploys"""


@dataclass(frozen=True)
class Resource:
    """One resource; its type as in `PATHS`, `module:Type`."""

    type: str
    id: str
    inputs: dict[str, Value]
    given: Json = field(init=False)
    """the inputs without their secret wrappers"""

    def __post_init__(self) -> None:
        object.__setattr__(self, "given", plain(self.inputs))

    @property
    def name(self) -> str:
        return self.id.rpartition("/")[2]


class World:
    """All resources, kept in a JSON file if one is given; ids are compared as Azure does, without case."""

    def __init__(self, file: Path | None = None, *, duration: float = 0.0, kubeconfig: str = "") -> None:
        self.kubeconfig = kubeconfig
        """what clusters give as credentials, where a test has a real API server"""
        self._file = file
        self.duration = duration
        """seconds that a write takes where none may overlap"""
        self._lock = threading.RLock()
        self._busy: set[str] = set()
        self._resources: dict[str, Resource] = {}
        if file is not None and file.exists():
            for kept in json.loads(file.read_text()):
                inputs = wire.read_struct(ParseDict(kept["inputs"], Struct()))
                self._add(Resource(kept["type"], identity(kept["type"], plain(inputs)), inputs))

    def find(self, identifier: str, type_: str = "") -> Resource | None:
        """Find a resource by its id, of the type if one is given."""
        found = self._resources.get(identifier.lower())
        return found if found is None or type_ in {"", found.type} else None

    def of(self, type_: str) -> list[Resource]:
        """Give all resources of a type."""
        return [resource for resource in self._resources.values() if resource.type == type_]

    def under(self, identifier: str) -> list[Resource]:
        """Give what lies under an id, at any depth."""
        prefix = f"{identifier.lower()}/"
        return [resource for key, resource in self._resources.items() if key.startswith(prefix)]

    def users(self, identifier: str) -> list[Resource]:
        """Give the resources outside of an id that refer to it."""
        inside = {identifier.lower(), *(resource.id.lower() for resource in self.under(identifier))}
        return [
            resource
            for key, resource in self._resources.items()
            if key not in inside and identifier.lower() in map(str.lower, references(resource.given))
        ]

    def put(self, resource: Resource) -> None:
        """Keep a resource, new or changed."""
        with self._lock:
            self._add(resource)
            self._save()

    def remove(self, identifier: str) -> None:
        """Forget a resource."""
        with self._lock:
            del self._resources[identifier.lower()]
            self._save()

    @contextmanager
    def writing(self, keys: set[str]) -> Generator[str | None]:
        """Hold what takes one write at a time for as long as a write takes; gives what is held already."""
        with self._lock:
            held = next(iter(sorted(keys & self._busy)), None)
            if held is None:
                self._busy |= keys
        try:
            yield held
            if held is None and keys:
                time.sleep(self.duration)
        finally:
            if held is None:
                with self._lock:
                    self._busy -= keys

    def _add(self, resource: Resource) -> None:
        self._resources[resource.id.lower()] = resource

    def _save(self) -> None:
        if self._file is not None:
            kept = [
                {"type": resource.type, "inputs": MessageToDict(wire.write_struct(resource.inputs))}
                for resource in self._resources.values()
            ]
            self._file.write_text(json.dumps(kept, indent=1))


def identity(type_: str, given: Json) -> str:
    """Give the id of a resource: its REST path. KeyError names an input that is missing."""
    values = {name: str(given[name]).lstrip("/") for name in path_inputs(type_)}
    return PATHS[type_].format(subscriptionId=SUBSCRIPTION, **values)


def plain(value: Value) -> Any:
    """Give a value as JSON would hold it, without markers."""
    match value:
        case Secret(inner):
            return plain(inner)
        case Reference(id=inner):
            return plain(inner)
        case Unknown():
            return None
        case Asset(fields=fields):
            return plain(dict(fields))
        case dict():
            return {name: plain(inner) for name, inner in value.items()}
        case list():
            return [plain(inner) for inner in value]
        case _:
            return value


def references(value: object) -> Iterator[str]:
    """Find the ids of resources inside a value: its texts that are one, and keys of mappings."""
    match value:
        case str():
            if re.match("/subscriptions/[^/]+/resourceGroups/", value, re.IGNORECASE):
                yield value
        case dict():
            for inner in (*cast("dict[str, object]", value), *children(cast("object", value))):
                yield from references(inner)
        case _:
            for inner in children(value):
                yield from references(inner)


def parent(identifier: str) -> str:
    """Give the id that a resource stands under; of an extension that of the resource it extends."""
    above, _, last = identifier.rpartition("/providers/")
    if not above:
        return f"/subscriptions/{SUBSCRIPTION}"
    return (
        identifier.rsplit("/", 2)[0].removesuffix("/blobServices/default") if last.count("/") > 2 else above
    )


def azure(code: str, message: str, status: int = 400) -> str:
    """Write an error as azure-native shows those of Azure."""
    return f'Status={status} Code="{code}" Message="{message}"'


def at(given: Json, path: str, default: Any = None) -> Any:
    """Give an input at any depth, `networkProfile.outboundType`; the default where there is none."""
    name, _, rest = path.partition(".")
    found = given.get(name)
    if rest:
        return at(cast("Json", found), rest, default) if isinstance(found, Mapping) else default
    return default if found is None else found


def texts(given: Json, path: str) -> list[str]:
    """Give an input that is a list of texts."""
    return list(at(given, path, ()))


def maps(given: Json, path: str) -> list[Json]:
    """Give an input that is a list of mappings."""
    return list(at(given, path, ()))


def network(prefix: str) -> IPv4Network | None:
    """Give an IPv4 range, or None for what is none."""
    try:
        found = ip_network(prefix)
    except ValueError:
        return None
    return found if isinstance(found, IPv4Network) else None


def prefix_of(subnet: Json) -> str:
    """Give a subnet's range as its inputs have it."""
    return next(iter([*texts(subnet, "addressPrefixes"), at(subnet, "addressPrefix", "")]))


def made(what: str, identifier: str) -> str:
    """Give the UUID that a resource always has for a purpose."""
    return str(uuid5(UUID(SUBSCRIPTION), f"{what}:{identifier.lower()}"))
