"""The gate, whatever happens in whatever order: what must never be, and what must be in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from capacitord.model.preflight import Last
from capacitord.model.states import GateState
from capacitord.supervisor.last_open import LastOpen
from tests.supervisor.gating import machine
from tests.supervisor.gating.box import BOUNDS, EVERY, LEAVE_AFTER, Settings
from tests.supervisor.gating.runtime import SLOW
from tests.supervisor.gating.world import STORAGE_PORT as PORT
from tests.supervisor.gating.world import Manner, Start, listening


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a box that has keys and knows three sites."""
    folder = tmp_path_factory.mktemp("box") / "state"
    machine.template(folder)
    return folder


@contextmanager
def coach(state: Path, settings: Settings) -> Iterator[machine.Coach]:
    """Give a coach whose history is a test's own; what must never be is looked after as ever."""

    class One(machine.Coach):
        pass

    One.state, One.deeds = state, Counter()
    found = One()
    try:
        found.first_start(settings)
        yield found
    finally:
        found.teardown()


@pytest.mark.torture
def test_whatever_happens_nothing_goes_where_it_does_not_belong(state: Path) -> None:
    deeds = machine.run(state, examples=60, steps=40).deeds
    did = ("opened", "asked", "image arrived", "image delivered", "cleared as first", "cleared as clean")
    assert min(deeds[each] for each in did) > 5, deeds


def test_it_may_be_killed_anywhere_between_two_sites(state: Path) -> None:
    opened, in_between = set(), 0
    # Going over takes some forty rounds, and the last few have the record and the port.
    for rounds in (*range(0, 30, 5), *range(30, 45)):
        with coach(state, Settings(waiver=False, follow=False)) as one:
            one.serve("lakeside")
            one.activate("valley", waive=False, pause=rounds)
            in_between += one.truth.cleared == "valley" and not one.is_open
            one.restart(kill=True, rounds=0, pause=15.0)
            assert one.is_open
            opened.add(one.box.serving.site)
    assert opened == {"lakeside", "valley"}
    assert in_between, "the record named the one, and the port was not open yet"


def test_scanners_that_were_clean_while_the_spool_was_being_opened_are_asked_again(state: Path) -> None:
    with coach(state, Settings(waiver=False, follow=False)) as one:
        one.serve("lakeside")
        one.world.start = Start.SLOW
        one.activate("valley", waive=False, pause=3.0)
        found = one.box.serving.clearing.found
        assert found is not None
        assert found.clean
        one.found("CT_1", 1, Manner.HONEST)
        one.wait(SLOW)
        gate = one.box.serving.gatekeeper.gate
        assert gate.state is GateState.BLOCKED
        assert "CT_1 still has 1 study of 1 patient" in gate.reason
        one.found("CT_1", 0, Manner.HONEST)
        one.wait(EVERY)
        assert one.is_open


def test_a_waiver_is_for_one_activation(state: Path) -> None:
    with coach(state, Settings(waiver=True, follow=False)) as one:
        one.serve("lakeside", patients=1)
        one.activate("valley", waive=True, pause=15.0)
        assert one.is_open
        one.activate("st-marys", waive=False, pause=15.0)
        assert not one.is_open
        one.activate("valley", waive=False, pause=15.0)
        assert one.is_open, "that is where it was open last"


def test_a_waiver_that_opened_nothing_is_not_for_another_activation(state: Path) -> None:
    with coach(state, Settings(waiver=True, follow=False, port=PORT)) as one:
        one.serve("lakeside", patients=1)
        one.end_it(back=False, pause=15.0)
        with listening(PORT):
            one.activate("valley", waive=True, pause=60.0)
            gate = one.box.serving.gatekeeper.gate
            assert (gate.state, gate.reason) == (GateState.BLOCKED, f"port {PORT} is in use")
            assert LastOpen(one.truth.record).read() == Last("lakeside"), "nothing can be opened"
            one.end_it(back=False, pause=15.0)
        one.activate("valley", waive=False, pause=15.0)
        assert not one.is_open
        one.restart(kill=True, rounds=0, pause=15.0)
        assert not one.is_open
        one.activate("lakeside", waive=False, pause=15.0)
        assert one.is_open


def test_a_second_waiver_is_refused_and_nothing_comes_of_it(state: Path) -> None:
    with coach(state, Settings(waiver=True, follow=True)) as one:
        one.serve("lakeside", patients=1)
        one.hindrance("last-open", on=True)
        one.activate("st-marys", waive=True, pause=15.0)
        one.arrives("st-marys", follow=False)
        one.end_it(back=True, pause=15.0)
        serving = one.box.serving
        assert (serving.site, serving.override, serving.clearing.waived) == ("st-marys", False, "alex")
        one.activate("st-marys", waive=True, pause=1.0)
        assert not serving.override


