"""The options of a registration: what a request says, what its parent adds, what a state would keep."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlparse

from pulumi.runtime.proto import alias_pb2, callback_pb2, resource_pb2, source_pb2

from slipway.engine import wire
from slipway.engine.graph import Value
from slipway.engine.urns import Alias

# Fields of types from other files are untyped in the SDK's stubs; the casts below name them.
Request = resource_pb2.RegisterResourceRequest
Options = resource_pb2.TransformResourceOptions


def from_request(request: Request, provider: str) -> Options:
    """Give the options as transforms see and change them."""
    given = Options(
        depends_on=request.dependencies,
        ignore_changes=request.ignoreChanges,
        replace_on_changes=request.replaceOnChanges,
        version=request.version,
        aliases=[alias_pb2.Alias(urn=urn) for urn in request.aliasURNs] + _specs(request),
        provider=provider,
        plugin_download_url=request.pluginDownloadURL,
        deleted_with=request.deletedWith,
        additional_secret_outputs=request.additionalSecretOutputs,
        providers=request.providers,
        hooks=request.hooks,
        hide_diff=request.hideDiffs,
        replace_with=request.replace_with,
    )
    setattr(given, "import", request.importId)  # a keyword of Python's
    if request.HasField("customTimeouts"):
        given.custom_timeouts.CopyFrom(request.customTimeouts)
    if request.HasField("replacement_trigger"):
        given.replacement_trigger.CopyFrom(request.replacement_trigger)
    if request.HasField("protect"):
        given.protect = request.protect
    if request.HasField("retainOnDelete"):
        given.retain_on_delete = request.retainOnDelete
    if request.deleteBeforeReplaceDefined or request.deleteBeforeReplace:
        given.delete_before_replace = request.deleteBeforeReplace
    return given


def aliases(given: Options) -> list[Alias]:
    """Give the aliases that a resource has of its own."""
    return [
        Alias(urn=alias.urn)
        if alias.HasField("urn")
        else Alias(
            name=alias.spec.name,
            type=alias.spec.type,
            stack=alias.spec.stack,
            project=alias.spec.project,
            parent=alias.spec.parentUrn,
            no_parent=alias.spec.noParent,
        )
        for alias in _specs(given)
    ]


def state(given: Options) -> dict[str, Value]:
    """Give the options that are set and no field of a registration, by their names in a state."""
    found: dict[str, Value] = {
        "additionalSecretOutputs": _names(given.additional_secret_outputs),
        "customTimeouts": {
            name: seconds(text)
            for name in ("create", "update", "delete", "read")
            if (text := getattr(given.custom_timeouts, name))
        },
        "deletedWith": given.deleted_with,
        "hideDiff": _names(given.hide_diff),
        "importID": getattr(given, "import"),
        "replaceOnChanges": _names(given.replace_on_changes),
        "replaceWith": _names(given.replace_with),
        "retainOnDelete": given.retain_on_delete,
        "resourceHooks": {descriptor.name: _names(names) for descriptor, names in given.hooks.ListFields()},
    }
    found = {name: value for name, value in found.items() if value}
    if given.HasField("delete_before_replace"):
        found["deleteBeforeReplace"] = given.delete_before_replace
    if given.HasField("replacement_trigger"):
        found["replacementTrigger"] = wire.read(given.replacement_trigger)
    return found


def transforms(request: Request) -> tuple[callback_pb2.Callback, ...]:
    """Give the transforms that a registration brings for itself and its children."""
    return tuple(cast("list[callback_pb2.Callback]", cast("Any", request).transforms))


def source(request: Request | resource_pb2.ReadResourceRequest, root: Path) -> str:
    """Give `file:line` of the project's own statement; empty where a library or nobody made it."""
    position: source_pb2.SourcePosition = cast("Any", request).sourcePosition
    path = Path(unquote(urlparse(position.uri).path))
    if "site-packages" in path.parts or not path.is_relative_to(root):
        return ""
    return f"{path.relative_to(root).as_posix()}:{position.line}"


def _specs(message: Request | Options) -> list[alias_pb2.Alias]:
    return list(cast("list[alias_pb2.Alias]", cast("Any", message).aliases))


def _names(names: Iterable[str]) -> list[Value]:
    return list(names)


_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """Read a duration as Go writes it (`1h30m`). Raises ValueError."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"`{text}` is not a duration such as 90s, 5m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
