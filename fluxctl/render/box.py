"""The box's own things: profiles, keys, the audit log, what the doctor found, versions."""

from __future__ import annotations

from typing import Final

from rich.cells import cell_len
from rich.console import RenderableType
from rich.text import Text

from capacitord.api.actions import GATE, LOCATED, REPAIRED, STARTED, STOPPED
from capacitord.api.messages import (
    AuditEntry,
    AuditList,
    AuditRange,
    AuditReport,
    Check,
    Done,
    KeyStatus,
    Level,
    ProfileList,
    VerifyDamage,
)
from capacitord.api.schemas import Verified, Version
from capacitord.errors import Locked
from capacitord.model.states import GateState
from fluxctl.render.look import Look
from fluxctl.render.page import BAD, BLANK, CARE, GAP, GOOD, STRONG, Column, columns, hanging, labelled, stack
from fluxctl.render.words import NOTHING, ago, begun, clock, count, one_line, size, stamp

BEGUN: Final = "begun"
"""The result of an entry that is written before something is done."""
_WIDEST_RESULT: Final = 24
"""Letters of a result and its detail that stand in the row itself."""

_MOST_RANGES: Final = 8
"""Places with entries that nobody vouches for that are named, the newest."""
_OF_A_START: Final = frozenset(
    {STARTED, STOPPED, REPAIRED, LOCATED, "key.unlock", *(each for each in GATE if each != f"gate.{GateState.OPEN}")}
)
"""What is written at every start before the key comes to hand."""

_SHORT_ID: Final = 10
"""Letters of a study's short id: it is never cut in two."""

SYMBOL = {Level.OK: "✔", Level.WARNING: "⚠", Level.FAILURE: "✘"}
STYLE = {Level.OK: GOOD, Level.WARNING: CARE, Level.FAILURE: BAD}


def profiles(found: ProfileList, look: Look) -> RenderableType:
    """Return the profiles of the box as a table."""
    if not found.profiles and not found.damaged:
        return stack([Text("No profiles."), hanging("  next:", "Import one: fluxctl profile import FILE")])
    heads = [
        Column("Site"),
        Column("Name", keep=False, most=30),
        Column("Version", right=True),
        Column("Imported", right=True),
        Column("By"),
        Column("Destinations", keep=False),
        Column(""),
    ]
    rows = [
        (
            item.id,
            item.name,
            str(item.version),
            ago(item.imported_at, look),
            item.imported_by,
            ", ".join(item.destinations),
            Text("✔ active", style=GOOD) if item.active else "",
        )
        for item in found.profiles
    ]
    parts: list[RenderableType] = [columns(heads, rows, look)] if rows else []
    for each in found.damaged:
        parts += [BLANK] if parts else []
        parts += [hanging("✘", f"{each.id} cannot open: {each.message}", style=BAD), hanging("  next:", each.hint)]
    return stack(parts)


def key(status: KeyStatus, look: Look) -> RenderableType:
    """Return the state of the keys, the worst first."""
    if not status.present:
        first = Text(f"✘ NO BOX KEY — {status.reason or 'nothing can be sealed'}", style=BAD)
    elif status.locked:
        first = Text(f"✘ LOCKED — {status.reason or 'the passphrase has not been given'}", style=BAD)
    elif status.damaged:
        first = Text(f"✘ KEYS ARE DAMAGED — the images of {', '.join(status.damaged)} cannot be opened", style=BAD)
    else:
        first = Text("✔ The box key is there.", style=GOOD)
    facts: list[tuple[str, RenderableType]] = []
    if status.present:
        source = {
            "file": "a key file on this box",
            "credential": "a systemd credential",
            "passphrase": "a passphrase",
        }
        made = f"{stamp(status.created, look)}, {ago(status.created, look)}" if status.created else NOTHING
        turned = f"{stamp(status.rotated, look)}, {ago(status.rotated, look)}" if status.rotated else "never"
        facts = [
            ("Fingerprint", Text(status.id)),
            ("Comes from", Text(source[status.source.value] if status.source else NOTHING)),
            ("Generation", Text(str(status.generation))),
            ("Made", Text(made)),
            ("Rotated", Text(turned)),
            ("Site keys", Text(", ".join(status.sites) or "none yet")),
            *_trouble(status),
        ]
    hint = hanging("  next:", status.hint) if status.hint else None
    return stack([first, hint, *((BLANK, labelled(facts)) if facts else ())])


