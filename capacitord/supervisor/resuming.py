"""What the last life of this box left: which site it served, and whether it ever served one."""

from __future__ import annotations

from pathlib import Path

from capacitord.errors import DamagedObject
from capacitord.model.preflight import Last
from capacitord.supervisor import files
from capacitord.supervisor.active_site import CHOOSE, ActiveSite, Choice
from capacitord.supervisor.last_open import DAMAGED, MISSING
from capacitord.supervisor.profiles import ProfileStore


def has_spools(sites: Path) -> bool:
    """Tell whether a site was ever served on this box. `sites` has their spools. Raises `StorageFailed`."""
    with files.typed(sites):
        return sites.exists() and any(sites.iterdir())


def last_choice(chosen: ActiveSite, profiles: ProfileStore, last: Last, *, spools: bool) -> Choice:
    """Return what the record says.

    It is missing on a new box, on one whose first import was cut short, and on one of an earlier version, which has one
    site and no record of the site that was open last (`last`). On any other one that was in use, as `last` or `spools`
    say, it is lost, and a person may have parked the box. Raises `DamagedObject` then, and if it cannot be read; and
    `StorageFailed`.
    """
    choice = chosen.read()
    if choice is None:
        sites = profiles.sites()
        is_earlier = last == MISSING and len(sites) == 1
        # A new box may have been given the spools of another, and has no profile then.
        is_used = bool(last.site) or last == DAMAGED or (spools and bool(sites))
        if is_used and not is_earlier:
            msg = "the record of which site is active is missing, so nobody knows whether this box was parked"
            raise DamagedObject(msg, where=str(chosen.path), hint=CHOOSE)
        choice = Choice(sites[0] if len(sites) == 1 else "")
        if choice.site:
            chosen.write(choice)
    return choice


def known_place(choice: Choice) -> str:
    """Return the site at which the evidence had the box, as far as a choice tells; empty if nobody knows.

    What a person said is no evidence: nothing need have spoken for her site, and it is not left like one that was seen.
    """
    return "" if choice.chosen is not None and choice.chosen.by_person else choice.site
