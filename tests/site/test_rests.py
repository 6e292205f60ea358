"""Who lets others go first, and for how long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from capacitord.site.rests import FIRST, IN_A_ROW, LONGEST, Rests, Turn


def resting(rests: Rests, delivery: int, image: int, now: float) -> bool:
    return rests.turn(delivery, image, now) is Turn.LATER


def test_an_image_refused_for_now_rests_longer_each_time_up_to_a_bound() -> None:
    rests, now, lengths = Rests(), 0.0, []
    for _ in range(12):
        rests.refused(1, 1, "no room", now)
        end = rests.ends(now)
        assert end is not None
        lengths.append(end - now)
        assert resting(rests, 1, 1, end - 0.01)
        assert not resting(rests, 1, 1, end)
        now = end
    assert lengths[:2] == [FIRST, 2 * FIRST]
    assert lengths == sorted(lengths)
    assert lengths[-1] == LONGEST


def test_after_its_rest_an_image_goes_behind_the_others_but_not_for_ever() -> None:
    rests = Rests()
    rests.refused(1, 1, "no room", 0.0)
    assert rests.turn(1, 1, FIRST) is Turn.BEHIND_OTHERS
    assert rests.turn(1, 2, FIRST) is Turn.NOW
    assert rests.turn(1, 1, FIRST + LONGEST - 0.1) is Turn.BEHIND_OTHERS
    assert rests.turn(1, 1, FIRST + LONGEST) is Turn.NOW


def test_one_refused_image_does_not_hold_up_its_study() -> None:
    rests = Rests()
    rests.refused(1, 1, "no room", 0.0)
    assert not resting(rests, 1, 2, 0.0)


def test_one_image_refused_again_and_again_does_not_hold_up_its_study_either() -> None:
    rests = Rests()
    for _ in range(10):
        rests.refused(1, 1, "no room", 0.0)
    assert not resting(rests, 1, 2, 0.0)


def test_a_study_full_of_refused_images_rests_as_a_whole_and_is_probed_by_one_image() -> None:
    rests = Rests()
    for image in range(IN_A_ROW):
        rests.refused(1, image, "no room", 0.0)
    assert resting(rests, 1, 99, 0.0)
    assert not resting(rests, 2, 1, 0.0)
    rests.refused(1, 50, "no room", FIRST)
    assert resting(rests, 1, 99, FIRST + 2 * FIRST - 0.01)
    assert not resting(rests, 1, 99, FIRST + 2 * FIRST)


def test_what_goes_well_ends_the_row() -> None:
    rests = Rests()
    rests.refused(1, 1, "no room", 0.0)
    rests.refused(1, 2, "no room", 0.0)
    rests.went_well(1, 3)
    rests.refused(1, 4, "no room", 0.0)
    assert not resting(rests, 1, 99, 0.0)
    assert resting(rests, 1, 1, 0.0), "its own rest is not over by that"


def test_three_studies_in_a_row_are_the_destinations_affair_until_something_goes_well() -> None:
    rests = Rests()
    assert [rests.refused(study, 1, "no room", 0.0) for study in (1, 1, 2, 3, 4)] == [False, False, False, True, True]
    rests.went_well(1, 9)
    assert not rests.refused(5, 1, "no room", 0.0)


def test_a_link_that_breaks_once_is_not_held_against_the_image() -> None:
    rests = Rests()
    rests.broke_off(1, 1, "cut", 0.0, suspect=False)
    assert rests.turn(1, 1, 0.0) is Turn.NOW
    rests.broke_off(1, 1, "cut", 0.0, suspect=False)
    assert resting(rests, 1, 1, 0.0)


def test_an_image_at_which_a_peer_aborts_lets_others_go_at_once() -> None:
    rests = Rests()
    rests.broke_off(1, 1, "aborted", 0.0, suspect=True)
    assert resting(rests, 1, 1, 0.0)


def test_a_study_that_rests_says_why_and_until_when() -> None:
    rests = Rests()
    rests.refused(1, 1, "no room", 0.0)
    rests.refused(1, 2, "no luck", 2.0)
    rests.refused(2, 9, "no wish", 1.0)
    assert rests.by_study(3.0) == {1: ("no luck", FIRST), 2: ("no wish", 1.0 + FIRST)}
    rests.refused(1, 3, "no way", 3.0)
    assert rests.by_study(3.0)[1] == ("no way", 3.0 + FIRST)
    assert rests.by_study(1e9) == {}


def test_what_an_operator_hastens_may_go_at_once_behind_what_was_never_refused() -> None:
    rests = Rests()
    for image in (1, 2, 3):
        rests.refused(1, image, "no room", 0.0)
    rests.refused(2, 9, "no room", 0.0)
    assert resting(rests, 1, 1, 1.0)
    rests.hasten(1.0)
    assert rests.by_study(1.0) == {}
    assert rests.ends(1.0) is None
    assert {rests.turn(1, 1, 1.0), rests.turn(1, 7, 1.0), rests.turn(2, 9, 1.0)} == {Turn.BEHIND_OTHERS}
    assert rests.turn(2, 8, 1.0) is rests.turn(3, 1, 1.0) is Turn.NOW
    rests.refused(2, 9, "no room", 1.0)
    assert resting(rests, 2, 9, 1.0 + FIRST), "the second rest is longer than the first"


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 6), st.sampled_from(["refused", "broke", "well"]))))
def test_nothing_rests_longer_than_the_bound_and_every_rest_has_an_end_that_is_told(
    events: list[tuple[int, int, str]],
) -> None:
    rests = Rests()
    now = 0.0
    for delivery, image, event in events:
        now += 1.0
        if event == "refused":
            rests.refused(delivery, image, "no room", now)
        elif event == "broke":
            rests.broke_off(delivery, image, "cut", now, suspect=False)
        else:
            rests.went_well(delivery, image)
            assert not resting(rests, delivery, image, now)
    assert not any(resting(rests, d, i, now + LONGEST) for d in range(5) for i in range(7))
    told = set()
    while (end := rests.ends(now)) is not None:
        told.add(end)
        now = end
    assert not any(resting(rests, d, i, now) for d in range(5) for i in range(7))
    assert len(told) <= 4 + 4 * 6


def test_a_study_whose_refused_images_went_elsewhere_rests_no_more() -> None:
    rests = Rests()
    for image in range(1, IN_A_ROW + 1):
        rests.refused(1, image, "no room", 0.0)
    for image in range(1, IN_A_ROW):
        rests.forget(1, image)
        assert resting(rests, 1, 99, 1.0)
    rests.forget(1, IN_A_ROW)
    assert not resting(rests, 1, 99, 1.0)
    assert rests.ends(0.0) is None
    assert rests.by_study(1.0) == {}
