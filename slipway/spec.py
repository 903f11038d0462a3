"""The one type of a web service: Azure ML v1's `AksWebservice.deploy_configuration` and what it serves.

Names, units and defaults are v1's, and so are its rules, but for those where v1's client let nonsense
pass. `Serving` is the part that the router reads; it travels as the Deployment's annotation
`slipway/serving`. Nothing here knows Pulumi, Kubernetes or a file system.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, StringConstraints
from pydantic_core import PydanticCustomError

from slipway import model, variables, versions
from slipway.model import REGISTERED, Model, model_of
from slipway.parts import MAX_TIMEOUT_MS, DataCollector, EgressHost, Environment, Load
from slipway.problems import KEY_FIELDS, Checked, Many
from slipway.versions import Traffic, VersionName, VersionOf

SERVING = "slipway/serving"
"""Annotation of a web service's Deployment: its `Serving` as JSON."""
WEBSERVICE = "slipway/webservice"
"""Label of everything that belongs to one web service: its name."""
SCALES_ITSELF = "slipway/scales-itself"
"""The annotation of the router's Deployment whose replicas are the router's."""
SIZE_VARIABLES = ("ROUTER_REPLICAS", "ROUTER_CPU", "ROUTER_MOST_CPU")
"""Of a router that scales itself: pods at least, thousandths of a core that each asks for and may use."""
ROUTER_NAMESPACE = "slipway"
"""Fixed, so that a second router in a cluster fails when it is created."""
AUTHORITY_SECRET = "slipway-router-ca"  # noqa: S105 - a name, as the next
TOKEN_KEYS_SECRET = "slipway-token-keys"  # noqa: S105
"""The Secrets that the router keeps itself, in its namespace."""
DEVICE_PLUGIN_NAMESPACE = "gpu-resources"
"""Where the device plugin of GPUs stands alone; AKS's documents name it so."""
IMAGE = "slipway:index:Image"
"""Type of the component that makes an image."""
AFTER_BUILD = "digest: after build"
"""How `slipway plan` shows an image that was not built yet."""
ROUTER = "router"
"""What the router is called beside the web services, so none of them can have this name."""
KEY_LENGTH = 32
"""Letters and digits of a key that is made at random."""
MAX_MODELS = 1_000
"""v1's limit of models in one container."""
KEY_RULE = "a key is one or more visible ASCII characters without a space at either end; give another"

Positive = Annotated[int, Field(gt=0, le=2**31 - 1)]
"""Kubernetes and HAProxy count in 32 bits."""
Quantity = Annotated[float, Field(ge=0.001)]
"""Less would be rounded to nothing."""
Milliseconds = Annotated[int, Field(gt=0, le=MAX_TIMEOUT_MS)]
ServiceName = Annotated[
    str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", min_length=3, max_length=32)
]
Namespace = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
ComputeName = Annotated[
    str, StringConstraints(pattern=r"^[a-zA-Z][-a-zA-Z0-9]*$", min_length=3, max_length=24)
]
ExtendedResource = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$")]


def _model_text(text: str) -> str:
    try:
        model_of(text)
    except ValueError as error:
        raise PydanticCustomError("rule", "{rule}", {"rule": str(error)}) from None
    return text


ModelText = Annotated[str, AfterValidator(_model_text)]


