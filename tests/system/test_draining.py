"""Sites that were left and whose images go on leaving, on the real box: to the old site's PACS and to nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from capacitord.api import messages as m
from capacitord.api.departure import Departure
from capacitord.errors import Refused
from capacitord.model.departure import Leave
from tests.images import TINY, write_study
from tests.peers.storescp import Storescp
from tests.system.box import SITE, Box, Target
from tests.system.test_sites import OTHER, activate, profile, send, uids
from tests.wait import wait_for

pytestmark = pytest.mark.peers


SLOW = ("--accept-all", "--sleep-during", "1")


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Storescp]:
    """The PACS of the site that is left."""
    with Storescp(tmp_path / "a", ae_title="PACS_A", keep_copies=True) as pacs:
        yield pacs


@pytest.fixture
def new(tmp_path: Path) -> Iterator[Storescp]:
    """The PACS of the site where the box is afterwards."""
    with Storescp(tmp_path / "b", ae_title="PACS_B", keep_copies=True) as pacs:
        yield pacs


@pytest.fixture
def box(tmp_path: Path, old: Storescp) -> Iterator[Box]:
    """A box that serves a site that drains when it is left."""
    settings, tables = {"spool": {"study_quiet": "1s"}}, {"delivery": {"when_inactive": "drain"}}
    target = Target("pacs", old.ae_title, old.port)
    with Box(tmp_path / "box", target, settings=settings, tables=tables) as found:
        yield found


def take(box: Box, site: str, pacs: Storescp, version: int = 1, how: str = "drain") -> None:
    """Import a profile."""
    box.client.profile_import(m.ProfileImport(profile(site, pacs, version, delivery={"when_inactive": how})))


def leave(box: Box) -> str:
    """Have the box serve nobody, and return what it says to that: no time is spent on a runtime that has no part."""
    return box.client.site_deactivate("a test").message


def restart_parked(box: Box) -> None:
    """Stop it in good order and start it again; whoever drains is known when it answers for the sites."""
    box.stop()
    box.launch()
    box.wait_until_answering()


def until_drained(box: Box) -> None:
    box.wait(lambda status: not status.draining, what=f"{SITE} to have drained")


def until_left(box: Box, images: int) -> m.Draining:
    def look(status: m.Status) -> m.Draining | None:
        return next((each for each in status.draining if (each.site, each.images) == (SITE, images)), None)

    return box.wait(look, what=f"{images} images of {SITE} to be left")


def wait_for_closed(box: Box) -> Departure:
    """Return what is open at the active site once nothing arrives there any more."""

    def look() -> Departure | None:
        found = box.client.site_departure()
        return None if found.receiving_studies or found.associations else found

    return wait_for(look, within=60.0, what="all studies to be closed")


def entry(box: Box, site: str = SITE) -> m.SiteEntry:
    return next(each for each in box.client.site_list().sites if each.id == site)


def test_what_was_left_behind_goes_to_the_old_site_alone_over_a_cut_link_and_kills(
    tmp_path: Path, box: Box, old: Storescp, new: Storescp
) -> None:
    before, after = (write_study(tmp_path / f"{n}", images=6, shape=TINY, seed=n) for n in (1, 2))
    take(box, OTHER, new, how="stop")
    old.stop()
    assert len(send(box, before)) == 6
    leaving = wait_for_closed(box)
    assert (leaving.leave, leaving.images, leaving.eta) == (Leave.DRAINING, 6, None)
    assert not leaving.is_clear
    activate(box, OTHER)
    found = until_left(box, 6)
    assert found.until is None
    assert found.isolated, "the runtime that drains is contained like any other"
    box.wait(lambda status: status.draining[0].reason, what="the reason why nothing leaves")
    assert entry(box).draining is not None
    since = found.since

    box.kill()
    box.start()
    assert until_left(box, 6).since == since
    assert len(send(box, after)) == 6
    box.wait_until_delivered()
    old.start()
    until_drained(box)
    assert uids(old.wait_for_images(6)) == uids(before)
    assert uids(new.wait_for_images(6)) == uids(after)
    assert wait_for_closed(box).is_clear
    left = entry(box)
    assert (left.draining, left.undelivered_images) == (None, 0)

    leave(box)
    restart_parked(box)
    assert "does not drain" in box.log
    assert box.status().draining == ()
    assert box.log.count(f"the runtime of {SITE} started") == 3


def test_a_kill_in_the_middle_of_draining_loses_nothing_and_mixes_nothing(
    tmp_path: Path, box: Box, new: Storescp
) -> None:
    before, after = (write_study(tmp_path / f"{n}", images=2, shape=TINY, seed=n) for n in (1, 2))
    take(box, OTHER, new)
    with Storescp(tmp_path / "slow", ae_title="PACS_C", options=SLOW) as slow:
        take(box, SITE, slow, 2)
        assert len(send(box, before)) == 2
        activate(box, OTHER)
        wait_for(slow.received, what="the first image to arrive")
        box.kill()
        box.start()
        assert len(send(box, after)) == 2
        until_drained(box)
        box.wait_until_delivered()
        assert uids(slow.images()) == uids(before)
        assert uids(new.wait_for_images(2)) == uids(after)


def test_coming_back_ends_the_draining_before_the_site_is_served(tmp_path: Path, box: Box) -> None:
    images = write_study(tmp_path / "images", images=3, shape=TINY, seed=1)
    with Storescp(tmp_path / "slow", ae_title="PACS_C", options=SLOW, keep_copies=True) as slow:
        take(box, SITE, slow, 2)
        assert len(send(box, images)) == 3
        leave(box)
        wait_for(slow.received, what="the first image to arrive")
        activate(box, SITE)
        status = box.status()
        assert (status.draining, status.site and status.site.id) == ((), SITE)
        box.wait_until_delivered()
        assert uids(slow.wait_for_images(3)) == uids(images)
    assert not (box.state / "draining" / SITE).exists()


def test_another_version_of_the_profile_acts_on_a_site_that_drains(tmp_path: Path, box: Box, old: Storescp) -> None:
    images = write_study(tmp_path / "images", images=3, shape=TINY, seed=1)
    old.stop()
    assert len(send(box, images)) == 3
    leave(box)
    until_left(box, 3)
    with pytest.raises(Refused, match=f"1 study of {SITE} waits here"):
        box.client.profile_remove(SITE)
    until_left(box, 3)

    take(box, SITE, old, 2, "stop")
    until_drained(box)
    wait_for(lambda: f"{SITE} does not drain any more" in box.log, what="the runtime to end")
    old.start()
    assert entry(box).undelivered_images == 3
    assert "undelivered-elsewhere" in {each.reference for each in box.status().advice}

    box.client.profile_rollback(m.ProfileRollback(SITE, "a test", version=1))
    until_drained(box)
    assert uids(old.wait_for_images(3)) == uids(images)


def test_a_time_that_was_set_is_not_begun_anew_by_a_restart(tmp_path: Path, box: Box, old: Storescp) -> None:
    images = write_study(tmp_path / "images", images=2, shape=TINY, seed=1)
    take(box, SITE, old, 2, "drain 1h")
    old.stop()
    assert len(send(box, images)) == 2
    assert leave(box).endswith(f"Images of {SITE} go on leaving, for 1h at most: 2 undelivered.")
    found = until_left(box, 2)
    assert found.until is not None
    assert (found.until - found.since).total_seconds() == 3600

    record = box.state / "draining" / SITE
    record.write_text("2020-01-01T00:00:00+00:00\n")
    restart_parked(box)
    old.start()
    assert box.status().draining == ()
    assert entry(box).undelivered_images == 2

    record.write_text("yesterday, perhaps\n")
    take(box, SITE, old, 3, "drain 2h")
    assert box.status().draining == ()
    assert old.received() == []
    activate(box, SITE)
    box.wait_until_delivered()
    assert uids(old.wait_for_images(2)) == uids(images)
