"""What a profile would do with an image, told: routes, changes, forms, and why it would be held."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from capacitord.api.trial import Changed, Fate, Groups, Leaving, Trial
from capacitord.dicom.outgoing import Came, Keys
from capacitord.dicom.trial import DEIDENTIFY, WRITE, Bench, Subject, Tried, maker
from capacitord.model.compression import Compression
from capacitord.model.conditions import Every, Exactly, Glob, Has, Never, Values
from capacitord.model.deidentify import Deidentification
from capacitord.model.destination import Destination
from capacitord.model.profile import Profile
from capacitord.model.routes import Priority, Route
from capacitord.model.transform import Copy, Hash, On, OnError, Record, Remove, Set, Transform
from capacitord.site.routing import attributes_for_routing
from tests.dicom.samples import EXPLICIT, dataset
from tests.dicom.transcode.kit import Kind
from tests.dicom.transcode.kit import image as image_of
from tests.dicom.transform.kit import NOW, Received, at, value
from tests.images import Image, shipped

PRIVATE = "1.3.99.2"
"""A SOP class that may leave its pixels undescribed."""
J2K, RLE = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5"
KEYS = Keys(b"h" * 32, b"c" * 32)
MODALITY_IS_MR = Has(at("Modality"), Values((Exactly("MR"),)))
PACS, BACKUP = Destination("pacs", "PACS", "h", 1), Destination("backup", "BACKUP", "h", 1)
CAME = Came.at("America/Chicago", "CT_COACH", "FLUXBOX", int(NOW.timestamp()) * 10**9)
CT_SMALL = next(image for image in shipped() if image.path.name == "CT_small.dcm")


def profile(**fields: Any) -> Profile:
    destinations = fields.pop("destinations", (PACS, BACKUP))
    routes = fields.pop("routes", (Route(tuple(each.name for each in destinations)),))
    return Profile("st-marys", "St. Mary's", 7, "America/Chicago", destinations, routes, **fields)


def tried(what: Profile, image: Image | bytes = CT_SMALL, only: tuple[str, ...] = ()) -> Tried:
    received = Received(EXPLICIT, image) if isinstance(image, bytes) else Received.of(image)
    return Bench(what, keys=KEYS, now=NOW, make=maker(KEYS, NOW), only=only).tried(Subject(received, CAME))


def copy_for(found: Tried, name: str = "pacs") -> Leaving:
    return next(each for each in found.trial.destinations if each.destination == name)


def transform(*operations: Any, name: str = "ours", on: On = On.OUTBOUND, **fields: Any) -> Transform:
    return Transform(name, on, operations, **fields)


def test_where_nothing_is_to_be_changed_the_very_bytes_leave() -> None:
    found = tried(profile())
    assert (found.trial.to, found.trial.route, found.trial.routes) == (("pacs", "backup"), None, ())
    for leaving in found.trial.destinations:
        assert (leaving.fate, leaving.as_received, leaving.changes) == (Fate.LEAVES, True, ())
        assert leaving.bytes == found.trial.bytes == CT_SMALL.size()
        assert b"".join(map(bytes, found.copies[leaving.destination].chunks())) == CT_SMALL.dataset()
    assert found.trial.leaves
    assert found.trial.local.utcoffset() == dt.timedelta(hours=-6)


def test_each_route_says_why() -> None:
    children = Never(Every((Has(at("PatientID"), Values((Glob("1*"),))),)))
    what = profile(
        routes=(
            Route(("pacs",), MODALITY_IS_MR, priority=Priority.STAT),
            Route(("pacs",), children),
            Route(
                ("pacs",), Has(at("Modality"), Values((Exactly("CT"),))), else_to=("backup",), priority=Priority.HIGH
            ),
        )
    )
    told = tried(what).trial
    assert [(each.route, each.matches) for each in told.routes] == [(1, False), (2, False), (3, True)]
    assert [(each.what, each.wanted, each.found) for each in told.routes[0].decisive] == [("Modality", "MR", ("CT",))]
    assert [each.holds for each in told.routes[1].decisive] == [True]
    assert (told.route, told.to, told.else_to, told.priority) == (3, ("pacs",), ("backup",), "high")
    assert [(each.destination, each.stands_in) for each in told.destinations] == [("pacs", False), ("backup", True)]


def test_without_a_route_it_is_held() -> None:
    found = tried(profile(routes=(Route(("pacs",), MODALITY_IS_MR),)))
    assert found.trial.held.startswith("no route")
    assert (found.trial.destinations, found.copies, found.trial.leaves) == ((), {}, False)


def test_routes_see_what_inbound_transforms_made() -> None:
    to_mr = transform(Set(at("Modality"), value("MR")), on=On.INBOUND, name="in")
    found = tried(profile(routes=(Route(("pacs",), MODALITY_IS_MR),), transforms=(to_mr,)))
    wanted = Changed("(0008,0060)", "Modality", "CT", "MR", "in", "set")
    assert found.trial.route == 1
    assert found.trial.inbound == (wanted,)
    assert copy_for(found).changes == (wanted,)


def test_routes_see_what_inbound_transforms_made_of_what_is_behind_the_pixels() -> None:
    behind = dataset(PRIVATE, "1.2.3", more={0x7FE10010: ("LO", b"ACME"), 0x7FE11001: ("LO", b"MR")})
    copied = transform(Copy(at("Modality"), at("(7FE1,1001)")), on=On.INBOUND, name="in")
    what = profile(routes=(Route(("pacs",), MODALITY_IS_MR),), transforms=(copied,))
    found = tried(what, behind)
    assert found.trial.route == 1
    delivered = attributes_for_routing(Received(EXPLICIT, behind), what, CAME, KEYS.hashes)
    assert delivered.values(at("Modality")) == ("MR",)


def test_only_the_copy_that_is_asked_for_is_made() -> None:
    found = tried(profile(), only=("backup",))
    assert [each.destination for each in found.trial.destinations] == ["backup"]
    assert found.trial.to == ("pacs", "backup")


def test_a_barred_destination_says_so_and_gets_nothing() -> None:
    barred = msgspec.structs.replace(PACS, barred="this version has no TLS")
    found = tried(profile(destinations=(barred,)))
    leaving = copy_for(found)
    assert (leaving.fate, leaving.reason, leaving.bytes) == (Fate.BARRED, "this version has no TLS", CT_SMALL.size())
    assert found.copies == {}
    assert not found.trial.leaves


@pytest.mark.parametrize(("on_error", "fate"), [(OnError.HOLD, Fate.HELD), (OnError.SKIP, Fate.LEAVES)])
def test_what_fails_holds_the_copy_or_is_skipped(on_error: OnError, fate: Fate) -> None:
    failing = transform(
        Set(at("StudyDate"), value("tomorrow")), Set(at("StudyID"), value("7")), to=("pacs",), on_error=on_error
    )
    found = tried(profile(transforms=(failing,)))
    leaving = copy_for(found)
    assert leaving.fate is fate
    assert copy_for(found, "backup").as_received
    if fate is Fate.HELD:
        assert "ours" in leaving.reason
        assert "StudyDate" in leaving.reason
    else:
        assert [(each.operation, each.attribute) for each in leaving.skipped] == [("set", "StudyDate")]
        assert [each.name for each in leaving.changes] == ["StudyID"]


def test_what_inbound_transforms_cannot_do_holds_every_copy() -> None:
    failing = transform(Set(at("StudyDate"), value("tomorrow")), on=On.INBOUND)
    found = tried(profile(transforms=(failing,)))
    assert [(each.fate, "StudyDate" in each.reason) for each in found.trial.destinations] == [(Fate.HELD, True)] * 2
    assert found.copies == {}
    looked_at = tried(profile(routes=(Route(("pacs",), MODALITY_IS_MR),), transforms=(failing,)))
    assert "transform 'ours' could not set StudyDate" in looked_at.trial.held


def test_a_record_of_changes_is_a_change() -> None:
    recorded = transform(Set(at("StudyID"), value("7")), Remove(at("PatientAge")), record=Record())
    told = copy_for(tried(profile(transforms=(recorded,))))
    assert [(each.name, each.operation) for each in told.changes] == [
        ("StudyID", "set"),
        ("PatientAge", "remove"),
        ("OriginalAttributesSequence", "record"),
    ]


def test_deidentification_is_told_between_inbound_and_outbound() -> None:
    what = profile(
        transforms=(
            transform(Set(at("PatientID"), value("P7")), on=On.INBOUND, name="in"),
            transform(Set(at("ClinicalTrialProtocolID"), value("T1")), name="out"),
        ),
        deidentifications=(Deidentification(to=("pacs",)),),
    )
    found = tried(what)
    leaving = copy_for(found)
    assert (leaving.deidentified, leaving.fate) == (True, Fate.LEAVES)
    by = [each.operation for each in leaving.changes]
    assert by[0] == "set"
    assert by[-1] == "set"
    assert set(by[1:-1]) == {DEIDENTIFY}
    patient = next(each for each in leaving.changes if each.name == "PatientID" and each.operation == DEIDENTIFY)
    assert (patient.before, patient.after not in {None, "P7"}) == ("P7", True)
    assert found.copies["pacs"].sop_instance_uid != found.trial.sop_instance_uid
    assert not copy_for(found, "backup").deidentified


def test_in_another_syntax_the_size_is_what_it_becomes() -> None:
    pacs = msgspec.structs.replace(PACS, compress=Compression(J2K))
    found = tried(profile(destinations=(pacs,)))
    leaving = copy_for(found)
    assert leaving.transfer_syntax is not None
    assert (leaving.transfer_syntax.uid, leaving.as_received) == (J2K, False)
    assert leaving.bytes == len(b"".join(map(bytes, found.copies["pacs"].chunks()))) < CT_SMALL.size()
    assert [each.uid for each in leaving.otherwise][:1] == [EXPLICIT]


def test_loss_is_told_as_a_change() -> None:
    pacs = msgspec.structs.replace(PACS, compress=Compression("1.2.840.10008.1.2.4.91", ratio=10.0))
    image = next(image for image in shipped() if image.path.name == "MR_small.dcm")
    told = copy_for(tried(profile(destinations=(pacs,)), image))
    assert {each.name: each.after for each in told.changes if each.operation == WRITE}["LossyImageCompression"] == "01"


def test_what_cannot_be_written_so_leaves_in_the_next_form_and_says_why() -> None:
    """The made-up image has no pixel module at all."""
    pacs = msgspec.structs.replace(PACS, compress=Compression(J2K))
    told = copy_for(tried(profile(destinations=(pacs,)), dataset(PRIVATE, "1.2.3.4.5")))
    assert (told.fate, told.as_received) == (Fate.LEAVES, True)
    assert "JPEG 2000 Lossless" in told.remark


def test_a_fallback_that_cannot_be_written_is_not_promised() -> None:
    image = next(image for image in shipped() if image.path.name == "J2K_pixelrep_mismatch.dcm")
    told = copy_for(tried(profile(), image))
    assert (told.fate, told.as_received, told.otherwise) == (Fate.LEAVES, True, ())
    assert told.not_otherwise.startswith(
        "It cannot be written as the destination accepts it. Explicit VR Little Endian:"
    )


def test_a_syntax_that_the_profile_does_not_list_is_told() -> None:
    only = msgspec.structs.replace(PACS, compress=Compression(J2K), transfer_syntaxes=(J2K,))
    told = copy_for(tried(profile(destinations=(only,)), dataset(PRIVATE, "1.2.3.4.5")))
    assert (told.fate, told.unlisted, told.otherwise) == (Fate.LEAVES, True, ())
    assert "JPEG 2000 Lossless" in told.not_otherwise
    assert not copy_for(tried(profile(destinations=(only,)))).unlisted


def test_an_image_is_not_made_larger_with_loss() -> None:
    tiny = image_of(Kind(rows=2, columns=2, allocated=8, stored=8))
    pacs = msgspec.structs.replace(PACS, compress=Compression("1.2.840.10008.1.2.4.50", quality=90))
    told = copy_for(tried(profile(destinations=(pacs,)), tiny))
    assert (told.fate, told.as_received, told.changes) == (Fate.LEAVES, True, ())
    assert "With loss it would not be smaller" in told.remark


@pytest.mark.parametrize(
    "what",
    [
        profile(),
        profile(routes=(Route(("pacs",), MODALITY_IS_MR),)),
        profile(transforms=(transform(Hash(at("PatientID")), to=("pacs",)),)),
    ],
)
def test_what_cannot_be_read_is_held_for_every_destination_as_the_box_does(what: Profile) -> None:
    found = tried(what, b"\x08\x00\x16\x00??\x01\x00garbage")
    assert "cannot be read" in found.trial.held
    assert (found.trial.leaves, found.trial.destinations, found.copies) == (False, (), {})


def test_findings_of_reception_are_told_and_only_errors_hold() -> None:
    of_nobody = pydicom.dcmread(CT_SMALL.path)
    of_nobody.PatientName = of_nobody.PatientID = ""
    warned = tried(profile(), encoded(of_nobody))
    assert warned.trial.leaves
    assert warned.trial.findings == ("it names no patient: its Patient's Name and Patient ID are empty",)
    shortened = pydicom.dcmread(CT_SMALL.path)
    shortened.Rows = 4096
    wrong = tried(profile(), encoded(shortened))
    assert wrong.trial.held == "; ".join(each for each in wrong.trial.findings if "bytes" in each)
    assert "its pixels have" in wrong.trial.held


def without(*keywords: str) -> pydicom.Dataset:
    found = pydicom.dcmread(CT_SMALL.path)
    for keyword in keywords:
        delattr(found, keyword)
    return found


def changed(**attributes: Any) -> pydicom.Dataset:
    found = pydicom.dcmread(CT_SMALL.path)
    for keyword, content in attributes.items():
        setattr(found, keyword, content)
    return found


@pytest.mark.parametrize(
    ("what", "why"),
    [
        (without("PatientName"), "it has no Patient's Name"),
        (without("PixelData"), "it has no pixels, and an image of its SOP class must have some"),
        (changed(BitsStored=17), "it says that 17 bits are stored of each sample, and only 16 are allocated"),
        (changed(HighBit=20), "it says that bit 20 is the highest of each sample, and only 16 are allocated"),
        (
            changed(PhotometricInterpretation="RGB"),
            "it says 1 samples per pixel, and its photometric interpretation is RGB",
        ),
    ],
)
def test_what_contradicts_itself_is_held_and_says_why(what: pydicom.Dataset, why: str) -> None:
    assert tried(profile(), encoded(what)).trial.held == why


def encoded(dataset: pydicom.Dataset) -> bytes:
    """Return a dataset as a scanner sends it."""
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, False
    write_dataset(out, pydicom.Dataset(dataset))
    return out.getvalue()


numbers = st.integers(0, 3)


@given(st.lists(st.tuples(numbers, st.text("ab", max_size=3)), max_size=30))
def test_images_dealt_with_alike_are_one_group_whatever_their_values(images: list[tuple[int, str]]) -> None:
    base = tried(profile()).trial
    groups = Groups()
    found = [groups.number(like(base, kind, text).likeness) for kind, text in images]
    assert len(set(found)) == len({kind for kind, _ in images})
    assert all((found[a] == found[b]) == (images[a][0] == images[b][0]) for a in range(len(found)) for b in range(a))
    assert list(dict.fromkeys(found)) == list(range(1, len(set(found)) + 1))


def like(base: Trial, kind: int, text: str) -> Trial:
    """Return a trial of some kind, with values and sizes that make no difference."""
    item = f"(0040,0275)[{len(text) + 1}].(0040,1001)"
    changes = {
        0: (),
        1: (Changed(item, "x", text, None, "ours", "remove"),),
        2: (Changed("(0010,0020)", "PatientID", text, text + "x", "ours", "suffix"),),
        3: (Changed("(0010,0020)", "PatientID", text, text + "x", "others", "suffix"),),
    }[kind]
    one = msgspec.structs.replace(base.destinations[0], changes=changes, bytes=len(text))
    return msgspec.structs.replace(base, sop_instance_uid=text, bytes=len(text), destinations=(one,))