class Serving(Checked):
    """What the router must know of a web service: limits, timeouts, scaling, ways to authenticate."""

    autoscale_enabled: bool = True
    """true or false; on unless `num_replicas` is set"""
    autoscale_min_replicas: Annotated[int, Field(ge=0, le=2**31 - 1)] = 1
    """a number of replicas; with 0 a request may have to wait until the first one has started"""
    autoscale_max_replicas: Positive = 10
    """a number of replicas of at least 1"""
    autoscale_refresh_seconds: Positive = 1
    """whole seconds of at least 1"""
    autoscale_target_utilization: Annotated[int, Field(gt=0, le=100)] = 70
    """a percentage from 1 to 100"""
    num_replicas: Positive | None = None
    """a fixed number of replicas of at least 1, or leave it out to scale by load"""
    replica_max_concurrent_requests: Positive = 1
    """a number of requests of at least 1"""
    max_request_wait_time: Milliseconds = 500
    """whole milliseconds from 1 to 300000"""
    scoring_timeout_ms: Milliseconds = 60_000
    """whole milliseconds from 1 to 300000"""
    auth_enabled: bool = True
    """true or false; on unless `token_auth_enabled` is"""
    token_auth_enabled: bool = False
    """true or false"""

    @classmethod
    def derived(cls, given: Mapping[str, object]) -> dict[str, object]:
        return {
            "autoscale_enabled": given.get("num_replicas") is None,
            "auth_enabled": given.get("token_auth_enabled") is not True,
        }

    def mistakes(self) -> list[str]:
        mistakes: list[str] = []
        if self.autoscale_enabled and self.num_replicas is not None:
            mistakes.append(
                f"autoscale_enabled = true with num_replicas = {self.num_replicas}: "
                "the number is either fixed or scaled; remove one of the two"
            )
        if not self.autoscale_enabled and self.num_replicas is None:
            mistakes.append("autoscale_enabled = false without num_replicas: set num_replicas")
        if self.autoscale_min_replicas > self.autoscale_max_replicas:
            mistakes.append(
                f"autoscale_min_replicas = {self.autoscale_min_replicas} is above autoscale_max_replicas = "
                f"{self.autoscale_max_replicas}: lower the first or raise the second"
            )
        if not self.autoscale_enabled:
            scaling = [name for name in Serving.model_fields if name.startswith("autoscale_")][1:]
            mistakes += [
                f"{name} = {getattr(self, name)} without autoscaling: it has no effect; remove it, "
                "or remove num_replicas"
                for name in scaling
                if getattr(self, name) != Serving.model_fields[name].default
            ]
        if self.auth_enabled and self.token_auth_enabled:
            mistakes.append(
                "auth_enabled = true with token_auth_enabled = true: keys or tokens, not both; remove one"
            )
        return mistakes


class Served(Serving):
    """The annotation of a Deployment: of a web service, or of one of its versions."""

    version: VersionOf | None = None


