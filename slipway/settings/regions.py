"""Azure's regions, of which cloud they are and whether they have availability zones.

Source: Microsoft Learn, "List of Azure regions" and "Azure regions with availability zone support", as
known on 2026-06-01. A region that is newer is taken with a warning; a misspelt one is refused.
"""

from __future__ import annotations

import difflib

ZONED = {
    "Public": """
        australiaeast austriaeast belgiumcentral brazilsouth canadacentral centralindia centralus chilecentral
        eastasia eastus eastus2 francecentral germanywestcentral indonesiacentral israelcentral italynorth
        japaneast japanwest koreacentral malaysiawest mexicocentral newzealandnorth northeurope norwayeast
        polandcentral qatarcentral southafricanorth southcentralus southeastasia spaincentral swedencentral
        switzerlandnorth uaenorth uksouth westeurope westus2 westus3
    """.split(),  # noqa: SIM905 easier to read
    "USGovernment": ["usgovvirginia"],
    "China": ["chinanorth3"],
}
"""Regions with availability zones, by cloud."""
UNZONED = {
    "Public": """
        australiacentral australiacentral2 australiasoutheast brazilsoutheast canadaeast francesouth
        germanynorth jioindiacentral jioindiawest koreasouth northcentralus norwaywest southafricawest
        southindia switzerlandwest uaecentral ukwest westcentralus westindia westus
    """.split(),  # noqa: SIM905 easier to read
    "USGovernment": ["usdodcentral", "usdodeast", "usgovarizona", "usgovtexas"],
    "China": ["chinaeast", "chinaeast2", "chinaeast3", "chinanorth", "chinanorth2"],
}
"""Regions without, by cloud."""
CLOUD = {
    region: cloud for table in (ZONED, UNZONED) for cloud, regions in table.items() for region in regions
}


def mistake(field: str, region: str, cloud: str) -> str | None:
    """Say what is wrong with a region: misspelt, or of another cloud."""
    found = CLOUD.get(region)
    if found is None:
        likely = difflib.get_close_matches(region, CLOUD, n=1, cutoff=0.85)
        if not likely or region.rstrip("0123456789") in {name.rstrip("0123456789") for name in CLOUD}:
            return None  # newer than the table
        return f"{field} = {region}: no region is named so; did you mean `{likely[0]}`?"
    if found != cloud:
        return f"{field} = {region} is a region of cloud {found}, and cloud = {cloud}: change one of the two"
    return None


def has_zones(region: str) -> bool | None:
    """Tell whether a region has availability zones; None if it is not known here."""
    if region not in CLOUD:
        return None
    return region in ZONED[CLOUD[region]]
