"""Calls the stand-in as the engine does: Check before all else, inputs and outputs as graph values."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from pulumi.runtime.proto import provider_pb2 as pb

from slipway.engine import urns
from slipway.engine.wire import read_struct, write_struct
from tests.engine.stand_in.provider import attached
from tests.engine.stand_in.world import World

Properties = dict[str, Any]
"""graph values"""
Answer = TypeVar("Answer", bound=Message)


class AzureError(Exception):
    """What the provider refused, in its words."""


@dataclass(frozen=True)
class Made:
    """A resource that the provider made, as the state would hold it."""

    urn: str
    id: str
    inputs: Properties
    outputs: Properties

    @property
    def ref(self) -> dict[str, str]:
        """The resource as Azure refers to it inside another: `{"id": ...}`."""
        return {"id": self.id}


class Client:
    """The engine's side of the protocol. Every method raises `AzureError` for what is refused."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def configure(self, **config: Any) -> None:
        self._call("Handshake", pb.ProviderHandshakeRequest(), pb.ProviderHandshakeResponse)
        self._call("Configure", pb.ConfigureRequest(args=write_struct(config)), pb.ConfigureResponse)

    def check(self, type_: str, name: str, news: Properties, olds: Properties | None = None) -> Properties:
        """Give the inputs as the provider fills them in; all failures together are the error."""
        request = pb.CheckRequest(
            urn=urn_of(type_, name),
            news=write_struct(news),
            olds=write_struct(olds or {}),
            randomSeed=name.encode(),
        )
        answer = self._call("Check", request, pb.CheckResponse)
        if answer.failures:
            raise AzureError("\n".join(failure.reason for failure in answer.failures))
        return read_struct(answer.inputs)

    def preview(self, type_: str, name: str, /, **inputs: Any) -> Properties:
        properties = write_struct(self.check(type_, name, inputs))
        request = pb.CreateRequest(urn=urn_of(type_, name), properties=properties, preview=True)
        answer = self._call("Create", request, pb.CreateResponse)
        assert not answer.id
        return read_struct(answer.properties)

    def create(self, type_: str, name: str, /, **inputs: Any) -> Made:
        urn, checked = urn_of(type_, name), self.check(type_, name, inputs)
        request = pb.CreateRequest(urn=urn, properties=write_struct(checked))
        answer = self._call("Create", request, pb.CreateResponse)
        return Made(urn, answer.id, checked, read_struct(answer.properties))

    def diff(self, made: Made, /, **changes: Any) -> pb.DiffResponse:
        old, new = write_struct(made.inputs), write_struct(made.inputs | changes)
        olds = write_struct(made.outputs)
        request = pb.DiffRequest(id=made.id, urn=made.urn, olds=olds, old_inputs=old, news=new)
        return self._call("Diff", request, pb.DiffResponse)

    def update(self, made: Made, /, *, preview: bool = False, **changes: Any) -> Properties:
        old, new = write_struct(made.inputs), write_struct(made.inputs | changes)
        request = pb.UpdateRequest(
            id=made.id,
            urn=made.urn,
            olds=write_struct(made.outputs),
            old_inputs=old,
            news=new,
            preview=preview,
        )
        return read_struct(self._call("Update", request, pb.UpdateResponse).properties)

    def read(self, made: Made) -> Made | None:
        """Give a resource as it is, None if it is gone."""
        answer = self._call("Read", pb.ReadRequest(id=made.id, urn=made.urn), pb.ReadResponse)
        if not answer.id:
            return None
        return Made(made.urn, answer.id, read_struct(answer.inputs), read_struct(answer.properties))

    def delete(self, made: Made) -> None:
        self._call("Delete", pb.DeleteRequest(id=made.id, urn=made.urn), Empty)

    def invoke(self, function: str, /, **given: Any) -> Properties:
        request = pb.InvokeRequest(tok=f"azure-native:{function}", args=write_struct(given))
        return read_struct(getattr(self._call("Invoke", request, pb.InvokeResponse), "return"))

    def _call(self, method: str, request: Message, answer: type[Answer]) -> Answer:
        call = self._channel.unary_unary(
            f"/pulumirpc.ResourceProvider/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        try:
            return call(request)
        except grpc.RpcError as error:
            raise AzureError(error.details() if isinstance(error, grpc.Call) else str(error)) from None


@contextmanager
def connected(world: World) -> Generator[Client]:
    """Serve a world and connect to it."""
    with attached(world) as port, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Client(channel)


def urn_of(type_: str, name: str) -> str:
    return urns.make("test", "test", "", f"azure-native:{type_}", name)
