"""Pictures of a study's images: made by helper processes, of the right image, or not, with the reason."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest

from capacitord.api import messages as m
from capacitord.api.preview import Pictured, Preview, label_of
from capacitord.dicom.preview.engine import picture, shown
from capacitord.dicom.preview.png import decoded
from capacitord.errors import CapacitordError, NotFound, TryAgain
from capacitord.site.preparation.commission import Drawn
from capacitord.site.preparation.helper import HelperLost
from capacitord.site.preparation.messages import Draw, NotMade
from capacitord.site.preparation.pool import WHILE_DRAWN
from capacitord.site.previewing import Previewing, candidates
from tests.fluxctl import samples as s
from tests.images import Image, shipped
from tests.site.rig import Rig, rig
from tests.site.stock import facts_of, put, put_files, put_images
from tests.site.test_pool import PATIENCE, Bytes, pool
from tests.wait import wait_for

NOWHERE = ("", 0, 0)


def one(name: str) -> Image:
    return next(image for image in shipped() if image.path.name == name)


CT, COLOURS, PLAN = one("CT_small.dcm"), one("examples_ybr_color.dcm"), one("rtplan.dcm")
JPEG_LS = one("MR_small_jpeg_ls_lossless.dcm")


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A box that holds images of several kinds, and sends them nowhere."""
    with rig(tmp_path_factory.mktemp("box")) as box:
        put_files(box.spool, [CT, COLOURS, PLAN, JPEG_LS])
        put_images(box.spool, 2)
        yield box


def previewing(box: Rig) -> Previewing:
    return Previewing(box.spool, box.preparation.pool)


def study_of(box: Rig, image: Image) -> str:
    """Return the short id of the study that an image is in."""
    for study in box.spool.studies.page(m.StudyQuery()).studies:
        number, short = box.spool.studies.find(study.id)
        if any(each.sop_instance_uid == image.sop_instance_uid for each in box.spool.studies.detail(number, "").images):
            return short
    raise LookupError(image.path.name)


@pytest.mark.parametrize("image", [CT, COLOURS, JPEG_LS], ids=lambda image: image.path.name)
def test_a_picture_is_that_of_the_image(box: Rig, image: Image) -> None:
    study = study_of(box, image)
    data, short = previewing(box).preview(Preview(study, image=image.sop_instance_uid))
    expected = picture(memoryview(image.dataset()), image.transfer_syntax_uid, size=1024)
    assert short == study
    assert np.array_equal(decoded(data), decoded(expected.png))
    label = label_of(data)
    assert (label.study, label.rows, label.columns) == (short, expected.rows, expected.columns)
    assert (label.frame, label.frames, label.window) == (expected.frame, expected.frames, expected.window)


def test_frame_window_and_size_are_as_asked(box: Rig) -> None:
    asked = Preview(study_of(box, COLOURS), frame=30, size=64)
    data, _ = previewing(box).preview(asked)
    assert label_of(data).frame == 30
    assert max(decoded(data).shape) == 64
    data, _ = previewing(box).preview(Preview(study_of(box, CT), window="-100/400"))
    assert label_of(data).window == "window -100/400"
    assert np.array_equal(
        decoded(data), shown(memoryview(CT.dataset()), CT.transfer_syntax_uid, window="-100/400").pixels
    )


@pytest.mark.parametrize(
    ("image", "how", "words"),
    [
        (PLAN, {}, "It has no pixels"),
        (COLOURS, {"frame": 31}, "The image has 30 frames."),
        (CT, {"window": "7"}, "no such window"),
        (CT, {"image": "9.9.9"}, "image"),
    ],
)
def test_without_a_picture_it_is_said_why(box: Rig, image: Image, how: dict[str, object], words: str) -> None:
    with pytest.raises(NotFound, match=words) as caught:
        previewing(box).preview(msgspec.structs.replace(Preview(study_of(box, image)), **how))
    assert caught.value.hint


