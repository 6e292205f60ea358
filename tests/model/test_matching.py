"""Nothing matches but what agrees exactly, in whatever order the list is."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.model.matching import (
    Ambiguous,
    Candidate,
    Conflict,
    Finding,
    Identity,
    Matched,
    MatchKey,
    Order,
    Rule,
    Unmatched,
    Worklist,
    contradictions,
    normal,
)

K = MatchKey
BY_ORDER: tuple[Rule, ...] = ((K.ACCESSION_NUMBER,), (K.STUDY_INSTANCE_UID,), (K.PATIENT_ID, K.MODALITY))


def identity(**values: str) -> Identity:
    return Identity({MatchKey[name.upper()]: value for name, value in values.items()})


def candidate(reference: str, **values: str) -> Candidate:
    return Candidate(reference, 0.0, identity(**values))


def judged(study: Identity, *candidates: Candidate, rules: tuple[Rule, ...] = BY_ORDER) -> Finding:
    return Worklist(candidates, rules).judge(study)


ANNA = candidate("anna", accession_number="A-1", patient_id="P1", patient_birth_date="19700101", modality="CT")
BEN = candidate("ben", accession_number="A-2", patient_id="P2", patient_birth_date="19800202", modality="CT")


def test_the_first_rule_by_which_one_entry_agrees_decides() -> None:
    assert judged(identity(accession_number="A-1"), ANNA, BEN) == Matched("anna", (K.ACCESSION_NUMBER,))
    found = judged(identity(accession_number="X", patient_id="P2", modality="CT"), ANNA, BEN)
    assert found == Matched("ben", (K.PATIENT_ID, K.MODALITY))


def test_an_entry_that_nobody_was_shown_is_no_match_and_speaks_against_one() -> None:
    hidden = msgspec.structs.replace(ANNA, withheld=True)
    study = identity(accession_number="A-1", patient_id="P1", modality="CT")
    other = msgspec.structs.replace(ANNA, reference="other", identity=identity(patient_id="P1", modality="CT"))
    assert judged(study, hidden) == Unmatched("anna")
    assert judged(study, hidden, other) == Unmatched("anna"), "the next rule is not asked"
    twice = msgspec.structs.replace(ANNA, reference="twice")
    assert judged(study, hidden, twice) == Ambiguous(("anna", "twice"), (K.ACCESSION_NUMBER,))
    assert isinstance(judged(identity(accession_number="A-1", patient_id="P9"), hidden), Conflict)


def test_all_keys_of_a_rule_must_agree() -> None:
    assert judged(identity(patient_id="P1", modality="MR"), ANNA, BEN) == Unmatched()


def test_two_candidates_are_none_and_the_next_rule_is_not_asked() -> None:
    twice = candidate("twice", accession_number="A-1", study_instance_uid="1.2")
    study = identity(accession_number="A-1", study_instance_uid="1.2")
    assert judged(study, ANNA, twice) == Ambiguous(("anna", "twice"), (K.ACCESSION_NUMBER,))


@pytest.mark.parametrize("key", ["patient_id", "patient_birth_date"])
def test_the_order_of_another_patient_is_a_conflict(key: str) -> None:
    study = identity(accession_number="A-1", **{key: "other"})
    assert judged(study, ANNA, BEN) == Conflict(("anna",), (MatchKey[key.upper()],))


def test_a_conflict_outweighs_any_rule() -> None:
    uid = candidate("uid", study_instance_uid="1.2", patient_id="P9")
    study = identity(accession_number="A-1", patient_id="P1", study_instance_uid="1.2")
    assert judged(study, ANNA, uid) == Conflict(("uid",), (K.PATIENT_ID,))


def test_an_order_of_two_patients_one_of_whom_fits_is_ambiguous() -> None:
    stranger = candidate("stranger", accession_number="A-1", patient_id="P9")
    study = identity(accession_number="A-1", patient_id="P1")
    assert judged(study, ANNA, stranger) == Ambiguous(("anna", "stranger"), (K.ACCESSION_NUMBER,), (K.PATIENT_ID,))
    # One that says nothing of its patient does not fit.
    nobody = candidate("nobody", accession_number="A-1")
    assert judged(study, nobody, stranger) == Conflict(("stranger",), (K.PATIENT_ID,))


def test_where_there_is_no_id_another_name_contradicts_as_much() -> None:
    assert contradictions(identity(patient_name="A^B"), identity(patient_name="a^c", patient_id="1")) == (
        K.PATIENT_NAME,
    )
    assert not contradictions(
        identity(patient_name="A^B", patient_id="1"), identity(patient_name="Other", patient_id="1")
    )


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        (K.PATIENT_NAME, "Doe^Jane^^^", "DOE^JANE"),
        (K.PATIENT_NAME, "Doe ^ Jane=", "doe^jane"),
        (K.PATIENT_NAME, "Mu\u0308ller^A", "M\u00fcller^A"),
        (K.PATIENT_ID, " P1 ", "p1"),
        (K.ACCESSION_NUMBER, "A-1\0", "a-1"),
        (K.STUDY_INSTANCE_UID, "1.2.3\0", "1.2.3"),
        (K.PATIENT_BIRTH_DATE, "1970.01.02", "19700102"),
    ],
)
def test_what_does_not_count_in_a_value(key: MatchKey, one: str, other: str) -> None:
    assert normal(key, one) == normal(key, other)


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        (K.PATIENT_ID, "0012", "12"),
        (K.PATIENT_NAME, "Doe^Jane", "Doe^^Jane"),
        (K.PATIENT_NAME, "Doe", "Doe=Doe"),
        (K.ACCESSION_NUMBER, "A 1", "A1"),
        (K.PATIENT_NAME, "Müller", "Muller"),
    ],
)
def test_what_does_count_in_a_value(key: MatchKey, one: str, other: str) -> None:
    assert normal(key, one) != normal(key, other)


def test_the_nearest_come_first_and_what_everybody_shares_is_not_near() -> None:
    study = identity(patient_id="P1", patient_birth_date="19700101", accession_number="A-2", modality="CT")
    list_ = Worklist([BEN, ANNA, candidate("eve", modality="CT", patient_id="P7")], BY_ORDER)
    near = list_.nearest(study)
    assert [each.entry for each in near] == ["anna", "ben"]
    assert near[0].differing == (K.ACCESSION_NUMBER,)
    for stranger in (
        candidate("x", patient_name="Doe^Jane", patient_id="P9"),
        candidate("x", patient_birth_date="19700101", scheduled_step="S-1"),
    ):
        plain = identity(patient_name="DOE^JANE", patient_birth_date="19700101", scheduled_step="S-1", modality="CT")
        assert not Worklist([stranger], BY_ORDER).nearest(plain)
    both = candidate("both", patient_name="Doe^Jane^", patient_birth_date="1970.01.01")
    assert Worklist([both], BY_ORDER).nearest(plain)
    assert near[1].agreeing == (K.ACCESSION_NUMBER, K.MODALITY)


def test_nothing_of_a_patient_is_in_its_repr() -> None:
    assert "P1" not in repr(ANNA)
    assert "P1" not in repr(steps(ORDER))


ORDER = Order("P1", "Doe^Jane", "A-1", "1.2.3", "RP-1", "HOSPITAL", "19700101", "F", ("MRN-7", "CT thorax"))


def steps(*orders: Order, rule: str = "A-1") -> list[Candidate]:
    """Return entries of these orders, each with a step of its own."""
    return [
        msgspec.structs.replace(candidate(f"e{n}", accession_number=rule, scheduled_step=f"S-{n}"), order=order)
        for n, order in enumerate(orders)
    ]


def test_steps_of_one_order_are_a_match_and_the_step_is_known_only_if_the_study_names_it() -> None:
    entries = steps(ORDER, ORDER, ORDER)
    by = (K.ACCESSION_NUMBER,)
    assert judged(identity(accession_number="A-1"), *entries) == Matched("e0", by, ("e0", "e1", "e2"))
    assert judged(identity(accession_number="A-1", scheduled_step="S-2"), *entries) == Matched("e2", by)
    assert judged(identity(accession_number="A-1", scheduled_step="S"), *entries) == Matched(
        "e0", by, ("e0", "e1", "e2")
    )


def test_entries_without_an_order_are_as_good_as_none() -> None:
    for other in (None, msgspec.structs.replace(ORDER, accession_number="")):
        found = judged(identity(accession_number="A-1"), *steps(other, other))  # type: ignore[arg-type]
        assert found == Ambiguous(("e0", "e1"), (K.ACCESSION_NUMBER,))


PARTS = [name for name in Order.__struct_fields__ if name != "more"]
WRITTEN = st.sampled_from(["", "?", "P1", "p1", "P1 ", "19700101", "F", "\ufffd", "A-1"])
CHANGES = st.lists(st.tuples(st.sampled_from(PARTS), WRITTEN), max_size=4)


@given(
    st.lists(st.tuples(st.sampled_from(PARTS), WRITTEN), max_size=4), st.integers(0, 2), st.sampled_from(["", "S-1"])
)
def test_nothing_is_one_order_that_differs_in_anything_of_patient_or_order(
    changes: list[tuple[str, str]], which: int, step: str
) -> None:
    other = msgspec.structs.replace(ORDER, **dict(changes))
    orders = [other if number == which else ORDER for number in range(3)]
    found = judged(identity(accession_number="A-1", scheduled_step=step), *steps(*orders))
    if other == ORDER:
        assert isinstance(found, Matched)
    else:
        assert found == Ambiguous(("e0", "e1", "e2"), (K.ACCESSION_NUMBER,))


@given(st.sampled_from(PARTS[:5]), st.sampled_from(["", "?", "a\ufffd"]))
def test_orders_that_do_not_say_who_they_are_for_are_not_one(part: str, text: str) -> None:
    unclear = msgspec.structs.replace(ORDER, **{part: text})
    assert isinstance(judged(identity(accession_number="A-1"), *steps(unclear, unclear)), Ambiguous)


VALUES = st.sampled_from(["", " ", "\0", "a", "A", "a ", "b", "B^", "b^^", "ab"])
IDENTITIES = st.builds(Identity, st.dictionaries(st.sampled_from(list(MatchKey)), VALUES))
RULES = st.lists(
    st.lists(st.sampled_from(list(MatchKey)), min_size=1, max_size=3, unique=True).map(tuple), min_size=1, max_size=4
)
LISTS = st.lists(IDENTITIES, max_size=6).map(
    lambda found: [Candidate(str(number), 0.0, each) for number, each in enumerate(found)]
)


@given(IDENTITIES, LISTS, RULES)
def test_nothing_matches_but_the_only_entry_that_agrees_exactly(
    study: Identity, entries: list[Candidate], rules: list[Rule]
) -> None:
    found = Worklist(entries, rules).judge(study)
    if isinstance(found, Matched):
        agreeing = [
            each
            for each in entries
            if all(
                (mine := normal(key, study.values.get(key, "")))
                and mine == normal(key, each.identity.values.get(key, ""))
                for key in found.rule
            )
        ]
        assert [each.reference for each in agreeing] == [found.entry]
        assert not contradictions(study, agreeing[0].identity) or not {
            K.ACCESSION_NUMBER,
            K.STUDY_INSTANCE_UID,
        } & set(found.rule)


@given(IDENTITIES, LISTS, RULES, st.randoms(use_true_random=False))
def test_the_order_of_the_list_does_not_matter(
    study: Identity, entries: list[Candidate], rules: list[Rule], random: Random
) -> None:
    shuffled = random.sample(entries, len(entries))
    assert Worklist(entries, rules).judge(study) == Worklist(shuffled, rules).judge(study)
    assert Worklist(entries, rules).nearest(study) == Worklist(shuffled, rules).nearest(study)


@given(
    IDENTITIES,
    LISTS,
    RULES,
    st.sampled_from([str.upper, str.lower, lambda text: f" {text} \0", lambda text: f"{text}\0"]),
)
def test_padding_and_case_do_not_matter(
    study: Identity, entries: list[Candidate], rules: list[Rule], written: Callable[[str], str]
) -> None:
    uid = MatchKey.STUDY_INSTANCE_UID
    other = Identity({key: text if key is uid else written(text) for key, text in study.values.items()})
    assert Worklist(entries, rules).judge(study) == Worklist(entries, rules).judge(other)
    assert study.canonical() == other.canonical()
