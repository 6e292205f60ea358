"""The sites of the box: which is served, and what waits at each."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from capacitord.api.messages import SiteEntry, SiteList
from capacitord.api.staying import staying
from fluxctl.render.look import Look
from fluxctl.render.page import BAD, BLANK, GOOD, Column, columns, hanging, stack
from fluxctl.render.words import NOTHING, ago


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
            _waits(each, look),
            each.gate.value if each.gate else NOTHING,
            _state(each),
        )
        for each in found.sites
    ]
    parts: list[RenderableType] = [columns(heads, rows, look)]
    for each in found.sites:
        if each.problem:
            parts += [BLANK, hanging("✘", each.problem, style=BAD), hanging("  next:", each.hint)]
    if not any(each.active for each in found.sites):
        parts += [BLANK, hanging("  next:", "No site is active. Serve one: fluxctl site activate SITE")]
    return stack(parts)


def _waits(site: SiteEntry, look: Look) -> str:
    if site.undelivered_images is None:
        return "not known"
    words = staying(site) or "nothing"
    return f"{words}, as known {ago(site.as_of, look)}" if site.as_of else words


def _state(site: SiteEntry) -> Text:
    if site.problem:
        return Text("✘ damaged", style=BAD)
    return Text("✔ active", style=GOOD) if site.active else Text("")
