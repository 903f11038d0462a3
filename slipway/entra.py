"""Tokens of Microsoft Entra for whom the environment, the machine or `az login` says."""

# ruff: noqa: PLC0415 - the import of azure-identity takes a while, and few commands need it

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken


class EntraError(Exception):
    """No way to a token worked; the message is what the likeliest one said, `login` the command to type."""

    def __init__(self, message: str, login: str) -> None:
        super().__init__(message)
        self.login = login


def token(scope: str, authority: str, tenant: str | None = None) -> AccessToken:
    """Get a token for `scope` from the sign-in host of a cloud. Raises `EntraError`."""
    from azure.core.exceptions import ClientAuthenticationError
    from azure.identity import DefaultAzureCredential

    logging.getLogger("azure").setLevel(logging.CRITICAL)  # it would tell the whole story twice
    try:
        return DefaultAzureCredential(authority=authority).get_token(scope, tenant_id=tenant)
    except ClientAuthenticationError as error:
        login = f"az login --tenant {tenant}" if tenant else "az login"
        raise EntraError(reason(error.message), login) from None


def reason(message: str) -> str:
    """Give what the last way said that azure-identity tried, or `az login`'s answer if it was among them.

    A way that is set up and fails is the last; where none is, all are tried.
    """
    first, *_ = message.splitlines()
    tried = dict(re.findall(r"^\t(\w+): (?:ERROR: )?(.*)", message, re.MULTILINE))
    return tried.get("AzureCliCredential") or [first, *tried.values()][-1]
