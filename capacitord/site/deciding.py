"""What a person decides of a study that is held: sent, discarded, had back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from capacitord.api import messages as m
from capacitord.api import review as r
from capacitord.dicom.worklist.correct import Mishap
from capacitord.dicom.worklist.identity import names_nobody
from capacitord.dicom.worklist.reconciling import reconciliation
from capacitord.dicom.worklist.served import Shown
from capacitord.errors import NotFound, Refused
from capacitord.model.patient import Patient, several, summary, typed_for
from capacitord.model.reasons import Reason
from capacitord.model.states import StudyState
from capacitord.site.deeds import Asked
from capacitord.site.reviewing import Entries
from capacitord.site.worklist import ids, telling
from capacitord.spool.outbox import Deed
from capacitord.spool.releasing import Discarded, Release
from capacitord.spool.store import Spool
from capacitord.spool.whose import Mixture


class Decision(NamedTuple):
    """What was done, what the audit log should name, and what it should say: how it was before and after."""

    done: m.Done
    subjects: tuple[str, ...]
    detail: str


class Deciding:
    """Carries out what a person decides. Any thread may ask."""

    def __init__(self, spool: Spool, entries: Entries, destinations: Callable[[], Sequence[str]]) -> None:
        """`destinations` gives the names of those of this site: nothing is released to any other."""
        self._spool, self._entries, self._destinations = spool, entries, destinations

    def release(self, request: r.Release, asked: Asked) -> Decision:
        """Send what is held of a study."""
        number, short = self._spool.studies.find(request.study)
        names = tuple(dict.fromkeys(request.destinations))
        known = tuple(self._destinations())
        for name in names:
            if name not in known:
                raise NotFound(
                    f"This site has no destination {name!r}.",
                    where=f"study {short}",
                    hint="A study is released to destinations of its own site only: fluxctl destination list",
                    candidates=known,
                )
        reason = _said(request.reason, short)
        entry, changes, gone = "", None, ""
        if request.match:
            entry, found = ids.find(request.match, self._entries())
            _demand_somebody(found, entry, short)
            changes = reconciliation(found.corrected.entry)
            if found.held.vanished is not None:
                since = f"{telling.when(found.held.vanished):%Y-%m-%d %H:%M} UTC"
                gone = f" That entry is not on the list any more, since {since}."
        what = Release(names, reason, entry, changes)
        before = self._before(number)

        def allow(found: Mixture) -> None:
            _demand_known(found, request, short)

        subjects = (short, *names, *([entry] if entry else []))

        def tell(images: int) -> Deed:
            return asked.did(subjects, f"{before} -> released, {_images(images)}")

        images = self._spool.releasing.release(number, what, asked.by, time.time_ns(), allow, tell)
        waits = "1 image waits" if images == 1 else f"{images} images wait"
        as_entry = f" as worklist entry {entry}" if entry else ""
        words = f"Study {short} is released{as_entry}: {waits} to be sent to {', '.join(names)}.{gone}"
        return Decision(m.Done(words, (short, *names)), subjects, tell(images).detail)

    def discard(self, request: r.DiscardHeld, asked: Asked) -> Decision:
        """Discard what is held of a patient in a study, so that it can be had back for a while.

        Copies of the patient's images that are held are left out.
        """
        number, short = self._spool.studies.find(request.study)
        study = self._spool.studies.some([number])[number]
        reason = _said(request.reason, short)

        def choose(patients: Sequence[Patient]) -> Sequence[Patient]:
            found = typed_for(request.patient_name.value, patients, short)
            if not found:
                raise Refused(
                    "What was typed is not the name of the patient whose images are held.",
                    where=f"study {short}",
                    hint=f"Type it as `fluxctl held show {short}` has it; the patient id where there is no name or "
                    "several patients have it, and the study's short id where there is neither.",
                )
            return found

        before = self._before(number)
        why = {each.reason for each in study.held_for}

        def tell(gone: Discarded) -> Deed:
            after = [f"discarded, {_images(gone.images)}"] if gone.images else []
            after += [f"left out, {_left_out(gone)}"] if gone.left_out else []
            return asked.did((short, *gone.left_out), f"{before} -> {'; '.join(after)}")

        clocks = (time.time_ns(), self._spool.tick())
        gone = self._spool.releasing.set_aside(number, reason, asked.by, clocks, choose, tell)
        words = []
        if gone.images:
            go = "1 image goes" if gone.images == 1 else f"{gone.images} images go"
            words.append(f"{go} nowhere. For 24 hours `fluxctl held restore {short}` undoes it.")
        if gone.left_out:
            words.append(f"Left out: {_left_out(gone)}. `fluxctl resend {short} --to DEST` undoes that.")
        if Reason.TOGETHER in why and len(why) > 1:
            words.append("What waited for it goes where the profile says.")
        subjects = tell(gone).subjects
        whole = self._spool.studies.some([number])[number].state is StudyState.DISCARDED
        what = f"Study {short} is" if whole else f"What was held of that patient in study {short} is"
        done = m.Done(f"{what} discarded: {' '.join(words)}", subjects)
        return Decision(done, subjects, tell(gone).detail)

    def restore(self, request: r.RestoreHeld, asked: Asked) -> Decision:
        """Have back what was discarded of a study."""
        number, short = self._spool.studies.find(request.study)

        def tell(images: int) -> Deed:
            return asked.did((short,), f"discarded -> {_images(images)} held again")

        images = self._spool.releasing.restore(number, tell)
        back = "1 image is" if images == 1 else f"{images} images are"
        words = f"{back} held again in study {short}."
        if not images:
            held = self._spool.studies.some([number])[number].held
            now = f"{_images(held)} of it {'is' if held == 1 else 'are'} held" if held else "nothing of it is held now"
            words = f"All that was discarded of study {short} came again meanwhile: nothing is had back, and {now}."
        return Decision(m.Done(words, (short,)), (short,), tell(images).detail)

    def _before(self, number: int) -> str:
        """Return how a study stood, for the audit log."""
        words = dict.fromkeys(each.reason for each in self._spool.studies.some([number])[number].held_for)
        return f"held ({', '.join(words)})" if words else "not held"


def _demand_somebody(found: Shown, entry: str, short: str) -> None:
    """Refuse a release with an entry that would write nobody into the images: they would be of no patient any more."""
    if found.corrected.mishap is Mishap.WITHHELD:
        why = "could not be corrected as the profile says, and is not served"
    elif names_nobody(found.corrected.entry):
        why = "names no patient"
    else:
        return
    raise Refused(
        f"Worklist entry {entry} {why}, so nothing is released as its study.",
        where=f"study {short}",
        hint=f"Look at it: `fluxctl worklist show {entry}`. Without --match the study is released as it is.",
    )


def _demand_known(found: Mixture, request: r.Release, short: str) -> None:
    """Refuse a release of other images than were shown, or of another patient's without a word of that."""
    images, changed = sum(found.goes.values()), ""
    if request.images is not None and request.images != images:
        changed = f"{_images(images)} would be sent, not {request.images}"
    elif request.whose and request.whose != summary(found.goes.items()):
        changed = "images of other patients would be sent than were shown"
    if changed:
        raise Refused(
            f"Something has changed meanwhile: {changed}.",
            where=f"study {short}",
            hint=f"Look at it again, and release it then: `fluxctl held show {short}`.",
        )
    if request.mixed:
        return
    look = f"See whose they are: `fluxctl held show {short}`."
    others = f"answer for it at a terminal, or discard those of one patient: `fluxctl held discard {short}`."
    if several(found.goes):
        # An entry is of one patient, and it would make all of them that one.
        mix, hint = "say different patients", f"{look} Then {others}"
    elif not request.match and several((*found.goes, *found.stays)):
        mix = "say another patient than the rest of the study"
        hint = f"{look} Release them with the entry they belong to (--match ENTRY), {others}"
    else:
        return
    raise Refused(
        f"The images that are held {mix}, so they are not sent in one study without a word of that.",
        where=f"study {short}",
        hint=hint,
    )


def _said(reason: str, short: str) -> str:
    if not reason.strip():
        raise Refused("This is done for a reason only.", where=f"study {short}", hint="Say why: it is kept.")
    return reason.strip()


def _left_out(gone: Discarded) -> str:
    return ", ".join(f"{_images(count)} for {name}" for name, count in gone.left_out.items())


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"
