"""The hosts that a cluster must reach and be reached by, and the set that one stack needs."""

from slipway.hosts.catalogue import CATALOGUE
from slipway.hosts.clouds import Cloud, Suffixes, cloud_of, suffixes
from slipway.hosts.entry import Destination, Direction, Feature, Host, Protocol, Source, Stage
from slipway.hosts.formats import FORMATS, Format, written
from slipway.hosts.models import ModelHost, mistakes
from slipway.hosts.needs import Needs
from slipway.hosts.reach import Rule, catalogued, covers, line, missing
from slipway.hosts.required import FQDN_TAG, required
from slipway.hosts.rules import Reason, Required, RuleKind

__all__ = [
    "CATALOGUE",
    "FORMATS",
    "FQDN_TAG",
    "Cloud",
    "Destination",
    "Direction",
    "Feature",
    "Format",
    "Host",
    "ModelHost",
    "Needs",
    "Protocol",
    "Reason",
    "Required",
    "Rule",
    "RuleKind",
    "Source",
    "Stage",
    "Suffixes",
    "catalogued",
    "cloud_of",
    "covers",
    "line",
    "missing",
    "mistakes",
    "required",
    "suffixes",
    "written",
]
