"""The first route that matches, and no other."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from capacitord.model.conditions import ALWAYS, Exactly, Has, Subject, Values
from capacitord.model.routes import Decision, Priority, Route, choose, decide, stand_ins
from tests.model.images import named, subject
from tests.model.test_conditions import subjects

NAMES = ["pacs", "backup", "night", "research"]
targets = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True).map(tuple)
modalities = st.sampled_from(["CT", "MR", "US"])
routes = st.builds(
    Route,
    targets,
    st.just(ALWAYS) | modalities.map(lambda modality: Has(named("Modality"), Values((Exactly(modality),)))),
    st.lists(st.sampled_from(NAMES), max_size=3, unique=True).map(tuple),
    priority=st.sampled_from(list(Priority)),
)


@given(st.lists(routes, max_size=5), subjects())
def test_the_first_that_matches_wins_and_those_before_it_do_not(known: list[Route], image: Subject) -> None:
    decision = decide(known, image)
    assert decision.route == choose(known, image)
    assert [each.route for each in decision.considered] == list(range(len(decision.considered)))
    if decision.route is None:
        assert len(decision.considered) == len(known)
        assert not any(each.reason.holds for each in decision.considered)
        assert (decision.to, decision.else_to) == ((), ())
        assert "no route" in decision.held
    else:
        route = known[decision.route]
        assert [each.reason.holds for each in decision.considered] == [False] * decision.route + [True]
        assert (decision.to, decision.else_to, decision.priority) == (route.to, route.else_to, route.priority)
        assert decision.held == ""


def test_the_reason_for_holding_names_no_patient() -> None:
    route = Route(("pacs",), Has(named("StudyDescription"), Values((Exactly("X"),))))
    assert decide([route], subject({"StudyDescription": ("DOE",)})).held == (
        "no route of the profile matches it (1 was tried)"
    )


@given(targets, st.lists(st.sampled_from(NAMES), max_size=4, unique=True), st.sets(st.sampled_from(NAMES)))
def test_stand_ins_replace_what_cannot_be_used(to: tuple[str, ...], spare: list[str], unusable: set[str]) -> None:
    found = stand_ins(Decision((), 0, to, tuple(spare)), frozenset(unusable))
    assert set(to) - unusable <= set(found)
    assert set(found) <= set(to) | set(spare)
    assert len(found) == len(to)
    usable = [name for name in spare if name not in unusable and name not in to]
    lost = [name for name in to if name in unusable]
    assert [name for name in found if name not in to] == usable[: len(lost)]
    assert [name for name in found if name in unusable] == lost[len(usable) :]


def test_the_most_urgent_ranks_first() -> None:
    assert sorted(Priority, key=lambda priority: priority.rank) == [
        Priority.STAT,
        Priority.HIGH,
        Priority.ROUTINE,
        Priority.LOW,
    ]
