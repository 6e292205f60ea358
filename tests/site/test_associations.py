"""Which associations are opened: for which pairs, under which title, and how long they last."""

from __future__ import annotations

from pathlib import Path

from capacitord.dicom.contexts import MOST_CONTEXTS, Pair
from tests.images import EXPLICIT_LITTLE
from tests.site.pacs import Pacs
from tests.site.rig import PATIENCE, destination, rig
from tests.site.stock import CT, acks, facts_of, put, put_images
from tests.wait import wait_for

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
MR = Pair("1.2.840.10008.5.1.4.1.1.4", EXPLICIT_LITTLE)
J2K_CT = Pair(CT.sop_class_uid, "1.2.840.10008.1.2.4.90")


def native(*pairs: Pair) -> set[Pair]:
    """Return what is proposed beside pairs, for a destination that accepts nothing else."""
    return {Pair(pair.sop_class_uid, uid) for pair in pairs for uid in (EXPLICIT_LITTLE, IMPLICIT_LITTLE)}


def test_every_pair_in_the_queue_is_proposed_in_one_association(tmp_path: Path) -> None:
    with Pacs() as pacs, rig(tmp_path, destination("pacs", pacs.port), start=False) as box:
        for number, pair in enumerate((CT, MR, J2K_CT), 1):
            put_images(box.spool, 2, first=10 * number, pair=pair)
        box.become("pacs")
        box.wait_until_delivered()
        (association,) = pacs.associations
        assert set(association.contexts.values()) == {J2K_CT} | native(CT, MR)
        assert association.calling == "FLUXBOX"


def test_images_of_a_pair_that_was_not_proposed_get_another_association_at_once(tmp_path: Path) -> None:
    with Pacs() as pacs, rig(tmp_path, destination("pacs", pacs.port)) as box:
        put_images(box.spool, 2, pair=CT)
        box.wake()
        wait_for(lambda: len(pacs.seen) == 2, within=PATIENCE, what="the first images")
        assert pacs.open == 1, "it lingers"
        put_images(box.spool, 2, first=10, pair=MR)
        box.wake()
        box.wait_until_delivered()
        assert [set(association.contexts.values()) for association in pacs.associations] == [
            native(CT),
            native(MR),
        ]


def test_more_pairs_than_one_association_can_hold(tmp_path: Path) -> None:
    # Each takes two contexts: one as it is, and one for a destination that accepts only the other native syntax.
    count = MOST_CONTEXTS // 2 + 20
    pairs = [Pair(f"1.2.840.10008.5.1.4.1.1.9999.{number}", EXPLICIT_LITTLE) for number in range(count)]
    with Pacs() as pacs, rig(tmp_path, destination("pacs", pacs.port), start=False) as box:
        uids = [put_images(box.spool, 1, first=number, pair=pair)[0] for number, pair in enumerate(pairs)]
        box.become("pacs")
        box.wait_until_delivered()
        assert pacs.counts == dict.fromkeys(uids, 1)
        assert len(pacs.associations) == 2
        assert all(len(association.contexts) <= MOST_CONTEXTS for association in pacs.associations)


def test_an_image_whose_uids_nobody_can_propose_is_held_and_the_rest_goes(tmp_path: Path) -> None:
    with Pacs() as pacs, rig(tmp_path, destination("pacs", pacs.port), start=False) as box:
        put_images(box.spool, 2, pair=Pair("1.2.840.x", EXPLICIT_LITTLE))
        good = put_images(box.spool, 2, first=10)
        box.become("pacs")
        box.wait_until_delivered()
        assert set(pacs.counts) == set(good)
        found = acks(box.spool, "1.2.3")
        assert found["1.2.3.1"][0] == "held"
        assert "cannot be proposed" in found["1.2.3.1"][1]


def test_the_scanners_own_title_is_passed_on(tmp_path: Path) -> None:
    with (
        Pacs() as pacs,
        rig(tmp_path, destination("pacs", pacs.port, calling_ae_title="$calling"), start=False) as box,
    ):
        sent: dict[str, set[str]] = {"CT1": set(), "MR1": set()}
        for number in range(4):
            title = ("CT1", "MR1")[number % 2]
            sent[title].update(put_images(box.spool, 3, study=f"1.2.{number}", calling_ae=title))
        box.become("pacs")
        box.wait_until_delivered()
        found: dict[str, set[str]] = {}
        for association in pacs.associations:
            found.setdefault(association.calling, set()).update(association.images)
        assert found == sent


def test_a_title_that_cannot_be_passed_on_keeps_only_its_own_images(tmp_path: Path) -> None:
    with (
        Pacs() as pacs,
        rig(tmp_path, destination("pacs", pacs.port, calling_ae_title="$calling"), start=False) as box,
    ):
        put_images(box.spool, 5, study="1.2.1", calling_ae="A\\B")
        good = put_images(box.spool, 5, study="1.2.2", calling_ae="CT1")
        box.become("pacs")
        wait_for(lambda: set(pacs.counts) == set(good), within=PATIENCE, what="the other scanner's images")
        box.wait_for_reason("AE title")


def test_two_images_in_conflict_both_go_if_a_person_says_so(tmp_path: Path) -> None:
    with Pacs() as pacs, rig(tmp_path, destination("pacs", pacs.port)) as box:
        put(box.spool, facts_of("1.2.3.1", "1.2.3"), b"one" * 10)
        put(box.spool, facts_of("1.2.3.1", "1.2.3"), b"other!" * 10)
        box.spool.settle()
        box.wake()
        box.wait_until_delivered()
        assert pacs.stored["1.2.3.1"] == [b"one" * 10]
        study, _ = box.spool.studies.find("1.2.3")
        (conflict,) = (image for image in box.spool.studies.detail(study, "").images if image.conflict)
        box.spool.ledger.resend(study, ["pacs"], box.spool.studies.image(study, conflict.object_id), 1, matches=False)
        box.wake()
        wait_for(lambda: len(pacs.stored["1.2.3.1"]) == 2, within=PATIENCE, what="the other image")
        assert pacs.stored["1.2.3.1"][1] == b"other!" * 10
