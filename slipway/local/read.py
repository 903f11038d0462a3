"""Reading Kubernetes objects, where any level may be absent or null."""

from typing import cast

from slipway.kube.folder import Object


def part(obj: Object, *path: str) -> Object:
    """Follow field names to an inner object; empty where one is missing."""
    for name in path:
        obj = cast("Object", obj.get(name) or {})
    return obj


def items(obj: Object, *path: str) -> list[Object]:
    """Follow field names to a list of objects; empty where one is missing."""
    return cast("list[Object]", part(obj, *path[:-1]).get(path[-1]) or [])
