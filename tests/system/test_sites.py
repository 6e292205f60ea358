"""Several sites on the real box: each image belongs to the site that was active, and goes to no other's PACS."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
import pytest
import tomli_w

from capacitord.api import messages as m
from capacitord.api.review import DiscardHeld
from capacitord.errors import CapacitordError, Refused
from capacitord.model.states import StudyState
from tests.images import TINY, Image, write_study
from tests.peers.senders import storescu
from tests.peers.storescp import Storescp
from tests.system.box import AE_TITLE, SITE, Box, Target
from tests.wait import wait_for

pytestmark = pytest.mark.peers

OTHER = "lakeside"


def profile(site: str, pacs: Storescp, version: int = 1, **tables: Any) -> str:
    target = Target("pacs", pacs.ae_title, pacs.port)
    head = {"schema": 1, "id": site, "name": site, "version": version, "timezone": "America/Chicago"}
    return tomli_w.dumps({**head, "destination": [target.table()], **tables})


def activate(box: Box, site: str) -> None:
    box.client.site_activate(site, "a test")
    wait_for_site(box, site)


def wait_for_site(box: Box, site: str) -> None:
    def served(status: m.Status) -> bool:
        return status.site is not None and status.site.id == site

    box.wait(served, what=f"{site} to be served")
    box.wait_until_open()


def send(box: Box, images: Sequence[Image]) -> set[str]:
    """Send images and return the instances that were acknowledged."""
    sent = storescu(images, box.host, box.port, called=AE_TITLE)
    paths = {image.path: image.sop_instance_uid for image in images}
    return {paths[path] for path in sent.acknowledged}


def uids(images: Sequence[Image]) -> set[str]:
    return {image.sop_instance_uid for image in images}


def test_each_site_gets_its_own_images_and_is_kept_until_they_have_left(tmp_path: Path) -> None:
    first, second, third = (write_study(tmp_path / f"{n}", images=3, shape=TINY, seed=n) for n in range(1, 4))
    with (
        Storescp(tmp_path / "a", ae_title="PACS_A") as ours,
        Storescp(tmp_path / "b", ae_title="PACS_B") as theirs,
        Box(tmp_path / "box", Target("pacs", ours.ae_title, ours.port)) as box,
    ):
        box.client.profile_import(m.ProfileImport(profile(OTHER, theirs)))
        assert len(send(box, first)) == 3
        box.wait_until_delivered()

        theirs.stop()
        activate(box, OTHER)
        assert len(send(box, second)) == 3
        assert uids(second) == {image.sop_instance_uid for image in box.images()}

        activate(box, SITE)
        assert {site.id: site.undelivered_images for site in box.client.site_list().sites}[OTHER] == 3
        assert len(send(box, third)) == 3
        box.wait_until_delivered()
        with pytest.raises(Refused, match="1 study of lakeside waits here") as refused:
            box.client.profile_remove(OTHER)

        theirs.start()
        activate(box, OTHER)
        (study,) = box.studies()
        assert refused.value.candidates == (f"{study.id}  undelivered",)
        box.wait_until_delivered()
        assert uids(theirs.wait_for_images(3)) == uids(second)
        assert uids(ours.wait_for_images(6)) == uids(first) | uids(third)

        activate(box, SITE)
        box.client.profile_remove(OTHER)
        assert [site.id for site in box.client.site_list().sites] == [SITE]
        assert (box.state / "sites" / OTHER).is_dir()


def refusal(box: Box, site: str) -> Refused:
    """Return why a site is not removed, and check that it is still there."""
    with pytest.raises(Refused) as refused:
        box.client.profile_remove(site)
    assert refused.value.exit_code == 6
    assert site in {each.id for each in box.client.site_list().sites}
    return refused.value


def test_a_site_is_removed_when_nobody_has_to_decide_or_wait_any_more(tmp_path: Path) -> None:
    single = write_study(tmp_path / "single", images=1, shape=TINY, seed=1)
    pair = write_study(tmp_path / "pair", images=2, shape=TINY, seed=2)
    with (
        Storescp(tmp_path / "a", ae_title="PACS_A") as ours,
        Storescp(tmp_path / "b", ae_title="PACS_B") as theirs,
        Box(
            tmp_path / "box",
            Target("pacs", ours.ae_title, ours.port),
            settings={"spool": {"study_quiet": "1s"}},
        ) as box,
    ):
        routes = [{"match": {"Modality": "US"}, "to": ["pacs"]}]
        box.client.profile_import(m.ProfileImport(profile(OTHER, theirs, route=routes)))
        theirs.stop()
        activate(box, OTHER)
        assert len(send(box, [*single, *pair])) == 3
        wait_for(lambda: [each.state for each in box.studies()] == [StudyState.HELD] * 2, what="both to be held")
        one, other = (each.id for each in sorted(box.studies(), key=lambda study: study.images))

        active = refusal(box, OTHER)
        assert active.message == "lakeside is the active site, and 2 studies of it wait here"
        assert {*active.candidates} == {f"{one}  held", f"{other}  held"}
        box.client.site_deactivate("a test")
        parked = refusal(box, OTHER)
        assert parked.message == "2 studies of lakeside wait here"
        assert parked.candidates == active.candidates
        assert "fluxctl site activate lakeside" in parked.hint

        activate(box, OTHER)
        box.client.study_resend(m.Resend(other, ("pacs",)))
        name = str(pydicom.dcmread(single[0].path).PatientName)
        box.client.held_discard(DiscardHeld(one, "a phantom", m.Secret(name)))
        activate(box, SITE)
        assert refusal(box, OTHER).candidates == (f"{other}  undelivered",)

        theirs.start()
        activate(box, OTHER)
        box.wait_until_delivered()
        dataset = pydicom.dcmread(pair[0].path)
        dataset.PixelData = bytes(len(dataset.PixelData))
        dataset.save_as(tmp_path / "changed.dcm")
        assert len(send(box, [replace(pair[0], path=tmp_path / "changed.dcm")])) == 1
        box.wait_for_spool(conflicts=1)
        activate(box, SITE)
        assert refusal(box, OTHER).candidates == (f"{other}  in conflict",)

        activate(box, OTHER)
        (image,) = (each for each in box.client.study_show(other).images if each.conflict)
        box.client.study_resend(m.Resend(other, ("pacs",), image.object_id))
        box.wait_until_delivered()
        assert refusal(box, OTHER).message == "lakeside is the active site"
        activate(box, SITE)
        assert "is removed" in box.client.profile_remove(OTHER).message
        assert [each.id for each in box.client.site_list().sites] == [SITE]


def test_a_box_that_is_killed_on_the_way_serves_the_site_of_its_record_and_mixes_nothing(tmp_path: Path) -> None:
    images = write_study(tmp_path / "images", images=60, shape=TINY, seed=7)
    acknowledged: set[str] = set()
    with (
        Storescp(tmp_path / "a", ae_title="PACS_A") as ours,
        Storescp(tmp_path / "b", ae_title="PACS_B") as theirs,
        Box(tmp_path / "box", Target("pacs", ours.ae_title, ours.port)) as box,
    ):
        box.client.profile_import(m.ProfileImport(profile(OTHER, theirs)))
        for turn, delay in enumerate((0.0, 0.01, 0.03, 0.1)):
            site = (OTHER, SITE)[turn % 2]
            own = images[turn * 15 : turn * 15 + 15]
            scanner = threading.Thread(target=_scan, args=(box, own, acknowledged))
            scanner.start()
            going = threading.Thread(target=_go_over, args=(box, site))
            going.start()
            going.join(delay)
            box.kill_supervisor()
            going.join()
            box.launch()
            box.wait_until_answering()
            wait_for_site(box, (box.state / "active-site").read_text().partition("\n")[0])
            scanner.join()
            activate(box, site)
            acknowledged |= send(box, write_study(tmp_path / f"more{turn}", images=1, shape=TINY, seed=100 + turn))
        for site in (SITE, OTHER):
            activate(box, site)
            box.wait_until_delivered()
        at_ours, at_theirs = uids(ours.images()), uids(theirs.images())
        assert acknowledged
        assert acknowledged <= at_ours | at_theirs
        assert not at_ours & at_theirs


def _scan(box: Box, images: Sequence[Image], acknowledged: set[str]) -> None:
    acknowledged |= send(box, images)


def _go_over(box: Box, site: str) -> None:
    try:
        box.client.site_activate(site, "a test")
    except CapacitordError:
        return
