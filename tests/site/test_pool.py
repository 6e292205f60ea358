"""Helper processes: the most urgent first, within the memory there is, and whatever they do costs one image at most."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from capacitord.dicom.contexts import Pair
from capacitord.dicom.forms import forms
from capacitord.dicom.outgoing import Came, Keys, Recipe
from capacitord.errors import DamagedObject
from capacitord.model.compression import Compression
from capacitord.model.transform import Map, On, Transform
from capacitord.site.preparation.commission import Commission, Product
from capacitord.site.preparation.helper import HelperLost
from capacitord.site.preparation.messages import AsReceived, Job, NotMade
from capacitord.site.preparation.pool import OVERTAKEN, WHILE_PREPARED, Pool
from capacitord.site.preparation.preparation import keys_of
from tests.dicom.transform.kit import at
from tests.images import Image, shipped
from tests.site.stock import KEY
from tests.wait import wait_for

KEYS = Keys(b"h" * 32, b"c" * 32)
CAME = Came.at("Europe/Berlin", "SCANNER", "FLUXBOX", 1_700_000_000_000_000_000)
EXPLICIT = "1.2.840.10008.1.2.1"
J2K = "1.2.840.10008.1.2.4.90"
PLAIN = Recipe("pacs", "UTC")
KEY_1 = ("pacs", 1, 1)
PATIENCE = 30.0


class Bytes:
    """An image in memory. `reading` is set when it is read, and its bytes are put behind `order`."""

    def __init__(self, data: bytes, order: list[bytes] | None = None) -> None:
        self.data = data
        self.order = [] if order is None else order
        self.reading = threading.Event()

    def chunks(self) -> Iterator[memoryview]:
        self.reading.set()
        self.order.append(self.data)
        yield memoryview(self.data)


class Damaged:
    def chunks(self) -> Iterator[memoryview]:
        yield memoryview(b"begins well")
        msg = "Chunk 1 is cut off."
        raise DamagedObject(msg)


@contextmanager
def pool(how: str = "", **settings: Any) -> Iterator[Pool]:
    """Yield a pool of one helper, which misbehaves in some way if one is named."""
    if how:
        settings["command"] = (sys.executable, "-m", "tests.site.odd_helper", how)
    made = Pool(KEYS, **{"size": 1, **settings})
    try:
        yield made
    finally:
        made.close()
        assert not made.helpers


def job(data: bytes, uid: str = "1.2.3") -> Job:
    return Job(EXPLICIT, uid, len(data), CAME, forms(Pair("1.2", EXPLICIT), None, ()), PLAIN)


def submit(
    to: Pool, data: bytes = b"some bytes", *, uid: str = "1.2.3", priority: int = 0, image: int = 1
) -> Commission:
    return to.submit(Bytes(data), job(data, uid), ("pacs", 1, image), priority)


def done(commission: Commission) -> Commission:
    assert commission.wait(PATIENCE)
    return commission


def ct_small() -> Image:
    return next(image for image in shipped() if image.path.name == "CT_small.dcm")


def real(image: Image, compress: Compression | None, data: bytes | None = None) -> tuple[Bytes, Job]:
    """Return an image and what is to be done with it."""
    data = image.dataset() if data is None else data
    wanted = forms(Pair(image.sop_class_uid, image.transfer_syntax_uid), compress, ())
    return Bytes(data), Job(image.transfer_syntax_uid, image.sop_instance_uid, len(data), CAME, wanted, PLAIN)


def test_an_image_is_compressed_and_counts_until_it_is_released() -> None:
    with pool() as one:
        commission = done(one.submit(*real(ct_small(), Compression(J2K)), key=KEY_1, priority=0))
        result = commission.result
        assert isinstance(result, Product)
        assert (result.transfer_syntax_uid, result.sop_instance_uid) == (J2K, ct_small().sop_instance_uid)
        assert 0 < result.length == len(result.data) == one.held < ct_small().size()
        commission.release()
        assert one.held == 0


def test_what_cannot_be_compressed_stays_as_it_is_or_is_not_made() -> None:
    with pool() as one:
        image, order = real(ct_small(), Compression(J2K), ct_small().dataset()[:2000])
        assert isinstance(done(one.submit(image, order, KEY_1, 0)).result, AsReceived)
        only = Job(order.transfer_syntax_uid, "1.2", order.length, CAME, order.forms[:1], PLAIN)
        result = done(one.submit(image, only, KEY_1, 0)).result
        assert isinstance(result, NotMade)
        assert result.reason.startswith("It cannot be written as the destination accepts it. JPEG 2000 Lossless: ")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("die", "was ended by signal 9"),
        ("nonsense", "said what does not belong there"),
        ("leak", "handed over what is no memory file"),
        ("hang", "did not come to an end within 0 s"),
        ("another", "said what does not belong there"),
    ],
)
def test_a_helper_that_misbehaves_costs_one_image_and_the_next_gets_another(how: str, words: str) -> None:
    with pool(how, patience=lambda _: 0.3) as one:
        for _ in range(2):
            commission = done(submit(one))
            assert isinstance(commission.result, HelperLost)
            assert words in commission.result.message
            assert not one.helpers
            assert one.held == 0


def test_a_helper_that_is_killed_while_it_works_costs_one_image() -> None:
    with pool("hang") as one:
        commission = submit(one)
        (pid,) = wait_for(lambda: one.helpers, within=PATIENCE, what="a helper")
        os.kill(pid, signal.SIGKILL)
        assert isinstance(done(commission).result, HelperLost)


def test_no_image_is_given_what_was_made_of_another_that_failed_in_the_middle() -> None:
    failing = b"of patient B"

    def patience(length: int) -> float:
        # No socket waits so long: the error comes when the helper has the job, and nobody has read its answer.
        return -1.0 if length == len(failing) else PATIENCE

    with pool("slowly", patience=patience) as one:
        done(submit(one, b"of the patient A")).release()
        assert isinstance(done(submit(one, failing)).result, HelperLost)
        assert not one.helpers
        for data in (b"of the patient C", b"of the patient D, the last"):
            commission = done(submit(one, data, uid=f"1.2.{len(data)}"))
            result = commission.result
            assert isinstance(result, Product)
            assert (bytes(result.data), result.sop_instance_uid) == (data, f"1.2.{len(data)}")
            commission.release()
        assert one.held == 0


def test_a_program_that_cannot_be_started_is_said() -> None:
    with pool(command=("/nonexistent/helper",)) as one:
        result = done(submit(one)).result
        assert isinstance(result, HelperLost)
        assert "cannot be started: No such file" in result.message


def test_an_image_that_cannot_be_read_is_said_and_the_helper_goes_on() -> None:
    with pool("same") as one:
        assert isinstance(done(one.submit(Damaged(), job(b"longer than that"), KEY_1, 0)).result, DamagedObject)
        assert isinstance(done(one.submit(Bytes(b"short"), job(b"longer"), KEY_1, 0)).result, DamagedObject)
        assert isinstance(done(submit(one)).result, Product)
        assert one.held == len(b"some bytes")


def test_the_most_urgent_image_goes_first() -> None:
    order: list[bytes] = []
    with pool("slowly") as one:
        first = one.submit(Bytes(b"first", order), job(b"first"), KEY_1, 0)
        wait_for(lambda: order, within=PATIENCE, what="the first to be worked on")
        names = [(priority, f"{priority}.{number}".encode()) for priority in (0, 5, 9) for number in (1, 2)]
        waiting = [one.submit(Bytes(name, order), job(name), KEY_1, priority) for priority, name in names]
        for commission in (first, *waiting):
            done(commission)
    assert order == [b"first", b"9.1", b"9.2", b"5.1", b"5.2", b"0.1", b"0.2"]


def test_memory_is_bounded_and_what_is_released_makes_room() -> None:
    size = 1 << 20
    with pool("same", budget=WHILE_PREPARED * size, size=2) as one:
        assert one.largest == size
        first, *others = (submit(one, bytes(size)) for _ in range(4))
        done(first)
        for held, following in zip([first, *others], others, strict=False):
            # The result of the one before leaves no room for all that the next takes.
            image = following.image
            assert isinstance(image, Bytes)
            assert not image.reading.is_set()
            assert one.held <= one.budget
            held.release()
            done(following)
        others[-1].release()
        assert one.held == 0


def test_what_waits_for_room_keeps_no_smaller_image_waiting_but_is_not_overtaken_for_ever() -> None:
    size = 1 << 20
    with pool("same", budget=WHILE_PREPARED * size) as one:
        held = done(submit(one, bytes(size // 2)))
        large = submit(one, bytes(size), priority=1)
        small = [submit(one, image=number) for number in range(OVERTAKEN + 2)]
        for commission in small[:OVERTAKEN]:
            done(commission).release()
        held.release()
        # Whatever comes from now on comes behind it.
        done(large).release()
        for commission in small[OVERTAKEN:]:
            done(commission).release()
        assert large.overtaken == OVERTAKEN
        assert one.held == 0


def test_what_is_released_before_its_turn_is_never_begun() -> None:
    with pool("slowly") as one:
        first, second, third = submit(one), submit(one), submit(one)
        second.release()
        done(first)
        done(third)
        assert isinstance(second.image, Bytes)
        assert not second.image.reading.is_set()
        first.release()
        third.release()
        assert one.held == 0


def test_helpers_end_when_there_is_nothing_to_do_and_begin_again() -> None:
    with pool("same", idle=0.05) as one:
        for _ in range(2):
            done(submit(one)).release()
            wait_for(lambda: not one.helpers, within=PATIENCE, what="the helper to end")


@pytest.mark.parametrize("how", ["hang", "mute"])
def test_closing_ends_a_helper_that_works_or_begins_and_tells_those_who_wait(how: str) -> None:
    one = Pool(KEYS, size=1, command=(sys.executable, "-m", "tests.site.odd_helper", how))
    working, waiting = submit(one), submit(one)
    wait_for(lambda: one.helpers, within=PATIENCE, what="a helper")
    one.close()
    assert isinstance(working.result, HelperLost)
    assert isinstance(waiting.result, HelperLost)


def test_a_helper_is_given_derived_keys_only() -> None:
    keys = keys_of(KEY)
    one = Pool(keys, size=1, command=(sys.executable, "-m", "tests.site.odd_helper", "keys"))
    result = done(submit(one)).result
    one.close()
    assert isinstance(result, Product)
    assert keys.hashes != keys.codes
    assert KEY.secret not in {keys.hashes, keys.codes}
    assert repr(keys) == "Keys()"


def test_there_is_a_helper_for_each_core() -> None:
    assert Pool(KEYS).size == len(os.sched_getaffinity(0))


def test_what_is_set_aside_is_taken_up_again_for_the_same_job_only() -> None:
    with pool("same") as one:
        first = done(submit(one))
        first.set_aside()
        assert submit(one) is first
        first.set_aside()
        other = submit(one, b"other bytes")
        assert other is not first
        assert isinstance(done(other).result, Product)
        assert one.held == len(b"other bytes")
        other.set_aside()
        assert submit(one, b"other bytes", image=2) is not other


def test_what_is_set_aside_is_forgotten_when_room_is_needed_or_there_is_too_much_of_it() -> None:
    size = 1 << 20
    with pool("same", budget=WHILE_PREPARED * size) as one:
        done(submit(one, bytes(size))).set_aside()
        assert one.held == size
        done(submit(one, bytes(size), image=2)).release()
        assert one.held == 0
        for image in range(5):
            done(submit(one, image=image)).set_aside()
        assert one.held == (one.size + 1) * len(b"some bytes")


def test_what_failed_is_not_kept_aside() -> None:
    with pool("nonsense") as one:
        failed = done(submit(one))
        failed.set_aside()
        assert submit(one) is not failed


def test_a_recipe_may_be_longer_than_a_packet() -> None:
    table = {f"value {number}": f"becomes {number}" for number in range(10_000)}
    long = Recipe("pacs", "UTC", outbound=(Transform("long", On.OUTBOUND, (Map(at("StationName"), table),)),))
    with pool() as one:
        for recipe in (long, PLAIN, long):
            image, order = real(ct_small(), Compression(J2K))
            commission = done(one.submit(image, msgspec.structs.replace(order, recipe=recipe), KEY_1, 0))
            assert isinstance(commission.result, Product)
            commission.release()
