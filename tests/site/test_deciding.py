"""What a person is told before and after she decides about what is held."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec
import pytest

from capacitord.api import messages as m
from capacitord.api import review as r
from capacitord.dicom.worklist.scu import listed
from capacitord.dicom.worklist.served import ServedList, Shown
from capacitord.errors import Ambiguous, Refused
from capacitord.model.matching import Candidate, Identity, MatchKey
from capacitord.model.patient import Patient, summary
from capacitord.model.states import StudyState
from capacitord.model.worklist_cache import Cache, Rhythm, merged
from capacitord.site.deciding import Deciding
from capacitord.site.deeds import Asked
from capacitord.site.matching import NO_LIST, Listing, Matcher
from capacitord.site.reviewing import MOST_PATIENTS, Reviewing, doubts_of
from capacitord.site.worklist import ids
from fluxctl.render.held import patients_of
from tests.dicom.samples import EXPLICIT
from tests.dicom.worklist.kit import data
from tests.site import reviewing as kit
from tests.site.reviewing import ANN, BOB, matching
from tests.site.routes import going, put_image, study_of
from tests.wait import wait_for

STUDY = "1.2.3"
ASKED = Asked(ANN, "a decision")
BY_BOB = ASKED._replace(by=BOB)
JANE = {"PatientID": "P1", "PatientName": "Doe^Jane", "AccessionNumber": "A-1"}
EVE = {"PatientID": "P2", "PatientName": "Roe^Eve", "AccessionNumber": "A-1"}


Entries = tuple[tuple[str, Shown], ...]


def desk(one: kit.Reviewing, entries: Entries = ()) -> Reviewing:
    return Reviewing(one.spool, matching, Matcher(lambda: NO_LIST), lambda: entries, lambda: ("pacs",))


def deciding(one: kit.Reviewing, entries: Entries = ()) -> Deciding:
    return Deciding(one.spool, lambda: entries, lambda: ("pacs",))


def on_the_list(**said: str) -> Shown:
    """Return an entry of the worklist that says this."""
    served = ServedList([], key=b"k" * 32, zone=dt.UTC, rhythm=Rhythm(), clock=lambda: 0.0, ask=lambda: False)
    served.take(merged(Cache(), [listed(data(said), EXPLICIT)], 0.0))
    (shown,) = served.shown()
    return shown


def release(**more: object) -> r.Release:
    return r.Release(STUDY, ("pacs",), "x", **more)  # type: ignore[arg-type]


def seen(answer: r.HeldDetail) -> str:
    return summary((Patient(each.name, each.id, each.birth_date), each.release) for each in answer.held.patients)


def discard(name: str) -> r.DiscardHeld:
    return r.DiscardHeld(STUDY, "x", m.Secret(name))


def test_images_of_two_patients_leave_only_where_somebody_says_so(tmp_path: Path) -> None:
    with kit.reviewing(tmp_path, matching()) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        put_image(one.spool, STUDY, 2, **EVE)
        one.closed(STUDY)
        with pytest.raises(Refused, match="say different patients") as refused:
            deciding(one).release(release(), ASKED)
        assert "fluxctl held show" in refused.value.hint
        assert "Roe" not in str(refused.value)
        with pytest.raises(Refused, match="2 images would be sent, not 1"):
            deciding(one).release(release(mixed=True, images=1), ASKED)
        assert going(one.spool, STUDY) == {1: (), 2: ()}
        deciding(one).release(release(mixed=True, images=2), ASKED)
        assert going(one.spool, STUDY) == {1: ("pacs",), 2: ("pacs",)}


def test_a_list_names_a_few_of_very_many_patients_of_a_study_and_says_how_many_more(tmp_path: Path) -> None:
    with kit.reviewing(tmp_path, matching()) as one:
        for number in range(1, MOST_PATIENTS + 8):
            put_image(one.spool, STUDY, number, PatientID=f"P{number}", PatientName=f"Doe^{number}")
        one.closed(STUDY)
        (held,) = desk(one).list(r.ListHeld()).held
        assert (len(held.patients), held.more_patients) == (MOST_PATIENTS, 7)
        assert (len(held.said), held.more_said) == (MOST_PATIENTS, 7)
        shown, _ = desk(one).show(m.StudyRef(STUDY))
        assert (len(shown.held.patients), shown.held.more_patients) == (MOST_PATIENTS + 7, 0)
        words = patients_of([(each, each.images) for each in held.patients], held.more_patients)
        assert words.endswith(", Doe, 5 (P5) (1 image) and 7 more")


def test_a_release_is_of_the_patients_that_were_shown_however_many_images_there_are(tmp_path: Path) -> None:
    with kit.reviewing(tmp_path, matching()) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        one.closed(STUDY)
        answer, _ = desk(one).show(m.StudyRef(STUDY))
        shown = release(mixed=True, images=1, whose=seen(answer))
        deciding(one).discard(discard("Doe^Jane"), ASKED)
        put_image(one.spool, STUDY, 2, **EVE)
        one.closed(STUDY)
        with pytest.raises(Refused, match="of other patients"):
            deciding(one).release(shown, BY_BOB)
        assert going(one.spool, STUDY) == {1: (), 2: ()}
        answer, _ = desk(one).show(m.StudyRef(STUDY))
        deciding(one).release(release(images=1, whose=seen(answer)), BY_BOB)
        assert going(one.spool, STUDY) == {1: (), 2: ("pacs",)}


def test_of_two_patients_one_is_discarded_and_the_other_released(tmp_path: Path) -> None:
    with kit.reviewing(tmp_path, matching()) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        put_image(one.spool, STUDY, 2, **EVE)
        one.closed(STUDY)
        for name in ("", "Smith^John", "P2"):
            with pytest.raises(Refused, match="not the name"):
                deciding(one).discard(discard(name), ASKED)
        deciding(one).discard(discard("roe^eve"), ASKED)
        deciding(one).release(release(), ASKED)
        assert going(one.spool, STUDY) == {1: ("pacs",), 2: ()}


def test_a_late_image_does_not_hide_who_released_its_study(tmp_path: Path) -> None:
    with kit.reviewing(tmp_path, matching()) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        one.closed(STUDY)
        deciding(one).release(release(), BY_BOB)
        put_image(one.spool, STUDY, 2, **EVE)
        one.closed(STUDY)
        answer, _ = desk(one).show(m.StudyRef(STUDY))
        assert answer.refusal is None
        for _ in range(2):
            found = desk(one).decided(one.id(STUDY))
            assert found is not None
            assert (found.state, found.by, found.destinations) == ("released", "Dr Bob (as bob)", ("pacs",))
            if one.spool.releasing.awaited(one.id(STUDY)):
                deciding(one).discard(discard("Roe^Eve"), ASKED)


def test_what_is_not_held_says_so_before_anything_is_asked(tmp_path: Path) -> None:
    with kit.reviewing(tmp_path, matching()) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        one.closed(STUDY)
        deciding(one).release(release(), BY_BOB)
        answer, _ = desk(one).show(m.StudyRef(STUDY))
        assert answer.refusal is not None
        assert "was released by Dr Bob" in answer.refusal.message
        assert answer.held.patients == ()


def test_what_came_again_and_was_released_is_not_called_held(tmp_path: Path) -> None:
    with kit.reviewing(tmp_path, matching()) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        one.closed(STUDY)
        deciding(one).discard(discard("Doe^Jane"), ASKED)
        put_image(one.spool, STUDY, 1, **JANE)
        assert one.closed(STUDY) is StudyState.HELD
        restore = r.RestoreHeld(STUDY)
        assert "1 image of it is held" in deciding(one).restore(restore, ASKED).done.message
        deciding(one).release(release(), ASKED)
        assert "nothing of it is held now" in deciding(one).restore(restore, ASKED).done.message
        assert study_of(one.spool, STUDY).state is StudyState.RELEASED


@pytest.mark.parametrize(("name", "number"), [("", ""), ("^^", "")])
def test_nothing_is_released_as_the_study_of_an_entry_that_names_no_patient(
    tmp_path: Path, name: str, number: str
) -> None:
    with kit.reviewing(tmp_path, matching()) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        one.closed(STUDY)
        entries = (("5be10c77", on_the_list(PatientName=name, PatientID=number, AccessionNumber="A-1")),)
        with pytest.raises(Refused, match="names no patient"):
            deciding(one, entries).release(release(match="5be1"), ASKED)
        assert going(one.spool, STUDY) == {1: ()}


def test_nothing_is_released_as_the_study_of_an_entry_that_is_not_served(tmp_path: Path) -> None:
    with kit.reviewing(tmp_path, matching()) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        one.closed(STUDY)
        shown = on_the_list(PatientName="Doe^Jane", PatientID="P1", AccessionNumber="A-1")
        shown.correction.withhold()
        with pytest.raises(Refused, match="not served"):
            deciding(one, (("5be10c77", shown),)).release(release(match="5be1"), ASKED)
        assert going(one.spool, STUDY) == {1: ()}


def test_what_fits_two_entries_names_neither_and_a_whole_id_names_its_own() -> None:
    one, other = (on_the_list(AccessionNumber=number, PatientName="X") for number in ("4711", "47119a3c"))
    entries = (("5be10c77", one), ("47119a3c", other), ("0a41f2d9", other))
    with pytest.raises(Ambiguous) as error:
        ids.find("4711", entries)
    assert error.value.candidates == ("5be10c77", "47119a3c")
    assert ids.find("47119A3C", entries)[0] == "47119a3c"


def test_an_entry_agrees_with_a_study_of_two_patients_in_nothing_that_tells_them_apart(tmp_path: Path) -> None:
    entries = (("5be10c77", on_the_list(PatientName="Doe^Jane", PatientID="P1", AccessionNumber="A-1")),)
    known = Candidate("5be10c77", 1.0, Identity({MatchKey.PATIENT_ID: "P1", MatchKey.PATIENT_NAME: "Doe^Jane"}))
    with kit.reviewing(tmp_path, matching()) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        put_image(one.spool, STUDY, 2, **EVE)
        one.closed(STUDY)
        there = Matcher(lambda: Listing((known,), 1.0))
        answer, _ = Reviewing(one.spool, matching, there, lambda: entries, lambda: ()).show(m.StudyRef(STUDY))
        said = {line.key: (line.study, line.agrees) for line in answer.lines}
        assert said["PatientID"] == ("P1 / P2", (False,))
        assert said["AccessionNumber"] == ("A-1", (None,))


def test_an_entry_does_not_make_images_of_two_patients_one(tmp_path: Path) -> None:
    entries = (("5be10c77", on_the_list(PatientName="Doe^Jane", PatientID="P1", AccessionNumber="A-1")),)
    with kit.reviewing(tmp_path, matching()) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        put_image(one.spool, STUDY, 2, **EVE)
        one.closed(STUDY)
        with pytest.raises(Refused, match="say different patients") as refused:
            deciding(one, entries).release(release(match="5be10c77"), ASKED)
        assert "--match" not in refused.value.hint
        assert going(one.spool, STUDY) == {1: (), 2: ()}
        deciding(one, entries).release(release(match="5be10c77", mixed=True, images=2), ASKED)
        assert going(one.spool, STUDY) == {1: ("pacs",), 2: ("pacs",)}


def test_a_match_of_which_a_person_should_make_sure_says_so() -> None:
    entry = Candidate("5be10c77", 1.0, Identity({MatchKey.PATIENT_ID: "P1", MatchKey.PATIENT_NAME: "DOE^JANE"}))
    hers = Identity({MatchKey.PATIENT_ID: "P1", MatchKey.PATIENT_NAME: "Doe^Jane"})
    other = Identity({MatchKey.PATIENT_ID: "P1", MatchKey.PATIENT_NAME: "Totally^Different"})
    nobody = Identity({MatchKey.ACCESSION_NUMBER: "A-1"})
    assert doubts_of(entry, [hers]) == ()
    (name,) = doubts_of(entry, [hers, other])
    assert "another name than the entry" in name
    (nameless,) = doubts_of(entry, [hers, nobody])
    assert "neither a name nor a patient id" in nameless
    assert doubts_of(None, [other]) == ()


def test_a_study_that_left_by_the_rule_alone_says_so(tmp_path: Path) -> None:
    her_entry = kit.entry("5be10c77", accession_number="A-1", patient_id="P1", patient_name="DOE^JANE")
    with kit.reviewing(tmp_path, matching()) as one:
        one.fetch(her_entry)
        put_image(one.spool, STUDY, 1, AccessionNumber="A-1")
        one.closed(STUDY)
        assert going(one.spool, STUDY) == {1: ("pacs",)}
        there = Reviewing(one.spool, matching, Matcher(lambda: one.listing), lambda: (), lambda: ())
        found = there.decided(one.id(STUDY))
        assert found is not None
        assert len(found.doubts) == 1


def test_a_release_as_an_entry_that_vanished_says_so(tmp_path: Path) -> None:
    served = ServedList([], key=b"k" * 32, zone=dt.UTC, rhythm=Rhythm(), clock=lambda: 0.0, ask=lambda: False)
    there = merged(Cache(), [listed(data({"PatientName": "Doe^Jane", "AccessionNumber": "A-1"}), EXPLICIT)], 0.0)
    served.take(merged(there, [], 60.0))
    (shown,) = served.shown()
    with kit.reviewing(tmp_path, matching()) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        one.closed(STUDY)
        done = deciding(one, (("5be10c77", shown),)).release(release(match="5be1"), ASKED).done
        assert "not on the list any more, since 1970-01-01 00:01 UTC" in done.message


def test_nothing_is_offered_to_be_had_back_that_came_again(tmp_path: Path) -> None:
    with kit.reviewing(tmp_path, matching()) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        one.closed(STUDY)
        deciding(one).discard(discard("Doe^Jane"), ASKED)
        assert desk(one).restorable(one.id(STUDY)) is not None
        put_image(one.spool, STUDY, 1, **JANE)
        assert one.closed(STUDY) is StudyState.HELD
        assert desk(one).restorable(one.id(STUDY)) is None


def test_a_release_of_what_came_again_says_what_sends_it(tmp_path: Path) -> None:
    with kit.reviewing(tmp_path, matching()) as one:
        one.fetch(kit.entry("e1", accession_number="A-1", patient_id="P1"))
        put_image(one.spool, STUDY, 1, **JANE)
        put_image(one.spool, STUDY, 1, **JANE, ImageComments="again")
        one.closed(STUDY)
        with pytest.raises(Refused, match="1 image of this study came again with other content") as refused:
            deciding(one).release(release(), ASKED)
        assert "fluxctl resend" in refused.value.hint


def test_a_later_entry_is_named_in_why_a_study_waits(tmp_path: Path) -> None:
    with kit.reviewing(tmp_path, matching()) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        one.closed(STUDY)
        (before,) = study_of(one.spool, STUDY).held_for
        assert "ENTRY" not in before.next_step
        one.fetch(kit.entry("5be10c77", 15.0, accession_number="A-1", patient_id="P1"), at=20.0)
        wait_for(lambda: "--match 5be10c77" in study_of(one.spool, STUDY).held_for[0].next_step, what="an offer")
        assert "agreed with it when it came" in study_of(one.spool, STUDY).held_for[0].sentence


def test_a_study_that_was_released_as_two_says_so(tmp_path: Path) -> None:
    entries = tuple(
        (short, on_the_list(PatientName=name, PatientID=number, AccessionNumber="A-1"))
        for short, name, number in (("5be10c77", "Roe^Eve", "P2"), ("0a41f2d9", "Smith^Ann", "P3"))
    )
    with kit.reviewing(tmp_path, matching()) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        put_image(one.spool, STUDY, 2, **EVE)
        one.closed(STUDY)
        deciding(one).discard(discard("Doe^Jane"), ASKED)
        deciding(one, entries).release(release(match="5be10c77"), ASKED)
        once = desk(one).decided(one.id(STUDY))
        assert once is not None
        assert (once.entry, once.doubts) == ("5be10c77", ())
        deciding(one).restore(r.RestoreHeld(STUDY), ASKED)
        deciding(one, entries).release(release(match="0a41f2d9"), ASKED)
        twice = desk(one).decided(one.id(STUDY))
        assert twice is not None
        assert (twice.entry, len(twice.doubts)) == ("0a41f2d9", 1)


def test_whom_an_entry_names_is_a_patient_of_what_is_sent_as_its_study(tmp_path: Path) -> None:
    with kit.reviewing(tmp_path, matching()) as one:
        one.fetch(kit.entry("e1", accession_number="A-7001", patient_id="P-77", patient_name="Roe^Eve"))
        put_image(one.spool, STUDY, 1, **JANE)
        one.closed(STUDY)
        found = Reviewing(one.spool, matching, Matcher(lambda: one.listing), lambda: (), lambda: ("pacs",))
        for said in ("Eve Roe, wrong list", "order A-7001", "see P-77"):
            assert found.is_of_entry("e1", said)
            assert not found.is_named(one.id(STUDY), said)
        assert not found.is_of_entry("e1", "unscheduled")
        assert not found.is_of_entry("e9", "Eve Roe")


def test_whoever_an_image_says_is_a_patient_of_the_study_whether_it_was_matched_or_not(tmp_path: Path) -> None:
    with kit.reviewing(tmp_path, msgspec.structs.replace(matching(), matching=None)) as one:
        put_image(one.spool, STUDY, 1, **JANE)
        put_image(one.spool, STUDY, 2, **EVE, PatientBirthDate="19900101")
        one.closed(STUDY)
        for said in ("Jane Doe", "images of Eve Roe got in"):
            assert desk(one).is_named(one.id(STUDY), said)
        assert not desk(one).is_named(one.id(STUDY), "images of another patient got in")
