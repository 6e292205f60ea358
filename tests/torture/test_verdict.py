"""The judge of the torture sees every broken promise, and takes nothing for one that is none."""

from __future__ import annotations

from collections.abc import Mapping

from tests.chaos.proxy import Way
from tests.torture.pacs import MISMATCH, SUCCESS, Association, Reception, Records
from tests.torture.scanner import Sources
from tests.torture.verdict import LATEST, UNWRITTEN, Evidence, Kill, Verdict, judge
from tests.torture.weather import Flip

A, B = "1.2.3", "1.2.4"
SENT = {A: "aa", B: "bb"}


def association(number: int = 0, accepted: float = 0.0, ended: float = 100.0, how: str = "released") -> Association:
    return Association(number, accepted, ended, how)


def reception(
    to: Association, uid: str = A, at: float = 10.0, digest: str = "", status: int = SUCCESS, *, answered: bool = True
) -> Reception:
    return Reception(to, uid, at, digest or SENT.get(uid, "??"), at + 0.1, status, at + 0.1 if answered else 0.0)


def evidence(*receptions: Reception, **changes: object) -> Evidence:
    """Return evidence of one image that was acknowledged, is in the spool and was delivered; `changes` differ."""
    associations = {each.association.number: each.association for each in receptions}
    values: Mapping[str, object] = {
        "sent": SENT,
        "acknowledged": {A},
        "spool": {A: {"aa"}},
        "purged": set(),
        "delivered": {each.sop_instance_uid for each in receptions},
        "pacs": Records(list(associations.values()), list(receptions)),
        **changes,
    }
    return Evidence(**values)  # type: ignore[arg-type]


def only_violation(verdict: Verdict) -> str:
    (violation,) = verdict.violations
    return violation.partition(":")[0]


def test_all_is_well() -> None:
    verdict = judge(evidence(reception(association())))
    assert verdict == Verdict(received=1)
    assert judge(evidence(reception(association()), spool={}, purged={A})).violations == []
    assert judge(evidence(spool={A: {"aa"}, B: {"bb"}})).violations == []


def test_a_lost_image_is_seen() -> None:
    assert only_violation(judge(evidence(spool={}))) == "lost"
    assert only_violation(judge(evidence(reception(association()), spool={}))) == "lost"
    assert only_violation(judge(evidence(spool={}, purged={A}))) == "lost"
    unanswered = reception(association(how="broken"), answered=False)
    assert only_violation(judge(evidence(unanswered, spool={}, purged={A}, delivered=set()))) == "lost"


def test_a_changed_image_in_the_spool_is_seen() -> None:
    assert {v.partition(":")[0] for v in judge(evidence(spool={A: {"xx"}})).violations} == {"lost", "unknown"}
    assert only_violation(judge(evidence(spool={A: {"aa"}, "9.9": {"zz"}}))) == "unknown"
    assert "damaged images" in judge(evidence(corrupt=1)).violations[0]
    assert "conflicts" in judge(evidence(conflicts=1)).violations[0]


def test_a_stranger_and_a_damaged_image_at_the_pacs_are_seen() -> None:
    assert only_violation(judge(evidence(reception(association(), "9.9")))) == "unknown"
    assert only_violation(judge(evidence(reception(association(), digest="xx")))) == "damaged"


def test_a_damaged_image_is_put_down_to_a_bit_that_was_flipped_meanwhile_and_only_to_that() -> None:
    damaged = reception(association(), digest="xx", status=MISMATCH)
    flips = [Flip(Way.UP, 9.9, 10.05)]
    assert judge(evidence(damaged, flips=flips)) == Verdict(received=1, damaged_by_link=1)
    for other in (Flip(Way.DOWN, 9.9, 10.05), Flip(Way.UP, 1.0, 2.0), Flip(Way.UP, 20.0, 21.0)):
        assert only_violation(judge(evidence(damaged, flips=[other]))) == "damaged"
    twice = [reception(association(number), digest="xx", status=MISMATCH) for number in (1, 2)]
    assert "2 images by 1 flipped bits" in judge(evidence(*twice, flips=flips)).violations[0]


def test_a_delivery_that_was_none_is_seen() -> None:
    assert only_violation(judge(evidence(delivered={A}))) == "false"


def test_a_repetition_without_a_reason_is_seen() -> None:
    first = association(0)
    again = reception(association(1, accepted=20.0), at=21.0)
    assert only_violation(judge(evidence(reception(first), again))) == "again"
    broken = association(0, ended=15.0, how="broken")
    more = reception(broken, B, at=11.0)
    assert only_violation(judge(evidence(reception(broken), more, again))) == "again", "the next request had its answer"


def test_an_image_in_doubt_may_be_sent_again() -> None:
    again = reception(association(1, accepted=20.0), at=21.0)
    broken = reception(association(0, ended=15.0, how="broken"))
    assert judge(evidence(broken, again)) == Verdict(received=2, in_doubt=1)
    killed = judge(evidence(reception(association()), again, kills=[Kill(10.2, 10.3)]))
    assert killed == Verdict(received=2, in_doubt=1, most_in_doubt=1)
    refused = reception(association(), status=0xA700)
    assert judge(evidence(refused, again)) == Verdict(received=2)
    flipped = judge(evidence(reception(association()), again, flips=[Flip(Way.DOWN, 10.0, 10.2)]))
    assert flipped == Verdict(received=2)
    assert judge(evidence(reception(association()), again, resent={A})).violations == []


def test_a_kill_excuses_only_what_was_answered_just_before() -> None:
    again = reception(association(1, accepted=20.0), at=21.0)
    for kill in (Kill(8.0, 9.0), Kill(10.2 + LATEST, 18.0), Kill(30.0, 31.0)):
        assert only_violation(judge(evidence(reception(association()), again, kills=[kill]))) == "again"


def test_a_kill_excuses_only_so_many() -> None:
    uids = [f"1.{number}" for number in range(UNWRITTEN + 2)]
    first = [reception(association(how="broken"), uid, digest="aa") for uid in uids]
    again = [reception(association(1, accepted=20.0), uid, at=21.0, digest="aa") for uid in uids]
    sent = {A: "aa"} | dict.fromkeys(uids, "aa")
    kills = [Kill(10.2, 10.3)]
    assert "left 66 images" in judge(evidence(*first, *again, sent=sent, kills=kills)).violations[0]
    assert judge(evidence(*first[1:], *again[1:], sent=sent, kills=kills)).violations == []


def test_what_the_ledger_had_is_never_sent_again_whatever_happened() -> None:
    again = reception(association(1, accepted=20.0), at=21.0)
    excused = {"kills": [Kill(10.2, 19.0)], "known": {A: 15.0}}
    assert only_violation(judge(evidence(reception(association()), again, **excused))) == "again"
    assert judge(evidence(reception(association()), again, **excused | {"known": {A: 22.0}})).violations == []


def test_what_was_said_before_the_power_went_is_a_promise() -> None:
    sources = Sources(acknowledged={"before": 9.9, "while it went": 10.1, "of the next life": 10.6})
    assert sources.promised([Kill(10.0, 10.5)]) == {"before", "of the next life"}
    assert sources.promised([]) == set(sources.acknowledged)