def _trouble(status: KeyStatus) -> list[tuple[str, RenderableType]]:
    lines: list[tuple[str, RenderableType]] = []
    if status.damaged:
        lines.append(("Damaged", Text(f"✘ {', '.join(status.damaged)}", style=BAD)))
    if status.credential_pending:
        lines.append(("Credential", Text("⚠ the service still has the one from before the rotation", style=CARE)))
    if status.leftovers:
        left = f"⚠ an interrupted change left {', '.join(status.leftovers)}"
        lines.append(("Leftovers", Text(left, style=CARE)))
    if status.unsaved:
        lines.append(("Recovery", Text(f"⚠ {status.unsaved}", style=CARE)))
    return lines


def audit(found: AuditList, look: Look, most: int | None = None) -> RenderableType:
    """Return the newest audit entries as a table of `most` rows at most, newest last.

    What was begun and has its end is one row. A detail that does not fit into its row stands below it.
    """
    if not found.entries:
        return Text("No entries.")
    heads = [
        Column("No.", right=True),
        Column("When"),
        Column("Who", keep=False, most=12, least=5),
        Column("Did"),
        Column("To", keep=False, most=24, least=_SHORT_ID + 1, wrap=True),
        Column("Result"),
    ]
    entries = finished(found.entries)[-most if most else None :]
    rows = [(*_row(entry, look), "") for entry in entries]
    sealed = any(entry.seal for entry in found.entries)
    taken = sum(min(head.most or look.width, max(cell_len(row[at]) for row in rows)) for at, head in enumerate(heads))
    room = min(_WIDEST_RESULT, look.width - taken - GAP * (len(heads) - 1))
    below = {}
    for place, entry in enumerate(entries):
        unsealed = sealed and not entry.seal and entry.action not in _OF_A_START
        came = f"{entry.result}, without a seal" if unsealed else entry.result
        result = one_line(f"{came}: {entry.detail}" if entry.detail else came)
        if entry.number in found.cut_short or (entry.detail and cell_len(result) > room):
            below[place] = one_line(_told(entry, found))
            result = one_line(came)
        rows[place] = (*rows[place][:-1], result)
    return columns(heads, rows, look, below)


def _row(entry: AuditEntry, look: Look) -> tuple[str, ...]:
    """Return what a row says of an entry before its result."""
    to = one_line(", ".join(entry.subjects)) or NOTHING
    return str(entry.number), clock(entry.at, look), one_line(entry.user) or str(entry.uid), entry.action, to


def finished(entries: tuple[AuditEntry, ...]) -> list[AuditEntry]:
    """Return entries without the beginning of what has an entry for its end, too; that names at least as much."""
    kept: list[AuditEntry] = []
    ended: dict[tuple[int, str], list[frozenset[str]]] = {}
    deeds: set[str] = set()
    for entry in reversed(entries):
        if entry.deed:
            if entry.result == BEGUN and entry.deed in deeds:
                continue
            deeds.add(entry.deed)
            kept.append(entry)
            continue
        # An older daemon gave what it wrote no id.
        ends, subjects = ended.setdefault((entry.uid, entry.action), []), frozenset(entry.subjects)
        if entry.result != BEGUN:
            ends.append(subjects)
        elif (end := next((each for each in reversed(ends) if subjects <= each), None)) is not None:
            ends.remove(end)
            continue
        kept.append(entry)
    return kept[::-1]


def _told(entry: AuditEntry, found: AuditList) -> str:
    """Return what is told of an entry in lines of its own: what it says, and what to do if it never ended."""
    if entry.number not in found.cut_short:
        return entry.detail
    of_a_study = entry.action.startswith(("study.", "held.")) and entry.subjects
    look = f"see the study: fluxctl study show {entry.subjects[0]}" if of_a_study else "see: fluxctl status"
    words = f"begun, and never ended, since capacitord ended first. It may have been done; {look}"
    return f"{entry.detail}; {words}" if entry.detail else words


