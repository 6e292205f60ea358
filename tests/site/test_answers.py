"""The site's answers to requests of the control socket, from a real runtime."""

from __future__ import annotations

import io
import random
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pydicom
import pytest

from capacitord.api import messages as m
from capacitord.api.codes import Resolve
from capacitord.api.preview import Preview, label_of
from capacitord.api.review import DiscardHeld, ListHeld, Release, RestoreHeld
from capacitord.api.routes import ROUTES, Answers, Form, Route, route
from capacitord.api.trial import Explain
from capacitord.api.worklist import EntryRef, ListEntries
from capacitord.dicom.worklist.scu import listed
from capacitord.errors import Ambiguous, CapacitordError, NotFound, Refused, TryAgain
from capacitord.link import messages as link
from capacitord.model.codes import Code, Coded, Kind
from capacitord.model.image import Arrival, Facts
from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.profile import Worklist
from capacitord.model.states import DeliveryState
from capacitord.model.worklist import Source
from capacitord.model.worklist_cache import Cache, merged
from capacitord.spool.ledger import Answer
from capacitord.spool.routed import Routed, Standing
from tests.dicom.samples import EXPLICIT
from tests.dicom.worklist import kit
from tests.images import shipped
from tests.peers.storescp import Storescp
from tests.site.driver import PATIENCE, Supervisor
from tests.site.pacs import Pacs
from tests.site.reviewing import ANN
from tests.site.rig import destination
from tests.site.routes import put_image
from tests.site.stock import facts_of, open_spool, put, put_files, put_images
from tests.wait import wait_for

STUDY, SPARE = "1.2.3", "9.8.7"
TO_DISCARD, TO_RELEASE, TO_RESTORE, ASIDE = HELD = ("5.1", "5.2", "5.3", "5.4")
"""Studies that no route matches."""
REAL = next(image for image in shipped() if image.path.name == "CT_small.dcm")
SITE_ROUTES = [each for each in ROUTES if each.answers is Answers.SITE]

CODED = Coded("research", (Code(Kind.PATIENT_ID, "TP7PQWGYQGBF"),))

REQUESTS: dict[str, msgspec.Struct] = {
    "destination.echo": m.DestinationRef("pacs"),
    "held.list": ListHeld(),
    "held.release": Release(TO_RELEASE, ("pacs",), "a test"),
    "held.restore": RestoreHeld(TO_RESTORE),
    "held.show": m.StudyRef(TO_RELEASE),
    "queue.flush": m.QueueSelect(m.ALL),
    "queue.pause": m.QueueSelect("pacs"),
    "queue.resume": m.QueueSelect("pacs"),
    "queue.show": m.StudyRef(STUDY),
    "study.explain": Explain(STUDY),
    "study.export": m.Export(STUDY),
    "study.list": m.StudyQuery(),
    "study.preview": Preview(STUDY, f"{STUDY}.3"),
    "study.resend": m.Resend(STUDY, ("pacs",)),
    "study.resolve": Resolve("tp7p-qwgy-qgbf"),
    "study.show": m.StudyRef(STUDY),
    "worklist.list": ListEntries(),
    "worklist.show": EntryRef("A00007"),
}


@pytest.fixture(scope="module")
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    """A runtime whose destination does not answer, with a study that waits for it."""
    with Supervisor(tmp_path_factory.mktemp("box")) as supervisor:
        spool = open_spool(supervisor.spool, decide=routed)
        put_images(spool, 2)
        for study in HELD:
            put_images(spool, 1, study=study)
        put(spool, facts_of(f"{STUDY}.3", STUDY), REAL.dataset())
        put_images(spool, 1, study=SPARE)
        spool.close_arrived(0.0)
        for study in (TO_RESTORE, ASIDE):
            spool.releasing.set_aside(spool.studies.find(study)[0], "a test", ANN, (1, 0.0))
        spool.ledger.record(
            [
                Answer(each.image, each.delivery, Outcome(Verdict.DONE, "stored", 0), 1, CODED)
                for each in spool.ledger.due("pacs", 4)
                if each.sop_instance_uid.startswith(SPARE)
            ],
            0.0,
        )
        entry = listed(kit.data(kit.patient(7, random.Random(1))), EXPLICIT)
        spool.worklist.save(merged(Cache(), [entry], time.time()))
        spool.close()
        supervisor.start(destination("pacs", 1), worklist=Worklist(Source("RIS", "127.0.0.1", 1)))
        yield supervisor


