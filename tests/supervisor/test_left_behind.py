"""What the coach leaves behind when no site is active: nothing that stays is passed over, and nothing made up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from capacitord.api.departure import Departure
from capacitord.api.messages import Draining, DrainState, SiteEntry
from capacitord.model.departure import Leave
from capacitord.supervisor.left_behind import departure

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
CLEAR = SiteEntry("lakeside", "Lakeside Clinic", False, 2, undelivered_images=0, as_of=NOW)
GOES = Draining("lakeside", DrainState.DRAINING, NOW, images=34, bytes=900, eta=290.0)
DRAINS = replace(CLEAR, undelivered_images=34, draining=GOES)


def left(*sites: SiteEntry, empty: tuple[str, ...] = ()) -> Departure:
    return departure("x", NOW, sites, empty)


def test_nothing_is_left_where_nothing_waits_or_where_there_is_no_spool() -> None:
    never = SiteEntry("west", "West Hospital", False, 1)
    found = left(CLEAR, never, empty=("west",))
    assert (found.leave, found.matters, found.behind, found.eta) == (Leave.NOW, (), (), 0.0)
    assert found.is_clear


def test_what_scanners_were_not_told_is_said_and_what_they_named_long_ago_is_not() -> None:
    found = left(replace(CLEAR, untold_results=1))
    assert found.matters[0].message == "1 result of storage commitment of lakeside could not be told"
    assert found.leave is not Leave.NOW
    old = replace(CLEAR, missing_images=1, as_of=NOW - timedelta(days=2))
    assert left(old).leave is Leave.NOW


@pytest.mark.parametrize(
    ("site", "words", "step"),
    [
        (
            replace(CLEAR, undelivered_images=4, unrouted_images=2),
            "images of lakeside do not leave: 4 undelivered, 2 to be routed",
            "site activate lakeside",
        ),
        (
            replace(CLEAR, held_images=6, held_back_images=2, refused_images=1),
            "images of lakeside wait for a person: 4 held for a decision, 2 held back, 1 refused",
            "study list --undelivered",
        ),
        (
            replace(CLEAR, missing_images=1, announced_studies=2),
            "of lakeside scanners have named what has not come: 1 image and 2 studies",
            "site activate lakeside",
        ),
        (replace(CLEAR, undelivered_images=None), "what lakeside has left is not known", "site activate lakeside"),
        (
            replace(CLEAR, undelivered_images=None, problem="its profile can't be read", hint="Import it again."),
            "what lakeside has left is not known: its profile can't be read",
            "Import it again.",
        ),
        (
            replace(DRAINS, draining=replace(GOES, state=DrainState.STUCK, reason="pacs: refused", hint="Check it.")),
            "not draining lakeside: 34 images left, about 5 min: pacs: refused",
            "Check it.",
        ),
        (
            replace(DRAINS, draining=replace(GOES, state=DrainState.WAITING, reason="no key", hint="Unlock it.")),
            "waiting to drain lakeside: 34 images left: no key",
            "Unlock it.",
        ),
        (
            replace(DRAINS, draining=replace(GOES, until=NOW + timedelta(seconds=200))),
            "draining lakeside: 34 images left, about 5 min, which is longer than they may",
            "when_inactive",
        ),
    ],
)
def test_what_goes_nowhere_or_is_not_known_keeps_the_coach(site: SiteEntry, words: str, step: str) -> None:
    found = left(CLEAR, site)
    assert found.leave is Leave.NOT_YET
    (matter,) = found.matters
    assert (matter.message, matter.stays) == (words, True)
    assert step in matter.hint
    assert found.behind == (site,)


@pytest.mark.parametrize("images", [34, None])
def test_what_goes_on_leaving_does_not_keep_her_and_is_not_clear(images: int | None) -> None:
    found = left(replace(DRAINS, draining=replace(GOES, images=images)))
    assert (found.leave, found.is_clear) == (Leave.DRAINING, False)
    assert (found.images, found.bytes, found.eta) == (34, 900, 290.0)


def test_a_drain_that_is_about_to_end_leaves_what_it_cannot_deliver() -> None:
    done = replace(CLEAR, draining=replace(GOES, images=0, bytes=0, eta=0.0))
    assert left(done).leave is Leave.NOW
    held = left(replace(done, held_images=3))
    assert [matter.reference for matter in held.matters] == ["held"]


def test_what_keeps_her_comes_first_and_a_time_is_said_only_if_it_is_of_all() -> None:
    found = left(DRAINS, replace(CLEAR, id="valley", undelivered_images=1))
    assert [matter.reference for matter in found.matters] == ["left-behind", "draining"]
    assert (found.leave, found.images, found.eta) == (Leave.NOT_YET, 35, None)
