"""Whether the coach may leave, in the first line, and below it all that is open."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from capacitord.api.departure import Departure, OnTheWay
from capacitord.api.draining import about
from capacitord.model.departure import Leave
from fluxctl.render.look import Look
from fluxctl.render.page import BAD, BLANK, CARE, GOOD, QUIET, Column, columns, hanging, labelled, stack
from fluxctl.render.site import waits
from fluxctl.render.words import NOTHING, begun, count, rate, size


def page(found: Departure, look: Look) -> RenderableType:
    """Return the whole page."""
    if not found.site:
        return stack([_headline(found), *_matters(found), *_behind(found, look)])
    return stack([_headline(found), *_matters(found), BLANK, labelled(_facts(found)), *_ways(found, look)])


def sentence(found: Departure) -> str:
    """Return in one line whether the coach may leave, and why."""
    if not found.site:
        return _without_site(found)
    if found.leave is Leave.NOW:
        return f"✔ YES, the coach may leave {found.name}: nothing is open"
    first = found.matters[0].message if found.matters else ""
    if found.leave is Leave.DRAINING:
        when = f": {about(found.eta)}" if found.images or found.undecided else ""
        return f"⚠ YES, the coach may leave {found.name}, and {first}{when}"
    return f"✘ NO, the coach may not leave {found.name} yet: {first}{_more(found)}"


def _without_site(found: Departure) -> str:
    if found.leave is Leave.NOW:
        return "✔ YES, the coach may leave: no site is active, and nothing is left behind"
    first = found.matters[0].message if found.matters else ""
    if found.leave is Leave.DRAINING:
        return f"⚠ YES, the coach may leave: no site is active, and what is left goes on leaving; {first}"
    return f"✘ NO, not with everything done: no site is active, and {first}{_more(found)}"


def _more(found: Departure) -> str:
    others = sum(1 for matter in found.matters if matter.stays) - 1
    return f", and {count(others, 'other thing')}" if others > 0 else ""


def _headline(found: Departure) -> RenderableType:
    style = {Leave.NOW: f"bold {GOOD}", Leave.DRAINING: CARE, Leave.NOT_YET: BAD}[found.leave]
    return hanging(sentence(found)[0], sentence(found)[2:], style=style)


def _matters(found: Departure) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for matter in found.matters:
        style = BAD if matter.stays else ""
        parts += [BLANK, hanging("✘" if matter.stays else "·", begun(matter.message), style=style)]
        parts.append(hanging("  next:", matter.hint))
    return parts


def _facts(found: Departure) -> list[tuple[str, RenderableType]]:
    way = "nothing"
    if found.images:
        way = f"{count(found.images, 'image')}, {size(found.bytes)}; {about(found.eta)}"
    if found.undecided:
        way += f"; of {count(found.undecided, 'image')} more it is not decided yet where they go"
    held = "nothing"
    if found.held_images:
        held = f"{count(found.held_studies, 'study', 'studies')}, {count(found.held_images, 'image')}"
    missing = "nothing that scanners named"
    if found.missing_images:
        missing = f"{count(found.missing_images, 'image')} of {', '.join(found.missing_studies)}"
    if found.announced_studies:
        words = f"all of {count(found.announced_studies, 'study', 'studies')}"
        missing = f"{missing}, and {words}" if found.missing_images else words
    receiving = "nothing"
    if found.associations or found.receiving_studies or found.begun_studies:
        receiving = (
            f"{count(found.associations, 'open association')}, "
            f"{count(found.receiving_studies, 'study', 'studies')} not closed yet"
        )
    return [
        ("Receiving", Text(receiving)),
        ("Missing", Text(missing)),
        ("Held", Text(held)),
        ("On the way", Text(way)),
        ("After that", Text(found.after)),
    ]


def _ways(found: Departure, look: Look) -> list[RenderableType]:
    if not found.on_the_way:
        return []
    heads = [
        Column("Destination", keep=False, most=20),
        Column("Images", right=True),
        Column("Size", right=True),
        Column("Rate", right=True),
        Column("Done in"),
    ]
    rows = [
        (each.destination, f"{each.images:,}", size(each.bytes), rate(each.rate) if each.rate else NOTHING, _done(each))
        for each in found.on_the_way
    ]
    notes = [hanging(f"  {each.destination}:", each.reason, style=QUIET) for each in found.on_the_way if each.reason]
    return [BLANK, columns(heads, rows, look), *notes]


def _behind(found: Departure, look: Look) -> list[RenderableType]:
    """Return the sites that left something, and when that was known."""
    if not found.behind:
        return []
    heads = [Column("Site"), Column("Name", keep=False, most=30), Column("Waiting", wrap=True, keep=False, least=14)]
    rows = [(each.id, each.name or NOTHING, waits(each, look)) for each in found.behind]
    return [BLANK, columns(heads, rows, look)]


def _done(way: OnTheWay) -> str:
    if not way.moves:
        return "unknown: nothing leaves"
    return "unknown" if way.eta is None else about(way.eta)