def routed(facts: Facts, arrival: Arrival) -> Routed:
    if facts.study_uid in HELD:
        return Routed(arrival.profile_version, standing=Standing.NO_ROUTE, held="no route matches it")
    return Routed(arrival.profile_version, ("pacs",))


def lines(wanted: Route, body: bytes) -> list[object]:
    return [msgspec.json.decode(line, type=wanted.response) for line in body.splitlines()]


@pytest.mark.parametrize("wanted", SITE_ROUTES, ids=[each.name for each in SITE_ROUTES])
def test_every_request_of_a_site_is_answered_in_its_form(supervisor: Supervisor, wanted: Route) -> None:
    request = REQUESTS.get(wanted.name)
    if wanted.name == "study.discard":
        spare = short_of(supervisor, SPARE)
        request = m.Discard(spare, "a test", spare)
    if wanted.name == "held.discard":
        # Its images say no patient.
        request = DiscardHeld(TO_DISCARD, "a test", m.Secret(short_of(supervisor, TO_DISCARD)))
    answer = supervisor.call(wanted.name, request)
    assert answer.head.status == 200, answer.body
    assert answer.head.form == wanted.form
    assert answer.whole
    if wanted.form is Form.JSON:
        msgspec.json.decode(answer.body, type=wanted.response)
    elif wanted.form is Form.NDJSON:
        assert lines(wanted, answer.body)
    elif wanted.form is Form.PNG:
        assert label_of(answer.body).window
    else:
        with tarfile.open(fileobj=io.BytesIO(answer.body)) as archive:
            assert archive.getnames()


def short_of(supervisor: Supervisor, uid: str) -> str:
    """Return the short id of a study."""
    studies: m.StudyList = supervisor.ask("study.list", m.StudyQuery())
    return next(study.id for study in studies.studies if study.study_uid == uid)


@pytest.mark.parametrize(
    ("name", "request_", "kind", "status"),
    [
        ("study.show", m.StudyRef("nothing"), NotFound, 404),
        ("worklist.show", EntryRef("nothing"), NotFound, 404),
        ("study.export", m.Export("nothing"), NotFound, 404),
        ("queue.show", m.StudyRef("ffff"), NotFound, 404),
        ("study.resend", m.Resend("nothing"), NotFound, 404),
        ("study.resend", m.Resend(STUDY, ("nowhere",)), NotFound, 404),
        ("study.resend", m.Resend(STUDY, image="9.9.9"), NotFound, 404),
        ("study.discard", m.Discard(STUDY, "a test", "wrong"), Refused, 409),
        ("queue.pause", m.QueueSelect("nowhere"), NotFound, 404),
        ("queue.flush", m.QueueSelect("nowhere"), NotFound, 404),
        ("destination.echo", m.DestinationRef("nowhere"), NotFound, 404),
    ],
)
def test_errors_are_refusals_with_a_next_step(
    supervisor: Supervisor, name: str, request_: msgspec.Struct, kind: type[CapacitordError], status: int
) -> None:
    answer = supervisor.call(name, request_)
    assert answer.head.status == status
    with pytest.raises(kind) as error:
        supervisor.ask(name, request_)
    assert error.value.hint


