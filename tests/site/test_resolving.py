"""Resolving codes: whatever a destination got instead of an id, a name, a number or a UID leads back to the study."""

from __future__ import annotations

import contextlib
import itertools
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest

from capacitord.api.codes import Resolution, Resolve, Resolved
from capacitord.dicom.deidentify.codes import Codes
from capacitord.errors import Invalid, NotFound, TryAgain
from capacitord.model.codes import Code, Coded, Kind
from capacitord.model.compression import Compression
from capacitord.model.deidentify import Deidentification
from capacitord.model.profile import Profile
from capacitord.model.transform import Hash, On, Prefix, Set, Transform
from capacitord.site.preparation.pool import Pool
from capacitord.site.preparation.preparation import Preparation, keys_of
from capacitord.site.resolving import MOST_TOLD, Resolving
from capacitord.spool import codebook
from capacitord.spool.filing import STUDY_SHIFT
from capacitord.spool.store import Spool
from tests.dicom.transform.kit import at, value
from tests.images import shipped
from tests.peers.storescp import Storescp
from tests.site.pacs import Pacs, Reaction
from tests.site.rig import Rig, destination, rig
from tests.site.stock import KEY, put_files
from tests.spool.kit import open_spool
from tests.spool.million import IMAGES_A_STUDY, fill
from tests.wait import wait_for

BASIC = (Deidentification(),)
J2K_LOSSY = Compression("1.2.840.10008.1.2.4.91", ratio=8.0)
CT = next(image for image in shipped() if image.path.name == "CT_small.dcm")
ISSUER = Transform("issuer", On.INBOUND, (Set(at("IssuerOfPatientID"), value("STM")), Hash(at("AccessionNumber"))))
NUMBERS = Transform(
    "numbers", On.INBOUND, (Set(at("AccessionNumber"), value("A-1001")), Set(at("StudyID"), value("S-7")))
)
TRIAL = Transform("trial", On.OUTBOUND, (Prefix(at("PatientID"), "TRIAL-"),))
IMAGES = 100_000
WITHIN = 3.0
"""Seconds for one search of them, on a busy machine."""


def resolving(box: Rig) -> Resolving:
    return Resolving(box.spool, lambda: box.profile(*box.destinations), box.preparation, receiving=lambda: False)


def resolved(box: Rig, code: str, *to: str) -> list[Resolution]:
    return list(resolving(box).resolve(Resolve(code, to)).resolutions)


def kinds(box: Rig, code: str) -> tuple[str, ...]:
    (found,) = resolved(box, code)
    before = pydicom.dcmread(CT.path, stop_before_pixels=True)
    assert found.study.study_uid == before.StudyInstanceUID
    assert found.study.patient_id == before.PatientID
    assert found.destination == "research"
    return found.kinds


WAYS = {
    "in the sender's thread": (None, None),
    "by a helper": (None, 0),
    "compressed with loss": (J2K_LOSSY, 0),
}


@pytest.mark.parametrize("way", WAYS)
def test_whatever_a_destination_got_leads_back_after_the_images_were_purged(tmp_path: Path, way: str) -> None:
    compress, budget = WAYS[way]
    pool = Pool(keys_of(KEY), budget=2000) if budget is None else None
    with (
        Storescp(tmp_path / "research", options=("--accept-all",)) as peer,
        rig(
            tmp_path / "spool",
            destination("research", peer.port, compress=compress),
            deidentifications=BASIC,
            transforms=(NUMBERS, ISSUER, TRIAL),
            pool=pool,
        ) as box,
    ):
        put_files(box.spool, [CT])
        box.wake()
        box.wait_until_delivered("research")
        assert bool(box.preparation.pool.helpers) is (budget is not None)
        (stored,) = peer.images()
        got = pydicom.dcmread(stored.path)
        assert got.PatientID == f"TRIAL-{got.PatientName}"
        box.spool.close_arrived(0.0)
        (study,) = [each.study for page in box.spool.codebook.studies() for each in page]
        assert box.spool.housekeeping.purge(study, 5) == 1
        assert kinds(box, got.PatientID) == ("patient id",)
        assert kinds(box, str(got.PatientName).lower()) == ("patient name",)
        assert kinds(box, f" {got.AccessionNumber[:6]} {got.AccessionNumber[6:]}".lower()) == ("accession number",)
        assert kinds(box, got.StudyID) == ("study id",)
        assert kinds(box, got.StudyInstanceUID) == ("study UID",)
        assert kinds(box, got.SeriesInstanceUID) == ("series UID",)
        assert kinds(box, got.SOPInstanceUID) == ("SOP instance UID",)
        if compress is None:
            assert resolved(box, got.SOPInstanceUID)[0].uid == CT.sop_instance_uid
        assert resolved(box, got.SOPInstanceUID)[0].was_sent


