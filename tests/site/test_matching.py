"""What the worklist does not announce goes nowhere, until a person or an exact match says where."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from capacitord.config.attributes import attribute
from capacitord.errors import Refused, TryAgain
from capacitord.model.completeness import Completeness, Event
from capacitord.model.delivery import Send
from capacitord.model.evidence import Named
from capacitord.model.matching import Candidate, MatchKey, Order, Worklist
from capacitord.model.patient import Patient
from capacitord.model.profile import Matching
from capacitord.model.review import State, Terms
from capacitord.model.states import StudyState
from capacitord.model.transform import On, Set, Template, Transform
from capacitord.site.matching import Listing, entry_for
from capacitord.site.routing import Routing
from capacitord.spool.evidence import NO_SUCH_OBJECT
from capacitord.spool.outbox import Deed
from capacitord.spool.releasing import GRACE, Release
from capacitord.spool.whose import Awaited, Mixture
from tests.images import CT_STORAGE
from tests.site.reviewing import ANN, BOB, RULES, TO_PACS, Reviewing, entry, matching, reviewing
from tests.site.routes import going, put_image, routed_spool, study_of
from tests.site.stock import waiting
from tests.spool.recount import recount
from tests.wait import wait_for

STUDY = "1.2.3"
JANE = {"PatientID": "P1", "PatientName": "Doe^Jane", "AccessionNumber": "A-1"}
EVE = {"PatientID": "P2", "PatientName": "Roe^Eve", "AccessionNumber": "A-1"}
HER_ENTRY = entry("e1", accession_number="A-1", patient_id="P1", patient_name="DOE^JANE")


def test_what_the_worklist_announces_goes_by_the_routes(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        one.fetch(HER_ENTRY)
        put_image(one.spool, STUDY, 1, **JANE)
        assert one.closed(STUDY) is StudyState.MATCHED
        assert going(one.spool, STUDY) == {1: ("pacs",)}
        kept = one.spool.review.kept(one.id(STUDY))
        assert kept is not None
        assert (kept.record.state, kept.record.entry, kept.record.rule, kept.record.listed_at, kept.version) == (
            State.MATCHED,
            "e1",
            (MatchKey.ACCESSION_NUMBER,),
            10.0,
            1,
        )
        assert one.spool.review.refers("e1")


def test_what_it_does_not_announce_is_held_whole_and_outlives_restarts(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        put_image(one.spool, STUDY, 2, **JANE)
        assert one.closed(STUDY) is StudyState.HELD
        recount(one.spool)
    with reviewing(tmp_path, matching()) as one:
        found = study_of(one.spool, STUDY)
        assert (found.state, found.held, found.deliveries) == (StudyState.HELD, 2, ())
        assert "nothing on the worklist agrees with it" in found.reason


def test_what_comes_before_the_list_is_known_waits_and_is_matched_then(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        one.listing = Listing(awaited="The list is being read.")
        put_image(one.spool, STUDY, 1, **JANE)
        one.spool.settle()
        one.looks = 0
        one.box.router.wake()
        wait_for(lambda: one.looks > 2, what="the router to look for the list, and again")
        one.spool.close_arrived(0.0)
        found = study_of(one.spool, STUDY)
        assert (found.state, found.unrouted, found.held) == (StudyState.RECEIVING, 1, 0)
        assert one.box.router.failing is None
        one.fetch(HER_ENTRY)
        assert one.closed(STUDY) is StudyState.MATCHED
        assert going(one.spool, STUDY) == {1: ("pacs",)}


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([entry("e1", accession_number="A-1", patient_id="P9")], "identity of another patient"),
        ([HER_ENTRY, entry("e2", accession_number="a-1", patient_id="p1")], "several entries"),
    ],
)
def test_a_conflict_and_two_candidates_are_held(tmp_path: Path, entries: list, reason: str) -> None:  # type: ignore[type-arg]
    with reviewing(tmp_path, matching()) as one:
        one.fetch(*entries)
        put_image(one.spool, STUDY, 1, **JANE)
        assert one.closed(STUDY) is StudyState.HELD
        assert reason in study_of(one.spool, STUDY).reason
        one.fetch(HER_ENTRY, at=20.0)
        put_image(one.spool, STUDY, 2, **JANE)
        assert one.closed(STUDY) is StudyState.HELD
        assert waiting(one.spool) == []


HIDDEN = msgspec.structs.replace(entry("e2", accession_number="A-2", patient_id="P1"), withheld=True)


def test_nothing_leaves_as_the_study_of_an_entry_that_nobody_was_shown(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching(rematch=True)) as one:
        one.fetch(HIDDEN)
        put_image(one.spool, STUDY, 1, PatientID="P1", AccessionNumber="A-2")
        assert one.closed(STUDY) is StudyState.HELD
        assert "nothing on the worklist agrees with it" in study_of(one.spool, STUDY).reason
        one.fetch(HIDDEN, HER_ENTRY, at=20.0)
        assert one.closed(STUDY) is StudyState.HELD
        one.fetch(msgspec.structs.replace(HIDDEN, withheld=False), at=30.0)
        wait_for(lambda: len(waiting(one.spool)) == 1, within=20.0, what="the study to leave")


def test_a_hidden_entry_of_one_image_speaks_against_what_another_image_matches() -> None:
    hers, hidden, unlisted = (
        entry("", accession_number=number, patient_id="P1").identity for number in ("A-1", "A-2", "A-3")
    )
    worklist = Worklist((HER_ENTRY, HIDDEN), RULES)
    assert entry_for(worklist, (hers, unlisted)) == "e1"
    assert entry_for(worklist, (hers, hidden)) is None


def test_an_image_of_another_patients_hidden_entry_does_not_follow_its_study(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        one.fetch(
            HER_ENTRY,
            msgspec.structs.replace(HIDDEN, identity=entry("", accession_number="A-2", patient_id="P9").identity),
        )
        put_image(one.spool, STUDY, 1, **JANE)
        put_image(one.spool, STUDY, 2, AccessionNumber="A-2")
        assert one.closed(STUDY) is StudyState.HELD
        assert going(one.spool, STUDY) == {1: ("pacs",), 2: ()}


ORDER = Order("P1", "Doe^Jane", "A-1", "1.2.9", "RP-1")


def step(number: int, order: Order = ORDER, since: float = 1.0) -> Candidate:
    """Return an entry of Jane's order."""
    found = entry(f"e{number}", since, accession_number="A-1", patient_id="P1", scheduled_step=f"S-{number}")
    return msgspec.structs.replace(found, order=order)


