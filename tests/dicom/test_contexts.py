from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.dicom.contexts import (
    MOST_CONTEXTS,
    VERIFICATION,
    Agreement,
    Answer,
    Pair,
    Refusal,
    Wanted,
    agree,
    plan,
    propose,
    sop_class_name,
    syntax_name,
)

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT, J2K = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.90"

uids = st.from_regex(r"1\.2(\.[1-9][0-9]{0,3}){1,4}", fullmatch=True)
pairs = st.builds(Pair, uids, uids)
wanted = st.builds(Wanted, pairs, st.integers(0, 10**6), st.integers(-3, 3))


def many(n: int) -> list[Wanted]:
    return [Wanted(Pair(f"1.2.3.{i}", EXPLICIT), count=i) for i in range(n)]


@given(st.lists(wanted, max_size=400), st.booleans())
def test_every_pair_is_proposed_exactly_once_within_the_bounds(queue: list[Wanted], verification: bool) -> None:
    made = plan(queue, verification=verification)
    proposed = [pair for p in made.proposals for pair in p.contexts.values() if pair != VERIFICATION]
    assert sorted(proposed) == sorted({w.pair for w in queue})
    assert made.unfit == ()
    for proposal in made.proposals:
        assert list(proposal.contexts) == list(range(1, 2 * len(proposal.contexts), 2))
        assert max(proposal.contexts) <= 255
        assert list(proposal.contexts.values()).count(VERIFICATION) == int(verification)
    assert len(made.proposals) == max(-(-len(proposed) // (MOST_CONTEXTS - int(verification))), int(verification))


@given(st.lists(wanted, max_size=300))
def test_the_more_urgent_and_then_the_more_frequent_go_first(queue: list[Wanted]) -> None:
    total: dict[Pair, tuple[int, int]] = {}
    for w in queue:
        urgency, count = total.get(w.pair, (w.urgency, 0))
        total[w.pair] = max(urgency, w.urgency), count + w.count
    order = [pair for p in plan(queue).proposals for pair in p.contexts.values()]
    ranks = [total[pair] for pair in order]
    assert ranks == sorted(ranks, reverse=True)


@given(st.lists(wanted, max_size=60), st.data())
def test_the_order_of_the_queue_does_not_change_the_plan(queue: list[Wanted], data: st.DataObject) -> None:
    assert plan(queue) == plan(data.draw(st.permutations(queue)))


@pytest.mark.parametrize(("n", "associations"), [(0, 0), (1, 1), (128, 1), (129, 2), (256, 2), (257, 3)])
def test_more_than_128_pairs_take_several_associations(n: int, associations: int) -> None:
    assert len(plan(many(n)).proposals) == associations


def test_an_urgent_pair_is_in_the_first_association_however_rare_it_is() -> None:
    urgent = Pair(MR, EXPLICIT)
    first = plan([*many(200), Wanted(urgent, count=1, urgency=1)]).proposals[0]
    assert first.contexts[1] == urgent


def test_verification_alone_makes_an_association() -> None:
    (proposal,) = plan([], verification=True).proposals
    assert dict(proposal.contexts) == {1: VERIFICATION}


@pytest.mark.parametrize("bad", ["", "1." + "2" * 63, "1.2.x", "1.2 ", "1.2.\N{DIGIT ONE}\N{SUPERSCRIPT TWO}"])
def test_a_uid_that_is_none_is_left_out_and_named(bad: str) -> None:
    made = plan([Wanted(Pair(CT, bad), 5), Wanted(Pair(bad, EXPLICIT), 4), Wanted(Pair(CT, EXPLICIT), 1)])
    assert [list(p.contexts.values()) for p in made.proposals] == [[Pair(CT, EXPLICIT)]]
    assert made.unfit == (Pair(CT, bad), Pair(bad, EXPLICIT))


@pytest.mark.parametrize("n", [0, 129])
def test_a_proposal_has_1_to_128_contexts(n: int) -> None:
    with pytest.raises(ValueError, match="1 to 128"):
        propose(Pair(f"1.2.{i}", EXPLICIT) for i in range(n))


def test_one_syntax_for_each_context_so_that_the_peer_cannot_choose_another() -> None:
    proposal = propose([Pair(CT, EXPLICIT), Pair(CT, J2K)])
    agreement = agree(proposal, {1: Answer(0, EXPLICIT), 3: Answer(0, EXPLICIT)})
    assert agreement.accepted == {Pair(CT, EXPLICIT): 1}
    assert agreement.refused == {Pair(CT, J2K): Refusal.OTHER_SYNTAX}


@pytest.mark.parametrize(
    ("result", "refusal"),
    [
        (1, Refusal.BY_USER),
        (2, Refusal.NO_REASON),
        (3, Refusal.SOP_CLASS),
        (4, Refusal.TRANSFER_SYNTAX),
        (77, Refusal.NO_REASON),
    ],
)
def test_a_refused_context_says_why(result: int, refusal: Refusal) -> None:
    agreement = agree(propose([Pair(CT, J2K)]), {1: Answer(result, "")})
    assert agreement.accepted == {}
    assert agreement.refusal(Pair(CT, J2K)) is refusal


def test_a_context_without_an_answer_is_refused_and_an_answer_without_a_context_ignored() -> None:
    agreement = agree(propose([Pair(CT, J2K)]), {5: Answer(0, J2K)})
    assert agreement == Agreement({}, {Pair(CT, J2K): Refusal.NOT_ANSWERED})
    assert agreement.refusal(Pair(MR, J2K)) is Refusal.NOT_PROPOSED


@given(
    st.lists(pairs, min_size=1, max_size=128, unique=True),
    st.dictionaries(st.integers(0, 255), st.builds(Answer, st.integers(0, 255), uids), max_size=128),
)
def test_whatever_the_peer_answers_each_pair_is_accepted_as_proposed_or_refused(
    proposed: list[Pair], answers: dict[int, Answer]
) -> None:
    proposal = propose(proposed)
    agreement = agree(proposal, answers)
    assert set(agreement.accepted) | set(agreement.refused) == set(proposed)
    assert not set(agreement.accepted) & set(agreement.refused)
    for pair, context_id in agreement.accepted.items():
        assert proposal.contexts[context_id] == pair
        assert answers[context_id] == Answer(0, pair.transfer_syntax_uid)


def test_names_are_those_people_use() -> None:
    assert sop_class_name(CT) == "CT Image Storage"
    assert syntax_name(J2K) == "JPEG 2000 Lossless"
    assert syntax_name(EXPLICIT) == "Explicit VR Little Endian"
    assert sop_class_name("1.3.46.670589.5.0.1") == "the private SOP class 1.3.46.670589.5.0.1"
    assert syntax_name("1.2.3") == "the private transfer syntax 1.2.3"