def test_the_uid_of_a_copy_with_loss_leads_back_where_nothing_is_de_identified(tmp_path: Path) -> None:
    with (
        Storescp(tmp_path / "research", options=("--accept-all",)) as peer,
        rig(tmp_path / "spool", destination("research", peer.port, compress=J2K_LOSSY)) as box,
    ):
        put_files(box.spool, [CT])
        box.wake()
        box.wait_until_delivered("research")
        (stored,) = peer.images()
        assert stored.sop_instance_uid != CT.sop_instance_uid
        assert kinds(box, stored.sop_instance_uid) == ("SOP instance UID",)
        assert resolved(box, stored.sop_instance_uid)[0].was_sent


def test_what_was_not_sent_yet_is_found_by_what_the_catalog_knows(tmp_path: Path) -> None:
    with rig(tmp_path, destination("research", 1), deidentifications=BASIC, start=False) as box:
        put_files(box.spool, [CT])
        box.spool.settle()
        before = pydicom.dcmread(CT.path, stop_before_pixels=True)
        code = Codes(box.preparation.keys.codes, "research").patient_id(before.PatientID)
        (found,) = resolved(box, code)
        assert (found.kinds, found.was_sent) == (("patient id", "patient name"), False)
        assert kinds(box, Codes(box.preparation.keys.codes, "research").uid(before.StudyInstanceUID)) == ("study UID",)
        for elsewhere in (Codes(box.preparation.keys.codes, "teaching"), Codes(bytes(32), "research")):
            with pytest.raises(NotFound):
                resolved(box, elsewhere.patient_id(before.PatientID))
            with pytest.raises(NotFound):
                resolved(box, elsewhere.uid(before.StudyInstanceUID))


@pytest.mark.parametrize(
    ("code", "to", "kind", "words"),
    [
        ("", (), Invalid, "1 to 200 characters"),
        ("x" * 201, (), Invalid, "1 to 200 characters"),
        ("TP7PQWGYQGBF", (), NotFound, "research of st-marys, the active site"),
        ("TP7PQWGYQGBF", ("research",), NotFound, "Each destination of each site has codes of its own"),
        ("TP7PQWGYQGBF", ("elsewhere",), NotFound, "fluxctl destination list"),
        ("TP7PQWGYQGBF", ("pacs",), NotFound, "fluxctl study show"),
        ("1.2.840.113619.2.55.3", (), NotFound, "begin with 2.25."),
        ("2.25.7", (), NotFound, "research of st-marys, the active site"),
    ],
)
def test_what_cannot_be_resolved_says_what_to_do(
    tmp_path: Path, code: str, to: tuple[str, ...], kind: type[Invalid | NotFound], words: str
) -> None:
    only = (Deidentification(to=("research",)),)
    with rig(tmp_path, destination("pacs", 1), destination("research", 1), deidentifications=only, start=False) as box:
        put_files(box.spool, [CT])
        with pytest.raises(kind) as refused:
            resolved(box, code, *to)
        assert re.search(re.escape(words), f"{refused.value.message} {refused.value.hint}")
        if code:
            assert code not in str(refused.value)


