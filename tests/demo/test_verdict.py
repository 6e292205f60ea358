"""Every way in which an image can be missing, double, changed or unknown is said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from capacitord.api.demo import DemoImage, Kept
from fluxctl.demo import rules
from fluxctl.demo.acts import LARGE, program
from fluxctl.demo.verdict import Place, differences, table

IMAGES = tuple(DemoImage(f"1.2.{n}", f"Kind {n % 3} Storage", "1", f"1.{n // 2}", f"digest {n}", 10) for n in range(6))
WHOLE = {image.sop_instance_uid: [Kept(image.sop_instance_uid, image.digest)] for image in IMAGES}


def test_nothing_to_say_when_all_is_well() -> None:
    assert differences(IMAGES, {"spool": Place(WHOLE), "pacs": Place(WHOLE)}) == ()
    rows = table(IMAGES, {"spool": Place(WHOLE), "pacs": Place(WHOLE)})
    assert [(row.sop_class, row.images) for row in rows] == [(f"Kind {n} Storage", 2) for n in range(3)]
    assert all(place.right and place.images == 2 for row in rows for place in row.places)


@given(
    st.sampled_from(IMAGES),
    st.sampled_from([(), ("same", "same"), ("other",), ("same", "other")]),
)
def test_one_odd_image_is_named(odd: DemoImage, copies: tuple[str, ...]) -> None:
    digests = [odd.digest if copy == "same" else "another" for copy in copies]
    pacs = WHOLE | {odd.sop_instance_uid: [Kept(odd.sop_instance_uid, digest) for digest in digests]}
    said = differences(IMAGES, {"spool": Place(WHOLE), "pacs": Place(pacs)})
    expected = []
    if not copies:
        expected.append("never arrived")
    if len(copies) > 1:
        expected.append("arrived more than once")
    if "other" in copies:
        expected.append("did not arrive as they should")
    assert said == tuple(f"pacs: 1 image ({odd.sop_instance_uid}) {what}" for what in expected)
    (wrong,) = [row for row in table(IMAGES, {"pacs": Place(pacs)}) if not row.places[0].right]
    assert wrong.sop_class == odd.sop_class
    assert wrong.places[0].images == 1 + len(copies)


def test_an_image_that_nobody_sent_is_named() -> None:
    said = differences(IMAGES, {"pacs": Place(WHOLE | {"9.9": [Kept("9.9", "digest")]})})
    assert said == ("pacs: 1 image (9.9) arrived though the scanner never had them",)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 3 * LARGE)), min_size=1))
def test_every_study_is_sent_once_and_one_again(found: list[tuple[int, int]]) -> None:
    images = [DemoImage(f"1.{n}", "", "", f"2.{study}", "", size) for n, (study, size) in enumerate(found)]
    plan = program(images)
    assert sorted(plan.before + plan.after) == sorted({image.study_uid for image in images})
    assert set(plan.again) <= set(plan.before)


def test_what_the_profile_asks_for_is_what_has_to_arrive() -> None:
    image = DemoImage("1", "MR Image Storage", "Explicit VR Little Endian", "2", "d", 10, rules.CHANGED, 16)
    named = Kept("1", "other", image.transfer_syntax, rules.INSTITUTION)
    packed = Kept("1", "other", rules.COMPRESSED)
    assert rules.right_at_pacs(image, named)
    assert not rules.right_at_pacs(image, Kept("1", "d", image.transfer_syntax))
    assert not rules.right_at_pacs(image, packed)
    assert rules.right_at_archive(image, packed)
    assert not rules.right_at_archive(image, Kept("1", "d", image.transfer_syntax))
    report = DemoImage("1", "Basic Text SR Storage", "Explicit VR Little Endian", "2", "d", 10, "SR")
    assert rules.right_at_archive(report, Kept("1", "d", report.transfer_syntax))
    assert not rules.right_at_archive(report, named)


def test_an_image_where_it_does_not_belong_is_named() -> None:
    ecg = DemoImage("1", "ECG", "", "2", "d", 10, rules.UNROUTED)
    there = {"1": [Kept("1", "d")]}
    assert differences([ecg], {"pacs": Place({}, rules.is_routed)}) == ()
    said = differences([ecg], {"pacs": Place(there, rules.is_routed)})
    assert said == ("pacs: 1 image (1) arrived where they do not belong",)
