"""What becomes of images of a study, by what was found for it before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.model.matching import Ambiguous, Conflict, Identity, Matched, MatchKey, Unmatched
from capacitord.model.reasons import WORDS, Reason
from capacitord.model.review import HOLDS, REVIEW, Event, Look, Record, State, Terms, judge, released

RULE = (MatchKey.ACCESSION_NUMBER,)
ANNA = Identity({MatchKey.PATIENT_ID: "P1", MatchKey.ACCESSION_NUMBER: "A-1"})
BEN = Identity({MatchKey.PATIENT_ID: "P2", MatchKey.ACCESSION_NUMBER: "A-1"})
MATCHED = Look(Matched("e1", RULE), 100.0, 50.0)
LATER = Look(Matched("e1", RULE), 200.0, 150.0)
NONE = Look(Unmatched(), 100.0)
SEVERAL = Look(Ambiguous(("e1", "e2"), RULE), 100.0)
CLASH = Look(Conflict(("e1",), (MatchKey.PATIENT_ID,)), 100.0)
HOLD, RELEASES = Terms(), Terms(rematch=True)


def after(*looks: tuple[Identity, Look | None], terms: Terms = HOLD, record: Record | None = None) -> list[object]:
    """Return what becomes of one image after the other, and of the study in the end."""
    found: list[object] = []
    for identity, look in looks:
        opinion = judge(record, identity, look, terms)
        if opinion is None:
            found.append("nothing is matched")
            continue
        record = opinion.record
        found.append(opinion.reason)
    return [*found, None if record is None else record.state]


def test_every_state_and_event_has_its_row() -> None:
    assert set(REVIEW) == {None, *State}
    assert all(list(row) == list(Event) for row in REVIEW.values())


def test_every_reason_has_a_sentence_and_a_next_step() -> None:
    assert set(WORDS) == set(Reason)
    assert all(words.sentence.endswith(".") and words.step.endswith(".") for words in WORDS.values())


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([(ANNA, MATCHED)], [None, State.MATCHED]),
        ([(ANNA, NONE)], [Reason.UNMATCHED, State.UNMATCHED]),
        ([(ANNA, SEVERAL)], [Reason.AMBIGUOUS, State.AMBIGUOUS]),
        ([(ANNA, CLASH)], [Reason.CONFLICT, State.CONFLICT]),
        ([(ANNA, MATCHED), (ANNA, NONE)], [None, None, State.MATCHED]),
        ([(ANNA, MATCHED), (BEN, NONE)], [None, Reason.CONFLICT, State.MATCHED]),
        ([(ANNA, MATCHED), (BEN, MATCHED)], [None, Reason.CONFLICT, State.MATCHED]),
        ([(ANNA, NONE), (ANNA, MATCHED)], [Reason.UNMATCHED, None, State.MATCHED]),
        ([(ANNA, NONE), (ANNA, LATER)], [Reason.UNMATCHED, Reason.UNMATCHED, State.UNMATCHED]),
        ([(ANNA, NONE), (BEN, LATER)], [Reason.UNMATCHED, Reason.CONFLICT, State.CONFLICT]),
        ([(ANNA, SEVERAL), (ANNA, MATCHED)], [Reason.AMBIGUOUS, Reason.AMBIGUOUS, State.AMBIGUOUS]),
        ([(ANNA, CLASH), (ANNA, MATCHED)], [Reason.CONFLICT, Reason.CONFLICT, State.CONFLICT]),
        ([(ANNA, NONE), (ANNA, None)], [Reason.UNMATCHED, Reason.UNMATCHED, State.UNMATCHED]),
        ([(ANNA, None)], ["nothing is matched", None]),
    ],
)
def test_what_becomes_of_images(looks: list[tuple[Identity, Look | None]], expected: list[object]) -> None:
    assert after(*looks) == expected


def test_a_later_entry_is_suggested_or_released_as_the_profile_says() -> None:
    held = judge(None, ANNA, NONE, HOLD)
    assert held is not None
    suggested = judge(held.record, ANNA, LATER, HOLD)
    assert suggested is not None
    assert (suggested.reason, suggested.record.suggestion, suggested.reopened) == (Reason.UNMATCHED, "e1", False)
    matched = judge(held.record, ANNA, LATER, RELEASES)
    assert matched is not None
    assert (matched.reason, matched.record.entry, matched.record.rule, matched.reopened) == (None, "e1", RULE, True)


def test_another_version_of_the_profile_releases_nothing() -> None:
    elsewhere = Terms(release_to=("archive",))
    assert after((ANNA, NONE), terms=elsewhere) == [None, State.LET_THROUGH]
    held = judge(None, ANNA, NONE, HOLD)
    assert held is not None
    assert after((ANNA, NONE), (ANNA, None), terms=elsewhere, record=held.record) == [
        Reason.UNMATCHED,
        Reason.UNMATCHED,
        State.UNMATCHED,
    ]


def test_a_study_that_is_let_through_is_held_when_the_profile_stops_that() -> None:
    through = judge(None, ANNA, NONE, Terms(release_to=("archive",)))
    assert through is not None
    assert after((ANNA, NONE), terms=HOLD, record=through.record) == [Reason.UNMATCHED, State.UNMATCHED]


def test_late_images_follow_a_release_unless_they_are_of_somebody_else() -> None:
    released = Record(State.RELEASED, ANNA)
    other_order = Identity({MatchKey.PATIENT_ID: "P1", MatchKey.ACCESSION_NUMBER: "A-9"})
    assert after((ANNA, CLASH), record=released) == [None, State.RELEASED]
    assert after((BEN, MATCHED), record=released) == [Reason.CONFLICT, State.RELEASED]
    assert after((other_order, MATCHED), record=released) == [Reason.CONFLICT, State.RELEASED]


def test_who_is_released_is_who_was_seen() -> None:
    nobody = Identity({MatchKey.ACCESSION_NUMBER: "A-1"})
    held = Record(State.UNMATCHED, nobody)
    known = released(held, (nobody, ANNA), entry="e1", release=7)
    assert (known.state, known.entry, known.release) == (State.RELEASED, "e1", 7)
    assert after((ANNA, NONE), (nobody, NONE), record=known) == [None, None, State.RELEASED]
    assert after((BEN, NONE), record=known) == [Reason.CONFLICT, State.RELEASED]
    assert released(held, (nobody, ANNA, BEN), entry="e1", release=7) == held
    assert released(known, (ANNA, BEN), entry="e2", release=8) == known


def test_late_images_follow_what_was_sent_and_not_what_was_discarded() -> None:
    first = Record(State.CONFLICT, ANNA)
    of_ben = released(first, (BEN,), entry="e1", release=7)
    assert after((BEN, NONE), record=of_ben) == [None, State.RELEASED]
    assert after((ANNA, NONE), record=of_ben) == [Reason.CONFLICT, State.RELEASED]
    nobody = Identity({MatchKey.ACCESSION_NUMBER: "A-1"})
    of_nobody = released(Record(State.UNMATCHED, nobody), (nobody,), entry="", release=7)
    assert after((ANNA, NONE), record=of_nobody) == [Reason.CONFLICT, State.RELEASED]


@pytest.mark.parametrize("state", [State.MATCHED, State.LET_THROUGH])
def test_what_goes_by_itself_goes_on_when_a_person_releases_what_is_held_beside_it(state: State) -> None:
    record = Record(state, ANNA, entry="e1")
    assert released(record, (ANNA, BEN), entry="e2", release=7) == record


def test_an_image_that_says_nothing_brings_no_other_patient_into_a_study() -> None:
    nobody = Identity({MatchKey.ACCESSION_NUMBER: "A-2"})
    of_ben = Look(Matched("e2", RULE), 100.0, 50.0, BEN)
    assert after((ANNA, NONE), (nobody, of_ben)) == [Reason.UNMATCHED, Reason.CONFLICT, State.CONFLICT]
    assert after((nobody, of_ben), (ANNA, NONE), (BEN, NONE)) == [None, Reason.CONFLICT, None, State.MATCHED]


LOOKS = st.sampled_from([MATCHED, LATER, NONE, SEVERAL, CLASH, None])
PATIENTS = st.sampled_from([ANNA, BEN])


@given(st.lists(st.tuples(PATIENTS, LOOKS), max_size=8), st.booleans())
def test_no_image_goes_unless_an_entry_matched_the_study(
    looks: list[tuple[Identity, Look | None]], rematch: bool
) -> None:
    record: Record | None = None
    for identity, look in looks:
        opinion = judge(record, identity, look, Terms(rematch=rematch))
        if opinion is None:
            assert record is None
            continue
        record = opinion.record
        if opinion.reason is None:
            assert record.state is State.MATCHED
            assert record.entry == "e1"
        assert (record.state in HOLDS) <= (opinion.reason is not None)
