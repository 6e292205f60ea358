"""What the worklist does not announce waits for a person, on the real box among programs of DCMTK."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom
import pytest

from capacitord.api import messages as m
from capacitord.api.review import Held, ListHeld, Release
from capacitord.api.trial import Explain
from capacitord.api.worklist import Entry
from capacitord.errors import CapacitordError, NotFound, Refused
from capacitord.model.states import StudyState
from capacitord.model.worklist_cache import ListState
from tests.dicom.worklist import painters
from tests.fluxctl.terminal import Terminal
from tests.images import read_image
from tests.peers.senders import storescu
from tests.peers.storescp import Storescp
from tests.site.routes import write_image
from tests.system.box import AE_TITLE, PATIENCE, Box, Target
from tests.system.test_worklist import ZONE, Ris, table
from tests.wait import wait_for

pytestmark = pytest.mark.peers

DCMDUMP = "/usr/bin/dcmdump"
JANE: dict[str, Any] = {
    "AccessionNumber": "A-1",
    "PatientName": "Doe^Jane",
    "PatientID": "P1",
    "PatientBirthDate": "19700101",
    "PatientSex": "F",
    "StudyInstanceUID": "1.2.826.0.1.3680043.9.77.1",
    "RequestedProcedureID": "R1",
    "RequestedProcedureDescription": "CT Head",
    "ReferringPhysicianName": "Sculley^Dana",
}
UNKNOWN: dict[str, Any] = {
    "PatientName": "Trauma^Unknown",
    "PatientID": "T-77",
    "PatientSex": "O",
    "StudyDescription": "Head trauma",
}


class Clinic:
    """A box whose site has a worklist and one PACS."""

    def __init__(self, folder: Path, ris: Ris, pacs: Storescp, box: Box) -> None:
        self.folder, self.ris, self.pacs, self.box = folder, ris, pacs, box

    def await_patient(self, name: str = "", **said: str) -> None:
        """Put an entry on the worklist and wait until the box has it."""
        today = f"{dt.datetime.now(ZONE):%Y%m%d}"
        step = {
            "Modality": "CT",
            "ScheduledStationAETitle": "COACH",
            "ScheduledProcedureStepStartDate": today,
            "ScheduledProcedureStepStartTime": "0900",
            "ScheduledProcedureStepID": "S1",
            "ScheduledProcedureStepDescription": "Head",
        }
        entries = {**JANE, **said}
        painters.write(
            {**entries, "ScheduledProcedureStepSequence": [step]}, self.ris.entries / f"{name or len(said)}.wl"
        )
        assert self.box.client.worklist_refresh().ok

    def awaited(self) -> Sequence[Entry]:
        """Return what is on the worklist of the box."""
        return self.box.client.worklist_list(vanished=False).entries

    def send(self, study: str, number: int = 1, **attributes: Any) -> None:
        path = write_image(self.folder / "images", study, number, **attributes)
        assert storescu([read_image(path)], self.box.host, self.box.port, called=AE_TITLE).acknowledged == [path]

    def held(self, count: int = 1) -> Sequence[Held]:
        """Wait until so many studies are held and closed, and return them."""

        def look() -> Sequence[Held] | None:
            try:
                held = self.box.client.held_list(ListHeld()).held
            except CapacitordError:
                return None
            ready = len(held) == count and all(each.study.state is StudyState.HELD for each in held)
            return held if ready else None

        return wait_for(look, within=PATIENCE, what=f"{count} studies to be held")

    def fluxctl(self, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        command = [*fluxctl(self.box), *arguments]
        return subprocess.run(command, input=typed, capture_output=True, text=True, check=False, timeout=60)

    def audit(self, action: str) -> list[m.AuditEntry]:
        return list(self.box.client.audit_show(m.AuditQuery(action=action)).entries)


def fluxctl(box: Box) -> list[str]:
    return [str(Path(sys.executable).with_name("fluxctl")), "--socket", str(box.client.socket_path)]


@contextmanager
def clinic(folder: Path, **review: object) -> Iterator[Clinic]:
    with Ris(folder / "ris") as ris, Storescp(folder / "pacs") as pacs:
        tables = {"worklist": table(ris.port), "review": review} if review else {"worklist": table(ris.port)}
        settings: dict[str, dict[str, Any]] = {"worklist": {"port": 0}, "spool": {"study_quiet": "1s"}}
        with Box(folder / "box", Target("pacs", "STORESCP", pacs.port), settings=settings, tables=tables) as box:
            box.wait(
                lambda status: bool(
                    status.traffic and status.traffic.worklist and status.traffic.worklist.state is ListState.FRESH
                ),
                what="the first list",
            )
            yield Clinic(folder, ris, pacs, box)


def dumped(path: Path) -> str:
    return subprocess.run([DCMDUMP, str(path)], capture_output=True, text=True, check=True).stdout


def explains_the_reconciliation(one: Clinic, short: str, entry: str, sizes: set[int]) -> None:
    """Check that `study explain` says what was written into a released study, whose copies have these sizes."""
    (group,) = one.box.client.study_explain(Explain(short)).groups
    assert (group.images, group.entry) == (2, entry)
    assert group.trial is not None
    told = {each.name: (each.before, each.after) for each in group.trial.reconciled}
    assert told["PatientName"] == ("Trauma^Unknown", "Doe^Jane")
    assert told["AccessionNumber"][1] == "A-1"
    (leaving,) = group.trial.destinations
    assert leaving.bytes in sizes
    page = one.fluxctl("study", "explain", short, "--changes").stdout
    for words in (f"worklist entry {entry}, as a person said", "As the worklist entry says", "Trauma^Unknown"):
        assert words in page
    assert "Matching changes nothing" in one.fluxctl("study", "explain", "1.2.3").stdout


def test_matched_goes_and_unmatched_waits_until_a_script_reconciles_it(tmp_path: Path) -> None:
    with clinic(tmp_path) as one:
        one.await_patient()
        one.send("1.2.3", AccessionNumber="a-1 ", PatientID="P1", PatientName="DOE^JANE")
        one.pacs.wait_for_images(1)
        detail = one.box.client.study_show("1.2.3")
        assert detail.decided is not None
        assert (detail.decided.state, detail.decided.rule) == ("matched", ("AccessionNumber",))

        one.send("1.2.4", PatientBirthDate="19700101", **UNKNOWN)
        one.send("1.2.4", 2, PatientBirthDate="19700101", **UNKNOWN)
        (held,) = one.held()
        assert [each.reason for each in held.study.held_for] == ["unmatched"]
        # A birth date is no reason to offer him the place of another patient.
        assert (held.candidates, held.more) == ((), 0)
        entry, short = one.awaited()[0].id, held.study.id
        assert "Unknown" in one.fluxctl("held", "list").stdout

        bypass = one.fluxctl("resend", short, "--to", "pacs", "--yes")
        assert (bypass.returncode, "fluxctl release" in bypass.stderr) == (6, True)
        refused = one.fluxctl("release", short, "--to", "pacs")
        assert (refused.returncode, "--reason and --yes" in refused.stderr) == (6, True)
        elsewhere = one.fluxctl("release", short, "--to", "lakeside", "--reason", "x", "--yes")
        assert (elsewhere.returncode, "no destination" in elsewhere.stderr) == (5, True)
        done = one.fluxctl(
            "release", short, "--to", "pacs", "--match", entry, "--reason", "trauma, named later", "--yes",
            "--operator", "Dr Ann",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        again = one.fluxctl("release", short, "--to", "pacs", "--reason", "x", "--yes")
        assert again.returncode == 6
        assert "was released by Dr Ann" in again.stderr

        images = one.pacs.wait_for_images(3)
        reconciled = [image for image in images if image.sop_instance_uid.startswith("1.2.4")]
        for image in reconciled:
            found = pydicom.dcmread(image.path)
            assert (found.PatientName, found.PatientID, found.PatientSex) == ("Doe^Jane", "P1", "F")
            assert (found.AccessionNumber, found.StudyInstanceUID) == ("A-1", "1.2.4")
            (request,) = found.RequestAttributesSequence
            assert (request.RequestedProcedureID, request.ScheduledProcedureStepID) == ("R1", "S1")
            (original,) = found.OriginalAttributesSequence
            (before,) = original.ModifiedAttributesSequence
            assert (original.ReasonForTheAttributeModification, before.PatientName) == ("CORRECT", "Trauma^Unknown")
            assert "[Doe^Jane]" in dumped(image.path)
        assert "Trauma^Unknown" in {each.patient_name for each in one.box.studies()}

        explains_the_reconciliation(one, short, entry, {image.size() for image in reconciled})

        one.fluxctl("resend", short, "--to", "pacs", "--yes")
        wait_for(lambda: one.pacs.requests() >= 5, within=PATIENCE, what="the copy to be sent again")
        one.box.wait_until_delivered()
        assert all(pydicom.dcmread(image.path).PatientID == "P1" for image in one.pacs.images())

        (entry_of,) = [each for each in one.audit("held.release") if each.result == "done"]
        assert {short, "pacs", entry} <= set(entry_of.subjects)
        assert "operator (as claimed): Dr Ann" in entry_of.detail
        assert "reason: trauma, named later" in entry_of.detail
        assert "held (unmatched) -> released, 2 images" in entry_of.detail
        assert one.box.client.audit_verify().ok
        assert "Trauma" not in "".join(map(str, one.audit("held.release"))) + one.box.log


def test_a_release_at_a_terminal_walks_through_it(tmp_path: Path) -> None:
    with clinic(tmp_path) as one:
        one.await_patient()
        one.send("1.2.4", PatientBirthDate="19700101", **UNKNOWN)
        (held,) = one.held()
        with Terminal([*fluxctl(one.box), "release", held.study.id], dict(os.environ)) as terminal:
            terminal.wait_for("Which entry does it belong to?", within=PATIENCE)
            terminal.press("7\n")
            terminal.wait_for("Type the id of an entry")
            terminal.press(f"{one.awaited()[0].id}\n")
            terminal.wait_for("To which destinations of this site? [pacs]")
            terminal.press("archive\n")
            terminal.wait_for("no destination of this site")
            terminal.press("pacs\n")
            terminal.wait_for("Why is it released?")
            terminal.press("named by her son\n")
            said = terminal.wait_for("[y/N]")
            question = " ".join(said[said.rindex("Send 1 image") :].split())
            assert "Unknown" in question
            assert "Jane" in question
            assert question.endswith("to pacs? [y/N]")
            terminal.press("y\n")
            assert terminal.end() == 0, terminal.output
        (image,) = one.pacs.wait_for_images(1)
        assert pydicom.dcmread(image.path).PatientID == "P1"


def test_a_conflict_is_discarded_by_name_and_had_back(tmp_path: Path) -> None:
    with clinic(tmp_path) as one:
        one.await_patient()
        one.send("1.2.5", AccessionNumber="A-1", PatientID="P2", PatientName="Roe^Eve")
        (held,) = one.held()
        short = held.study.id
        assert [each.reason for each in held.study.held_for] == ["conflict"]
        (group,) = one.box.client.study_explain(Explain(short)).groups
        assert group.trial is not None
        assert (group.trial.to, group.trial.destinations, group.trial.leaves) == ((), (), False)
        page = " ".join(one.fluxctl("study", "explain", short).stdout.split())
        assert "It is held: It came under the identity of another patient." in page
        assert "It goes to" not in page
        page = " ".join(one.fluxctl("held", "show", short).stdout.split())
        for words in (
            "Roe^Eve ✘ Doe^Jane",
            "it differs from that in patient id",
            f"entry {held.candidates[0].entry.id}",
        ):
            assert words in page
        assert one.fluxctl("held", "discard", short, "--reason", "test").returncode == 6
        wrong = one.fluxctl("held", "discard", short, "--reason", "test", "--name-stdin", typed="Doe, Jane\n")
        assert (wrong.returncode, "Roe" in wrong.stderr) == (6, False)
        done = one.fluxctl("held", "discard", short, "--reason", "test", "--name-stdin", typed="roe, eve\n")
        assert done.returncode == 0, done.stderr
        assert one.box.client.held_list(ListHeld()).held == ()
        until = one.box.client.held_show(short).restorable_until
        assert until is not None
        assert 23 < (until - dt.datetime.now(dt.UTC)).total_seconds() / 3600 <= 24
        one.box.kill_runtime()
        one.box.wait_until_open()
        assert one.fluxctl("held", "restore", short).returncode == 0
        (held,) = one.held()
        assert held.study.id == short
        assert one.pacs.received() == []


def test_a_later_entry_is_offered_and_a_kill_leaves_a_study_held_or_released(tmp_path: Path) -> None:
    with clinic(tmp_path) as one:
        one.send("1.2.6", AccessionNumber="A-1", PatientID="P1", PatientName="Doe^Jane")
        (held,) = one.held()
        short = held.study.id
        one.await_patient()
        wait_for(lambda: any(each.suggested for each in one.held()[0].candidates), within=PATIENCE, what="a suggestion")
        assert one.pacs.received() == []
        sender = subprocess.Popen(
            [*fluxctl(one.box), "release", short, "--to", "pacs", "--reason", "x", "--yes"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        one.box.kill()
        sender.wait(PATIENCE)
        one.box.start()
        state = one.box.client.study_show(short).study.state
        assert state in {StudyState.HELD, StudyState.RELEASED}
        if state is StudyState.RELEASED:
            assert one.fluxctl("audit", "show", "--study", "1.2.6").stdout.count("held.release") == 1
        if state is StudyState.HELD:
            one.box.client.held_release(Release(short, ("pacs",), "x"))
        with pytest.raises(Refused):
            one.box.client.held_release(Release(short, ("pacs",), "x"))
        one.pacs.wait_for_images(1)


def test_of_many_entries_the_nearest_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    with clinic(tmp_path) as one:
        for number in range(6):
            one.await_patient(
                name=f"{number}",
                AccessionNumber=f"B-{number}",
                StudyInstanceUID=f"1.9.{number}",
                PatientName=f"Doe^Jane{number}",
            )
        one.send("1.2.6", PatientID="p1", PatientName="Doe^Jane", Modality="CT")
        (held,) = one.held()
        assert (len(held.candidates), held.more, len(one.awaited())) == (3, 3, 6)
        found = one.box.client.held_show("1.2.6")
        assert (len(found.held.candidates), found.held.more) == (4, 2)
        page = one.fluxctl("held", "show", "1.2.6").stdout
        for each in found.held.candidates:
            assert f"entry {each.entry.id}" in page
        assert "2 other entries come near it too: fluxctl worklist list" in page
        (names,) = [line for line in found.lines if line.key == "PatientName"]
        assert (names.study, set(names.agrees)) == ("Doe^Jane", {False})
        (ids,) = [line for line in found.lines if line.key == "PatientID"]
        assert (ids.study, ids.entries, set(ids.agrees)) == ("p1", ("P1",) * 4, {True})


def test_a_later_entry_of_another_patient_is_a_conflict(tmp_path: Path) -> None:
    with clinic(tmp_path) as one:
        one.send("1.2.6", AccessionNumber="A-1", PatientID="P2", PatientName="Roe^Eve")
        (held,) = one.held()
        assert [each.reason for each in held.study.held_for] == ["unmatched"]
        one.await_patient()

        def against() -> bool:
            (held,) = one.held()
            return [each.reason for each in held.study.held_for] == ["conflict"]

        wait_for(against, within=PATIENCE, what="the study to be a conflict")
        assert one.pacs.received() == []


def test_what_is_let_through_unmatched_says_so(tmp_path: Path) -> None:
    with clinic(tmp_path, unmatched={"release-to": ["pacs"]}) as one:
        one.send("1.2.7", AccessionNumber="A-9", PatientID="P9", PatientName="Roe^Eve")
        one.pacs.wait_for_images(1)
        wait_for(
            lambda: one.box.client.study_show("1.2.7").study.state is StudyState.LET_THROUGH,
            within=PATIENCE,
            what="the study to be closed",
        )
        assert "let through unmatched" in " ".join(one.fluxctl("study", "list").stdout.split())
        page = " ".join(one.fluxctl("study", "explain", "1.2.7").stdout.split())
        assert "It goes to pacs unmatched, where the profile sends such studies" in page


def test_rematch_releases_only_where_the_profile_says_so(tmp_path: Path) -> None:
    with clinic(tmp_path, rematch="release") as one:
        one.send("1.2.6", AccessionNumber="A-1", PatientID="P1", PatientName="Doe^Jane")
        one.send("1.2.7", AccessionNumber="A-9", PatientID="P9", PatientName="Roe^Eve")
        one.held(2)
        one.await_patient()
        one.pacs.wait_for_images(1)
        (held,) = one.held()
        assert held.study.study_uid == "1.2.7"
        with pytest.raises(NotFound):
            one.box.client.held_release(Release(held.study.id, ("lakeside",), "x"))
        by_itself = wait_for(
            lambda: one.box.client.audit_show(m.AuditQuery(study="A-1", action="study.rematch")).entries,
            within=PATIENCE,
            what="the entry",
        )
        assert [(each.user, each.result) for each in by_itself] == [("capacitord", "done")]
        refused = one.box.client.audit_show(m.AuditQuery(study="1.2.7", action="held.release")).entries
        assert [each.result for each in refused] == ["begun", "not-found"]


ZKILL: dict[str, Any] = {"AccessionNumber": "A-7", "PatientID": "P-703", "PatientName": "Zkill^Nr3"}
ZEVIL: dict[str, Any] = {"AccessionNumber": "A-7", "PatientID": "P-667", "PatientName": "Zevil^Twin"}


def test_a_late_image_of_somebody_else_is_released_and_discarded_as_hers(tmp_path: Path) -> None:
    with clinic(tmp_path) as one:
        one.send("1.2.88", **ZKILL)
        (held,) = one.held()
        short = held.study.id
        given = ("--to", "pacs", "--reason", "x", "--yes")
        assert one.fluxctl("release", short, *given, "--operator", "Dr Ann").returncode == 0
        one.pacs.wait_for_images(1)
        not_held = Terminal([*fluxctl(one.box), "release", short], dict(os.environ))
        with not_held:
            assert not_held.end(PATIENCE) == 6
            assert "was released by Dr Ann" in " ".join(not_held.output.split())
            assert "Why" not in not_held.output

        one.send("1.2.88", 2, **ZEVIL)
        (held,) = one.held()
        assert [(each.name, each.id, each.images) for each in held.patients] == [("Zevil^Twin", "P-667", 1)]
        for page in (("held", "list"), ("held", "show", short)):
            assert "Zevil, Twin (P-667)" in " ".join(one.fluxctl(*page).stdout.split())
        shown = " ".join(one.fluxctl("study", "show", short).stdout.split())
        assert "Released by Dr Ann" in shown
        assert "to pacs: x" in shown
        mixed = one.fluxctl("release", short, *given)
        assert (mixed.returncode, "another patient" in mixed.stderr) == (6, True), mixed.stderr
        assert "Zevil" not in mixed.stderr

        with Terminal([*fluxctl(one.box), "release", short, "--to", "pacs"], dict(os.environ)) as terminal:
            terminal.wait_for("none] ", within=PATIENCE)
            terminal.press("none\n")
            terminal.wait_for("Why is it released?", within=PATIENCE)
            terminal.press("\n")
            terminal.wait_for("for a reason only")
            terminal.press("x\n")
            said = terminal.wait_for("[y/N]")
            question = " ".join(said[said.rindex("Send 1 image") :].split())
            assert "of Zevil, Twin (P-667)" in question
            assert "began as one of Zkill, Nr3 (P-703)" in question
            terminal.press("n\n")
            assert terminal.end() == 6

        discard = ("held", "discard", short, "--reason", "not hers", "--name-stdin")
        assert one.fluxctl(*discard, typed="Zkill, Nr3\n").returncode == 6
        assert one.fluxctl(*discard, typed="\n").returncode == 6
        done = one.fluxctl(*discard, typed="Zevil, Twin\n")
        assert (done.returncode, "What was held of that patient" in done.stdout) == (0, True), done.stderr
        assert "Released by Dr Ann" in " ".join(one.fluxctl("study", "show", short).stdout.split())
        assert len(one.pacs.received()) == 1


def test_what_says_no_patient_is_discarded_by_the_id_of_its_study(tmp_path: Path) -> None:
    with clinic(tmp_path) as one:
        one.send("1.2.9", PatientName="", PatientID="", AccessionNumber="")
        (held,) = one.held()
        short = held.study.id
        with Terminal([*fluxctl(one.box), "held", "discard", short, "--reason", "x"], dict(os.environ)) as terminal:
            said = terminal.wait_for("to discard what is held: ", within=PATIENCE)
            assert f"Type the study's short id {short}" in " ".join(said.split())
            terminal.press("\n")
            terminal.wait_for("Nothing was typed")
            terminal.press("nobody\n")
            assert terminal.end() == 6
        discard = ("held", "discard", short, "--reason", "x", "--name-stdin")
        assert one.fluxctl(*discard, typed="\n").returncode == 6
        assert one.fluxctl(*discard, typed=f"{short}\n").returncode == 0
        assert one.box.client.held_list(ListHeld()).held == ()
