"""What an environment is: the `slipway:*` keys of a stack file, as typed values."""

from slipway.settings.azure import Azure
from slipway.settings.parse import PREFIX, key_setting, parse, secret_remedy
from slipway.settings.router import Router
from slipway.settings.stack import Kubernetes, Settings

__all__ = ["PREFIX", "Azure", "Kubernetes", "Router", "Settings", "key_setting", "parse", "secret_remedy"]
