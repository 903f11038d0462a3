"""Pulumi's resource monitor, in the process of the program that it watches.

The SDK calls it as it would call the engine behind a gRPC connection. What the engine's `source_eval`
and step generator do to a registration before any provider sees it is done here: inheritance from the
parent, providers, transforms, URNs, and the errors for what cannot be. Providers do not run: a resource
gives back its inputs and leaves the rest unknown, unless a resolver knows better, and so is the answer
of a provider's function.

Left out: remote components and parameterised packages, which are made by plugins and refused by name;
hooks are accepted and never called, as in a preview.
"""

# ruff: noqa: N802  the protocol gives methods their names
from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, cast

from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import resource_pb2 as pb

from slipway.engine import options, providers, sdk, urns, wire
from slipway.engine.graph import UNKNOWN, Graph, Registration, Secret, Value
from slipway.engine.project import Project
from slipway.engine.request import EngineError, Invoke, Resolver, StackOutputs
from slipway.engine.transforms import Callback, InvokeOptions, ResourceOptions, Transforms

STACK_REFERENCE = "pulumi:pulumi:StackReference"
FEATURES = [
    pb.RESOURCE_MONITOR_FEATURE_SECRETS,
    pb.RESOURCE_MONITOR_FEATURE_RESOURCE_REFERENCES,
    pb.RESOURCE_MONITOR_FEATURE_OUTPUT_VALUES,
    pb.RESOURCE_MONITOR_FEATURE_ALIAS_SPECS,
    pb.RESOURCE_MONITOR_FEATURE_REPLACEMENT_TRIGGER,
    pb.RESOURCE_MONITOR_FEATURE_DELETED_WITH,
    pb.RESOURCE_MONITOR_FEATURE_REPLACE_WITH,
    pb.RESOURCE_MONITOR_FEATURE_TRANSFORMS,
    pb.RESOURCE_MONITOR_FEATURE_INVOKE_TRANSFORMS,
    pb.RESOURCE_MONITOR_FEATURE_PARAMETERIZATION,
    pb.RESOURCE_MONITOR_FEATURE_RESOURCE_HOOKS,
    pb.RESOURCE_MONITOR_FEATURE_ERROR_HOOKS,
    pb.RESOURCE_MONITOR_FEATURE_INVOKE_DEPENDS_ON,
]


@dataclass
class _Node:
    """A registration with what its children inherit."""

    registration: Registration
    provider: str = ""
    """a reference: URN and id"""
    providers: Mapping[str, str] = field(default_factory=dict[str, str])
    """of a component: package to provider"""
    protect: bool | None = None
    retain_on_delete: bool | None = None
    deleted_with: str = ""
    transforms: tuple[Callback, ...] = ()