class Deployed(Serving):
    """What one Deployment is made of: all of a web service but what its versions have in common."""

    entry_script: str | None = None
    """the path of the Python file with `init` and `run`, from `source_directory`"""
    source_directory: str = "."
    """the path of the folder with the service's code, from the project's folder"""
    arguments: Many[str] = ()
    """a list of strings, which the entry script finds in `sys.argv`"""
    models: Annotated[Many[ModelText], Field(max_length=MAX_MODELS)] = ()
    """a list of at most 1000 models: paths from the project's folder, or azureml:NAME:VERSION, not both"""
    model_layer_gb_limit: Quantity = 2
    """gigabytes of model files that an image may hold; what is larger is registered and then fetched"""
    model_volume_gb: Quantity = 1
    """gigabytes of a node's disk that registered models take; the pod asks for them"""
    environment: Environment = Environment()
    """a mapping: python_version, requirements, environment_variables, base_image, image, ..."""
    cpu_cores: Quantity = 0.1
    """a number of cores of at least 0.001"""
    cpu_cores_limit: Quantity | None = None
    """a number of cores of at least `cpu_cores`"""
    memory_gb: Quantity = 0.5
    """gigabytes of at least 0.001"""
    memory_gb_limit: Quantity | None = None
    """gigabytes of at least `memory_gb`"""
    max_batch_size: Positive = 1
    """a number of requests of at least 1; above 1, `run` is given lists of requests and returns lists"""
    batch_wait_ms: Annotated[int, Field(ge=0, le=MAX_TIMEOUT_MS)] = 5
    """whole milliseconds from 0 to 300000 that a request waits for others, at most, when `run` is free"""
    gpu_cores: Annotated[int, Field(ge=0)] = 0
    """a whole number of GPUs"""
    accelerator: ExtendedResource = "nvidia.com/gpu"
    """the extended resource that gpu_cores counts, such as nvidia.com/gpu"""
    expected_load: Load | None = None
    """a mapping: requests_per_second, seconds_per_request; replicas and nodes are checked against it"""
    egress: Many[EgressHost] = ()
    """a list of hosts that the model calls: host, port, protocol, reason"""
    period_seconds: Positive = 10
    """whole seconds of at least 1"""
    initial_delay_seconds: Positive = 310
    """whole seconds of at least 1"""
    timeout_seconds: Positive = 2
    """whole seconds of at least 1"""
    success_threshold: Annotated[int, Field(ge=1, le=1)] = 1
    """1, the only value that Kubernetes takes for a liveness probe"""
    failure_threshold: Positive = 3
    """a number of failures of at least 1"""
    collect_model_data: bool = False
    """true or false: what the script's collectors get, or without any each request and its answer"""
    data_collector: DataCollector = DataCollector()
    """a mapping: sampling_rate"""
    upload_outputs: bool = False
    """true or false: what the script writes under ./outputs goes to the workspace's storage"""
    enable_app_insights: bool = False
    """true or false: export traces, metrics and logs, to the workspace or where a variable says"""
    blobfuse_enabled: bool = True
    """true or false; v1's, without effect here: models are in the image or fetched before the start"""
    tags: dict[str, str] = Field(default_factory=dict)
    """a mapping of strings to strings; v1's, without effect in a cluster"""
    properties: dict[str, str] = Field(default_factory=dict)
    """a mapping of strings to strings; v1's, without effect in a cluster"""
    description: str | None = None
    """a text; v1's, without effect in a cluster"""

    @property
    def registered_models(self) -> tuple[Model, ...]:
        """Give the models that are fetched from the storage; all of them or none."""
        return tuple(model for model in map(model_of, self.models) if model.path is None)

    @property
    def uploads(self) -> bool:
        """Tell whether its pods have a container that uploads."""
        return self.collect_model_data or self.upload_outputs

    @property
    def uses_storage(self) -> bool:
        """Tell whether its pods fetch registered models or upload."""
        return bool(self.registered_models) or self.uploads

    def mistakes(self) -> list[str]:
        mistakes = super().mistakes() + [
            f"{limit} = {getattr(self, limit):g} is below {request} = {getattr(self, request):g}: "
            f"raise {limit} to {getattr(self, request):g} or more"
            for request, limit in (("cpu_cores", "cpu_cores_limit"), ("memory_gb", "memory_gb_limit"))
            if getattr(self, limit) is not None and getattr(self, limit) < getattr(self, request)
        ]
        mistakes += self._concurrency()
        if self.data_collector != DataCollector() and not self.collect_model_data:
            mistakes.append(
                "data_collector without collect_model_data has no effect: set collect_model_data: true, or "
                "remove it"
            )
        if self.entry_script is None and self.environment.image is None:
            mistakes.append("entry_script is required: name the Python file with `init` and `run`")
        mistakes += variables.mistakes(
            self.environment.environment_variables,
            built=self.environment.image is None,
            fetched=any(text.startswith(REGISTERED) for text in self.models),
        )
        return mistakes + model.mistakes(self.models)

    def exports_to_workspace(self) -> bool:
        """Tell whether telemetry goes to the workspace's Application Insights: no variable says otherwise."""
        return self.enable_app_insights and not any(
            name == "APPLICATIONINSIGHTS_CONNECTION_STRING"
            or (name.startswith("OTEL_EXPORTER_OTLP_") and name.endswith("ENDPOINT"))
            for name in self.environment.environment_variables
        )

    def _concurrency(self) -> list[str]:
        """Hold worker processes and batches against the limit of requests, which counts those of both."""
        mistakes: list[str] = []
        workers = self.environment.environment_variables.get("WORKER_COUNT", "1")
        variable = "environment.environment_variables.WORKER_COUNT"
        if not (workers.isascii() and workers.isdigit() and int(workers)):
            return [f"{variable} = {workers} is no number of processes: give a whole number of at least 1"]
        limit, needed = self.replica_max_concurrent_requests, int(workers) * self.max_batch_size
        if needed > limit:
            mistakes.append(
                f"max_batch_size = {self.max_batch_size} with {variable} = {workers} is above "
                f"replica_max_concurrent_requests = {limit}: raise that to {needed}, or lower one of the two"
            )
        if (
            self.max_batch_size == 1
            and self.batch_wait_ms != type(self).model_fields["batch_wait_ms"].default
        ):
            mistakes.append(
                f"batch_wait_ms = {self.batch_wait_ms} without batches has no effect: set max_batch_size, or "
                "remove it"
            )
        return mistakes


class Version(Deployed, Traffic):
    """One version: also any setting above that is to be another for it, but those of names and keys."""

    @classmethod
    def derived(cls, given: Mapping[str, object]) -> dict[str, object]:
        return {}

    def mistakes(self) -> list[str]:
        return []  # judged with what it has from its web service