def test_a_discard_needs_a_reason(supervisor: Supervisor) -> None:
    short = supervisor.ask("study.show", m.StudyRef(STUDY)).study.id
    with pytest.raises(Refused, match="needs a reason"):
        supervisor.ask("study.discard", m.Discard(STUDY, "  ", short))


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("nonsense", b"{}"),
        ("status", b"{}"),
        ("study.show", b"{}"),
        ("study.show", b'{"study":1}'),
        ("study.show", b"[]"),
    ],
)
def test_what_is_no_request_of_a_site_is_refused(supervisor: Supervisor, name: str, body: bytes) -> None:
    answer = supervisor.call(name, body=body)
    assert answer.head.status in {400, 404}
    problem = msgspec.json.decode(answer.body, type=m.Refusal).error
    assert "fluxctl and capacitord" in problem.hint


def test_a_queue_says_per_destination_what_waits_and_why(supervisor: Supervisor) -> None:
    supervisor.ask("queue.resume", m.QueueSelect(m.ALL))
    wait_for(lambda: supervisor.destination().reason, within=PATIENCE, what="a reason")
    found: m.QueueList = supervisor.ask("queue.list")
    (row,) = found.destinations
    assert (row.destination, row.ages.minute) == ("pacs", row.images)
    # One more if the study that was released in another test waits as well.
    assert (row.images, row.studies) in {(3, 1), (4, 2)}
    assert "Nothing listens" in row.reason
    assert STUDY in [study.study_uid for study in found.studies]
    detail: m.StudyDetail = supervisor.ask("queue.show", m.StudyRef(STUDY))
    assert detail.study.deliveries[0].state is DeliveryState.DEFERRED


def test_a_flush_of_what_is_paused_says_that_it_is(supervisor: Supervisor) -> None:
    assert "Paused: pacs" in supervisor.ask("queue.pause", m.QueueSelect("pacs")).message
    done: m.Done = supervisor.ask("queue.flush", m.QueueSelect("pacs"))
    assert "Not tried while paused: pacs" in done.message
    assert done.subjects == ()
    assert supervisor.destination().paused
    assert "Resumed: pacs" in supervisor.ask("queue.resume", m.QueueSelect("pacs")).message
    assert "Trying now: pacs" in supervisor.ask("queue.flush", m.QueueSelect(m.ALL)).message


def test_an_answer_names_what_the_audit_log_should(supervisor: Supervisor) -> None:
    short = supervisor.ask("study.show", m.StudyRef(STUDY)).study.id
    assert supervisor.call("study.resend", m.Resend(STUDY, ("pacs",))).head.subjects == (short, "pacs")
    assert supervisor.call("study.export", m.Export(STUDY)).head.subjects == (short,)
    assert supervisor.call("queue.resume", m.QueueSelect("pacs")).head.subjects == ("pacs",)


def test_what_can_be_had_back_is_not_to_be_sent_from_the_scanner_again(supervisor: Supervisor) -> None:
    with pytest.raises(Refused, match="can still be had back") as refused:
        supervisor.ask("study.resend", m.Resend(ASIDE, ("pacs",)))
    assert "fluxctl held restore" in refused.value.hint


