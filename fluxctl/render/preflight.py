"""What remains on the scanners: whether that is nothing, and if not, who."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from capacitord.api.preflight import Preflight, Remaining, Scanner
from fluxctl.render.look import Look
from fluxctl.render.page import BAD, BLANK, CARE, GOOD, QUIET, STRONG, Column, columns, hanging, stack
from fluxctl.render.words import NOTHING, begun, clock, count, dicom_date, dicom_name


def page(found: Preflight, look: Look) -> RenderableType:
    """Return whether all scanners are clean and what follows from it, then each scanner with who is on it."""
    parts: list[RenderableType] = [headline(found), hanging(" ", _meaning(found), style=QUIET)]
    if found.hint:
        parts.append(hanging("  next:", found.hint))
    for each in found.scanners:
        parts += [BLANK, *_scanner(each, look)]
    return stack(parts)


def live(found: Preflight, look: Look, lost: str = "") -> RenderableType:
    """Return the page for somebody who waits for it to turn; `lost` says why there is nothing newer."""
    asked = f"asked at {clock(found.at, look)}, and again every few seconds · Ctrl-C quits"
    gone = hanging("⚠", away(lost)[2:], style=CARE) if lost else None
    return stack([page(found, look), BLANK, gone, Text(asked, style=QUIET)])


def away(reason: str) -> str:
    """Return in one line that the daemon does not tell, and why."""
    return f"⚠ capacitord does not answer: {reason.rstrip('.')}. It is asked again."


def sentence(found: Preflight) -> str:
    """Return in one line whether the scanners are clean."""
    if found.clean:
        return f"✔ CLEAN — no patient is on {_all(found.scanners)}"
    wrong = [each for each in found.scanners if not each.clean]
    if not wrong:
        return "✘ NOT CLEAN — no scanner is named that could be asked"
    if len(wrong) > 1:
        return f"✘ NOT CLEAN — {len(wrong)} of {len(found.scanners)} scanners may still have patients"
    return f"✘ NOT CLEAN — {wrong[0].reason.rstrip('.')}"


def headline(found: Preflight) -> RenderableType:
    """Return the first line."""
    return Text(sentence(found), style=f"bold {GOOD}" if found.clean else BAD)


def _meaning(found: Preflight) -> str:
    if not found.site:
        return f"{begun(found.why)}, so nothing depends on it."
    if not found.needed:
        return f"{found.site} needs no preflight: {found.why}."
    if found.clean:
        return f"{found.site} may be opened for, though {found.why}."
    return f"{found.site} is not opened for before that: {found.why}."


def _all(scanners: Sequence[Scanner]) -> str:
    return scanners[0].ae_title if len(scanners) == 1 else f"any of {len(scanners)} scanners"


def _scanner(found: Scanner, look: Look) -> list[RenderableType]:
    symbol, style = ("✔", GOOD) if found.clean else ("✘", BAD)
    host = f"[{found.host}]" if ":" in found.host else found.host
    parts: list[RenderableType] = [
        Text(f"{symbol} {found.ae_title} at {host}:{found.port}", style=style),
        hanging(" ", found.reason),
    ]
    return [*parts, BLANK, _table(found.remaining, look)] if found.remaining else parts


def _table(remaining: Sequence[Remaining], look: Look) -> RenderableType:
    heads = [
        Column("Patient", keep=False, least=10),
        Column("Id", keep=False, most=14, least=6),
        Column("Date"),
        Column("Study", keep=False, least=8),
        Column("Accession", keep=False, most=14, least=6),
        Column("Images", right=True),
    ]
    rows = [
        (
            Text(dicom_name(each.patient_name) or NOTHING, style=STRONG),
            each.patient_id or NOTHING,
            dicom_date(each.study_date) or NOTHING,
            _study(each),
            each.accession_number or NOTHING,
            NOTHING if each.images is None else f"{each.images:,}",
        )
        for each in remaining
    ]
    return columns(heads, rows, look)


def _study(remaining: Remaining) -> str:
    if remaining.description:
        return remaining.description
    return ", ".join(remaining.modalities) or (NOTHING if remaining.study_uid else "no study named")


def told(found: Preflight) -> str:
    """Return it as one line for a log: no patients, as logs are kept."""
    wrong = [each for each in found.scanners if not each.clean]
    studies = sum(each.studies for each in wrong)
    # Of one scanner the sentence has the number.
    more = f" ({count(studies, 'study', 'studies')})" if studies and len(wrong) > 1 else ""
    return f"{sentence(found)}{more}"
