"""What keeps data, images and secrets may not be open, and may not be deleted by a mistake in the program."""

from __future__ import annotations

from collections.abc import Iterator

from policies.cluster import CLUSTER, must_be
from policies.graph import Resource, Stack, at
from policies.rule import resource_rule
from slipway.problems import problem

REGISTRY = "azure-native:containerregistry:Registry"
STORAGE = "azure-native:storage:StorageAccount"
CONTAINER = "azure-native:storage:BlobContainer"
VAULT = "azure-native:keyvault:Vault"


@resource_rule(
    "data-protected",
    "Registry, storage, key vault and a production cluster are protected: no edit of a program deletes them.",
    REGISTRY,
    STORAGE,
    VAULT,
    CLUSTER,
)
def data_protected(resource: Resource, stack: Stack) -> Iterator[str]:
    if not resource.protect and (resource.type != CLUSTER or stack.production):
        yield "protect is off: a destroy or a replacement would delete it; register it with protect=True"


@resource_rule(
    "storage-closed",
    "Storage takes Entra identities over TLS only: a shared key opens all of it to whoever once read it.",
    STORAGE,
    CONTAINER,
)
def storage_closed(resource: Resource, _: Stack) -> Iterator[str]:
    if resource.type == CONTAINER:
        given = at(resource.inputs, "publicAccess") or "None"
        if given != "None":
            yield problem("publicAccess", given, "anyone could read the blobs", "leave it out")
        return
    yield from must_be(resource, "allowSharedKeyAccess", value=False)
    yield from must_be(resource, "allowBlobPublicAccess", value=False)
    yield from must_be(resource, "enableHttpsTrafficOnly", value=True, default=True)
    given = at(resource.inputs, "minimumTlsVersion")
    if given not in {"TLS1_2", "TLS1_3"}:
        yield problem("minimumTlsVersion", given, "older versions are broken", "set TLS1_2")


@resource_rule(
    "registry-closed",
    "The registry has no admin user and no anonymous pull: only an identity can be revoked.",
    REGISTRY,
)
def registry_closed(registry: Resource, _: Stack) -> Iterator[str]:
    yield from must_be(registry, "adminUserEnabled", value=False, default=False)
    yield from must_be(registry, "anonymousPullEnabled", value=False, default=False)


@resource_rule(
    "key-vault-closed",
    "The key vault is ruled by Azure RBAC and cannot be purged: a deleted certificate must come back.",
    VAULT,
)
def key_vault_closed(vault: Resource, _: Stack) -> Iterator[str]:
    yield from must_be(vault, "properties.enableRbacAuthorization", value=True)
    yield from must_be(vault, "properties.enablePurgeProtection", value=True)
    yield from must_be(vault, "properties.enableSoftDelete", value=True, default=True)
