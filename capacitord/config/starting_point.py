"""A profile to start from: valid as it is, with a word on every part."""

from __future__ import annotations

import json
from typing import Final

from capacitord.config import profile
from capacitord.config.diagnostics import Rejected, quoted
from capacitord.config.fields import slug
from capacitord.config.units import format_duration
from capacitord.errors import Invalid
from capacitord.model.representation import LONGEST

TEXT: Final = """\
# The site profile of {name}: everything that is true of this facility.
# Check it:       fluxctl profile validate {id}.toml
# Put it to use:  fluxctl profile import {id}.toml
# What stands behind # is an example. Every key is explained by the schema: fluxctl profile schema
schema = 1
id = "{id}"
name = {quoted}
version = 1                      # one more with every change
timezone = "{timezone}"

# Where images go. At least one destination; `name` is how routes and people call it.
[[destination]]
name = "pacs"
ae_title = "PACS"                # what it calls itself
host = "pacs.example.org"        # its name or IP address
port = 104
calling_ae_title = "FLUXBOX"     # what this box calls itself there; "$calling" passes the scanner's own title on
# associations = 4               # how many at once
# compress = "JPEG2000Lossless"
# commitment = true              # ask for storage commitment
# tls = {{ ca = "{id}-ca.pem", certificate = "box.pem", key = "box.key" }}

# Which image goes where: the first route that matches wins, and what none matches is held.
# Without any route, every image goes to every destination.
# [[route]]
# match = {{ Modality = ["CT", "MR"], StudyDescription = "*STROKE*" }}
# to = ["pacs"]
# priority = "stat"
# [[route]]
# match = {{ time = "18:00-07:00" }}
# to = ["night"]
# else_to = ["pacs"]             # stands in when night can't be reached
[[route]]
to = ["pacs"]

# What is changed in an image on its way.
# [[transform]]
# on = "outbound"
# to = ["pacs"]
# match = {{ InstitutionName = "" }}
# set = {{ InstitutionName = {institution} }}
# remove = ["PatientAddress"]

# Where the site is: longitude first.
# [location]
# geofence = {{ type = "Polygon", coordinates = [[[-87.63, 41.8], [-87.62, 41.8], [-87.62, 41.9], [-87.63, 41.8]]] }}
# [[location.evidence]]
# subnet = "10.20.0.0/16"
# [[location.evidence]]
# endpoint = {{ host = "10.20.1.10", port = 443 }}

# Where the worklist comes from.
# [worklist]
# source = {{ ae_title = "RIS", host = "ris.example.org", port = 104 }}

[delivery]
keep_delivered = "{kept}"           # how long an image stays here after every destination has it
# policy = "scheduled"
# windows = ["Mon-Fri 19:00-06:00"]
# rate_limit = "8 Mbit/s"
"""


def starting_point(site: str, name: str = "", timezone: str = "America/Chicago") -> str:
    """Return the text of a profile for a site. Raises `Invalid` if an id, a name or a zone is none."""
    try:
        slug(site)
    except Rejected as error:
        msg = f"{quoted(site)} {error.message}"
        raise Invalid(msg, hint=error.hint) from None
    name = name or site.replace("-", " ").title()
    if not name.isprintable():
        msg = "the name has a character that is not to be seen"
        raise Invalid(msg, hint="Leave line ends, tabs and other control characters out.")
    # As the value of an attribute a name must be short, and braces and backslashes mean something.
    institution = name if len(name) <= LONGEST["LO"] and not set(name) & set("{}\\") else site
    text = TEXT.format(
        id=site,
        name=name,
        quoted=_quoted(name),
        institution=_quoted(institution),
        timezone=timezone,
        kept=format_duration(86400),
    )
    profile.parse(text, f"{site}.toml")
    return text


def _quoted(text: str) -> str:
    """Return a text as TOML writes it in double quotes, which is as JSON does."""
    return json.dumps(text, ensure_ascii=False)
