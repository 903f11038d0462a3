"""Which fields of a Deployment mean what to processes on one machine: one table, field -> meaning.

`USED` fields are honoured. `NOTHING` fields are about what this machine does not have (nodes, users,
images to pull) and are passed over. What would change how a process behaves and is not done here is
`REFUSED`, before anything starts; so is a field that the table does not know.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from enum import Enum
from typing import Any

from slipway.kube.folder import Object
from slipway.kube.read import items, part


class Meaning(Enum):
    """What a field is to the local engine."""

    USED = "used"
    NOTHING = "no meaning here"
    REFUSED = "refused"


def _rows(meaning: Meaning, owner: str, fields: str) -> dict[str, Meaning]:
    return {f"{owner}.{field}": meaning for field in fields.split()}


TABLE: Mapping[str, Meaning] = {
    **_rows(Meaning.USED, "deployment", "replicas selector strategy template"),
    **_rows(Meaning.NOTHING, "deployment", "revisionHistoryLimit progressDeadlineSeconds"),
    **_rows(Meaning.REFUSED, "deployment", "minReadySeconds paused"),
    **_rows(Meaning.USED, "pod", "containers initContainers volumes terminationGracePeriodSeconds"),
    **_rows(
        Meaning.NOTHING,
        "pod",
        "affinity automountServiceAccountToken dnsConfig dnsPolicy enableServiceLinks hostIPC hostNetwork"
        " hostPID hostUsers hostname imagePullSecrets nodeName nodeSelector os overhead preemptionPolicy"
        " priority priorityClassName resources restartPolicy runtimeClassName schedulerName securityContext"
        " serviceAccount serviceAccountName setHostnameAsFQDN shareProcessNamespace subdomain tolerations"
        " topologySpreadConstraints",
    ),
    **_rows(
        Meaning.REFUSED,
        "pod",
        "activeDeadlineSeconds ephemeralContainers hostAliases readinessGates resourceClaims schedulingGates",
    ),
    **_rows(
        Meaning.USED,
        "container",
        "name image command args env envFrom ports volumeMounts livenessProbe readinessProbe startupProbe"
        " restartPolicy",
    ),
    **_rows(
        Meaning.NOTHING,
        "container",
        "imagePullPolicy resizePolicy resources securityContext stdin stdinOnce"
        " terminationMessagePath terminationMessagePolicy tty",
    ),
    **_rows(Meaning.REFUSED, "container", "lifecycle restartPolicyRules volumeDevices workingDir"),
    **_rows(
        Meaning.USED,
        "probe",
        "httpGet tcpSocket initialDelaySeconds periodSeconds timeoutSeconds successThreshold"
        " failureThreshold",
    ),
    **_rows(Meaning.REFUSED, "probe", "exec grpc terminationGracePeriodSeconds"),
    **_rows(Meaning.USED, "httpGet", "path port httpHeaders"),
    **_rows(Meaning.REFUSED, "httpGet", "host scheme"),
    **_rows(Meaning.USED, "tcpSocket", "port"),
    **_rows(Meaning.REFUSED, "tcpSocket", "host"),
    **_rows(Meaning.USED, "volume", "name secret configMap emptyDir downwardAPI"),
    **_rows(
        Meaning.REFUSED,
        "volume",
        "azureDisk azureFile csi ephemeral fc flexVolume gitRepo hostPath image iscsi nfs"
        " persistentVolumeClaim portworxVolume projected",
    ),
    **_rows(Meaning.USED, "volumeMount", "name mountPath"),
    **_rows(Meaning.NOTHING, "volumeMount", "readOnly recursiveReadOnly mountPropagation"),
    **_rows(Meaning.REFUSED, "volumeMount", "subPath subPathExpr"),
    **_rows(Meaning.USED, "env", "name value valueFrom"),
    **_rows(Meaning.USED, "valueFrom", "secretKeyRef configMapKeyRef fieldRef"),
    **_rows(Meaning.REFUSED, "valueFrom", "resourceFieldRef fileKeyRef"),
}

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
_HARMLESS: Mapping[str, object] = {  # the defaults that tools like to write out
    "deployment.minReadySeconds": 0,
    "deployment.paused": False,
    "httpGet.scheme": "HTTP",
    "pod.restartPolicy": "Always",
    "container.restartPolicy": "Always",  # of an init container: one that stays, beside the others
}


def check(objects: Collection[Object], images: Collection[str]) -> list[str]:
    """Say, a line each, why these objects cannot run as local processes; an empty list if they can."""
    lines: list[str] = []
    for obj in objects:
        if obj.get("kind") in {"StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "Pod"}:
            lines.append(f"{_title(obj)}: only Deployments run as local processes; leave it out")
        if obj.get("kind") == "Deployment":
            lines += [f"{_title(obj)}: {line}" for line in _deployment(obj, images)]
    return lines


def _title(obj: Object) -> str:
    metadata: Object = obj.get("metadata") or {}
    return f"{obj.get('kind')} {metadata.get('namespace') or 'default'}/{metadata.get('name')}"


def _deployment(obj: Object, images: Collection[str]) -> Iterator[str]:
    spec: Object = obj.get("spec") or {}
    yield from _fields("deployment", "spec", spec)
    template: Object = spec.get("template") or {}
    selector, labels = part(spec, "selector", "matchLabels"), part(template, "metadata", "labels")
    if not selector or not selector.items() <= labels.items():
        yield "spec.selector.matchLabels must be among spec.template.metadata.labels; correct one of them"
    if "matchExpressions" in part(spec, "selector"):
        yield "spec.selector.matchExpressions has no local equivalent; use matchLabels"
    yield from _pod(template.get("spec") or {}, "spec.template.spec", images)


def _pod(pod: Object, at: str, images: Collection[str]) -> Iterator[str]:
    yield from _fields("pod", at, pod)
    volumes = {volume["name"] for volume in items(pod, "volumes")}
    for volume in items(pod, "volumes"):
        yield from _fields("volume", f"{at}.volumes[{volume['name']}]", volume)
    containers = [(kind, c) for kind in ("initContainers", "containers") for c in items(pod, kind)]
    if not items(pod, "containers"):
        yield f"{at}.containers is empty; name at least one"
    for kind, container in containers:
        here = f"{at}.{kind}[{container.get('name')}]"
        yield from _fields("container", here, container)
        if container.get("image") not in images:
            yield f"{here}.image = `{container.get('image')}` is not among the images of this stack"
        for mount in items(container, "volumeMounts"):
            yield from _fields("volumeMount", f"{here}.volumeMounts[{mount.get('mountPath')}]", mount)
            if mount.get("name") not in volumes:
                yield f"{here}.volumeMounts names `{mount.get('name')}`, which is not among the volumes"
        for variable in items(container, "env"):
            yield from _fields("env", f"{here}.env[{variable.get('name')}]", variable)
            yield from _fields(
                "valueFrom", f"{here}.env[{variable.get('name')}].valueFrom", variable.get("valueFrom") or {}
            )
        for name in PROBES:
            yield from _probe(container.get(name), f"{here}.{name}", container)


def _probe(probe: Object | None, at: str, container: Object) -> Iterator[str]:
    if probe is None:
        return
    yield from _fields("probe", at, probe)
    for kind in ("httpGet", "tcpSocket"):
        handler: Object = probe.get(kind) or {}
        yield from _fields(kind, f"{at}.{kind}", handler)
        port = handler.get("port")
        known = {
            value for p in items(container, "ports") for value in (p.get("name"), p.get("containerPort"))
        }
        if handler and port not in known:
            yield f"{at}.{kind}.port = `{port}` is not among the container's ports; declare it there"


def _fields(owner: str, at: str, value: Mapping[str, Any]) -> Iterator[str]:
    for field, given in value.items():
        row = f"{owner}.{field}"
        meaning = TABLE.get(row)
        if meaning is None:
            yield f"{at}.{field} is no field that the local engine knows; correct or remove it"
        elif row in _HARMLESS and given != _HARMLESS[row]:
            yield f"{at}.{field} = `{given}` has no local equivalent; remove it or deploy to a cluster"
        elif meaning is Meaning.REFUSED and row not in _HARMLESS:
            yield f"{at}.{field} has no local equivalent; remove it or deploy to a cluster"