def test_two_steps_of_one_order_are_a_match(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        one.fetch(step(1), step(2))
        put_image(one.spool, STUDY, 1, **JANE)
        assert one.closed(STUDY) is StudyState.MATCHED
        assert going(one.spool, STUDY) == {1: ("pacs",)}
        record = one.spool.review.record(one.id(STUDY))
        assert record is not None
        assert (record.entry, record.steps) == ("e1", ("e1", "e2"))
        put_image(one.spool, "1.2.4", 1, **JANE, RequestAttributesSequence={"ScheduledProcedureStepID": "S-2"})
        assert one.closed("1.2.4") is StudyState.MATCHED
        named = one.spool.review.record(one.id("1.2.4"))
        assert named is not None
        assert (named.entry, named.steps) == ("e2", ())


def test_two_steps_that_come_later_release_a_study_of_both(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching(rematch=True)) as one:
        for number in (1, 2):
            request = {"ScheduledProcedureStepID": f"S-{number}"}
            put_image(one.spool, STUDY, number, **JANE, RequestAttributesSequence=request)
        assert one.closed(STUDY) is StudyState.HELD
        one.fetch(step(1, since=15.0), step(2, since=15.0), at=20.0)
        wait_for(lambda: len(waiting(one.spool)) == 2, within=20.0, what="the study to leave")


def test_an_image_of_another_patient_in_a_matched_study_is_held_and_the_others_go(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        one.fetch(HER_ENTRY)
        put_image(one.spool, STUDY, 1, **JANE)
        put_image(one.spool, STUDY, 2, **EVE)
        put_image(one.spool, STUDY, 3, **JANE)
        assert one.closed(STUDY) is StudyState.HELD
        assert going(one.spool, STUDY) == {1: ("pacs",), 2: (), 3: ("pacs",)}


def test_images_that_match_nothing_themselves_follow_their_study(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        one.fetch(entry("e1", patient_id="P1", modality="CT"))
        put_image(one.spool, STUDY, 1, PatientID="P1", Modality="SR")
        one.box.settled()
        put_image(one.spool, STUDY, 2, PatientID="P1")
        put_image(one.spool, STUDY, 3, PatientID="P1", Modality="PR")
        assert one.closed(STUDY) is StudyState.MATCHED
        assert set(going(one.spool, STUDY).values()) == {("pacs",)}


def test_a_later_entry_is_suggested_and_releases_nothing(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        one.closed(STUDY)
        one.fetch(msgspec.structs.replace(HER_ENTRY, since=15.0), at=20.0)
        wait_for(lambda: suggestion(one) == "e1", within=20.0, what="the entry to be suggested")
        put_image(one.spool, STUDY, 2, **JANE)
        assert one.closed(STUDY) is StudyState.HELD
        one.box.become(matching(2))
        assert one.closed(STUDY) is StudyState.HELD
        one.box.become(msgspec.structs.replace(matching(3), matching=None))
        put_image(one.spool, STUDY, 3, **JANE)
        assert one.closed(STUDY) is StudyState.HELD
        assert waiting(one.spool) == []


@pytest.mark.parametrize(
    ("entries", "state", "sentence"),
    [
        (("e9",), State.CONFLICT, "identity of another patient"),
        (("e1", "e9"), State.AMBIGUOUS, "several entries of the worklist"),
    ],
)
def test_a_later_entry_of_another_patient_is_held_against_what_nothing_matched(
    tmp_path: Path, entries: tuple[str, ...], state: State, sentence: str
) -> None:
    later = {
        "e1": msgspec.structs.replace(HER_ENTRY, since=15.0),
        "e9": entry("e9", 15.0, accession_number="A-1", patient_id="P9"),
    }
    with reviewing(tmp_path, matching(rematch=True)) as one:
        for number in (1, 2):
            put_image(one.spool, STUDY, number, **JANE)
        assert one.closed(STUDY) is StudyState.HELD
        one.fetch(*(later[name] for name in entries), at=20.0)
        wait_for(
            lambda: sentence in study_of(one.spool, STUDY).reason, within=20.0, what="the study to be judged again"
        )
        record = one.spool.review.record(one.id(STUDY))
        assert record is not None
        assert (record.state, record.candidates, record.listed_at) == (state, entries, 20.0)
        assert record.fields == (MatchKey.PATIENT_ID,)
        # It stays so when the other entry is gone again.
        one.fetch(msgspec.structs.replace(HER_ENTRY, since=25.0), at=30.0)
        put_image(one.spool, STUDY, 3, **JANE)
        assert one.closed(STUDY) is StudyState.HELD
        assert waiting(one.spool) == []
        recount(one.spool)


def suggestion(one) -> str:  # type: ignore[no-untyped-def]
    record = one.spool.review.record(one.id(STUDY))
    return "" if record is None else str(record.suggestion)


def test_a_later_entry_releases_what_it_matches_where_the_profile_says_so(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching(rematch=True)) as one:
        for number in range(1, 101):
            put_image(one.spool, STUDY, number, **JANE)
        put_image(one.spool, "1.2.4", 1, **{**JANE, "AccessionNumber": "A-2"})
        one.closed(STUDY)
        one.closed("1.2.4")
        one.fetch(msgspec.structs.replace(HER_ENTRY, since=15.0), at=20.0)
        wait_for(
            lambda: study_of(one.spool, STUDY).state is StudyState.MATCHED, within=20.0, what="the study to be matched"
        )
        assert len(waiting(one.spool)) == 100
        assert study_of(one.spool, "1.2.4").state is StudyState.HELD
        short = study_of(one.spool, STUDY).id
        words = (
            'held (unmatched) -> matched with entry e1, rule AccessionNumber, rematch = "release", profile version 1'
        )
        assert one.box.deeds == [Deed("study.rematch", (short, "e1"), words)]
        wait_for(lambda: one.box.did, within=20.0, what="it to be said that there is something to tell")


def test_an_image_that_says_more_has_its_study_matched_and_the_log_says_that_it_was_that(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        one.fetch(HER_ENTRY)
        put_image(one.spool, STUDY, 1, **{**JANE, "AccessionNumber": ""})
        assert one.closed(STUDY) is StudyState.HELD
        put_image(one.spool, STUDY, 2, **JANE)
        assert one.closed(STUDY) is StudyState.MATCHED
        (deed,) = one.box.deeds
        assert deed.detail == (
            "held (unmatched) -> matched with entry e1, rule AccessionNumber, by an image that says more, "
            "profile version 1"
        )


def test_unmatched_studies_go_where_the_profile_sends_them(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching(release_to=("archive",))) as one:
        one.fetch(entry("e1", accession_number="A-1", patient_id="P9"))
        put_image(one.spool, STUDY, 1, **{**JANE, "AccessionNumber": "A-2"})
        put_image(one.spool, "1.2.4", 1, **JANE)
        assert one.closed(STUDY) is StudyState.LET_THROUGH
        assert going(one.spool, STUDY) == {1: ("archive",)}
        assert "what nothing on the worklist matches" in study_of(one.spool, STUDY).reason
        assert one.closed("1.2.4") is StudyState.HELD
        (deed,) = one.box.deeds
        assert (deed.action, deed.subjects) == ("study.let-through", (study_of(one.spool, STUDY).id, "archive"))


def test_with_a_lost_catalog_what_is_let_through_anew_is_told_of_anew(tmp_path: Path) -> None:
    ids: list[str] = []
    for _ in range(2):
        with reviewing(tmp_path, matching(release_to=("archive",))) as one:
            if not ids:
                put_image(one.spool, STUDY, 1, **JANE)
            assert one.closed(STUDY) is StudyState.LET_THROUGH
            (untold,) = one.spool.outbox.oldest(9)
            ids.append(untold.id)
        (tmp_path / "catalog.db").unlink()
    assert ids[0] != ids[1]


def test_it_is_on_record_where_unmatched_studies_go_under_another_version(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching(release_to=("archive",))) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        one.closed(STUDY)
        one.box.become(matching(2, release_to=("pacs",)))
        for number in (2, 3):
            put_image(one.spool, STUDY, number, **JANE)
            one.closed(STUDY)
        assert going(one.spool, STUDY) == {1: ("archive",), 2: ("pacs",), 3: ("pacs",)}
        short = study_of(one.spool, STUDY).id
        assert [deed.subjects for deed in one.box.deeds] == [(short, "archive"), (short, "pacs")]


def test_a_release_sends_what_is_held_and_late_images_follow_unless_they_are_of_somebody_else(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        one.closed(STUDY)
        assert one.spool.releasing.release(one.id(STUDY), TO_PACS, BOB, 5) == 1
        found = study_of(one.spool, STUDY)
        assert (found.state, found.held) == (StudyState.RELEASED, 0)
        assert found.reason == "Released by Dr Bob (as bob) to pacs."
        assert going(one.spool, STUDY) == {1: ("pacs",)}
        with pytest.raises(Refused, match="was released by Dr Bob"):
            one.spool.releasing.release(one.id(STUDY), TO_PACS, ANN, 6)
        put_image(one.spool, STUDY, 2, **JANE)
        with pytest.raises(TryAgain):
            one.spool.releasing.release(one.id(STUDY), TO_PACS, ANN, 6)
        put_image(one.spool, STUDY, 3, **EVE)
        assert one.closed(STUDY) is StudyState.HELD
        assert going(one.spool, STUDY) == {1: ("pacs",), 2: ("pacs",), 3: ()}
        one.spool.releasing.release(one.id(STUDY), Release(("archive",), "it is Eve"), ANN, 7)
        assert going(one.spool, STUDY) == {1: ("pacs",), 2: ("pacs",), 3: ("archive",)}
        recount(one.spool)


def as_whose(patient: str) -> Transform:
    """Return what a release with an entry of this patient writes."""
    return Transform("reconcile", On.INBOUND, (Set(attribute("PatientID"), Template(patient, (patient,))),))


def written(one: Reviewing, destination: str) -> dict[str, str]:
    """Return as whose each image leaves that waits for a destination; empty for one that leaves as it came."""
    found = one.spool.ledger.due(destination, 99)
    return {
        each.sop_instance_uid: "" if each.reconciled is None else each.reconciled.operations[0].value.text  # type: ignore[union-attr]
        for each in found
    }


def test_late_images_follow_whom_a_person_sent_and_not_whom_she_discarded(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        one.box.settled()
        put_image(one.spool, STUDY, 2, **EVE)
        one.closed(STUDY)
        of_jane = lambda patients: [each for each in patients if each.id == "P1"]  # noqa: E731
        one.spool.releasing.set_aside(one.id(STUDY), "a slip", ANN, (4, 0.0), of_jane)
        one.spool.releasing.release(one.id(STUDY), Release(("pacs",), "known", "eve", as_whose("eve")), ANN, 5)
        put_image(one.spool, STUDY, 3, **JANE)
        put_image(one.spool, STUDY, 4, **EVE)
        assert one.closed(STUDY) is StudyState.HELD
        assert going(one.spool, STUDY) == {1: (), 2: ("pacs",), 3: (), 4: ("pacs",)}
        assert set(written(one, "pacs").values()) == {"eve"}


def test_what_is_sent_again_of_a_corrected_study_is_corrected_likewise(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        one.closed(STUDY)
        one.spool.releasing.release(one.id(STUDY), Release(("pacs",), "known", "eve", as_whose("eve")), ANN, 5)
        again = put_image(one.spool, STUDY, 1, **JANE, ImageComments="again").hex()
        one.closed(STUDY)
        study = one.id(STUDY)
        assert one.spool.ledger.resend(study, ["pacs"], one.spool.studies.image(study, again), 9, chosen=False) == 1
        leaving = [each.reconciled for each in one.spool.ledger.due("pacs", 99)]
        assert len(leaving) == 2
        assert all(each == as_whose("eve") for each in leaving)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ((MatchKey.PATIENT_NAME, MatchKey.MODALITY), {"patient_id": "P9"}),
        ((MatchKey.PATIENT_NAME, MatchKey.MODALITY), {"patient_birth_date": "19500101"}),
        ((MatchKey.PATIENT_ID, MatchKey.MODALITY), {"patient_id": "P1", "patient_birth_date": "19500101"}),
    ],
)
def test_no_rule_makes_a_study_that_of_an_entry_of_another_patient(
    tmp_path: Path, rule: tuple[MatchKey, ...], said: dict[str, str]
) -> None:
    profile = msgspec.structs.replace(matching(release_to=("archive",)), matching=Matching((rule,), Terms()))
    with reviewing(tmp_path, profile) as one:
        one.fetch(entry("e1", 1.0, **{"patient_name": "Doe^Jane", "modality": "CT"} | said))
        for number in (1, 2):
            put_image(one.spool, STUDY, number, **JANE, PatientBirthDate="19900101", Modality="CT")
            one.box.settled()
        assert one.closed(STUDY) is StudyState.HELD
        assert going(one.spool, STUDY) == {1: (), 2: ()}
        record = one.spool.review.record(one.id(STUDY))
        assert record is not None
        assert (record.state, record.candidates) == (State.CONFLICT, ("e1",))


def test_late_images_never_get_what_was_said_of_another_patient(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        one.closed(STUDY)
        jane, eve = (Release(("pacs",), "known", name, as_whose(name)) for name in ("jane", "eve"))
        one.spool.releasing.release(one.id(STUDY), jane, ANN, 5)
        put_image(one.spool, STUDY, 2, **EVE)
        assert one.closed(STUDY) is StudyState.HELD
        one.spool.releasing.release(one.id(STUDY), eve, ANN, 6)
        put_image(one.spool, STUDY, 3, **JANE)
        one.closed(STUDY)
        assert written(one, "pacs") == {f"{STUDY}.1": "jane", f"{STUDY}.2": "eve", f"{STUDY}.3": "jane"}


def test_who_releases_one_image_of_a_matched_study_decides_for_that_only(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        one.fetch(HER_ENTRY)
        put_image(one.spool, STUDY, 1, **JANE)
        put_image(one.spool, STUDY, 2, **EVE)
        assert one.closed(STUDY) is StudyState.HELD
        eve = Release(("archive",), "it is Eve", "e2", as_whose("eve"))
        one.spool.releasing.release(one.id(STUDY), eve, ANN, 6)
        put_image(one.spool, STUDY, 3, **JANE)
        put_image(one.spool, STUDY, 4, **EVE)
        assert one.closed(STUDY) is StudyState.HELD
        assert written(one, "pacs") == {f"{STUDY}.1": "", f"{STUDY}.3": ""}
        assert written(one, "archive") == {f"{STUDY}.2": "eve"}


def test_a_late_image_that_says_more_of_the_patient_than_was_seen_is_held(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        put_image(one.spool, STUDY, 1)
        one.closed(STUDY)
        one.spool.releasing.release(one.id(STUDY), Release(("pacs",), "it is Jane", "e1", as_whose("jane")), ANN, 5)
        put_image(one.spool, STUDY, 2, PatientID="P2", PatientName="Roe^Eve")
        put_image(one.spool, STUDY, 3)
        assert one.closed(STUDY) is StudyState.HELD
        assert written(one, "pacs") == {f"{STUDY}.1": "jane", f"{STUDY}.3": "jane"}


def test_an_image_of_nobody_does_not_make_a_study_the_one_of_another_patient(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        one.fetch(entry("e2", accession_number="A-2", patient_id="P2"))
        put_image(one.spool, STUDY, 1, PatientID="P1")
        one.box.settled()
        put_image(one.spool, STUDY, 2, AccessionNumber="A-2")
        assert one.closed(STUDY) is StudyState.HELD
        assert waiting(one.spool) == []


def test_the_patient_of_a_matched_study_is_the_one_of_its_entry_where_images_say_nothing(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        one.fetch(HER_ENTRY)
        put_image(one.spool, STUDY, 1, AccessionNumber="A-1")
        one.box.settled()
        put_image(one.spool, STUDY, 2, PatientID="P2")
        put_image(one.spool, STUDY, 3, PatientID="P1")
        assert one.closed(STUDY) is StudyState.HELD
        assert going(one.spool, STUDY) == {1: ("pacs",), 2: (), 3: ("pacs",)}


def test_what_waits_for_a_release_leaves_by_nothing_else(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        one.fetch(HER_ENTRY)
        put_image(one.spool, STUDY, 1, **JANE)
        put_image(one.spool, STUDY, 2, **EVE)
        one.closed(STUDY)
        study = one.id(STUDY)
        with pytest.raises(Refused, match="not known whose"):
            one.spool.ledger.resend(study, ["archive"], None, 9)
        with pytest.raises(Refused, match="patient's name"):
            one.spool.housekeeping.discard(study, 9, "x")
        assert (waiting(one.spool, "archive"), study_of(one.spool, STUDY).held) == ([], 1)
        one.spool.releasing.set_aside(study, "not hers", ANN, (5, 0.0))
        with pytest.raises(Refused, match="can still be had back"):
            one.spool.housekeeping.discard(study, 9, "x")
        assert one.spool.ledger.resend(study, ["archive"], None, 9) == 1
        recount(one.spool)


@pytest.mark.parametrize("what", [{"Modality": ""}, {"PixelData": b"\0"}])
def test_what_matching_never_looked_at_takes_a_release_too(tmp_path: Path, what: dict[str, Any]) -> None:
    with reviewing(tmp_path, matching()) as one:
        one.fetch(HER_ENTRY)
        put_image(one.spool, STUDY, 1, **JANE)
        put_image(one.spool, STUDY, 2, **{**EVE, **what})
        assert one.closed(STUDY) is StudyState.HELD
        study = one.id(STUDY)
        with pytest.raises(Refused, match="not known whose"):
            one.spool.ledger.resend(study, ["archive"], None, 9)
        assert going(one.spool, STUDY) == {1: ("pacs",), 2: ()}


INVALID: dict[str, Any] = {"PixelData": bytes(10)}


def why(one: Reviewing) -> dict[str, tuple[int, tuple[str, ...]]]:
    return {each.reason: (each.images, each.details) for each in study_of(one.spool, STUDY).held_for}


def test_an_image_that_is_invalid_is_a_conflict_before_all(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        one.fetch(HER_ENTRY)
        put_image(one.spool, STUDY, 1, **EVE, **INVALID)
        assert one.closed(STUDY) is StudyState.HELD
        fault = "its pixels have 10 bytes, and rows, columns, frames and bits make 16"
        assert list(why(one).items()) == [("conflict", (1, ())), ("invalid", (1, (fault,)))]
        steps = {each.next_step for each in study_of(one.spool, STUDY).held_for}
        assert len(steps) == 1
        assert "as it is" not in steps.pop()
        record = one.spool.review.record(one.id(STUDY))
        assert record is not None
        assert (record.state, record.candidates) == (State.CONFLICT, ("e1",))


def test_an_invalid_image_that_matches_is_held_and_says_nothing_for_its_study(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        one.fetch(HER_ENTRY)
        put_image(one.spool, STUDY, 1, **JANE, **INVALID)
        assert one.closed(STUDY) is StudyState.HELD
        assert [*why(one)] == ["invalid"]
        assert one.spool.review.record(one.id(STUDY)) is None
        put_image(one.spool, STUDY, 2, PatientID="P1")
        assert one.closed(STUDY) is StudyState.HELD
        assert why(one)["unmatched"][0] == 1
        put_image(one.spool, STUDY, 3, **JANE)
        one.closed(STUDY)
        assert going(one.spool, STUDY) == {1: (), 2: ("pacs",), 3: ("pacs",)}


@pytest.mark.parametrize(("said", "first"), [(EVE, "conflict"), ({"PatientID": "P9"}, "unmatched")])
def test_missing_images_hide_nothing_that_is_worse(tmp_path: Path, said: dict[str, Any], first: str) -> None:
    rules = Completeness((Event.QUIET,), 0.0, Send.STUDY)
    with reviewing(tmp_path, msgspec.structs.replace(matching(), completeness=rules)) as one:
        one.fetch(HER_ENTRY)
        one.spool.evidence.step_began("1.9.1", [STUDY], "CT", 5)
        put_image(one.spool, STUDY, 1, **said)
        names = [Named(CT_STORAGE, f"{STUDY}.{number}") for number in (1, 2, 3)]
        one.spool.evidence.step_changed("1.9.1", names, 6, over=True)

        def held() -> bool:
            one.spool.close_arrived(0.0, rules, matches=True)
            one.box.router.wake()
            return study_of(one.spool, STUDY).state is StudyState.HELD

        wait_for(held, within=20.0, what="the study to be held")
        assert why(one) == {first: (1, ("2 images are missing that the scanner named",))}
        assert waiting(one.spool) == []


@pytest.mark.parametrize("also", [{}, INVALID])
def test_what_waits_for_a_person_is_never_discarded_for_good_at_once(tmp_path: Path, also: dict[str, Any]) -> None:
    with reviewing(tmp_path, matching()) as one:
        one.fetch(HER_ENTRY)
        put_image(one.spool, STUDY, 1, **JANE, **also)
        put_image(one.spool, STUDY, 2, **JANE, **INVALID)
        one.closed(STUDY)
        with pytest.raises(Refused, match="patient's name") as refused:
            one.spool.housekeeping.discard(one.id(STUDY), 9, "x")
        assert "fluxctl held discard" in refused.value.hint
        assert study_of(one.spool, STUDY).purged == 0


def test_an_image_that_came_again_as_another_patients_goes_nowhere(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        one.fetch(HER_ENTRY)
        put_image(one.spool, STUDY, 1, **JANE)
        hers = put_image(one.spool, STUDY, 1, **JANE, ImageComments="again").hex()
        not_hers = put_image(one.spool, STUDY, 1, **EVE).hex()
        one.closed(STUDY)
        study, image = one.id(STUDY), one.spool.studies.image
        for chosen in (False, True):
            with pytest.raises(Refused, match="another patient now"):
                one.spool.ledger.resend(study, ["pacs"], image(study, not_hers), 9, chosen=chosen)
        assert len(waiting(one.spool)) == 1
        assert one.spool.ledger.resend(study, ["pacs"], image(study, hers), 9, chosen=False) == 1


def test_a_study_of_nothing_but_what_came_again_is_nobodys(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        one.fetch(HER_ENTRY)
        put_image(one.spool, STUDY, 1, **JANE)
        one.closed(STUDY)
        name = put_image(one.spool, STUDY, 1, **EVE, StudyInstanceUID="1.2.4").hex()
        one.closed("1.2.4")
        study = one.id("1.2.4")
        with pytest.raises(Refused, match="not known whose"):
            one.spool.ledger.resend(study, ["archive"], one.spool.studies.image(study, name), 9)
        assert waiting(one.spool, "archive") == []


def test_nobody_sends_what_is_not_matched_yet(tmp_path: Path) -> None:
    spool = routed_spool(tmp_path, Routing(matching()))
    put_image(spool, STUDY, 1, **JANE)
    spool.settle()
    with pytest.raises(TryAgain, match="not decided yet"):
        spool.ledger.resend(spool.studies.find(STUDY)[0], ["pacs"], None, 9)
    assert waiting(spool) == []
    spool.close()


def test_what_is_discarded_can_be_had_back_in_a_day(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        one.closed(STUDY)
        study = one.id(STUDY)
        assert one.spool.releasing.set_aside(study, "a test exposure.", ANN, (5, 100.0)) == (1, {})
        assert (study_of(one.spool, STUDY).state, study_of(one.spool, STUDY).held) == (StudyState.DISCARDED, 0)
        assert one.spool.releasing.over(100.0 + GRACE - 1) == []
        with pytest.raises(Refused, match="was discarded by ann"):
            one.spool.releasing.release(study, TO_PACS, BOB, 6)
        assert one.spool.ledger.resend(study, ["pacs"], None, 6) == 0
        assert one.spool.releasing.restore(study) == 1
        assert (study_of(one.spool, STUDY).state, study_of(one.spool, STUDY).held) == (StudyState.HELD, 1)
        with pytest.raises(Refused, match="Nothing of this study is discarded: 1 image of it is held"):
            one.spool.releasing.restore(study)
        one.spool.releasing.set_aside(study, "a test exposure.", ANN, (7, 200.0))
        assert one.spool.releasing.over(200.0 + GRACE) == [study]
        assert one.spool.housekeeping.discard_set_aside(study, 8, 200.0 + GRACE - 1) == 0
        assert one.spool.housekeeping.discard_set_aside(study, 8, 200.0 + GRACE) == 1
        found = study_of(one.spool, STUDY)
        assert (found.state, found.bytes, found.purged) == (StudyState.DISCARDED, 0, 1)
        with pytest.raises(Refused):
            one.spool.releasing.restore(study)
        recount(one.spool)


def test_an_image_that_comes_again_after_a_discard_is_a_new_one(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        one.closed(STUDY)
        study = one.id(STUDY)
        one.spool.releasing.set_aside(study, "by mistake.", ANN, (5, 0.0))
        put_image(one.spool, STUDY, 1, **JANE)
        assert one.closed(STUDY) is StudyState.HELD
        assert one.spool.releasing.restore(study) == 0
        one.spool.housekeeping.discard_set_aside(study, 8, GRACE)
        assert study_of(one.spool, STUDY).held == 1
        recount(one.spool)


def test_what_is_had_back_after_a_release_is_held_and_can_be_released(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        one.closed(STUDY)
        study = one.id(STUDY)
        one.spool.releasing.set_aside(study, "by mistake.", ANN, (5, 0.0))
        put_image(one.spool, STUDY, 2, **JANE)
        one.closed(STUDY)
        one.spool.releasing.release(study, TO_PACS, ANN, 6)
        assert one.spool.releasing.restore(study) == 1
        assert (study_of(one.spool, STUDY).state, study_of(one.spool, STUDY).held) == (StudyState.HELD, 1)
        assert one.spool.releasing.release(study, TO_PACS, BOB, 7) == 1
        assert going(one.spool, STUDY) == {1: ("pacs",), 2: ("pacs",)}
        recount(one.spool)


def test_of_an_image_that_was_discarded_twice_one_is_had_back(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        for _ in range(2):
            put_image(one.spool, STUDY, 1, **JANE)
            one.closed(STUDY)
            one.spool.releasing.set_aside(one.id(STUDY), "by mistake.", ANN, (5, 0.0))
        assert one.spool.releasing.restore(one.id(STUDY)) == 1
        assert study_of(one.spool, STUDY).held == 1
        assert one.spool.releasing.over(GRACE) == [one.id(STUDY)]
        recount(one.spool)


def test_this_box_does_not_stand_for_what_was_discarded(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        one.closed(STUDY)
        evidence = one.spool.evidence
        named = Named(CT_STORAGE, f"{STUDY}.1")
        evidence.asked("1.9.1", [named], "CT1", "BOX", 5)
        (request,) = evidence.unreported()
        assert evidence.result(request.id).committed == (named,)
        one.spool.releasing.set_aside(one.id(STUDY), "a test.", ANN, (5, 0.0))
        assert evidence.result(request.id).failed == ((named, NO_SUCH_OBJECT),)


def test_it_is_known_whose_the_held_images_are(tmp_path: Path) -> None:
    jane, eve = Patient("Doe^Jane", "P1"), Patient("Roe^Eve", "P2")
    with reviewing(tmp_path, matching()) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        one.closed(STUDY)
        study, releasing = one.id(STUDY), one.spool.releasing
        assert releasing.awaited(study) == (Awaited(jane, 1, 1, 1),)
        releasing.release(study, TO_PACS, ANN, 5)
        assert releasing.awaited(study) == ()
        put_image(one.spool, STUDY, 2, **EVE)
        one.closed(STUDY)
        assert releasing.awaited(study) == (Awaited(eve, 1, 1, 1),)
    with reviewing(tmp_path, matching()) as one:
        assert one.spool.releasing.awaited(one.id(STUDY)) == (Awaited(eve, 1, 1, 1),)


def test_a_discard_is_about_the_images_of_the_patients_that_were_chosen(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        put_image(one.spool, STUDY, 2, **EVE)
        put_image(one.spool, STUDY, 3, **JANE)
        one.closed(STUDY)
        study, releasing = one.id(STUDY), one.spool.releasing
        seen: list[Patient] = []

        def choose(patients: Sequence[Patient]) -> Sequence[Patient]:
            seen.extend(patients)
            return patients[1:]

        assert releasing.set_aside(study, "not hers", ANN, (5, 0.0), choose) == (1, {})
        assert [each.id for each in seen] == ["P1", "P2"]
        assert releasing.awaited(study) == (Awaited(Patient("Doe^Jane", "P1"), 2, 2, 2),)
        assert releasing.release(study, TO_PACS, ANN, 6) == 2
        assert going(one.spool, STUDY) == {1: ("pacs",), 2: (), 3: ("pacs",)}
        recount(one.spool)


def test_what_a_release_mixes_is_known_before_anything_is_done(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        one.closed(STUDY)
        study, found = one.id(STUDY), list[Mixture]()
        one.spool.releasing.release(study, TO_PACS, ANN, 5, found.append)
        put_image(one.spool, STUDY, 2, **EVE)
        one.closed(STUDY)

        def refuse(mixture: Mixture) -> None:
            found.append(mixture)
            raise Refused("no")

        with pytest.raises(Refused, match="no"):
            one.spool.releasing.release(study, TO_PACS, ANN, 6, refuse)
        jane, eve = Patient("Doe^Jane", "P1"), Patient("Roe^Eve", "P2")
        assert found == [({jane: 1}, ()), ({eve: 1}, (jane,))]
        assert study_of(one.spool, STUDY).state is StudyState.HELD
        recount(one.spool)


def test_what_was_discarded_is_counted_apart_from_what_is_held(tmp_path: Path) -> None:
    with reviewing(tmp_path, matching()) as one:
        for number in (1, 2):
            put_image(one.spool, STUDY, number, **JANE)
        one.closed(STUDY)
        study = one.id(STUDY)
        assert study_of(one.spool, STUDY).discarded == 0
        one.spool.releasing.set_aside(study, "blurred.", ANN, (5, 0.0))
        put_image(one.spool, STUDY, 1, **JANE)
        one.closed(STUDY)
        found = study_of(one.spool, STUDY)
        assert (found.images, found.held, found.discarded) == (3, 1, 2)
        detail = one.spool.studies.detail(study, "")
        assert sorted(each.routing for each in detail.images) == ["held", "set aside", "set aside"]
        one.spool.housekeeping.discard_set_aside(study, 8, GRACE)
        assert study_of(one.spool, STUDY).discarded == 0
