"""Taking images in: what is new, known or in conflict, and what a late one changes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from capacitord.errors import OutOfSpace, StorageFailed
from capacitord.model.image import Arrival, Facts
from capacitord.model.states import DeliveryState, StudyState
from capacitord.seal.sealed import MAX_DESCRIPTION, PAYLOAD_SIZE
from capacitord.spool import describe
from capacitord.spool.admission import Kept, Receipt
from capacitord.spool.filing import Filed
from capacitord.spool.routed import Routed
from capacitord.spool.segment import Place
from capacitord.spool.store import Spool
from tests.spool.kit import (
    LARGE,
    LARGEST_SMALL,
    SMALL,
    arrival,
    close_studies,
    content,
    datasets,
    deliver,
    due,
    facts,
    find,
    open_spool,
    opened,
    sop_uid,
    study_uid,
    take,
)

BLOCK = 8 * PAYLOAD_SIZE
SIZES = [0, 1, PAYLOAD_SIZE - 1, PAYLOAD_SIZE, PAYLOAD_SIZE + 1, 3 * PAYLOAD_SIZE, LARGEST_SMALL, LARGE]
SIZES += [LARGE + 1, BLOCK + PAYLOAD_SIZE, 2 * BLOCK - 1, 2 * BLOCK, 2 * BLOCK + 1, 5 * BLOCK + 12345]


def test_images_of_every_size_come_back_now_and_after_a_restart(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        receipts = [take(spool, number=number, size=size) for number, size in enumerate(SIZES)]
        assert {receipt.kept for receipt in receipts} == {Kept.NEW}
        before = datasets(spool)
    with opened(tmp_path) as spool:
        assert datasets(spool) == before
        assert spool.report.recovered == spool.report.corrupt == 0
    assert before == {sop_uid(1, n): content(sop_uid(1, n), size) for n, size in enumerate(SIZES)}


@pytest.mark.parametrize("size", [PAYLOAD_SIZE, 2 * PAYLOAD_SIZE, BLOCK, 2 * BLOCK])
def test_asking_for_space_that_is_not_used_changes_nothing(tmp_path: Path, size: int) -> None:
    """A receiver asks where the next bytes belong before it knows that there are none."""
    data = content(sop_uid(1, 1), size)
    with opened(tmp_path) as spool:
        incoming = spool.begin(arrival())
        done = 0
        while done < size:
            into = incoming.space()
            count = min(len(into), 50_000, size - done)
            into[:count] = data[done : done + count]
            incoming.advance(count)
            done += count
            assert len(incoming.space()) > 0
        assert incoming.length == size
        assert bytes(incoming.head) == data[:PAYLOAD_SIZE]
        incoming.commit(facts())
        assert datasets(spool) == {sop_uid(1, 1): data}


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_the_same_image_again_is_known(tmp_path: Path, size: int) -> None:
    with opened(tmp_path) as spool:
        first, again = take(spool, size=size), take(spool, size=size)
        assert (first.kept, again.kept) == (Kept.NEW, Kept.KNOWN)
        assert (again.study, again.object_id) == (first.study, first.object_id)
        assert spool.counts().images == 1
        assert len(due(spool)) == 1
        deliver(spool)
        assert take(spool, size=size).kept is Kept.KNOWN
        assert due(spool) == []


@pytest.mark.parametrize("sizes", [(SMALL, SMALL), (LARGE, LARGE), (SMALL, LARGE), (LARGE, SMALL)])
def test_other_content_under_the_same_uid_is_kept_and_waits_for_a_person(
    tmp_path: Path, sizes: tuple[int, int]
) -> None:
    with opened(tmp_path) as spool:
        first = take(spool, size=sizes[0])
        second = take(spool, size=sizes[1], variant=1)
        third = take(spool, size=sizes[1], variant=1)
        assert (first.kept, second.kept, third.kept) == (Kept.NEW, Kept.CONFLICT, Kept.KNOWN)
        assert third.object_id == second.object_id != first.object_id
        counts = spool.counts()
        assert (counts.images, counts.conflicts, counts.undelivered) == (2, 1, 1)
        assert [image.object_id for image in due(spool)] == [first.object_id]
        image = spool.studies.image(find(spool), second.object_id.hex())
        assert spool.ledger.resend(find(spool), ["pacs"], image, 0, matches=False) == 1
        assert {image.object_id for image in due(spool)} == {first.object_id, second.object_id}


def test_the_same_dataset_in_another_transfer_syntax_is_in_conflict(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        take(spool)
        incoming = spool.begin(arrival())
        incoming.write(memoryview(content(sop_uid(1, 1), SMALL)))
        assert incoming.commit(facts(syntax="1.2.840.10008.1.2")).kept is Kept.CONFLICT


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_two_at_once_with_the_same_uid_are_filed_once(tmp_path: Path, size: int) -> None:
    with opened(tmp_path) as spool:
        for number in range(5):
            receipts = at_once(spool, [(number, size, 0), (number, size, 0)])
            assert sorted(receipt.kept.name for receipt in receipts) == ["KNOWN", "NEW"]
            assert len({receipt.object_id for receipt in receipts}) == 1
        for number in range(5, 10):
            receipts = at_once(spool, [(number, size, 0), (number, size, 1)])
            assert sorted(receipt.kept.name for receipt in receipts) == ["CONFLICT", "NEW"]
        assert spool.counts().images == 15


def at_once(spool: Spool, images: list[tuple[int, int, int]]) -> list[Receipt]:
    receipts: list[Receipt] = []
    start = threading.Barrier(len(images))

    def send(number: int, size: int, variant: int) -> None:
        start.wait()
        receipts.append(take(spool, number=number, size=size, variant=variant))

    threads = [threading.Thread(target=send, args=image) for image in images]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return receipts


def test_many_threads_each_with_its_own_images(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:

        def send(study: int) -> None:
            for number in range(25):
                take(spool, study, number, size=LARGE if number == 7 else SMALL + number)

        threads = [threading.Thread(target=send, args=(study,)) for study in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert spool.counts()[:2] == (4, 100)
        for study in range(1, 5):
            assert len(datasets(spool, study)) == 25


def test_a_late_image_opens_its_study_and_its_delivery_again(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        take(spool, number=1)
        close_studies(spool)
        deliver(spool)
        study = spool.studies.detail(find(spool), "x").study
        assert (study.state, study.deliveries[0].state) == (StudyState.MATCHED, DeliveryState.DELIVERED)
        take(spool, number=2)
        spool.settle()
        study = spool.studies.detail(find(spool), "x").study
        assert (study.state, study.deliveries[0].state) == (StudyState.RECEIVING, DeliveryState.QUEUED)
        assert (study.reason, study.deliveries[0].reason) == ("A late image arrived.",) * 2
        assert study.deliveries[0].delivered_at is None
        assert [image.sop_instance_uid for image in due(spool)] == [sop_uid(1, 2)]
        deliver(spool)
        close_studies(spool)
        study = spool.studies.detail(find(spool), "x").study
        assert (study.state, study.deliveries[0].state) == (StudyState.MATCHED, DeliveryState.DELIVERED)
        assert study.deliveries[0].acknowledged == 2


def test_a_late_image_after_a_restart_is_numbered_behind_the_others(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        take(spool, number=1)
        deliver(spool)
    with opened(tmp_path) as spool:
        take(spool, number=2)
        spool.settle()
        images = spool.studies.detail(find(spool), "x").images
        assert [image.sop_instance_uid for image in images] == [sop_uid(1, 1), sop_uid(1, 2)]


def test_a_study_says_what_it_is(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        short = take(spool, 7, 1).study
        for number, modality in ((2, "SR"), (3, "CT"), (4, "")):
            incoming = spool.begin(arrival())
            incoming.write(memoryview(b"text" * number))
            incoming.commit(facts(7, number, modality=modality))
        spool.settle()
        for reference in (short, short[:4], study_uid(7), "ACC000007"):
            assert spool.studies.find(reference) == (find(spool, 7), short)
        study = spool.studies.detail(find(spool, 7), "x").study
        assert study.modalities == ("CT", "SR")
        assert (study.patient_name, study.images, study.bytes) == ("Synthetic^Patient7", 4, SMALL + 8 + 12 + 16)


def test_an_abandoned_image_leaves_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        for size in (SMALL, 3 * LARGE):
            incoming = spool.begin(arrival())
            incoming.write(memoryview(bytes(size)))
            incoming.abandon()
            incoming.abandon()
        assert spool.counts().images == 0
        assert list(spool.layout.incoming.iterdir()) == []
        assert take(spool).kept is Kept.NEW


def test_the_reserve_refuses_an_image_before_it_is_begun(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, reserve=1 << 60)
    with pytest.raises(OutOfSpace) as refused:
        spool.begin(arrival())
    assert refused.value.hint
    spool.close()


def test_a_plan_that_came_to_nothing_is_forgotten(tmp_path: Path) -> None:
    """What filing remembers of a study must be in the catalog: else its next image belongs to nothing."""
    with opened(tmp_path) as spool:
        image = Filed(bytes(16), Place(0, 0, 8192), 1, facts(), arrival(), Routed(1, ("pacs",)))

        def fail(_: object) -> None:
            raise StorageFailed("no")

        plans = []
        for _ in range(2):
            with spool._catalog.inside() as catalog:
                plans.append(spool._filing.plan(catalog, image))
            with pytest.raises(StorageFailed):
                spool._catalog.gather(fail)
        for plan in plans:
            assert [sql.split()[2] for sql, _ in plan.statements if sql.startswith("INSERT")] == [
                "study",
                "image",
                "delivery",
                "waiting",
            ]
        # Numbers are not given twice all the same: somebody may remember the first.
        assert plans[0].image != plans[1].image


TEXTS = [
    name
    for name in Facts.__struct_fields__[5:]
    if not name.endswith(("_number", "_frames", "_acquisition", "findings"))
]
FINDINGS = ("other-class", *("pixels-short|" + "9" * 40 + "|" + "9" * 40 for _ in range(10)))
"""More than any image can have."""
UIDS = Facts.__struct_fields__[:5]
uid_texts = st.text(st.sampled_from("0123456789."), max_size=64)
texts = st.text(max_size=256) | st.text(st.characters(min_codepoint=0x10000), min_size=200, max_size=256)


@given(st.fixed_dictionaries({**dict.fromkeys(UIDS, uid_texts), **dict.fromkeys([*TEXTS, "accession_number"], texts)}))
@example({**dict.fromkeys(UIDS, "1" * 64), **dict.fromkeys([*TEXTS, "accession_number"], "\U0001f9e0" * 256)})
def test_a_description_always_fits_and_keeps_its_uids(words: dict[str, str]) -> None:
    given_facts = Facts(**words, findings=FINDINGS)  # type: ignore[arg-type]  # texts and UIDs only
    came = Arrival("SCANNER_16_CHARS", "FLUXBOX_16_CHARS", "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]", 1 << 62)
    encoded = describe.encode(given_facts, came)
    assert len(encoded) <= MAX_DESCRIPTION
    kept = describe.decode(encoded)
    assert (kept.arrival, kept.facts.findings) == (came, FINDINGS)
    for name, value in words.items():
        kept_value = getattr(kept.facts, name)
        assert kept_value == value if name in UIDS else value.startswith(kept_value)


def test_an_ordinary_description_is_kept_whole() -> None:
    assert describe.decode(describe.encode(facts(), arrival(7))) == describe.Description(facts(), arrival(7))
