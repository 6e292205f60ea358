"""The sites of the box: which is served, and what waits at each."""

from __future__ import annotations

from typing import Final

from rich.console import RenderableType
from rich.text import Text

from capacitord.api.draining import left, told
from capacitord.api.messages import Chosen, DrainState, SiteEntry, SiteList
from capacitord.api.staying import staying, waiting
from fluxctl.render.look import Look
from fluxctl.render.page import BAD, BLANK, CARE, GOOD, Column, columns, hanging, stack
from fluxctl.render.words import NOTHING, ago, joined

_OLD: Final = 60.0
"""Seconds after which it is said when the counts of a site were true whose runtime is asked every few seconds."""


def listed(found: SiteList, look: Look) -> RenderableType:
    """Return the sites as a table, what is wrong with them below."""
    if not found.sites:
        return stack([Text("No sites."), hanging("  next:", "Import a profile: fluxctl profile import FILE")])
    heads = [
        Column("Site"),
        Column("Name", keep=False, most=30),
        Column("Version", right=True),
        Column("Waiting", wrap=True, keep=False, least=14),
        Column("Gate"),
        Column(""),
    ]
    rows = [
        (
            each.id,
            each.name or NOTHING,
            str(each.version or NOTHING),
            waits(each, look),
            each.gate.value if each.gate else NOTHING,
            _state(each),
        )
        for each in found.sites
    ]
    parts: list[RenderableType] = [columns(heads, rows, look)]
    for each in found.sites:
        if each.draining is not None and each.draining.reason:
            parts += [BLANK, hanging("⚠", f"{told(each.draining)}: {each.draining.reason}", style=CARE)]
            parts += [hanging("  next:", each.draining.hint)] if each.draining.hint else []
        if each.problem:
            parts += [BLANK, hanging("✘", each.problem, style=BAD), hanging("  next:", each.hint)]
    if found.override and found.chosen is not None:
        words = f"A person's word stands, whatever the evidence of where the box is says: {override(found.chosen)}."
        parts += [BLANK, hanging("⚠", words, style=CARE), hanging("  next:", "To end that: fluxctl site follow")]
    elif found.follows and not any(each.active for each in found.sites):
        words = "No site is active: the box opens by itself for the one where it is. See: fluxctl site location"
        parts += [BLANK, hanging("  next:", words)]
    elif not any(each.active for each in found.sites):
        parts += [BLANK, hanging("  next:", "No site is active. Serve one: fluxctl site activate SITE")]
    return stack(parts)


def override(chosen: Chosen) -> str:
    """Return who set an override, when and why."""
    why = f": {chosen.reason}" if chosen.reason else ""
    return f"{chosen.by} chose it on {chosen.at:%Y-%m-%d at %H:%M} UTC{why}"


def waits(site: SiteEntry, look: Look) -> str:
    """Return what waits at a site, and when that was known, if that is not now."""
    if site.draining is not None:
        words = joined([left(site.draining), waiting(site)] if waiting(site) else [left(site.draining)])
        is_old = site.as_of is not None and (look.now - site.as_of).total_seconds() > _OLD
        return f"{words}, as known {ago(site.as_of, look)}" if is_old and waiting(site) else words
    if site.undelivered_images is None:
        return "not known"
    words = staying(site) or "nothing"
    return f"{words}, as known {ago(site.as_of, look)}" if site.as_of else words


def _state(site: SiteEntry) -> Text:
    if site.problem:
        return Text("✘ damaged", style=BAD)
    if site.draining is not None:
        return Text(f"▸ {site.draining.state}", style="" if site.draining.state is DrainState.DRAINING else CARE)
    return Text("✔ active", style=GOOD) if site.active else Text("")
