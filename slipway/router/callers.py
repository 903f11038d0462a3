"""Who asks for a token: Kubernetes knows, and says what they may. On one machine a key does."""

from http import HTTPStatus
from typing import Any, Literal, Protocol

from slipway.kube.client import Client, ClusterError
from slipway.kube.folder import Object
from slipway.router.state import Service, hashed

LOCAL_CALLER = "local"


class Refused(Exception):
    """No token for this caller; `reason` is the refusal's, the text is for the log."""

    def __init__(
        self,
        reason: Literal["login_missing", "login_wrong", "token_forbidden", "tokens_unavailable"],
        text: str = "",
    ) -> None:
        super().__init__(text)
        self.reason = reason


class Callers(Protocol):
    """Knows callers by what they log in with."""

    async def name(self, login: str, service: Service) -> str:
        """Name a caller who may have tokens of a service. Raises `Refused`."""
        ...


class LocalCallers:
    """Whoever has a key of the service."""

    async def name(self, login: str, service: Service) -> str:
        if hashed(login) not in service.keys:
            raise Refused("login_wrong")
        return LOCAL_CALLER


class ClusterCallers:
    """Whom the API server knows (TokenReview) and lets `create` `webservices/token` (SubjectAccessReview)."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def name(self, login: str, service: Service) -> str:
        review = await self._ask("TokenReview", "authentication.k8s.io/v1", {"token": login})
        if not review.get("authenticated"):
            raise Refused("login_wrong")
        user: dict[str, Any] = review["user"]
        attributes = {
            "verb": "create",
            "group": "slipway",
            "resource": "webservices",
            "subresource": "token",
            "namespace": service.deployment[0],
            "name": service.endpoint,
        }
        wanted = {
            "user": user.get("username"),
            "uid": user.get("uid"),
            "groups": user.get("groups"),
            "extra": user.get("extra"),
            "resourceAttributes": attributes,
        }
        said = await self._ask("SubjectAccessReview", "authorization.k8s.io/v1", wanted)
        if not said.get("allowed"):
            raise Refused("token_forbidden", str(user.get("username")))
        return str(user.get("username"))

    async def _ask(self, kind: str, version: str, spec: Object) -> Object:
        try:
            answer = await self._client.create(
                {"apiVersion": version, "kind": kind, "metadata": {}, "spec": spec}
            )
        except ClusterError as error:
            # What else it says might quote the login.
            known = error.status in (None, HTTPStatus.FORBIDDEN)
            raise Refused("tokens_unavailable", str(error) if known else f"HTTP {error.status}") from None
        status: Object = answer.get("status") or {}
        return status
