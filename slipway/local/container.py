"""A container of a pod -> the process that it is on this machine. Pure; `pod.py` starts it.

What differs from a container, and only that, is mapped: ports (each replica has its own, recorded as
`hostPort` in the Pod), paths (a variable that is or begins with a mount path gets the volume's folder)
and the pod's address, 127.0.0.1. Arguments are not mapped: whatever a process reads by path comes in a
variable too.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slipway.kube.folder import Object
from slipway.kube.read import items

Lookup = Callable[[str, str, str], Object | None]
"""(kind, namespace, name) -> the object, or None."""

PATH = "/usr/local/bin:/usr/bin:/bin"  # for an image that sets none
ADDRESS = "127.0.0.1"
NODE = "local"
_REFERENCE = re.compile(r"\$\$|\$\(([^()$]*)\)")


class ConfigError(Exception):
    """A pod that cannot start yet: what it refers to is not there. Kubernetes tries again, and so do we."""


@dataclass(frozen=True)
class LocalImage:
    """What an image is on this machine: an interpreter, its first arguments, folder and environment."""

    python: str
    working_directory: str
    argv: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LocalImage:
        """Read what `dataclasses.asdict` gave, back from JSON."""
        return cls(values["python"], values["working_directory"], tuple(values["argv"]), values["env"])


@dataclass(frozen=True)
class Process:
    """A program to start: exactly this environment, nothing of the caller's."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    working_directory: str


def process(
    pod: Object,
    container: Object,
    image: LocalImage,
    *,
    volumes: Path,
    lookup: Lookup,
    extra: Mapping[str, str],
) -> Process:
    """Translate one container of `pod`, whose ports are chosen already.

    `volumes` holds a folder for each of the pod's volumes, `extra` what the engine itself adds to the
    environment. Raises ConfigError where a Secret, ConfigMap or key that is not optional is missing.
    """
    env: dict[str, str] = {}  # the pod's own: what `$(NAME)` may name
    for source in items(container, "envFrom"):
        for name, value in _all_keys(source, pod["metadata"]["namespace"], lookup).items():
            env[f"{source.get('prefix') or ''}{name}"] = value
    for variable in items(container, "env"):
        source: Object | None = variable.get("valueFrom")
        if source is None:
            text = expand(str(variable.get("value") or ""), env)
            env[variable["name"]] = _mapped(text, container, volumes)
        elif (value := _value(source, pod, lookup)) is not None:
            env[variable["name"]] = value
    command = [expand(part, env) for part in container.get("command") or ()]
    args = [expand(part, env) for part in container.get("args") or ()]
    argv = (*(command or [image.python, *image.argv]), *args)
    base = {"PATH": PATH, "HOSTNAME": pod["metadata"]["name"], "HOME": str(volumes), **image.env}
    return Process(argv, {**base, **env, **extra}, image.working_directory)