def test_bytes_that_are_no_dataset_are_no_picture(box: Rig) -> None:
    with pytest.raises(NotFound, match=r"There is no picture of it\. The dataset cannot be read"):
        previewing(box).preview(Preview("1.2.3"))


def test_an_image_that_is_too_large_is_not_read(box: Rig) -> None:
    with pool(budget=WHILE_DRAWN * (1 << 20)) as small:
        put(box.spool, facts_of("7.7.7", "7.7"), bytes((1 << 20) + 2))
        box.spool.settle()
        with pytest.raises(NotFound, match="larger than 1 MiB"):
            Previewing(box.spool, small).preview(Preview("7.7"))
        assert not small.helpers


def test_a_helper_that_dies_is_said_and_costs_one_picture(box: Rig) -> None:
    with pool("hang") as odd:
        errors: list[CapacitordError] = []

        def ask() -> None:
            try:
                Previewing(box.spool, odd).preview(Preview(study_of(box, CT)))
            except CapacitordError as error:
                errors.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        (pid,) = wait_for(lambda: odd.helpers, within=PATIENCE, what="a helper")
        os.kill(pid, signal.SIGKILL)
        asking.join(PATIENCE)
        assert isinstance(errors[0], TryAgain)
        assert errors[0].message.startswith("The process that makes pictures ended")
        assert odd.held == 0


@pytest.mark.parametrize("how", ["nonsense", "leak", "another"])
def test_a_helper_that_says_what_it_must_not_draws_nothing(how: str) -> None:
    with pool(how, patience=lambda _: 0.5) as odd:
        commission = odd.submit(Bytes(b"some bytes"), Draw("1.2", 10, 0, 64, ""), NOWHERE, 0)
        assert commission.wait(PATIENCE)
        assert isinstance(commission.drawing, HelperLost)


def test_one_helper_draws_one_picture_after_the_other() -> None:
    data = CT.dataset()
    with pool() as ours:
        for size in (32, 16):
            commission = ours.submit(Bytes(data), Draw(CT.transfer_syntax_uid, len(data), 0, size, ""), NOWHERE, 0)
            assert commission.wait(PATIENCE)
            made = commission.drawing
            assert isinstance(made, Drawn)
            assert decoded(bytes(made.data)).shape == (size, size)
            assert ours.held == len(made.data)
            commission.release()
        bad = ours.submit(Bytes(b"no dataset"), Draw(CT.transfer_syntax_uid, 10, 0, 16, ""), NOWHERE, 0)
        assert bad.wait(PATIENCE)
        assert isinstance(bad.drawing, NotMade)
        bad.release()
        assert ours.held == 0
        assert len(ours.helpers) == 1


def test_the_middle_of_each_series_that_is_here_comes_into_question() -> None:
    def image(number: int, series: str, *, purged: bool = False) -> m.Image:
        return msgspec.structs.replace(s.image(number), series_uid=series, purged=purged)

    images = [image(1, "a"), image(2, "a"), image(3, "a"), image(4, "b", purged=True), image(5, "b"), image(6, "c")]
    assert [each.instance_number for each in candidates(images)] == [2, 5, 6]
    assert list(candidates([])) == []


def test_what_waits_for_a_person_comes_into_question_first() -> None:
    routings = enumerate(("routed", "routed", "held", "routed", "held"), 1)
    images = [msgspec.structs.replace(s.image(number), routing=routing) for number, routing in routings]
    assert [each.instance_number for each in candidates(images)] == [5, 2]


def test_a_label_is_read_again_and_nothing_else_is_one(box: Rig) -> None:
    data, _ = previewing(box).preview(Preview(study_of(box, CT)))
    assert isinstance(label_of(data), Pictured)
    for damaged in (
        b"",
        b"\x89PNG\r\n\x1a\n",
        data[:40],
        picture(memoryview(CT.dataset()), CT.transfer_syntax_uid, size=16).png,
    ):
        with pytest.raises(ValueError, match="does not say what it shows"):
            label_of(damaged)