class WebserviceSpec(Deployed):
    """One web service, as the stack file and v1's `deploy_configuration` write it."""

    name: ServiceName = Field(examples=["service"])
    """3 to 32 lower-case letters, digits and hyphens, a letter first and no hyphen last"""
    versions: dict[VersionName, Version] = Field(default_factory=dict)
    """a mapping of at most 6 names (lower-case letters, digits, hyphens; at most 30) to versions"""
    namespace: Namespace = "slipway-services"
    """a Kubernetes namespace: at most 63 lower-case letters, digits and hyphens"""
    primary_key: SecretStr | None = None
    """a key, given from a program and never in a stack file"""
    secondary_key: SecretStr | None = None
    """a key, given from a program and never in a stack file"""
    compute_target_name: ComputeName | None = None
    """a name of 3 to 24 letters, digits and hyphens; v1's, without effect: the stack is the target"""

    @property
    def endpoint(self) -> str:
        """Name the web service in whose address this is found, and whose keys count."""
        return self.name

    @property
    def at(self) -> str:
        """Name the place in a stack file."""
        return f"webservices[{self.name}]"

    def deployed(self) -> tuple[WebserviceSpec, ...]:
        """Give what has replicas: each version as a web service of its own, or without any itself."""
        return tuple(map(self._version, self.versions)) or (self,)

    def serving(self) -> Serving:
        """Give the part that the router reads."""
        return Serving(**{name: getattr(self, name) for name in Serving.model_fields})

    def mistakes(self) -> list[str]:
        mistakes: list[str] = []
        if self.secondary_key is not None and self.primary_key is None:
            mistakes.append("secondary_key without primary_key: give primary_key too")
        mistakes += [
            f"{name}: {KEY_RULE}"
            for name in KEY_FIELDS
            if (key := getattr(self, name)) is not None and not is_key(key.get_secret_value())
        ]
        if self.name == ROUTER:
            mistakes.append(f"name = {self.name} is the router's own: choose another")
        if self.namespace == ROUTER_NAMESPACE:
            mistakes.append(f"namespace = {self.namespace} is the router's own: choose another")
        if self.namespace == DEVICE_PLUGIN_NAMESPACE:
            mistakes.append(f"namespace = {self.namespace} is the device plugin's own: choose another")
        if self.namespace == "default" or self.namespace.startswith("kube-"):
            mistakes.append(f"namespace = {self.namespace} is Kubernetes' own: choose another")
        if not self.versions:
            return mistakes + super().mistakes()
        return mistakes + versions.mistakes(self.versions) + self._of_versions()

    def _of_versions(self) -> list[str]:
        """Give the mistakes of each version; what all of them have comes from here, and is said once."""
        each = {name: self._of_version(name) for name in self.versions}
        first, *others = each.values()
        common = [line for line in first if others and all(line in lines for lines in others)]
        own = [(name, line) for name, lines in each.items() for line in lines if line not in common]
        return [*common, *(f"versions.{name}: {line}" for name, line in own)]

    def _of_version(self, name: str) -> list[str]:
        whole, own = self._version(name), self.versions[name]
        lines = Deployed.mistakes(whole) + [
            f"{field} is the web service's, the same for all versions: set it there, not here"
            for field in ("auth_enabled", "token_auth_enabled")
            if field in own.model_fields_set
        ]
        scaled = whole.autoscale_enabled and not whole.autoscale_min_replicas
        if scaled and len(self.versions) > 1 and (own.traffic_percentile or own.is_default):
            lines.append(
                "autoscale_min_replicas = 0 with traffic: requests go to versions with replicas, so no "
                "request would ever start the first one; set 1 or more"
            )
        return lines

    def _version(self, name: str) -> VersionSpec:
        own, fields = self.versions[name], Deployed.model_fields.keys()
        common = {field: getattr(self, field) for field in self.model_fields_set & fields}
        for field, value in self.derived(common).items():  # from others, of which a version may have its own
            if common.get(field) == value:
                del common[field]
        given = common | {field: getattr(own, field) for field in own.model_fields_set & fields}
        traffic = {field: getattr(own, field) for field in Traffic.model_fields}
        traffic["is_default"] |= len(self.versions) == 1
        version = VersionOf(endpoint=self.name, name=name, **traffic)
        given = {**self.derived(given), **given, "name": version.service, "namespace": self.namespace}
        return VersionSpec.model_construct(None, version=version, **given)


class VersionSpec(WebserviceSpec):
    """One version as a web service of its own, with all that it has from the one that it is a version of."""

    version: VersionOf

    @property
    def endpoint(self) -> str:
        return self.version.endpoint

    @property
    def at(self) -> str:
        return f"webservices[{self.endpoint}].versions.{self.version.name}"

    def serving(self) -> Serving:
        return Served(**super().serving().model_dump(), version=self.version)


def is_key(text: str) -> bool:
    """Tell whether a text can be a key: a header carries nothing but visible ASCII."""
    return bool(text) and text.isascii() and text.isprintable() and text == text.strip()
