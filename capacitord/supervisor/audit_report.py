"""What is said of the audit log when it was followed: whether it is whole, and who vouches for which of its entries."""

from __future__ import annotations

from typing import Final

from capacitord.api.messages import AuditReport
from capacitord.errors import Locked
from capacitord.seal.anchor import Anchor
from capacitord.supervisor.anchoring import Anchoring
from capacitord.supervisor.chain import Finding

DAMAGED: Final = "damaged"
"""Why a log is not whole, as `AuditReport.reason` has it."""


def words_before(finding: Finding, anchor: Anchor | None, *, other: bool) -> str:
    """Return what the entry of a key that came to hand says of the log before it."""
    before = f"after entry {finding.sealed.number}" if finding.seal else "for the first time"
    if other and (anchor is None or finding.sealed.number > anchor.number):
        before += f", whose seal is of box key {finding.seal.partition(':')[0]} and can't be checked"
    return before if anchor else f"{before}; the key store had no anchor of the log, and has one from here on"


def report(schema: str, finding: Finding, damage: str, anchoring: Anchoring | None) -> AuditReport:
    """Return what to say of a log; it is not proven without the key, which `anchoring` stands for."""
    entries = finding.last.number
    torn = f"; {finding.torn} bytes of an unfinished entry follow" if finding.torn else ""
    words, hint, reason = damage, "", DAMAGED
    if damage:
        hint = "Compare with the copies in your log archive; somebody or something changed this log, or the keys."
    elif anchoring is None:
        words = f"not proven: the box key is away; all {entries} entries are in order by their digests{torn}"
        hint, reason = "Unlock it: fluxctl key unlock", Locked.reference
    else:
        words, reason = f"all {entries} entries are in order, {_vouched(finding, anchoring)}{torn}", ""
    return AuditReport(schema, not reason, entries, words, hint, reason, finding.unvouched)


def _vouched(finding: Finding, anchoring: Anchoring) -> str:
    """Return who vouches for the entries of a log with nothing wrong, and for which of them."""
    since, last = anchoring.since, finding.last.number
    words = "and the last seal vouches that they stand as they were when they were sealed"
    words = f"{words}; the first that is sealed is entry {finding.first}"
    if anchoring.behind:
        return f"{words}; but the key store does not have entry {last}, which can be cut off: {anchoring.behind}"
    return f"{words}; since entry {since} the key store vouches that none is missing at the end"
