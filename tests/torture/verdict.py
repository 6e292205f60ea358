"""What was promised, compared with what happened; decided from records alone. The package says what is promised."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.proxy import Way
from tests.torture.pacs import SUCCESS, Reception, Records
from tests.torture.weather import Flip

UNWRITTEN = 64
"""Answers that a killed daemon may have had and not written down (`MOST_UNWRITTEN` in capacitord/site/recorder.py)."""

LATEST = 5.0
"""Seconds after its arrival at which an answer is written down at the latest; a kill after that loses nothing."""

_SLACK = 1.0
"""Seconds that bytes may wait in the kernel between the link and the PACS."""


@dataclass(frozen=True)
class Kill:
    """The runtime died some time between `after` and `before`."""

    after: float
    before: float


@dataclass
class Evidence:
    """All that was seen. Digests are of datasets, by SOP Instance UID.

    `sent` is what the scanners had, `acknowledged` the images they were told Success for. `spool` is what was exported
    in the end, `purged` what had left the spool, `delivered` what the ledger calls acknowledged in the end.
    `known` tells when an image's acknowledgement was seen in the ledger while the box was tortured.
    """

    sent: Mapping[str, str]
    acknowledged: set[str]
    spool: Mapping[str, set[str]]
    purged: set[str]
    delivered: set[str]
    pacs: Records
    corrupt: int = 0
    conflicts: int = 0
    kills: Sequence[Kill] = ()
    flips: Sequence[Flip] = ()
    known: Mapping[str, float] = field(default_factory=dict)
    resent: set[str] = field(default_factory=set)
    associations: int = 1


@dataclass
class Verdict:
    """`violations` are broken promises, in words. The others are counts of what happened and was allowed."""

    violations: list[str] = field(default_factory=list)
    received: int = 0
    in_doubt: int = 0
    most_in_doubt: int = 0
    damaged_by_link: int = 0


def judge(evidence: Evidence) -> Verdict:
    """Hold the evidence against the promises."""
    verdict = Verdict(received=sum(1 for each in evidence.pacs.receptions if each.completed))
    _look_for_losses(evidence, verdict)
    _look_for_strangers(evidence, verdict)
    _look_for_false_deliveries(evidence, verdict)
    _look_for_repetitions(evidence, verdict)
    return verdict


def _look_for_losses(evidence: Evidence, verdict: Verdict) -> None:
    if evidence.corrupt or evidence.conflicts:
        verdict.violations.append(f"the box counts {evidence.corrupt} damaged images, {evidence.conflicts} conflicts")
    there = {each.sop_instance_uid for each in evidence.pacs.receptions if _whole(evidence, each)}
    for uid in sorted(evidence.acknowledged):
        if evidence.spool.get(uid) == {evidence.sent[uid]} or (uid in evidence.purged and uid in there):
            continue
        what = (
            "is in the spool with other bytes" if uid in evidence.spool else "is neither in the spool nor at the PACS"
        )
        verdict.violations.append(f"lost: {uid} was acknowledged to a scanner and {what}")


def _whole(evidence: Evidence, reception: Reception) -> bool:
    stored = reception.status == SUCCESS and reception.answered > 0
    return stored and evidence.sent.get(reception.sop_instance_uid) == reception.digest


def _look_for_strangers(evidence: Evidence, verdict: Verdict) -> None:
    for uid, digests in evidence.spool.items():
        if digests != {evidence.sent.get(uid)}:
            verdict.violations.append(f"unknown: the spool has {uid} with bytes that no scanner sent")
    for each in evidence.pacs.receptions:
        if not each.completed or evidence.sent.get(each.sop_instance_uid) == each.digest:
            continue
        if any(flip.struck(Way.UP, each.begun - _SLACK, each.completed) for flip in evidence.flips):
            verdict.damaged_by_link += 1
        else:
            what = "damaged" if each.sop_instance_uid in evidence.sent else "unknown"
            verdict.violations.append(f"{what}: the PACS got {each.sop_instance_uid} with bytes that no scanner sent")
    if verdict.damaged_by_link > len(evidence.flips):
        verdict.violations.append(f"damaged: {verdict.damaged_by_link} images by {len(evidence.flips)} flipped bits")


def _look_for_false_deliveries(evidence: Evidence, verdict: Verdict) -> None:
    answered = {each.sop_instance_uid for each in evidence.pacs.receptions if each.answered}
    for uid in sorted(evidence.delivered - answered):
        verdict.violations.append(f"false: the ledger calls {uid} delivered, and the PACS never answered it")


def _look_for_repetitions(evidence: Evidence, verdict: Verdict) -> None:
    by_uid: dict[str, list[Reception]] = defaultdict(list)
    by_association: dict[int, list[Reception]] = defaultdict(list)
    for each in evidence.pacs.receptions:
        by_uid[each.sop_instance_uid].append(each)
        by_association[each.association.number].append(each)
    after_kill: Counter[Kill] = Counter()
    for uid, receptions in by_uid.items():
        for first, again in itertools.pairwise(receptions):
            known = evidence.known.get(uid)
            if known is not None and again.association.accepted > known and uid not in evidence.resent:
                verdict.violations.append(f"again: {uid} was sent when the ledger had its acknowledgement already")
            if first.status != SUCCESS or not first.answered or uid in evidence.resent:
                continue
            if _answer_was_flipped(evidence, first):
                continue
            kill = _kill_between(evidence, first, again)
            last = by_association[first.association.number][-1] is first
            if kill is not None:
                after_kill[kill] += 1
            elif first.association.how == "released" or not last:
                verdict.violations.append(
                    f"again: {uid} was sent again, and nothing happened to the answer of its first time "
                    f"(association {first.association.number}, {first.association.how or 'open'})"
                )
                continue
            verdict.in_doubt += 1
    verdict.most_in_doubt = max(after_kill.values(), default=0)
    if verdict.most_in_doubt > UNWRITTEN + evidence.associations:
        verdict.violations.append(f"again: one kill left {verdict.most_in_doubt} images in doubt")


def _answer_was_flipped(evidence: Evidence, reception: Reception) -> bool:
    until = reception.association.ended or float("inf")
    return any(
        flip.struck(Way.DOWN, reception.answered, min(until, reception.answered + _SLACK)) for flip in evidence.flips
    )


def _kill_between(evidence: Evidence, first: Reception, again: Reception) -> Kill | None:
    latest = min(again.begun, first.answered + LATEST)
    return next((kill for kill in evidence.kills if kill.before >= first.answered and kill.after <= latest), None)
