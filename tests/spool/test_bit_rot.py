"""Bytes that change on the disk, and sectors that cannot be read: noticed, set aside, said, mended if they can be."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from capacitord.errors import DamagedObject, NotFound, OutOfSpace
from capacitord.model.outcome import Verdict
from capacitord.model.states import DeliveryState
from capacitord.seal.sealed import HEADER_SIZE
from capacitord.spool.admission import Kept
from capacitord.spool.ledger import Pending
from capacitord.spool.store import Spool
from tests.spool.faulty import BadSectors, FaultyDisk
from tests.spool.kit import (
    LARGE,
    SMALL,
    answer,
    close_studies,
    content,
    datasets,
    deliver,
    due,
    find,
    opened,
    sop_uid,
    take,
)


def flip(spool: Spool, image: Pending, offset: int = HEADER_SIZE + 5) -> None:
    """Change one byte of a stored image on the disk."""
    place = image.stored.place
    with spool.layout.segment(place.segment).open("r+b") as file:
        file.seek(place.offset + offset)
        byte = file.read(1)[0]
        file.seek(place.offset + offset)
        file.write(bytes([byte ^ 1]))


def read(image: Pending) -> bytes:
    return b"".join(bytes(chunk) for chunk in image.stored.chunks())


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("offset", [0, 20, HEADER_SIZE - 1, HEADER_SIZE, -1])
def test_a_damaged_image_is_set_aside_and_the_rest_goes_on(tmp_path: Path, size: int, offset: int) -> None:
    with opened(tmp_path, destinations=("pacs", "backup")) as spool:
        for number in range(3):
            take(spool, number=number, size=size)
        victim = due(spool)[1]
        sealed = HEADER_SIZE + size + 16 * (size // 131_056 + 1)
        flip(spool, victim, offset % sealed)
        with pytest.raises(DamagedObject):
            read(victim)
        said = spool.housekeeping.examine(victim.image)
        assert said
        aside = spool.layout.corrupt / f"{victim.object_id.hex()}.seal"
        place = victim.stored.place
        whole = spool.layout.segment(place.segment).read_bytes()
        assert aside.read_bytes() == whole[place.offset : place.offset + place.size]
        assert spool.counts()[1:6] == (2, 2 * size, 2, 0, 1)
        study = spool.studies.detail(find(spool), "x")
        assert [image.corrupt for image in study.images] == [False, True, False]
        for ack in study.images[1].acks:
            assert (ack.state, ack.reason) == ("held", f"The spool's copy is damaged: {said}")
        for destination in ("pacs", "backup"):
            assert victim.sop_instance_uid not in {image.sop_instance_uid for image in due(spool, destination)}
            deliver(spool, destination)
        for delivery in spool.studies.detail(find(spool), "x").study.deliveries:
            assert delivery.state is DeliveryState.FAILED
            assert (delivery.acknowledged, delivery.refused, delivery.held) == (2, 0, 1)
            assert delivery.reason.startswith("1 image held by this box: The spool's copy is damaged: ")
        assert spool.housekeeping.examine(victim.image) == ""
        assert spool.housekeeping.candidates().studies == []


def test_the_last_image_of_a_delivery_settles_it_when_it_is_damaged(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        take(spool, number=1)
        take(spool, number=2)
        images = spool.ledger.sending(due(spool), "Images are on their way.")
        spool.ledger.record(answer(images[:1]), spool.tick())
        flip(spool, images[1])
        spool.housekeeping.examine(images[1].image)
        (delivery,) = spool.studies.detail(find(spool), "x").study.deliveries
        assert delivery.state is DeliveryState.FAILED


@pytest.mark.parametrize("found_by", ["doctor", "the copy itself"])
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_good_copy_sent_again_mends_a_damaged_image(tmp_path: Path, size: int, found_by: str) -> None:
    with opened(tmp_path) as spool:
        take(spool, number=1, size=size)
        take(spool, number=2, size=size)
        victim = due(spool)[0]
        flip(spool, victim)
        if found_by == "doctor":
            assert spool.housekeeping.examine(victim.image)
        deliver_the_sound(spool)
        receipt = take(spool, number=1, size=size)
        assert receipt.kept is Kept.NEW
        (image,) = due(spool)
        assert (image.object_id, image.sop_instance_uid) == (receipt.object_id, sop_uid(1, 1))
        assert read(image) == content(sop_uid(1, 1), size)
        deliver(spool)
        close_studies(spool)
        study = spool.studies.detail(find(spool), "x")
        assert (study.study.images, study.study.corrupt, study.study.purged) == (2, 0, 0)
        assert study.study.deliveries[0].state is DeliveryState.DELIVERED
        assert [image.corrupt for image in study.images] == [False, False]
        assert spool.counts()[1:6] == (2, 2 * size, 0, 0, 0)
        assert (spool.layout.corrupt / f"{victim.object_id.hex()}.seal").exists()
        assert len(spool.housekeeping.candidates().studies) == 1


def deliver_the_sound(spool: Spool) -> None:
    images = [image for image in due(spool) if image.sop_instance_uid == sop_uid(1, 2)]
    spool.ledger.record(answer(spool.ledger.sending(images, "Images are on their way.")), spool.tick())


def test_a_copy_of_another_length_does_not_pass_for_the_damaged_image(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        take(spool)
        (victim,) = due(spool)
        flip(spool, victim)
        spool.housekeeping.examine(victim.image)
        assert take(spool, size=SMALL + 2).kept is Kept.NEW
        deliver(spool)
        study = spool.studies.detail(find(spool), "x").study
        assert (study.corrupt, study.deliveries[0].state) == (1, DeliveryState.FAILED)


def test_an_image_that_a_person_wants_sent_again_is_not_if_it_is_damaged(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        take(spool)
        (victim,) = due(spool)
        flip(spool, victim)
        spool.housekeeping.examine(victim.image)
        assert spool.ledger.resend(find(spool), ["pacs"], None, 0) == 0
        assert spool.ledger.resend(find(spool), ["pacs"], victim.image, 0) == 0
        assert due(spool) == []
        assert datasets(spool) == {}


def test_a_whole_object_in_the_place_of_another_is_damage(tmp_path: Path) -> None:
    """Whoever can write to the disk cannot make one patient's image pass for another's."""
    with opened(tmp_path) as spool:
        take(spool, 1, 1)
        take(spool, 2, 1)
        one, other = due(spool)
        path = spool.layout.segment(one.stored.place.segment)
        data = bytearray(path.read_bytes())
        a, b = one.stored.place, other.stored.place
        assert a.size == b.size
        first, second = data[a.offset : a.offset + a.size], data[b.offset : b.offset + b.size]
        data[a.offset : a.offset + a.size], data[b.offset : b.offset + b.size] = second, first
        path.write_bytes(data)
        for image in (one, other):
            with pytest.raises(DamagedObject, match="Another object"):
                read(image)
            assert "Another object" in spool.housekeeping.examine(image.image)


def test_a_segment_that_somebody_removed_is_damage(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        take(spool)
        (victim,) = due(spool)
        spool.layout.segment(victim.stored.place.segment).unlink()
        with pytest.raises(DamagedObject, match="gone"):
            read(victim)
        assert "gone" in spool.housekeeping.examine(victim.image)
        assert spool.counts().corrupt == 1


def test_an_image_that_left_while_a_sender_held_it_is_not_damaged(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        take(spool, size=LARGE)
        (image,) = spool.ledger.sending(due(spool), "Images are on their way.")
        close_studies(spool)
        spool.housekeeping.discard(find(spool), 1, "A person said so.")
        assert spool.housekeeping.release_segments() == 1
        with pytest.raises(NotFound):
            read(image)
        assert spool.housekeeping.examine(image.image) == ""


# --- sectors that cannot be read --------------------------------------------------------------------------


def test_an_unreadable_sector_is_damage_and_what_can_be_read_is_kept(tmp_path: Path) -> None:
    disk = BadSectors()
    with opened(tmp_path, disk=disk) as spool:
        take(spool, number=1, size=3 * LARGE)
        take(spool, number=2)
        victim = due(spool)[0]
        path = spool.layout.segment(victim.stored.place.segment)
        disk.bad.add((path, 1 << 20))
        with pytest.raises(DamagedObject, match="EIO"):
            read(victim)
        assert "EIO" in spool.housekeeping.examine(victim.image)
        kept = (spool.layout.corrupt / f"{victim.object_id.hex()}.seal").read_bytes()
        whole = bytearray(path.read_bytes())
        whole[1 << 20 : (1 << 20) + 4096] = bytes(4096)
        assert kept == whole
        assert [image.sop_instance_uid for image in due(spool)] == [sop_uid(1, 2)]


def test_recovery_passes_over_what_the_disk_cannot_read(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        for number in range(4):
            take(spool, number=number)
        victim = due(spool)[1]
    (tmp_path / "catalog.db").unlink()
    disk = BadSectors()
    place = victim.stored.place
    disk.bad.add((tmp_path / "objects/00/00" / f"{place.segment:08x}.seg", place.offset + 5000))
    with opened(tmp_path, disk=disk) as spool:
        assert set(datasets(spool)) == {sop_uid(1, number) for number in (0, 2, 3)}
        assert spool.report.corrupt == 1
    (tmp_path / "catalog.db").unlink()
    disk.bad = {(path, place.offset) for path, _ in disk.bad}
    with opened(tmp_path, disk=disk) as spool:
        assert set(datasets(spool)) == {sop_uid(1, number) for number in (0, 2, 3)}
        assert "cannot be read" in spool.report.notes[-1]


def test_without_room_for_a_copy_those_who_wait_are_told_and_the_image_stays(tmp_path: Path) -> None:
    disk = FaultyDisk()
    with opened(tmp_path, disk=disk) as spool:
        take(spool)
        (victim,) = due(spool)
        flip(spool, victim)
        disk.fail_at(1, errno.ENOSPC, for_good=True)
        with pytest.raises(OutOfSpace):
            spool.housekeeping.examine(victim.image)
        assert due(spool) == []
        assert spool.counts().corrupt == 0
        close_studies(spool)
        assert spool.housekeeping.release_segments() == 0
        disk.work_again()
        assert spool.housekeeping.examine(victim.image)
        assert spool.counts().corrupt == 1
        assert (spool.layout.corrupt / f"{victim.object_id.hex()}.seal").exists()


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_what_cannot_be_read_back_is_not_taken_for_a_copy(tmp_path: Path, size: int) -> None:
    """The stored image is sound and the comparison fails: nobody may condemn the stored one."""
    disk = BadSectors()
    with opened(tmp_path, disk=disk) as spool:
        first = take(spool, size=size)
        if size == LARGE:
            disk.bad.add((spool.layout.segment(1), 1 << 20))
            with pytest.raises(Exception, match="cannot be read back"):
                take(spool, size=size)
            disk.bad.clear()
        assert take(spool, size=size).object_id == first.object_id
        assert spool.counts()[1:6] == (1, size, 1, 0, 0)


def test_refusals_are_counted_and_answered_for_by_a_person(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        take(spool, number=1)
        take(spool, number=2)
        images = spool.ledger.sending(due(spool), "Images are on their way.")
        spool.ledger.record(answer(images, Verdict.NEEDS_PERSON, 0xA900), spool.tick())
        assert spool.ledger.backlog("pacs").refused == 2
        assert spool.ledger.resend(find(spool), ["pacs"], None, 5) == 2
        deliver(spool)
        backlog = spool.ledger.backlog("pacs")
        assert (backlog.refused, backlog.delivered) == (0, 2)
