"""What the last life of this box left: which site it served, and whether it ever served one."""

from __future__ import annotations

from pathlib import Path

from capacitord.supervisor import files
from capacitord.supervisor.active_site import ActiveSite, Choice
from capacitord.supervisor.profiles import ProfileStore


def is_used(chosen: ActiveSite, sites: Path) -> bool:
    """Tell whether a site may have been open on this box before. `sites` has their spools. Raises `StorageFailed`."""
    if chosen.exists():
        return True
    with files.typed(sites):
        return sites.exists() and any(sites.iterdir())


def last_choice(chosen: ActiveSite, profiles: ProfileStore) -> Choice:
    """Return what the record says. A box of an earlier version has no record, and one site.

    Raises `DamagedObject` if it says nothing of that, and `StorageFailed`.
    """
    choice = chosen.read()
    if choice is None:
        sites = profiles.sites()
        choice = Choice(sites[0] if len(sites) == 1 else "")
        if choice.site:
            chosen.write(choice)
    return choice


def known_place(choice: Choice) -> str:
    """Return the site at which the evidence had the box, as far as a choice tells; empty if nobody knows.

    What a person said is no evidence: nothing need have spoken for her site, and it is not left like one that was seen.
    """
    return "" if choice.chosen is not None and choice.chosen.by_person else choice.site