class Monitor:
    """One run's registrations. Methods with capital names are the protocol's, called from many threads."""

    def __init__(
        self,
        project: Project,
        resolve: Resolver | None = None,
        invoke: Invoke | None = None,
        stacks: StackOutputs | None = None,
    ) -> None:
        self.failure = ""
        self.unasked: set[str] = set()
        """the functions of providers that the program called and nobody answered"""
        self._project = project
        self._resolve = resolve
        self._invoke = invoke
        self._stacks = stacks or {}
        self._nodes: dict[str, _Node] = {}
        self._lock = threading.RLock()
        self._transforms = Transforms()

    def graph(self) -> Graph:
        """Give all that was registered."""
        found = tuple(node.registration for _, node in sorted(self._nodes.items()))
        outputs = next((r.outputs for r in found if r.type == urns.STACK_TYPE), dict[str, Value]())
        project, unasked = self._project, tuple(sorted(self.unasked))
        return Graph(project.name, project.stack, found, outputs, project.encrypted, unasked)

    def close(self) -> None:
        """Close the connections to the program's transforms."""
        self._transforms.close()

    def RegisterResource(self, request: pb.RegisterResourceRequest) -> pb.RegisterResourceResponse:
        what = f"{request.type} `{request.name}`"
        if request.remote:
            self._fail(f"{what} is a remote component: a plugin makes it, and no plugin runs here")
        if request.custom and request.type.count(":") != 2:
            self._fail(f"{what}: the type must have the form package:module:name")
        self._inherit(request)
        dependencies = {name: set(found.urns) for name, found in request.propertyDependencies.items()}
        if not dependencies:
            dependencies = {name: set(request.dependencies) for name in request.object.fields}
        provider = self._provider_of(request) if request.custom else request.provider
        given = options.from_request(request, provider)
        own = options.transforms(request)
        callbacks = [*own, *self._inherited_transforms(request.parent), *self._transforms.stack]
        properties, given = self._transforms.resource(callbacks, request, given, dependencies if own else {})
        found = {name: set[str]() if own else dependencies.get(name, set()) for name in properties.fields}
        inputs = {name: wire.read(value, found[name]) for name, value in properties.fields.items()}
        every = set(given.depends_on).union(*found.values()) if own else set(request.dependencies)
        registration = Registration(
            urn=self._urn(request.parent, request.type, request.name),
            type=request.type,
            name=request.name,
            custom=request.custom,
            parent=request.parent,
            inputs=inputs,
            dependencies=tuple(sorted(every)),
            property_dependencies={
                name: tuple(sorted(names)) for name, names in sorted(found.items()) if names
            },
            protect=given.protect,
            ignore_changes=tuple(given.ignore_changes),
            version=given.version,
            source=options.source(request, self._project.root),
            options=options.state(given),
        )
        with self._lock:
            node = self._register(registration, given, own)
        registration = node.registration
        return pb.RegisterResourceResponse(
            urn=registration.urn,
            id=registration.known_id,
            object=wire.write_struct(registration.outputs if registration.custom else {}),
        )

    def RegisterResourceOutputs(self, request: pb.RegisterResourceOutputsRequest) -> Empty:
        with self._lock:
            node = self._nodes.get(request.urn)
            if node is None:
                self._fail(f"outputs for {request.urn}, which is not registered")
            node.registration = replace(node.registration, outputs=wire.read_struct(request.outputs))
        return Empty()

    def ReadResource(self, request: pb.ReadResourceRequest) -> pb.ReadResourceResponse:
        with self._lock:
            provider = request.provider or self._default_provider(
                request.type, request.version, request.pluginDownloadURL
            )
            node = self._add(
                Registration(
                    urn=self._urn(request.parent, request.type, request.name),
                    type=request.type,
                    name=request.name,
                    custom=True,
                    parent=request.parent,
                    inputs=wire.read_struct(request.properties),
                    id=UNKNOWN if request.id == wire.UNKNOWN_TEXT else request.id,
                    dependencies=tuple(sorted(request.dependencies)),
                    provider=providers.urn_of(provider),
                    version=request.version,
                    external=True,
                    source=options.source(request, self._project.root),
                )
            )
        found = node.registration
        properties = wire.write_struct(found.outputs)
        return pb.ReadResourceResponse(urn=found.urn, id=found.known_id, properties=properties)

    def Invoke(self, request: pb.ResourceInvokeRequest) -> pb.ResourceInvokeResponse:
        given = InvokeOptions(
            provider=request.provider, version=request.version, plugin_download_url=request.pluginDownloadURL
        )
        args, given = self._transforms.invoke(request.tok, request.args, given)
        with self._lock:
            if not given.provider:
                self._default_provider(request.tok, given.version, given.plugin_download_url)
            waiting = [self._nodes.get(urn) for urn in request.dependsOn]
        if any(node is not None and node.registration.id is UNKNOWN for node in waiting):
            return pb.ResourceInvokeResponse(unknown=True)
        arguments = {name: wire.read(value) for name, value in args.fields.items()}
        if request.tok == "pulumi:pulumi:getResource":
            result = self._get_resource(str(arguments.get("urn")))
        elif self._invoke is None:
            self.unasked.add(request.tok)
            return pb.ResourceInvokeResponse(unknown=True)
        else:
            result = self._invoke(request.tok, arguments)
        return pb.ResourceInvokeResponse(**cast("Any", {"return": wire.write_struct(result)}))

    def Call(self, request: pb.ResourceCallRequest) -> NoReturn:
        self._fail(f"the program calls the method {request.tok} of a remote component: no plugin runs here")

    def ExistsResource(self, request: pb.ExistsResourceRequest) -> pb.ExistsResourceResponse:
        return pb.ExistsResourceResponse(unknown=True)

    def RegisterPackage(self, request: pb.RegisterPackageRequest) -> NoReturn:
        self._fail(f"the program uses a parameterised package of {request.name}: only its plugin knows that")

    def RegisterStackTransform(self, request: Callback) -> Empty:
        self._transforms.stack.append(request)
        return Empty()

    def RegisterStackInvokeTransform(self, request: Callback) -> Empty:
        self._transforms.invokes.append(request)
        return Empty()

    def RegisterResourceHook(self, request: object) -> Empty:
        return Empty()

    def RegisterErrorHook(self, request: object) -> Empty:
        return Empty()

    def SignalAndWaitForShutdown(self, request: object) -> Empty:
        self._transforms.close()  # before the program closes its end
        return Empty()

    def GetDeploymentInfo(self, request: object) -> pb.DeploymentInfo:
        return pb.DeploymentInfo(supportedFeatures=FEATURES)

    def _register(
        self, found: Registration, given: ResourceOptions, transforms: tuple[Callback, ...]
    ) -> _Node:
        parent = self._nodes.get(found.parent)
        provider, passed_on = given.provider, dict(given.providers)
        inputs = found.inputs
        if urns.is_provider(found.type):
            provider = ""
            inputs = providers.with_version(inputs, given.version, given.plugin_download_url)
        elif found.custom:
            provider = provider or self._default_provider(
                found.type, given.version, given.plugin_download_url
            )
            if providers.urn_of(provider) not in self._nodes:
                self._fail(f"{found.urn}: unknown provider {providers.urn_of(provider)}")
        elif parent is not None and not parent.registration.custom:
            passed_on = {**parent.providers, **passed_on}
        inherited = parent.registration.aliases if parent else ()
        found = replace(
            found,
            inputs=inputs,
            provider=providers.urn_of(provider) if found.custom else "",
            aliases=urns.aliases(found.urn, found.parent, options.aliases(given), inherited),
        )
        node = self._add(found)
        node.provider = provider if found.custom else ""
        node.providers = passed_on
        node.protect = given.protect if given.HasField("protect") else None
        node.retain_on_delete = given.retain_on_delete if given.HasField("retain_on_delete") else None
        node.deleted_with = given.deleted_with
        node.transforms = transforms
        return node

    def _add(self, found: Registration) -> _Node:
        """Keep a registration together with what it would become. Raises `EngineError`."""
        if found.parent and found.parent not in self._nodes:
            self._fail(f"{found.urn}: could not find parent resource {found.parent}")
        if found.urn in self._nodes:
            other = self._nodes[found.urn].registration.source
            self._fail(
                f"duplicate resource URN {found.urn}: "
                f"{found.source or 'a resource'} and {other or 'another'} have one type and name"
            )
        node = _Node(self._with_outputs(found) if found.custom else found)
        self._nodes[found.urn] = node
        return node

    def _with_outputs(self, found: Registration) -> Registration:
        if found.type == STACK_REFERENCE:
            outputs = self._stacks.get(str(found.inputs.get("name")))
            return replace(found, outputs={"name": found.inputs.get("name"), **_stack_reference(outputs)})
        try:
            resolved = self._resolve(found) if self._resolve is not None else None
        except EngineError as refusal:
            self._fail(str(refusal))
        identity = wire.UNKNOWN_TEXT if urns.is_provider(found.type) else found.id
        shown = sdk.previewed(found.type, found.inputs) if found.type.startswith("azure-native:") else None
        outputs = dict(found.inputs if shown is None else shown)
        if resolved is not None:
            identity = resolved.id
            outputs |= resolved.outputs
        secret = found.options.get("additionalSecretOutputs", [])
        assert isinstance(secret, list)
        outputs |= {str(name): _secret(outputs.get(str(name), UNKNOWN)) for name in secret}
        return replace(found, id=identity, outputs=outputs)

    def _inherit(self, request: pb.RegisterResourceRequest) -> None:
        """Fill in what the parent passes on to all of its children."""
        parent = self._nodes.get(request.parent)
        if parent is None:
            return
        request.deletedWith = request.deletedWith or parent.deleted_with
        if not request.HasField("protect") and parent.protect is not None:
            request.protect = parent.protect
        if not request.HasField("retainOnDelete") and parent.retain_on_delete is not None:
            request.retainOnDelete = parent.retain_on_delete
        if not request.provider and (not request.custom or providers.serves(parent.provider, request.type)):
            request.provider = parent.provider

    def _provider_of(self, request: pb.RegisterResourceRequest) -> str:
        package = urns.package(request.type)
        parent = self._nodes.get(request.parent)
        inherited = (
            parent.providers if parent is not None and not parent.registration.custom else dict[str, str]()
        )
        return request.provider or request.providers.get(package, "") or inherited.get(package, "")

    def _default_provider(self, type_: str, version: str, url: str) -> str:
        """Give the reference of the provider for resources that name none, registered at its first use."""
        package = urns.package(type_)
        if providers.denied(package, self._project.config):
            self._fail(f"{type_}: the default provider of {package} is disabled; name a provider")
        provider, name = f"{urns.PROVIDERS}{package}", providers.default_name(version, url)
        urn = self._urn("", provider, name)
        if urn not in self._nodes:
            inputs = providers.default_inputs(package, self._project.config, version, url)
            self._add(Registration(urn, provider, name, custom=True, inputs=inputs, version=version))
        return f"{urn}::{wire.UNKNOWN_TEXT}"

    def _inherited_transforms(self, urn: str) -> list[Callback]:
        found: list[Callback] = []
        while urn in self._nodes:
            node = self._nodes[urn]
            found += node.transforms
            urn = node.registration.parent
        return found

    def _get_resource(self, urn: str) -> dict[str, Value]:
        node = self._nodes.get(urn)
        if node is None:
            self._fail(f"the program refers to {urn}, which is not registered")
        found = node.registration
        return {"urn": urn, "id": found.id, "state": found.outputs}

    def _urn(self, parent: str, type_: str, name: str) -> str:
        return urns.make(self._project.stack, self._project.name, parent, type_, name)

    def _fail(self, message: str) -> NoReturn:
        self.failure = self.failure or message
        raise EngineError(message)


def _secret(value: Value) -> Value:
    return value if isinstance(value, Secret) else Secret(value)


def _stack_reference(outputs: Mapping[str, Value] | None) -> dict[str, Value]:
    if outputs is None:
        return {"outputs": UNKNOWN, "secretOutputNames": UNKNOWN}
    names: list[Value] = [name for name, value in outputs.items() if isinstance(value, Secret)]
    return {"outputs": dict(outputs), "secretOutputNames": names}