def test_a_search_that_takes_too_long_says_so(tmp_path: Path) -> None:
    with rig(tmp_path, destination("research", 1), deidentifications=BASIC, start=False) as box:
        put_files(box.spool, [CT])
        box.spool.settle()
        impatient = Resolving(
            box.spool,
            lambda: box.profile(*box.destinations),
            box.preparation,
            receiving=lambda: False,
            patience=-1.0,
        )
        with pytest.raises(TryAgain, match="more images here"):
            impatient.resolve(Resolve("2.25.7"))


def test_where_nothing_is_de_identified_nothing_is_looked_for(tmp_path: Path) -> None:
    with rig(tmp_path, destination("pacs", 1), start=False) as box, pytest.raises(NotFound, match="No destination"):
        resolved(box, "TP7PQWGYQGBF")


def test_a_request_does_not_show_its_code() -> None:
    assert "TP7" not in repr(Resolve("TP7PQWGYQGBF"))


@contextlib.contextmanager
def very_many(folder: Path, images: int) -> Iterator[tuple[Spool, Callable[..., Resolved], Codes]]:
    """Give a spool of that many images, what resolves codes in it, and the codes."""
    fill(folder, images)
    spool = open_spool(folder, destinations=("pacs", "backup"))
    profile = Profile("st-marys", "", 1, "UTC", (destination("pacs"),), deidentifications=BASIC)
    preparation = Preparation(keys_of(KEY), profile)

    def ask(code: str, *, receiving: Callable[[], bool] = lambda: False) -> Resolved:
        return Resolving(spool, lambda: profile, preparation, receiving).resolve(Resolve(code))

    try:
        yield spool, ask, Codes(preparation.keys.codes, "pacs")
    finally:
        preparation.close()
        spool.close()


def test_very_many_images_are_looked_through_at_once_and_with_rests_while_images_arrive(tmp_path: Path) -> None:
    with very_many(tmp_path, IMAGES) as (spool, ask, codes):
        began = time.monotonic()
        (found,) = ask(codes.uid("1.2.840.113619.2.55.3.2831868886.3.1.77")).resolutions
        assert time.monotonic() - began < WITHIN
        assert (found.study.accession_number, found.kinds) == ("A3", ("SOP instance UID",))
        rests = itertools.count()

        def receiving() -> bool:
            return next(rests) >= 0

        (found,) = ask(codes.uid("1.2.840.113619.2.55.3.2831868886.3.1"), receiving=receiving).resolutions
        assert (found.study.accession_number, found.kinds) == ("A3", ("series UID",))
        assert next(rests) > IMAGES / 10_000
        assert [each.study.accession_number for each in ask(codes.patient_id("C-9")).resolutions] == ["A9"]
        studies = range(1, IMAGES // IMAGES_A_STUDY + 1)
        with spool._catalog.change() as catalog:
            same = Coded("pacs", (Code(Kind.STUDY_ID, "SAME"),))
            codebook.keep(catalog, ((study << STUDY_SHIFT, same) for study in studies))
        answer = ask("same")
        assert answer.left_off == len(studies) - MOST_TOLD
        assert [each.study.accession_number for each in answer.resolutions] == [
            f"A{study}" for study in reversed(studies[-MOST_TOLD:])
        ]


def test_codes_whose_answer_was_lost_are_kept_since_the_destination_may_have_them(tmp_path: Path) -> None:
    with (
        Pacs(lambda _: Reaction.CLOSE) as peer,
        rig(tmp_path, destination("research", peer.port), deidentifications=BASIC) as box,
    ):
        put_files(box.spool, [CT])
        box.wake()
        wait_for(box.spool.codebook.destinations, what="the codes to be kept")
        assert box.status("research").waiting_images == 1
        assert kinds(box, peer.seen[0]) == ("SOP instance UID",)
        number = pydicom.dcmread(CT.path, stop_before_pixels=True).PatientID
        (found,) = resolved(box, Codes(box.preparation.keys.codes, "research").patient_id(number))
        assert found.was_sent
