"""The site's answers to requests of the control socket, one function a request."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from capacitord.api import messages as m
from capacitord.api import review as r
from capacitord.api import worklist as w
from capacitord.api.actions import BY_PEOPLE
from capacitord.api.codes import Resolve
from capacitord.api.preview import Preview
from capacitord.api.routes import Form
from capacitord.api.trial import Explain
from capacitord.dicom.contexts import sop_class_name, syntax_name
from capacitord.errors import CapacitordError, NotFound, PartlyDone, Refused, TryAgain
from capacitord.site import archive
from capacitord.site.deciding import Deciding
from capacitord.site.deeds import Asked
from capacitord.site.deliveries import Deliveries
from capacitord.site.departing import Departing
from capacitord.site.explaining import Explaining
from capacitord.site.overview import queue_row, unnamed_row
from capacitord.site.previewing import Previewing
from capacitord.site.resolving import Resolving
from capacitord.site.reviewing import Reviewing
from capacitord.site.worklist.answering import WorklistAnswers
from capacitord.spool.outbox import Deed
from capacitord.spool.releasing import Person
from capacitord.spool.store import Spool

_LONGEST_REASON = 500


class Body(NamedTuple):
    """An answer: its form, its pieces, and what the audit log should name, and say. `length` is None for a stream.

    `refusal` is the reference of the error, if it says one.
    """

    form: Form
    pieces: Iterator[bytes]
    subjects: tuple[str, ...] = ()
    length: int | None = None
    refusal: str = ""
    detail: str = ""


Handler = Callable[[msgspec.Struct], Body]


def uid_name(uid: str) -> str:
    """Return what people call a SOP class or a transfer syntax."""
    return syntax_name(uid) if uid.startswith(("1.2.840.10008.1.2", "1.2.840.10008.1.20")) else sop_class_name(uid)


def one(answer: msgspec.Struct, *subjects: str) -> Body:
    """Return a whole answer as JSON."""
    encoded = msgspec.json.encode(answer)
    return Body(Form.JSON, iter([encoded]), subjects, len(encoded))


class Desks(NamedTuple):
    """Who answers what takes more than a question to the spool."""

    explaining: Explaining
    resolving: Resolving
    previewing: Previewing
    worklist: WorklistAnswers
    reviewing: Reviewing
    deciding: Deciding
    departing: Departing


class Answers:
    """Answers by route name. Errors are raised; whoever calls turns them into refusals."""

    def __init__(
        self,
        spool: Spool,
        deliveries: Deliveries,
        desks: Desks,
        did: Callable[[], None],
    ) -> None:
        """`did` is called when something may be in the spool's outbox."""
        self._spool, self._deliveries, self._did = spool, deliveries, did
        self._explaining, self._resolving, self._previewing, worklist, self._reviewing, self._deciding, departing = (
            desks
        )
        self._handlers: dict[str, Callable[..., Body]] = {
            "destination.echo": self._echo,
            "destination.list": self._destinations,
            "held.discard": self._discard_held,
            "held.list": lambda request: one(self._reviewing.list(request)),
            "held.release": self._release,
            "held.restore": self._restore,
            "held.show": self._held,
            "doctor.verify": self._verify,
            "queue.flush": self._flush,
            "queue.list": self._queue,
            "queue.pause": self._pause,
            "queue.resume": self._resume,
            "queue.show": self._queue_show,
            "site.departure": lambda _request: one(departing.answer()),
            "study.discard": self._discard,
            "study.explain": self._explain,
            "study.export": self._export,
            "study.list": self._studies,
            "study.name": self._name,
            "study.preview": self._preview,
            "study.resend": self._resend,
            "study.resolve": self._resolve,
            "study.show": self._study,
            "worklist.list": lambda request: one(worklist.list(request)),
            "worklist.name": lambda request: self._name_entry(worklist.name(request.entry), request.said),
            "worklist.refresh": lambda _request: _refreshed(worklist.refresh()),
            "worklist.show": lambda request: one(worklist.show(request.entry)),
        }

    def answer(
        self, route: str, request: msgspec.Struct, demand_caller: Callable[[], None], by: Person, deed: str = ""
    ) -> Body:
        """Return the answer to a request of a person. Raises `CapacitordError`, and what `demand_caller` raises.

        That is called before anything is done, as late as possible: nothing happens for somebody who has gone. `deed`
        is the id by which the audit log has it begun.
        """
        handler = self._handlers.get(route)
        if handler is None:
            raise NotFound("This site does not know that request.", hint="Update fluxctl and capacitord together.")
        self._spool.settle()
        demand_caller()
        if route not in BY_PEOPLE:
            return handler(request)
        # What people decide is kept with who asked, and with the name that was given for a shared login.
        operator = getattr(request, "operator", "").strip()
        try:
            return handler(request, Asked(by._replace(operator=operator), route, deed))
        finally:
            self._did()

    def _destinations(self, _request: m.Empty) -> Body:
        return one(m.DestinationList("fluxctl.destination.list/1", self._deliveries.status()))

    def _echo(self, request: m.DestinationRef) -> Body:
        return one(self._deliveries.echo(request.destination), request.destination)

    def _studies(self, request: m.StudyQuery) -> Body:
        page = self._spool.studies.page(request)
        if request.after or request.state is not None:
            return one(page)
        announced = tuple(
            m.AnnouncedStudy(
                each.short,
                each.uid,
                each.calling_ae,
                datetime.fromtimestamp(each.at / 1e9, UTC),
                each.over,
                each.images,
            )
            for each in self._spool.evidence.announced()
        )
        return one(msgspec.structs.replace(page, announced=announced))

    def _study(self, request: m.StudyRef) -> Body:
        study, short = self._spool.studies.find(request.study)
        detail = self._spool.studies.detail(study, "fluxctl.study.show/1")
        decided, restorable = self._reviewing.decided(study), self._reviewing.restorable(study)
        return one(msgspec.structs.replace(detail, decided=decided, restorable_until=restorable), short)

    def _name(self, request: m.NameStudy) -> Body:
        study, short = self._spool.studies.find(request.study)
        if request.said and self._reviewing.is_named(study, request.said):
            raise _names_the_patient(f"study {short}")
        return one(m.Done(f"This is study {short}.", (short,)), short)

    def _name_entry(self, short: str, said: str) -> Body:
        if said and self._reviewing.is_of_entry(short, said):
            raise _names_the_patient(f"worklist entry {short}")
        return _named_entry(short)

    def _held(self, request: m.StudyRef) -> Body:
        answer, short = self._reviewing.show(request)
        return one(answer, short)

    def _release(self, request: r.Release, asked: Asked) -> Body:
        done, subjects, detail = self._deciding.release(request, asked)
        self._deliveries.queued()
        self._deliveries.wake()
        return one(done, *subjects)._replace(detail=detail)

    def _discard_held(self, request: r.DiscardHeld, asked: Asked) -> Body:
        done, subjects, detail = self._deciding.discard(request, asked)
        self._deliveries.queued()
        return one(done, *subjects)._replace(detail=detail)

    def _restore(self, request: r.RestoreHeld, asked: Asked) -> Body:
        done, subjects, detail = self._deciding.restore(request, asked)
        return one(done, *subjects)._replace(detail=detail)

    def _queue_show(self, request: m.StudyRef) -> Body:
        study, short = self._spool.studies.find(request.study)
        return one(self._spool.studies.detail(study, "fluxctl.queue.show/1"), short)

    def _queue(self, _request: m.Empty) -> Body:
        now, studies = time.time_ns(), self._spool.studies
        named = self._deliveries.status()
        stranded = [name for name, _ in studies.stranded([status.name for status in named])]
        rows = (
            *(queue_row(status, studies.ages(status.name, now)) for status in named),
            *(
                unnamed_row(name, self._spool.ledger.backlog(name), studies.ages(name, now), self._deliveries.version)
                for name in stranded
            ),
        )
        return one(m.QueueList("fluxctl.queue.list/1", rows, self._spool.studies.queued(), self._spool.studies.held()))

    def _flush(self, request: m.QueueSelect) -> Body:
        chosen = self._deliveries.select(request.destination)
        paused = [delivery.destination.name for delivery in chosen if delivery.state().paused]
        trying = [delivery for delivery in chosen if delivery.destination.name not in paused]
        for delivery in trying:
            delivery.hasten()
        names = tuple(delivery.destination.name for delivery in trying)
        words = [f"Trying now: {', '.join(names)}."] if names else []
        if paused:
            words.append(f"Not tried while paused: {', '.join(paused)}; `fluxctl queue resume` lets it go on.")
        return one(m.Done(" ".join(words), names), *names)

    def _pause(self, request: m.QueueSelect) -> Body:
        return self._set_paused(request, "Paused", paused=True)

    def _resume(self, request: m.QueueSelect) -> Body:
        return self._set_paused(request, "Resumed", paused=False)

    def _set_paused(self, request: m.QueueSelect, what: str, *, paused: bool) -> Body:
        names = [delivery.destination.name for delivery in self._deliveries.select(request.destination)]
        for done, name in enumerate(names):
            try:
                self._deliveries.pause(name, paused=paused)
            except CapacitordError as error:
                if not done:
                    raise
                message = f"{what}: {', '.join(names[:done])}, and no others: {error.message}"
                raise PartlyDone(message, hint=error.hint, candidates=tuple(names[done:])) from error
        return _done(what, names)

    def _resend(self, request: m.Resend, asked: Asked) -> Body:
        study, short = self._spool.studies.find(request.study)
        image = self._spool.studies.image(study, request.image) if request.image else None
        wanted = request.destinations or self._recipients(study, short, image)
        chosen = [self._deliveries.one(name) for name in wanted]
        names = [delivery.destination.name for delivery in chosen]
        for delivery in chosen:
            # An answer on its way into the ledger is one to the attempt before.
            if not delivery.feed.flush():
                raise TryAgain(
                    f"What {delivery.destination.name} answered is not all written yet, so nothing is sent again.",
                    where=f"study {short}",
                    hint="The disk is slow, or fails: see `fluxctl status`. Then try again.",
                )
            # An association that is open now would repeat the refusal that it was given when it was negotiated.
            delivery.hasten()
        by_name, before = bool(request.destinations), self._state_of(study)

        def tell(count: int) -> Deed:
            return asked.did((short, *names), f"{before} -> {_wait(count)} to be sent again")

        count = self._spool.ledger.resend(
            study, names, image, time.time_ns(), chosen=by_name, matches=self._reviewing.matches, tell=tell
        )
        if not count and self._reviewing.restorable(study) is not None:
            raise Refused(
                "These images were discarded, and can still be had back.",
                where=f"study {short}",
                hint=f"Have them back, and release them then: `fluxctl held restore {short}`.",
            )
        if not count:
            raise Refused(
                "None of these images is in the spool any more, or all are damaged.",
                where=f"study {short}",
                hint="They were purged after delivery, or discarded. Send them from the scanner again.",
            )
        self._deliveries.queued()
        for delivery in chosen:
            delivery.hasten()
        done = one(m.Done(f"{_wait(count)} to be sent again to {', '.join(names)}.", (short, *names)), short, *names)
        return done._replace(detail=tell(count).detail)

    def _recipients(self, study: int, short: str, image: int | None) -> list[str]:
        """Return where a study, or an image of it, was to go, as far as the profile has that. Raises `Refused`."""
        if not self._spool.ledger.has_images(study):
            return []
        going = self._spool.ledger.recipients(study, image)
        known = {delivery.destination.name for delivery in self._deliveries.all()}
        found = [name for name in going if name in known]
        if found:
            return found
        what = f"study {short}" if image is None else f"this image of study {short}"
        why = f"The profile does not name {', '.join(going)} any more" if going else f"Nothing says where {what} goes"
        raise Refused(
            f"{why}, so it is not sent anywhere.",
            where=f"study {short}",
            hint=f"Name where: `fluxctl resend {short} --to DEST`. Why it is held: `fluxctl study show {short}`.",
        )

    def _discard(self, request: m.Discard, asked: Asked) -> Body:
        study, short = self._spool.studies.find(request.study)
        if request.confirm != short:
            raise Refused(
                "The confirmation does not repeat the study's short id.",
                where=f"study {short}",
                hint=f"Confirm with {short} if this is the study.",
            )
        if not request.reason.strip():
            raise Refused("A discard needs a reason.", where=f"study {short}", hint="Say why; it is in the audit log.")
        before = self._state_of(study)
        reason = f"Discarded by {asked.by}: {request.reason.strip()[:_LONGEST_REASON]}"

        def tell(count: int) -> Deed:
            return asked.did((short,), f"{before} -> discarded, {_gone(count)}")

        count = self._spool.housekeeping.discard(study, time.time_ns(), reason, tell)
        done = one(m.Done(f"Study {short} is discarded: {_gone(count)}.", (short,)), short)
        return done._replace(detail=tell(count).detail)

    def _state_of(self, study: int) -> str:
        return self._spool.studies.some([study])[study].state

    def _explain(self, request: Explain) -> Body:
        answer, short = self._explaining.explain(request)
        study, _ = self._spool.studies.find(short)
        return one(msgspec.structs.replace(answer, decided=self._reviewing.decided(study)), short)

    def _preview(self, request: Preview) -> Body:
        png, short = self._previewing.preview(request)
        return Body(Form.PNG, iter([png]), (short,), len(png))

    def _resolve(self, request: Resolve) -> Body:
        answer = self._resolving.resolve(request)
        named = ((found.study.id, found.destination) for found in answer.resolutions)
        return one(answer, *dict.fromkeys(itertools.chain.from_iterable(named)))

    def _export(self, request: m.Export) -> Body:
        study, short = self._spool.studies.find(request.study)
        entries = list(archive.entries(self._spool.studies.sendable(study)))
        return Body(Form.TAR, archive.pieces(entries), (short,), archive.length(entries))

    def _verify(self, _request: m.Empty) -> Body:
        return Body(Form.NDJSON, self._verified())

    def _verified(self) -> Iterator[bytes]:
        """Read every image through and yield a line for progress, each damage, and the end."""
        housekeeping = self._spool.housekeeping
        total = self._spool.counts().images
        images = size = damaged = after = 0
        told = time.monotonic()
        while page := housekeeping.images(after, 256):
            for image, object_id, short, length in page:
                after, images, size = image, images + 1, size + length
                message = housekeeping.examine(image)
                if message:
                    damaged += 1
                    yield _line(m.VerifyDamage(object_id, short, message))
                if time.monotonic() - told > 0.25:
                    told = time.monotonic()
                    yield _line(m.VerifyProgress(images, max(total, images), size))
        words = "All images are whole." if not damaged else "1 damaged image is in corrupt/ now."
        if damaged > 1:
            words = f"{damaged} damaged images are in corrupt/ now."
        yield _line(m.VerifyReport("fluxctl.doctor.verify/1", images, size, damaged, words))


def _named_entry(short: str) -> Body:
    return one(m.Done(f"This is worklist entry {short}.", (short,)), short)


def _refreshed(answer: w.Refreshed) -> Body:
    """Return what came of asking the worklist's source; the audit log is to say whether it answered."""
    if answer.ok:
        return one(answer)
    return one(answer)._replace(refusal=TryAgain.reference, detail="the source did not send its whole list")


def _done(what: str, names: list[str]) -> Body:
    return one(m.Done(f"{what}: {', '.join(names)}.", tuple(names)), *names)


def _line(message: m.VerifyLine) -> bytes:
    return msgspec.json.encode(message) + b"\n"


def _names_the_patient(where: str) -> Refused:
    return Refused(
        "What is said of why names the patient, and it would stay in the audit log for good.",
        where=where,
        hint="Say it without the name, the birth date, the patient id and the accession number.",
    )


def _wait(count: int) -> str:
    return "1 image waits" if count == 1 else f"{count} images wait"


def _gone(count: int) -> str:
    return "1 image is gone" if count == 1 else f"{count} images are gone"
