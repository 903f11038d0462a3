"""azure-native's gRPC service over a `World`: what the engine calls, in the order in which it calls.

Attach it with `PULUMI_DEBUG_PROVIDERS=azure-native:PORT`. Nothing of it is a mock of the engine: requests
and answers are those of the protocol, previews tell what azure-native's would.
"""

from __future__ import annotations

import uuid
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from itertools import zip_longest
from typing import NoReturn

import grpc
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import plugin_pb2
from pulumi.runtime.proto import provider_pb2 as pb
from pulumi.runtime.proto.provider_pb2_grpc import (
    ResourceProviderServicer,
    add_ResourceProviderServicer_to_server,
)

from slipway.engine import urns, wire
from slipway.engine.graph import Secret, Value, known
from slipway.engine.sdk import mistakes, previewed, schema
from slipway.plan.replacements import PATHS, path_inputs, replaced_by
from tests.engine.stand_in.functions import Refused, invoke
from tests.engine.stand_in.resources import outputs
from tests.engine.stand_in.rules import Request, alone, refuse
from tests.engine.stand_in.world import Resource, World, azure, identity, plain

BEFORE_DELETE = "__createBeforeDelete"
"""azure-native's own input: it made up the name, so a replacement may stand beside the old resource"""
STABLE = ("name", "location")
"""Outputs that azure-native's preview of an update takes from the state: Update in provider/pkg/provider"""
FIXED_NAMES = {"blobServicesName": "default", "managementPolicyName": "default"}
Properties = dict[str, Value]
Context = grpc.ServicerContext


