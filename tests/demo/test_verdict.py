"""Every way in which an image can be missing, double, changed or unknown is said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from capacitord.api.demo import DemoImage
from fluxctl.demo.acts import LARGE, program
from fluxctl.demo.verdict import differences, table

IMAGES = tuple(DemoImage(f"1.2.{n}", f"Kind {n % 3} Storage", "1", f"1.{n // 2}", f"digest {n}", 10) for n in range(6))
WHOLE = {image.sop_instance_uid: [image.digest] for image in IMAGES}


def test_nothing_to_say_when_all_is_well() -> None:
    assert differences(IMAGES, {"spool": WHOLE, "pacs": WHOLE}) == ()
    rows = table(IMAGES, {"spool": WHOLE, "pacs": WHOLE})
    assert [(row.sop_class, row.images) for row in rows] == [(f"Kind {n} Storage", 2) for n in range(3)]
    assert all(place.identical and place.images == 2 for row in rows for place in row.places)


@given(
    st.sampled_from(IMAGES),
    st.sampled_from([(), ("same", "same"), ("other",), ("same", "other")]),
)
def test_one_odd_image_is_named(odd: DemoImage, copies: tuple[str, ...]) -> None:
    digests = [odd.digest if copy == "same" else "another" for copy in copies]
    pacs = WHOLE | {odd.sop_instance_uid: digests}
    said = differences(IMAGES, {"spool": WHOLE, "pacs": pacs})
    expected = []
    if not copies:
        expected.append("never arrived")
    if len(copies) > 1:
        expected.append("arrived more than once")
    if "other" in copies:
        expected.append("arrived with other bytes")
    assert said == tuple(f"pacs: 1 image ({odd.sop_instance_uid}) {what}" for what in expected)
    (wrong,) = [row for row in table(IMAGES, {"pacs": pacs}) if not row.places[0].identical]
    assert wrong.sop_class == odd.sop_class
    assert wrong.places[0].images == 1 + len(copies)


def test_an_image_that_nobody_sent_is_named() -> None:
    said = differences(IMAGES, {"pacs": WHOLE | {"9.9": ["digest"]}})
    assert said == ("pacs: 1 image (9.9) arrived though the scanner never had them",)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 3 * LARGE)), min_size=1))
def test_every_study_is_sent_once_and_one_again(found: list[tuple[int, int]]) -> None:
    images = [DemoImage(f"1.{n}", "", "", f"2.{study}", "", size) for n, (study, size) in enumerate(found)]
    plan = program(images)
    assert sorted(plan.before + plan.after) == sorted({image.study_uid for image in images})
    assert set(plan.again) <= set(plan.before)
