"""Transforms: functions of the program that see every resource or call before the engine does.

The SDK serves them over gRPC on the loopback interface of its own process, for engines in another one;
calling them the same way keeps the SDK unchanged. A transform may register resources itself, so nothing
may be locked while one runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import grpc
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import callback_pb2, callback_pb2_grpc, resource_pb2

from slipway.engine import wire

Callback = callback_pb2.Callback
ResourceOptions = resource_pb2.TransformResourceOptions
InvokeOptions = resource_pb2.TransformInvokeOptions


class Transforms:
    """Those of the stack, in order of registration, and the connections to all."""

    def __init__(self) -> None:
        self.stack: list[Callback] = []
        self.invokes: list[Callback] = []
        self._channels: dict[str, grpc.Channel] = {}

    def resource(
        self,
        callbacks: Iterable[Callback],
        request: resource_pb2.RegisterResourceRequest,
        options: ResourceOptions,
        dependencies: Mapping[str, Iterable[str]],
    ) -> tuple[Struct, ResourceOptions]:
        """Give the properties and options that all transforms leave, called in order.

        The first sees what its properties depend on; each sees what the one before it left.
        """
        properties = request.object
        if dependencies:
            properties = wire.for_transform(properties, dependencies)
        for callback in callbacks:
            given = resource_pb2.TransformRequest(
                type=request.type,
                name=request.name,
                custom=request.custom,
                parent=request.parent,
                properties=wire.for_transform(properties, {}),
                options=options,
            )
            answer = resource_pb2.TransformResponse.FromString(
                self._call(callback, given.SerializeToString())
            )
            properties = answer.properties if answer.HasField("properties") else properties
            options = answer.options if answer.HasField("options") else options
        return properties, options

    def invoke(self, tok: str, args: Struct, options: InvokeOptions) -> tuple[Struct, InvokeOptions]:
        """Give the arguments and options that all transforms leave, called in order."""
        for callback in self.invokes:
            given = resource_pb2.TransformInvokeRequest(
                token=tok, args=wire.for_transform(args, {}), options=options
            )
            answer = resource_pb2.TransformInvokeResponse.FromString(
                self._call(callback, given.SerializeToString())
            )
            args = answer.args if answer.HasField("args") else args
            options = answer.options if answer.HasField("options") else options
        return args, options

    def close(self) -> None:
        """Close all connections."""
        for channel in self._channels.values():
            channel.close()

    def _call(self, callback: Callback, request: bytes) -> bytes:
        channel = self._channels.get(callback.target)
        if channel is None:
            channel = self._channels[callback.target] = grpc.insecure_channel(callback.target)
        stub: Any = callback_pb2_grpc.CallbacksStub(channel)  # generated without types
        answer: callback_pb2.CallbackInvokeResponse = stub.Invoke(
            callback_pb2.CallbackInvokeRequest(token=callback.token, request=request)
        )
        return answer.response