def audit_report(report: AuditReport) -> RenderableType:
    """Return whether the audit log is whole, and which of its entries nobody vouches for, the newest last."""
    first = Text(f"✔ The audit log is whole: {report.message}.", style=GOOD)
    if report.reason == Locked.reference:
        first = Text(f"⚠ The audit log is {report.message}.", style=CARE)
    elif not report.ok:
        first = Text(f"✘ THE AUDIT LOG IS NOT WHOLE — {report.message}", style=BAD)
    parts = [first, hanging("  next:", report.hint) if report.hint else None]
    starts = [each for each in report.unvouched if each.actions and _OF_A_START.issuperset(each.actions)]
    others = [each for each in report.unvouched if each not in starts]
    shown = others[-_MOST_RANGES:]
    if len(shown) < len(others):
        more = f"There are {len(others) - len(shown)} more such places before: fluxctl audit verify --json"
        parts.append(hanging("⚠", more, style=CARE))
    parts += [hanging("⚠", _unvouched(each), style=CARE) for each in shown]
    if starts:
        entries = sum(each.last - each.first + 1 for each in starts)
        words = f"Likewise {count(entries, 'entry', 'entries')} of starts, from before the key came to hand."
        parts.append(hanging(" ", words))
    return stack(parts)


def _unvouched(found: AuditRange) -> str:
    about = f" ({', '.join(found.actions)})" if found.actions else ""
    which, _, genuine = found.message.partition(";")
    return f"{begun(which)}{about};{genuine}."


def checks(found: tuple[Check, ...]) -> RenderableType:
    """Return everything the doctor looked at, and a last line that sums it up."""
    width = max((len(check.name) for check in found), default=0)
    parts: list[RenderableType] = []
    for check in found:
        parts.append(
            hanging(f"{SYMBOL[check.level]} {check.name:{width}} ", check.message, style=_unless_good(check.level))
        )
        if check.hint:
            parts.append(hanging(f"  {'next:':{width}} ", check.hint))
    return stack([*parts, BLANK, _sum(found)])


def _unless_good(level: Level) -> str:
    return "" if level is Level.OK else STYLE[level]


def _sum(found: tuple[Check, ...]) -> RenderableType:
    bad = sum(check.level is Level.FAILURE for check in found)
    care = sum(check.level is Level.WARNING for check in found)
    if not bad and not care:
        return Text(f"✔ All {count(len(found), 'check')} passed.", style=GOOD)
    words = [count(bad, "failure")] * bool(bad) + [count(care, "warning")] * bool(care)
    return Text(
        f"{'✘' if bad else '⚠'} {' and '.join(words)} in {count(len(found), 'check')}.", style=BAD if bad else CARE
    )


def verified(report: Verified) -> RenderableType:
    """Return what a reading of all sealed objects found."""
    read = f"{count(report.images, 'image')}, {size(report.bytes)}"
    if not report.damaged:
        return Text(f"✔ Every sealed object could be read: {read}.", style=GOOD)
    parts: list[RenderableType] = [Text(f"✘ {report.message.removesuffix('.')} ({read} read)", style=BAD)]
    parts += [hanging(f"  {damage.object_id[:12]}", _damage(damage)) for damage in report.damage]
    parts.append(hanging("  next:", "Send these studies from the scanner again."))
    return stack(parts)


def done(answer: Done) -> RenderableType:
    """Return what was done."""
    return Text(f"✔ {answer.message}", style=GOOD)


def _damage(damage: VerifyDamage) -> str:
    return f"study {damage.study}: {damage.message}" if damage.study else damage.message


def version(found: Version) -> RenderableType:
    """Return the versions of both ends."""
    daemon = Text(found.daemon) if found.daemon else Text(f"not reachable: {found.reason}", style=CARE)
    return labelled(
        [("fluxctl", Text(found.fluxctl, style=STRONG)), ("capacitord", daemon), ("Python", Text(found.python))],
        width=12,
    )