def expand(text: str, env: Mapping[str, str]) -> str:
    """Replace `$(NAME)` as Kubernetes does: unknown names stay as they are, `$$` is one `$`."""

    def one(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else env.get(match[1], match[0])

    return _REFERENCE.sub(one, text)


def files(pod: Object, lookup: Lookup) -> dict[str, dict[str, bytes]]:
    """Give the files of each volume, `{volume: {relative path: content}}`; none for an emptyDir."""
    found: dict[str, dict[str, bytes]] = {}
    namespace: str = pod["metadata"]["namespace"]
    for volume in items(pod["spec"], "volumes"):
        content: dict[str, bytes] = {}
        if "secret" in volume:
            content = _keys("Secret", namespace, volume["secret"], "secretName", lookup)
        elif "configMap" in volume:
            content = _keys("ConfigMap", namespace, volume["configMap"], "name", lookup)
        elif "downwardAPI" in volume:
            for item in items(volume["downwardAPI"], "items"):
                content[item["path"]] = _field(pod, item["fieldRef"]["fieldPath"]).encode()
        for path in content:
            if path.startswith("/") or ".." in path.split("/"):
                raise ConfigError(f"volume `{volume['name']}`: `{path}` leaves the volume")
        found[volume["name"]] = content
    return found


def _value(source: Object, pod: Object, lookup: Lookup) -> str | None:
    if "fieldRef" in source:
        return _field(pod, source["fieldRef"]["fieldPath"])
    kind = "Secret" if "secretKeyRef" in source else "ConfigMap"
    reference: Object = source["secretKeyRef" if kind == "Secret" else "configMapKeyRef"]
    namespace = pod["metadata"]["namespace"]
    content = _content(
        kind, namespace, reference["name"], optional=bool(reference.get("optional")), lookup=lookup
    )
    if reference["key"] in content:
        return _text(content, reference["key"], f"{kind} {namespace}/{reference['name']}")
    if reference.get("optional"):
        return None
    raise ConfigError(f"{kind} {namespace}/{reference['name']} has no key `{reference['key']}`")


def _mapped(value: str, container: Object, volumes: Path) -> str:
    for port in items(container, "ports"):
        if value == str(port["containerPort"]):
            return str(port.get("hostPort") or value)
    mounts = sorted(items(container, "volumeMounts"), key=lambda mount: -len(mount["mountPath"]))
    for mount in mounts:  # the longest first, as one may lie in another
        path = mount["mountPath"].rstrip("/")
        if value.rstrip("/") == path or value.startswith(f"{path}/"):
            return f"{volumes / mount['name']}{value[len(path) :]}".rstrip("/")
    return value


def _field(pod: Object, path: str) -> str:
    metadata: Object = pod["metadata"]
    fixed = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata.get("uid", ""),
        "spec.nodeName": NODE,
        "spec.serviceAccountName": pod["spec"].get("serviceAccountName") or "default",
        "status.podIP": ADDRESS,
        "status.podIPs": ADDRESS,
        "status.hostIP": ADDRESS,
    }
    if path in fixed:
        return fixed[path]
    match = re.fullmatch(r"metadata\.(labels|annotations)(?:\['(.+)'\])?", path)
    if match is None:
        raise ConfigError(f"fieldPath `{path}` is not one that the downward API knows")
    values: dict[str, str] = metadata.get(match[1]) or {}
    if match[2] is not None:
        return values.get(match[2], "")
    return "\n".join(f'{key}="{values[key]}"' for key in sorted(values))


def _all_keys(source: Object, namespace: str, lookup: Lookup) -> dict[str, str]:
    kind = "Secret" if "secretRef" in source else "ConfigMap"
    reference: Object = source["secretRef" if kind == "Secret" else "configMapRef"]
    content = _content(
        kind, namespace, reference["name"], optional=bool(reference.get("optional")), lookup=lookup
    )
    title = f"{kind} {namespace}/{reference['name']}"
    return {key: _text(content, key, title) for key in content}


def _text(content: Mapping[str, bytes], key: str, title: str) -> str:
    try:
        return content[key].decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{title}: the value of `{key}` is no text, so no variable can hold it") from None


def _keys(kind: str, namespace: str, source: Object, name: str, lookup: Lookup) -> dict[str, bytes]:
    optional = bool(source.get("optional"))
    content = _content(kind, namespace, source[name], optional=optional, lookup=lookup)
    if "items" not in source:
        return content
    chosen: dict[str, bytes] = {}
    for item in items(source, "items"):
        if item["key"] in content:
            chosen[item["path"]] = content[item["key"]]
        elif not optional:
            raise ConfigError(f"{kind} {namespace}/{source[name]} has no key `{item['key']}`")
    return chosen


def _content(kind: str, namespace: str, name: str, *, optional: bool, lookup: Lookup) -> dict[str, bytes]:
    obj = lookup(kind, namespace, name)
    if obj is None:
        if optional:
            return {}
        raise ConfigError(f"{kind} {namespace}/{name} does not exist")
    encoded: dict[str, str] = obj.get("data" if kind == "Secret" else "binaryData") or {}
    decoded = {key: _decoded(value, key, f"{kind} {namespace}/{name}") for key, value in encoded.items()}
    plain: dict[str, str] = {} if kind == "Secret" else obj.get("data") or {}
    return {**decoded, **{key: value.encode() for key, value in plain.items()}}


def _decoded(value: str, key: str, title: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        raise ConfigError(f"{title}: the value of `{key}` is no base64") from None