def test_a_port_that_was_in_use_is_opened_when_it_is_free_and_scanners_are_clean_then(state: Path) -> None:
    with coach(state, Settings(waiver=False, follow=False, port=PORT)) as one:
        one.serve("lakeside")
        one.end_it(back=False, pause=15.0)
        with listening(PORT):
            one.activate("valley", waive=False, pause=60.0)
            assert one.box.serving.gatekeeper.gate.reason == f"port {PORT} is in use"
            one.found("CT_1", 1, Manner.HONEST)
        one.wait(15.0)
        assert not one.is_open, "it has somebody since"
        one.found("CT_1", 0, Manner.HONEST)
        one.wait(2 * EVERY)
        assert one.is_open


def test_what_drains_and_what_is_served_leave_for_their_own_sites(state: Path) -> None:
    with coach(state, Settings(waiver=False, follow=False)) as one:
        one.serve("st-marys")
        one.trouble(Start.READY, "", pacs=False)
        one.association(2)
        one.wait(1.0)
        one.release()
        one.activate("lakeside", waive=False, pause=15.0)
        one.association(1)
        one.wait(1.0)
        one.trouble(Start.READY, "", pacs=True)
        one.wait(30.0)
        one.nothing_is_where_it_does_not_belong()
        assert sorted(one.world.delivered()) == [
            ("lakeside", "lakeside", 3),
            ("st-marys", "st-marys", 1),
            ("st-marys", "st-marys", 2),
        ]


def test_a_restart_in_a_conflict_opens_nothing_before_the_position_was_heard(state: Path) -> None:
    with coach(state, Settings(waiver=False)) as one:
        one.arrives("st-marys", follow=False)
        assert (one.is_open, one.box.serving.site) == (True, "st-marys")
        one.evidence("lakeside", "st-marys")
        one.wait(15.0)
        assert one.is_open, "a conflict ends nothing"
        one.end(kill=True, rounds=0)
        one.evidence("", "st-marys")
        one.start_again(one.truth.settings, 15.0)
        assert not one.is_open
        assert "the GPS has said nothing yet since the start" in one.box.serving.gatekeeper.gate.reason
        one.evidence("lakeside", "st-marys")
        one.wait(100.0)
        assert "disagrees" in one.box.serving.gatekeeper.gate.reason
        assert not one.is_open
        one.restart(kill=True, rounds=0, pause=100.0)
        assert not one.is_open
    assert one.truth.opened == 1


def test_a_box_whose_gps_is_dead_opens_again_after_a_while(state: Path) -> None:
    with coach(state, Settings(waiver=False)) as one:
        one.arrives("st-marys", follow=False)
        one.evidence("", "st-marys")
        one.restart(kill=True, rounds=0, pause=LEAVE_AFTER - 5)
        assert not one.is_open
        one.wait(5 + BOUNDS.pulse)
        assert (one.is_open, one.box.serving.site) == (True, "st-marys")


@pytest.mark.parametrize("place", ["lakeside", ""])
def test_what_a_person_said_is_no_evidence_after_a_restart(state: Path, place: str) -> None:
    with coach(state, Settings(waiver=False)) as one:
        one.arrives("lakeside", follow=False)
        one.serve("st-marys")
        one.evidence(place, "")
        one.restart(kill=True, rounds=0, pause=15.0)
        assert (one.is_open, one.box.serving.site) == (True, "st-marys"), "her word stands"
        assert one.box.whereabouts.look().site is None
        one.end_it(back=True, pause=3.0)
        assert not one.is_open
        assert one.box.serving.site != "st-marys"
        one.wait(100.0)
        assert (one.is_open, one.box.serving.site) == (bool(place), place)


def test_what_the_evidence_said_is_known_after_a_restart(state: Path) -> None:
    with coach(state, Settings(waiver=False)) as one:
        one.arrives("lakeside", follow=False)
        one.evidence("", "")
        one.restart(kill=True, rounds=0, pause=LEAVE_AFTER - 5)
        assert not one.is_open
        one.wait(5 + BOUNDS.pulse)
        assert (one.is_open, one.box.serving.site) == (True, "lakeside")


@pytest.mark.parametrize("how", ["delete", "cut", "change"])
def test_a_record_of_the_choice_that_is_lost_opens_nothing_by_itself(state: Path, how: str) -> None:
    with coach(state, Settings(waiver=False)) as one:
        one.arrives("lakeside", follow=False)
        one.find_it_damaged("active-site", how, kill=True, site="valley", pause=15.0)
        one.wait(100.0)
        assert one.truth.unchosen
        assert not one.is_open
        one.restart(kill=True, rounds=0, pause=15.0)
        one.wait(100.0)
        assert not one.is_open
        one.end_it(back=True, pause=100.0)
        assert (one.is_open, one.box.serving.site) == (True, "lakeside")