def test_a_reason_that_names_the_patient_is_not_kept(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool", decide=routed)
    put_image(spool, TO_RELEASE, 1, PatientName="Doe^Jane", PatientID="MRN-4711", AccessionNumber="A1002")
    spool.settle()
    spool.close()
    with Supervisor(tmp_path) as box:
        box.start(destination("pacs", 1))
        assert box.ask("study.name", m.NameStudy(TO_RELEASE, "unscheduled, Doe is on leave")).subjects
        for said in ("it is jane doe", "see mrn-4711", "order A1002"):
            with pytest.raises(Refused, match="names the patient") as refused:
                box.ask("study.name", m.NameStudy(TO_RELEASE, said))
            assert "Jane" not in refused.value.message + refused.value.hint


def test_a_discard_needs_the_short_id_repeated_and_takes_the_images_away(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        spool = open_spool(supervisor.spool, "pacs")
        put_images(spool, 3)
        _, short = spool.studies.find(STUDY)
        spool.close()
        supervisor.start(destination("pacs", 1), limits=link.SpoolSettings(0, 0, study_quiet=1.0))
        with pytest.raises(TryAgain, match="are arriving"):
            supervisor.ask("study.discard", m.Discard(STUDY, "wrong patient", short))
        done = wait_for(lambda: discarded(supervisor, short), within=PATIENCE, what="the study to be complete")
        assert "3 images are gone" in done.message
        with pytest.raises(Refused, match="discarded before"):
            supervisor.ask("study.discard", m.Discard(STUDY, "again", short))
        with pytest.raises(Refused, match="None of these images"):
            supervisor.ask("study.resend", m.Resend(STUDY))
        assert supervisor.status().spool.images == 0
        assert supervisor.destination().waiting_images == 0


def discarded(supervisor: Supervisor, short: str) -> m.Done | None:
    try:
        done: m.Done = supervisor.ask("study.discard", m.Discard(STUDY, "wrong patient", short))
    except TryAgain:
        return None
    return done


def test_what_was_purged_cannot_be_sent_again(tmp_path: Path) -> None:
    with Pacs() as pacs, Supervisor(tmp_path) as supervisor:
        spool = open_spool(supervisor.spool, "pacs")
        put_images(spool, 3)
        spool.close()
        supervisor.start(destination("pacs", pacs.port), limits=link.SpoolSettings(0, 1 << 60, study_quiet=0.1))
        wait_for(
            lambda: supervisor.ask("study.show", m.StudyRef(STUDY)).study.purged == 3,
            within=PATIENCE,
            what="the study to be purged, as space is short",
        )
        assert set(pacs.counts.values()) == {1}
        with pytest.raises(Refused, match="None of these images"):
            supervisor.ask("study.resend", m.Resend(STUDY))
        assert supervisor.status().disk.level is m.Level.WARNING


def test_a_conflict_is_sent_by_the_beginning_of_its_object_id_and_then_waits_for_nobody(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        spool = open_spool(supervisor.spool, "pacs")
        put(spool, facts_of("1.2.3.1", STUDY), b"one")
        put(spool, facts_of("1.2.3.1", STUDY), b"other")
        entry = listed(kit.data(kit.patient(7, random.Random(1))), EXPLICIT)
        spool.worklist.save(merged(Cache(), [entry], time.time()))
        spool.close()
        supervisor.start(destination("pacs", 1), worklist=Worklist(Source("RIS", "127.0.0.1", 1)))
        with pytest.raises(Ambiguous) as error:
            supervisor.ask("study.resend", m.Resend(STUDY, image="1.2.3.1"))
        assert len(error.value.candidates) == 2
        detail: m.StudyDetail = supervisor.ask("study.show", m.StudyRef(STUDY))
        (conflict,) = (image for image in detail.images if image.conflict)
        (advice,) = supervisor.status().advice
        assert advice.reference == "conflict"
        assert f"fluxctl study show {detail.study.id}" in advice.hint
        assert (detail.study.conflicts, supervisor.status().spool.conflicts) == (1, 1)
        done: m.Done = supervisor.ask("study.resend", m.Resend(STUDY, image=conflict.object_id[:12].upper()))
        assert "1 image waits" in done.message
        assert supervisor.destination().waiting_images == 2
        status, detail = supervisor.status(), supervisor.ask("study.show", m.StudyRef(STUDY))
        assert (detail.study.conflicts, status.spool.conflicts, status.advice) == (0, 0, ())


def test_an_echo_says_how_long_each_step_took_or_why_it_did_not_come_about(tmp_path: Path) -> None:
    with Storescp(tmp_path / "pacs") as pacs, Supervisor(tmp_path / "box") as supervisor:
        supervisor.start(destination("pacs", pacs.port), destination("down", 1))
        echo: m.Echo = supervisor.ask("destination.echo", m.DestinationRef("pacs"))
        assert echo.ok
        assert None not in (echo.connect_time, echo.associate_time, echo.echo_time)
        echo = supervisor.ask("destination.echo", m.DestinationRef("down"))
        assert not echo.ok
        assert "Nothing listens" in echo.reason
        assert "stays in the queue" in echo.hint
        assert (echo.connect_time, echo.associate_time) == (None, None)


# --- export and verify ------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
def test_an_export_holds_each_image_with_its_dataset_as_it_was_received(tmp_path: Path) -> None:
    images = {image.sop_instance_uid: image for image in shipped()}
    with Supervisor(tmp_path) as supervisor:
        spool = open_spool(supervisor.spool)
        put_files(spool, images.values())
        studies = [study.study_uid for study in spool.studies.page(m.StudyQuery(limit=1000)).studies]
        spool.close()
        supervisor.start()
        found = {}
        for study in studies:
            answer = supervisor.call("study.export", m.Export(study))
            assert answer.head.length == len(answer.body)
            for file in unpack(answer.body):
                meta = pydicom.dcmread(io.BytesIO(file)).file_meta
                uid = str(meta.MediaStorageSOPInstanceUID)
                assert meta.TransferSyntaxUID == images[uid].transfer_syntax_uid
                found[uid] = file[128 + 4 + 12 + meta.FileMetaInformationGroupLength :]
        assert found == {
            uid: data + b"\0" * (len(data) % 2) for uid, image in images.items() for data in [image.dataset()]
        }


def test_an_export_that_meets_damage_breaks_off_where_it_is_seen(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        damage_one(supervisor, number=3)
        supervisor.start()
        answer = supervisor.call("study.export", m.Export(STUDY))
        assert answer.head.status == 200
        assert answer.head.length is not None
        assert len(answer.body) < answer.head.length
        with pytest.raises(tarfile.ReadError):
            unpack(answer.body)
        assert "study.export ended early" in supervisor.log


def test_a_verification_reads_everything_and_sets_damage_aside(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        damage_one(supervisor, number=3)
        supervisor.start(destination("pacs", 1))
        wanted = route("doctor.verify")
        found = lines(wanted, supervisor.call("doctor.verify").body)
        (damage,) = (line for line in found if isinstance(line, m.VerifyDamage))
        detail: m.StudyDetail = supervisor.ask("study.show", m.StudyRef(STUDY))
        assert damage.study == detail.study.id
        (corrupt,) = (image for image in detail.images if image.corrupt)
        assert (corrupt.object_id, corrupt.sop_instance_uid) == (damage.object_id, "1.2.3.3")
        report = found[-1]
        assert isinstance(report, m.VerifyReport)
        assert (report.images, report.damaged) == (5, 1)
        assert list((supervisor.spool / "corrupt").glob("*.seal"))
        again = lines(wanted, supervisor.call("doctor.verify").body)[-1]
        assert isinstance(again, m.VerifyReport)
        assert (again.images, again.damaged) == (4, 0)
        assert "corrupt" in {advice.reference for advice in supervisor.status().advice}
        assert f"Image {damage.object_id[:12]} of study {damage.study} is damaged and set aside." in supervisor.log


def unpack(archive: bytes) -> list[bytes]:
    """Return the files of a tar stream, read as whoever cannot seek does."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r|") as opened:
        return [stream.read() for member in opened if (stream := opened.extractfile(member)) is not None]


def damage_one(supervisor: Supervisor, number: int) -> None:
    """Make a study of five images and flip bits in one."""
    spool = open_spool(supervisor.spool, "pacs")
    put_images(spool, 5, size=400_000)
    place = spool.ledger.due("pacs", 5)[number - 1].stored.place
    path = spool.layout.segment(place.segment)
    spool.close()
    with path.open("r+b") as segment:
        segment.seek(place.offset + 300_000)
        segment.write(b"\xff" * 64)