class Provider(ResourceProviderServicer):
    """The service; every method's contract is the protocol's."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._location: Value = None

    def Handshake(  # noqa: N802 the protocol's names, here and below
        self, request: pb.ProviderHandshakeRequest, context: Context
    ) -> pb.ProviderHandshakeResponse:
        return pb.ProviderHandshakeResponse(accept_secrets=True, accept_resources=True)

    def Attach(self, request: plugin_pb2.PluginAttach, context: Context) -> Empty:  # noqa: N802
        return Empty()

    def Cancel(self, request: Empty, context: Context) -> Empty:  # noqa: N802
        return Empty()

    def GetPluginInfo(self, request: Empty, context: Context) -> plugin_pb2.PluginInfo:  # noqa: N802
        return plugin_pb2.PluginInfo(version="3.29.0")

    def CheckConfig(self, request: pb.CheckRequest, context: Context) -> pb.CheckResponse:  # noqa: N802
        return pb.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: pb.DiffRequest, context: Context) -> pb.DiffResponse:  # noqa: N802
        return pb.DiffResponse(changes=pb.DiffResponse.DIFF_NONE)

    def Configure(self, request: pb.ConfigureRequest, context: Context) -> pb.ConfigureResponse:  # noqa: N802
        self._location = wire.read_struct(request.args).get("location")
        return pb.ConfigureResponse(acceptSecrets=True, supportsPreview=True, acceptResources=True)

    def Check(self, request: pb.CheckRequest, context: Context) -> pb.CheckResponse:  # noqa: N802
        type_ = _type(request.urn, context)
        news, olds = wire.read_struct(request.news), wire.read_struct(request.olds)
        wrong = [pb.CheckFailure(reason=line) for line in mistakes(f"azure-native:{type_}", news)]
        filled = self._with_location(type_, _with_name(type_, news, olds, request), olds)
        return pb.CheckResponse(inputs=wire.write_struct(filled), failures=wrong)

    def Diff(self, request: pb.DiffRequest, context: Context) -> pb.DiffResponse:  # noqa: N802
        type_ = _type(request.urn, context)
        old, new = wire.read_struct(request.old_inputs), wire.read_struct(request.news)
        changes = {path: kind for path, kind in _changes(old, new) if not path.startswith("__")}
        replaces = set(replaced_by(f"azure-native:{type_}", changes))
        kinds = pb.PropertyDiff.Kind
        return pb.DiffResponse(
            changes=pb.DiffResponse.DIFF_SOME if changes else pb.DiffResponse.DIFF_NONE,
            replaces=sorted(replaces),
            diffs=sorted(changes),
            detailedDiff={
                path: pb.PropertyDiff(
                    kind=kinds.Value(f"{kind}_REPLACE" if path in replaces else kind), inputDiff=True
                )
                for path, kind in changes.items()
            },
            hasDetailedDiff=True,
            deleteBeforeReplace=bool(replaces) and not new.get(BEFORE_DELETE),
        )

    def Create(self, request: pb.CreateRequest, context: Context) -> pb.CreateResponse:  # noqa: N802
        type_, inputs = _type(request.urn, context), wire.read_struct(request.properties)
        if request.preview:
            return pb.CreateResponse(properties=_preview(type_, inputs))
        resource = Resource(type_, identity(type_, plain(inputs)), inputs)
        self._write("create", resource, context)
        return pb.CreateResponse(id=resource.id, properties=self._outputs(resource))

    def Update(self, request: pb.UpdateRequest, context: Context) -> pb.UpdateResponse:  # noqa: N802
        type_, inputs = _type(request.urn, context), wire.read_struct(request.news)
        if request.preview:
            olds = wire.read_struct(request.olds)
            stable = {name: olds[name] for name in STABLE if name in olds}
            return pb.UpdateResponse(properties=_preview(type_, inputs, stable))
        if self._world.find(request.id, type_) is None:
            _abort(context, azure("ResourceNotFound", f"The Resource '{request.id}' was not found.", 404))
        resource = Resource(type_, request.id, inputs)
        self._write("update", resource, context)
        return pb.UpdateResponse(properties=self._outputs(resource))

    def Delete(self, request: pb.DeleteRequest, context: Context) -> Empty:  # noqa: N802
        found = self._world.find(request.id, _type(request.urn, context))
        if found is not None:  # Azure has nothing against deleting what is gone
            self._write("delete", found, context)
        return Empty()

    def Read(self, request: pb.ReadRequest, context: Context) -> pb.ReadResponse:  # noqa: N802
        found = self._world.find(request.id, _type(request.urn, context))
        if found is None:
            return pb.ReadResponse()
        return pb.ReadResponse(
            id=found.id, properties=self._outputs(found), inputs=wire.write_struct(found.inputs)
        )

    def Invoke(self, request: pb.InvokeRequest, context: Context) -> pb.InvokeResponse:  # noqa: N802
        given = plain(wire.read_struct(request.args))
        try:
            answer = invoke(request.tok.removeprefix("azure-native:"), given, self._world)
        except Refused as refusal:
            _abort(context, str(refusal))
        response = pb.InvokeResponse()
        getattr(response, "return").CopyFrom(wire.write_struct(answer))
        return response

    def _write(self, request: Request, resource: Resource, context: Context) -> None:
        """Change the world, if Azure would, for as long as a write takes."""
        with self._world.writing(alone(resource)) as held:
            if held is not None:
                message = "Another operation on this or dependent resource is in progress."
                _abort(context, azure("AnotherOperationInProgress", f"{message} {held}", 409))
            refusal = refuse(request, resource, self._world)
            if refusal is not None:
                _abort(context, refusal)
            if request == "delete":
                self._world.remove(resource.id)
            else:
                self._world.put(resource)

    def _outputs(self, resource: Resource) -> wire.Struct:
        return wire.write_struct(outputs(resource, self._world))

    def _with_location(self, type_: str, news: Properties, olds: Properties) -> Properties:
        """Fill in the location as azure-native does: the old one, the provider's, the resource group's."""
        found = schema(f"azure-native:{type_}")
        if found is None or "location" not in found.properties or news.get("location"):
            return news
        group = news.get("resourceGroupName")
        inside = self._world.find(identity("resources:ResourceGroup", {"resourceGroupName": plain(group)}))
        place = olds.get("location") or self._location or (inside and inside.inputs.get("location"))
        return {**news, "location": place} if place else news


@contextmanager
def attached(world: World, port: int = 0) -> Generator[int]:
    """Serve a world on a port of this machine, a free one if none is given, and give the port."""
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(max_workers=32), options=unlimited)
    add_ResourceProviderServicer_to_server(Provider(world), server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield bound
    finally:
        server.stop(None).wait()


def _type(urn: str, context: Context) -> str:
    type_ = urns.type_of(urn)
    if type_.removeprefix("azure-native:") not in PATHS:
        _abort(context, f"the stand-in does not know the type {type_}", grpc.StatusCode.UNIMPLEMENTED)
    return type_.removeprefix("azure-native:")


def _abort(context: Context, message: str, code: grpc.StatusCode = grpc.StatusCode.UNKNOWN) -> NoReturn:
    context.abort(code, message)
    raise AssertionError  # abort has raised


def _preview(type_: str, inputs: Properties, stable: Properties | None = None) -> wire.Struct:
    shown = previewed(f"azure-native:{type_}", inputs)
    assert shown is not None
    return wire.write_struct(shown | (stable or {}))


def _with_name(type_: str, news: Properties, olds: Properties, request: pb.CheckRequest) -> Properties:
    """Name what the program does not name: as before, as Azure fixes it, or after the resource."""
    own = path_inputs(type_)[-1]
    if news.get(own):
        return news
    if own in FIXED_NAMES:
        return {**news, own: FIXED_NAMES[own]}
    seed = sha256(request.randomSeed or request.urn.encode()).digest()
    made = str(uuid.UUID(bytes=seed[:16])) if own == "roleAssignmentName" else ""
    proposed = made or request.autonaming.proposed_name or f"{urns.name_of(request.urn)}{seed.hex()[:8]}"
    return {**news, own: olds.get(own) or proposed, BEFORE_DELETE: True}


def _changes(old: Value, new: Value, path: str = "") -> Generator[tuple[str, str]]:
    """Give each change as azure-native would: by its innermost path; locations without case and spaces."""
    match old, new:
        case Secret(), _:
            yield from _changes(old.value, new, path)
        case _, Secret():
            yield from _changes(old, new.value, path)
        case dict(), dict():
            for name in sorted(old.keys() | new.keys()):
                yield from _changes(old.get(name), new.get(name), f"{path}.{name}" if path else name)
        case list(), list():
            for index, (before, after) in enumerate(zip_longest(old, new)):
                yield from _changes(before, after, f"{path}[{index}]")
        case _:
            before, after = plain(old), plain(new)
            same = before == after or (path == "location" and _normal(before) == _normal(after))
            if not known(new) or not same:
                yield path, "ADD" if old is None else "DELETE" if new is None else "UPDATE"


def _normal(location: Value) -> str:
    return str(location).lower().replace(" ", "")
