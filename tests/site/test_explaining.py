"""Explaining a study: by the code that delivers, with the site's own key, one image of each kind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.api import messages as m
from capacitord.api.trial import Explain, Explained, Fate, Recorded, StudyExplained
from capacitord.dicom.outgoing import Came
from capacitord.dicom.trial import Bench, Subject, Tried
from capacitord.errors import NotFound
from capacitord.model.compression import Compression
from capacitord.model.deidentify import Deidentification
from capacitord.model.profile import Profile
from capacitord.model.routes import Route
from capacitord.model.transform import Hash, Set
from capacitord.site.explaining import MOST_OPENED, Explaining, by_pool, kinds, merged
from capacitord.site.routing import Routing
from tests.dicom.transform.kit import Received, at, transform, value
from tests.fluxctl import samples as s
from tests.fluxctl import trial_samples as t
from tests.images import Image, shipped
from tests.peers.storescp import Storescp
from tests.site.reviewing import ANN, matching
from tests.site.rig import Rig, destination, rig
from tests.site.routes import put_image, routed_spool
from tests.site.stock import put_files, put_images

J2K = "1.2.840.10008.1.2.4.90"
NAMES = ("CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "SC_rgb_jpeg_gdcm.dcm", "rtplan.dcm", "JPEG2000.dcm")
IMAGES = [image for image in shipped() if image.path.name in NAMES]
CHANGES = transform(Set(at("InstitutionName"), value("St. Mary's of {Modality|the coach}")), Hash(at("StudyID")))


def bench(box: Rig, profile: Profile) -> Bench:
    """Return a profile to be tried with the keys and the pool of a box."""
    make = by_pool(box.preparation.pool)
    return Bench(profile, keys=box.preparation.keys, now=datetime.now(UTC), make=make)


def tried(box: Rig, image: Image) -> Tried:
    """Return what is tried on an image that came in as `put_files` takes it in."""
    data = image.dataset()
    received = Received(image.transfer_syntax_uid, data + b"\0" * (len(data) % 2))
    came = Came.at("UTC", "SCANNER", "FLUXBOX", time.time_ns())
    names = tuple(box.destinations)
    profile = msgspec.structs.replace(box.profile(*names), routes=(Route(names),))
    return bench(box, profile).tried(Subject(received, came, image.sop_class_uid, image.sop_instance_uid))


@contextmanager
def site(folder: Path) -> Iterator[tuple[Rig, Storescp, Storescp]]:
    """A PACS that gets what is transformed and compressed, and one for research that gets it de-identified."""
    with (
        Storescp(folder / "pacs") as pacs,
        Storescp(folder / "research") as research,
        rig(
            folder / "box",
            destination("pacs", pacs.port, compress=Compression(J2K)),
            destination("research", research.port),
            transforms=(CHANGES,),
            deidentifications=(Deidentification(to=("research",)),),
        ) as box,
    ):
        yield box, pacs, research


def test_what_is_told_is_what_a_pacs_gets(tmp_path: Path) -> None:
    """The images are delivered for real, to another program, and compared byte by byte with what was tried."""
    assert len(IMAGES) == len(NAMES)
    with site(tmp_path) as (box, pacs, research):
        told = {image.sop_instance_uid: tried(box, image) for image in IMAGES}
        for name, peer in (("pacs", pacs), ("research", research)):
            wanted = {found.copies[name].sop_instance_uid: found for found in told.values() if name in found.copies}
            held = sum(name not in found.copies for found in told.values())
            assert held < len(IMAGES)
            if not peer.received():
                put_files(box.spool, IMAGES)
                box.wake()
            stored = {image.sop_instance_uid: image for image in peer.wait_for_images(len(wanted))}
            assert set(stored) == set(wanted)
            for uid, found in wanted.items():
                copy = found.copies[name]
                said = next(each for each in found.trial.destinations if each.destination == name)
                assert said.fate is Fate.LEAVES
                assert said.transfer_syntax is not None
                assert stored[uid].transfer_syntax_uid == copy.transfer_syntax_uid == said.transfer_syntax.uid
                assert stored[uid].dataset() == b"".join(map(bytes, copy.chunks()))
                assert stored[uid].size() == copy.length == said.bytes


def test_a_study_is_explained_with_the_key_of_the_site(tmp_path: Path) -> None:
    image = next(image for image in IMAGES if image.path.name == "CT_small.dcm")
    with rig(tmp_path, destination("pacs", 1), transforms=(CHANGES,)) as box:
        put_files(box.spool, [image])
        answer = explained(box, box.spool.studies.page(m.StudyQuery()).studies[0].id)
        (group,) = answer.groups
        assert (group.images, group.opened, answer.unopened, answer.version) == (1, 1, 0, box.version)
        assert group.trial is not None
        (leaving,) = group.trial.destinations
        ours = next(each for each in tried(box, image).trial.destinations if each.destination == "pacs")
        assert leaving.changes == ours.changes
        assert {each.name for each in leaving.changes} == {"InstitutionName", "StudyID"}
        assert group.trial.calling_ae_title == "SCANNER"
        assert [ack.destination for ack in group.recorded.acks] == ["pacs"]
        one = explained(box, answer.study.id, group.object_id[:8])
        assert [each.object_id for each in one.groups] == [group.object_id]
        with pytest.raises(NotFound):
            explained(box, answer.study.id, "ffffffff")


def explained(box: Rig, study: str, image: str = "") -> StudyExplained:
    body = box.answers().answer("study.explain", Explain(study, image), lambda: None, ANN)
    found = msgspec.json.decode(b"".join(body.pieces), type=StudyExplained)
    assert body.subjects == (found.study.id,)
    return found


def test_an_image_that_cannot_be_read_is_told_as_it_would_be_dealt_with(tmp_path: Path) -> None:
    with rig(tmp_path, destination("pacs", 1), transforms=(CHANGES,)) as box:
        put_images(box.spool, 3)
        (group,) = explained(box, "1.2.3").groups
        assert (group.images, group.opened) == (3, 1)
        assert group.trial is not None
        assert (group.trial.destinations, group.trial.held) == ((), "; ".join(group.trial.findings))
        assert "cannot be read" in group.trial.held


def test_what_waits_for_the_worklist_says_so(tmp_path: Path) -> None:
    routing = Routing(matching())
    with rig(tmp_path / "rig", destination("pacs", 1)) as box:
        spool = routed_spool(tmp_path / "spool", routing)
        put_image(spool, "1.2.3", 1, PatientID="P1")
        spool.settle()
        explaining = Explaining(spool, lambda: routing.profile, box.preparation, lambda: False, lambda: "It is read.")
        (short,) = (study.id for study in spool.studies.page(m.StudyQuery()).studies)
        answer, _ = explaining.explain(Explain(short))
        assert (answer.awaited, answer.groups[0].recorded.routing) == ("It is read.", "unrouted")
        routing.profile = msgspec.structs.replace(routing.profile, matching=None)
        assert explaining.explain(Explain(short))[0].awaited == ""
        spool.close()


def test_no_more_is_opened_than_is_bearable(tmp_path: Path) -> None:
    with rig(tmp_path, destination("pacs", 1)) as box:
        for number in range(MOST_OPENED + 3):
            put_images(box.spool, 1, first=number + 1, calling_ae=f"CT{number}")
        answer = explained(box, "1.2.3")
        assert sum(group.opened for group in answer.groups) == MOST_OPENED
        assert answer.unopened == 3
        assert sum(group.images for group in answer.groups) + answer.unopened == MOST_OPENED + 3


def image_of(series: str, ae: str, version: int) -> m.Image:
    return m.Image(
        sop_instance_uid="1.2",
        sop_class_uid="1.2.3",
        sop_class="CT",
        transfer_syntax_uid="1.2.4",
        transfer_syntax="Explicit",
        series_uid=series,
        series_number=1,
        series_description="",
        modality="CT",
        instance_number=1,
        bytes=1,
        received_at=s.NOW,
        calling_ae=ae,
        peer="",
        conflict=False,
        corrupt=False,
        purged=False,
        object_id="00",
        acks=(),
        profile_version=version,
    )


parts = st.sampled_from(["1", "2", "3"])


@given(st.lists(st.builds(image_of, parts, parts, st.integers(1, 2))))
def test_every_image_is_of_one_kind(images: list[m.Image]) -> None:
    found = kinds(images)
    assert sorted(id(image) for kind in found for image in kind.images) == sorted(map(id, images))
    wanted = {(image.series_uid, image.calling_ae, image.profile_version) for image in images}
    assert len(found) == len(wanted)


outcomes = st.sampled_from([t.CT, t.PLAIN, t.NOWHERE, None])


@given(st.lists(st.tuples(st.integers(1, 5), outcomes, st.integers(1, 2)), max_size=8))
def test_what_is_dealt_with_alike_is_one_group_that_stands_for_all(found: list[tuple[int, object, int]]) -> None:
    opened = [
        Explained(count, 1, (str(place),), "00", Recorded(version), trial, "" if trial else "gone")  # type: ignore[arg-type]
        for place, (count, trial, version) in enumerate(found)
    ]
    groups = merged(opened)
    assert len(groups) == len({(version, id(trial)) for _, trial, version in found})
    assert sum(group.images for group in groups) == sum(count for count, _, _ in found)
    assert sum(group.opened for group in groups) == len(found)
    assert sorted(name for group in groups for name in group.series) == sorted(
        str(place) for place in range(len(found))
    )
