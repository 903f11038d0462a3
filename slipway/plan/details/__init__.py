"""What matters about a resource, by the last part of its type; kinds without a rule show their name alone."""

from slipway.plan.details import azure, kubernetes
from slipway.plan.details.read import Properties

KINDS = azure.KINDS | kubernetes.KINDS

__all__ = ["KINDS", "Properties"]
