"""Where the box is: each piece of evidence, and the decision that follows."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from capacitord.api.location import EvidenceNow, Location, SiteNow
from capacitord.model.fence import Where
from capacitord.model.location import Network, Says
from capacitord.model.presence import Phase
from fluxctl.render.look import Look
from fluxctl.render.page import BAD, BLANK, CARE, GOOD, QUIET, Column, columns, hanging, stack
from fluxctl.render.words import NOTHING, begun, span

_OVERRIDE = "Find out what is wrong below, or say where the box is: fluxctl site activate SITE"


def located(found: Location, look: Look) -> RenderableType:
    """Return the decision with its reasons, what each site has for and against it, and all evidence."""
    parts: list[RenderableType] = [_headline(found), *(hanging("  ·", reason) for reason in found.reasons)]
    if found.conflict:
        parts.append(hanging("  next:", _OVERRIDE))
    parts += [BLANK, _evidence(found, look)]
    parts += [hanging(f"  {_name(each)}:", each.hint, style=QUIET) for each in found.evidence if each.hint]
    if found.sites:
        parts += [BLANK, _sites(found, look), *_clues(found)]
    return stack(parts)


def _headline(found: Location) -> Text:
    if found.conflict:
        return Text("✘ The evidence contradicts itself: no site is opened by it", style=BAD)
    if not found.follows:
        return Text("· A person chooses the site: this box does not follow the evidence", style=CARE)
    if found.site is None:
        return Text("· The evidence means no site", style=CARE)
    now = next((each for each in found.sites if each.site == found.site), None)
    if now is not None and now.phase is Phase.LEAVING:
        return Text(f"⚠ The evidence says that the box is leaving {found.site}", style=CARE)
    if now is not None and now.where is not Where.INSIDE and (now.where or now.network is not Network.AGREES):
        return Text(f"· Nothing says where the box is now: it counts as at {found.site}", style=CARE)
    return Text(f"✔ The evidence means {found.site}", style=GOOD)


def _evidence(found: Location, look: Look) -> RenderableType:
    heads = [
        Column("Evidence", wrap=True, keep=False, least=12),
        Column("Last value", keep=False, least=16, wrap=True),
        Column("Age", right=True),
        Column("Speaks for", wrap=True, keep=False, least=10),
    ]
    rows = [
        (_name(each), _value(each), NOTHING if each.age is None else span(each.age), _for(each))
        for each in found.evidence
    ]
    return columns(heads, rows, look)


def _name(each: EvidenceNow) -> str:
    return f"{each.label} {each.asked}" if each.kind in {"echo", "endpoint"} else each.label


def _value(each: EvidenceNow) -> Text:
    if not each.problem:
        return Text(each.value or NOTHING)
    last = f", last: {each.value}" if each.value else ""
    return Text(f"none: {each.problem}{last}", style=CARE)


def _for(each: EvidenceNow) -> Text:
    against = [f"against {site}" for site in each.against]
    if against:
        return Text(", ".join([*each.speaks_for, *against]), style=BAD)
    return Text(", ".join(each.speaks_for) or NOTHING)


def _sites(found: Location, look: Look) -> RenderableType:
    heads = [Column("Site"), Column("State"), Column("What the evidence says of it", keep=False, least=20, wrap=True)]
    return columns(heads, [(each.site, _phase(each), begun(each.explanation)) for each in found.sites], look)


def _phase(each: SiteNow) -> Text:
    style = {Phase.HERE: GOOD, Phase.ARRIVING: CARE, Phase.LEAVING: CARE, Phase.AWAY: QUIET}[each.phase]
    return Text(each.phase.value, style=style)


def _clues(found: Location) -> list[RenderableType]:
    """Return what the network says of the sites that are not just somewhere else."""
    parts: list[RenderableType] = []
    for site in found.sites:
        if site.phase is Phase.AWAY and not any(clue.says is not Says.NOTHING for clue in site.clues):
            continue
        for clue in site.clues:
            symbol = {Says.FOR: "✔", Says.NOTHING: "·", Says.AGAINST: "✘"}[clue.says]
            style = {Says.FOR: "", Says.NOTHING: QUIET, Says.AGAINST: BAD}[clue.says]
            parts.append(hanging(f"  {symbol} {site.site}:", clue.reason, style=style))
    return [BLANK, *parts] if parts else []
