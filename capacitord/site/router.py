"""Decides where images go whose attributes have to be looked at for that, after they were taken in.

What is filed without a decision is found here again after every start. A decision is made with one version of the
profile and filed as that version's; images that it holds are looked at again with the next version.

Where the profile matches studies with the worklist, an image is matched first: what is not matched goes nowhere, and no
route is asked (`model.review`). Studies that nothing matched are looked at again when another list has come. Until it
is known what is on the list, which takes a while after a start, nothing is decided of what is to be matched.

An error that nobody foresaw may pass. So the image is tried again a few times before it is held as one that cannot be
read; no other image waits for it.

Reading attributes takes the interpreter from whoever receives images. So while images arrive the router rests
between two of them.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Final, NamedTuple

from capacitord.dicom.arriving import describe
from capacitord.dicom.deidentify.engine import NotDeidentified
from capacitord.dicom.outgoing import Came, demand_changeable
from capacitord.dicom.produce import in_words
from capacitord.dicom.transform.failure import NotTransformed, Unreadable
from capacitord.errors import CapacitordError, DamagedObject, NotFound, Problem, TryAgain
from capacitord.model.attribute import Attribute
from capacitord.model.conditions import Attributes
from capacitord.model.reasons import Reason
from capacitord.model.review import Opinion, Record, State, Terms, judge
from capacitord.site.deeds import deed_of
from capacitord.site.matching import NO_LIST, Listing, Matcher, entry_for, identity_of, questioned
from capacitord.site.preparation.preparation import keys_of
from capacitord.site.routing import InForce, Routing, attributes_for_routing
from capacitord.site.soundness import OF_THE_DISK
from capacitord.spool.decisions import Decided, Filed, Turn, Undecided
from capacitord.spool.filing import STUDY_SHIFT
from capacitord.spool.review import Reviewed
from capacitord.spool.routed import Routed
from capacitord.spool.store import Spool

LOG = logging.getLogger(__name__)
AT_ONCE: Final = 64
"""Decisions that are filed with one transaction."""

_GATHER: Final = 0.02
_GATHER_WHILE_RECEIVING: Final = 0.2
_SHARE: Final = 3.0
"""Seconds of rest for each second of work, while images arrive."""

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0

_TRIES: Final = 5
"""How often an error that nobody foresaw keeps an image from being decided before it is held."""

_LAST: Final = Turn(b"", b"")

_Page = Callable[[int, int], list[Undecided]]


class _ListAwaited(TryAgain):
    """It is not known yet what is on the worklist: no fault, and it passes by itself."""


class _Failed(NamedTuple):
    """How often an unforeseen error kept an image from being decided, and the monotonic time of the next try."""

    times: int
    again: float


class Router:
    """A thread that decides for every image that is filed without a decision, and sorts what waits if need be."""

    def __init__(
        self,
        spool: Spool,
        routing: Routing,
        filed: Callable[[Mapping[str, int]], None],
        *,
        receiving: Callable[[], bool],
        doubt: Callable[[], None],
        matcher: Matcher | None = None,
        pause: float = _FIRST_PAUSE,
        did: Callable[[], object] = lambda: None,
    ) -> None:
        """`filed` is told for which destinations something waits from now on, and how urgent it is.

        `matcher` has the worklist; without one, nothing is on it.
        `receiving` says whether images arrive at this moment; `doubt` is called when the disk kept it from deciding.
        `pause` is in seconds, before what failed is tried again the first time. `did` is called when a decision was
        filed that a person would have made otherwise, and of which the audit log is to be told.
        """
        self._first_pause, self._did = pause, did
        self._failed: dict[int, _Failed] = {}
        self._spool, self._routing, self._filed = spool, routing, filed
        self._receiving, self._doubt = receiving, doubt
        self._matcher = matcher or Matcher(lambda: NO_LIST)
        self._rematched: tuple[Listing, InForce] | None = None
        self._keys = keys_of(spool.key)
        self._wanted, self._stopping = threading.Event(), threading.Event()
        self._wanted.set()
        self._pause = 0.0
        self._problem: Problem | None = None
        self._awaited = ""
        self._thread = threading.Thread(target=self._run, name="router", daemon=True)
        self._thread.start()

    @property
    def failing(self) -> Problem | None:
        """Why it is not decided where some images go, None if nothing keeps it from being."""
        return self._problem

    def wake(self) -> None:
        """Say that something is to be decided: an image that was filed, or a version of the profile."""
        if not self._wanted.is_set():
            self._wanted.set()

    def stop(self) -> None:
        """End after the image it is at."""
        self._stopping.set()
        self._wanted.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wanted.wait(self._pause or None)
            # Images that come quickly are decided together: each transaction has those wait who take images in.
            self._stopping.wait(_GATHER_WHILE_RECEIVING if self._receiving() else _GATHER)
            self._wanted.clear()
            try:
                trouble = self._decide_all()
            except CapacitordError as error:
                trouble = error
            except Exception as error:  # noqa: BLE001 - a mistake of ours must not end the thread
                trouble = CapacitordError(f"An unforeseen error: {describe(error)}.", hint="See the log.")
            self._say(trouble)

    def _say(self, trouble: CapacitordError | None) -> None:
        """Remember what is wrong; say it once, and when it is over."""
        before, self._awaited = self._awaited, trouble.message if isinstance(trouble, _ListAwaited) else ""
        if self._awaited and not before:
            LOG.info("Images wait to be matched: %s", self._awaited)
        if trouble is None or self._awaited:
            if self._problem is not None:
                LOG.warning("It is decided again where images go.")
            self._problem, self._pause = None, self._first_pause if self._awaited else 0.0
            return
        if isinstance(trouble, OF_THE_DISK):
            self._doubt()
        message = f"It cannot be decided where some images go: {trouble.message}"
        if self._problem is None or self._problem.message != message:
            LOG.error("%s", message)
        hint = f"They are kept, and it is tried again by itself. {trouble.hint}".rstrip()
        self._problem = Problem("routing-behind", message, hint=hint)
        self._pause = min(_LONGEST_PAUSE, max(self._first_pause, 2 * self._pause))

    def _decide_all(self) -> CapacitordError | None:
        """Decide whatever is to be decided; return what kept it from that, if anything did."""
        in_force = self._routing.in_force
        self._spool.settle()
        decisions, version = self._spool.decisions, in_force.profile.version
        decisions.order(in_force.order)
        self._rematch(in_force)

        whole = in_force.profile.completeness.whole
        decisions.begin(version, whole=whole)
        if whole:
            self._tell(decisions.leave(lambda: self._routing.in_force is in_force))

        def undecided(after: int, limit: int) -> list[Undecided]:
            return decisions.open(after, limit, whole=whole)

        def outdated(after: int, limit: int) -> list[Undecided]:
            return decisions.outdated(version, after, limit, whole=whole)

        trouble: CapacitordError | None = None
        for page in _pages(undecided, outdated, decisions.unsorted):
            trouble = _graver(trouble, self._decide(page, in_force))
            if not self._goes_on(in_force):
                break
        if self._routing.in_force is not in_force:
            # What is left is for the version that holds now.
            self._wanted.set()
        return trouble

    def _rematch(self, in_force: InForce) -> None:
        """Look again at studies that nothing matched, if there is another list: they are offered an entry, or matched.

        See `rematch` of a profile; nothing but an exact match with a single entry counts. One that the list now has
        under another patient, or several times, is judged again whatever the profile says: it stays held for that.
        """
        matching, listing = in_force.matching, self._matcher.listing()
        if matching is None or listing.awaited or self._looked_again(listing, in_force):
            return
        worklist = self._matcher.worklist(matching.rules)
        for waiting in self._spool.review.unmatched():
            record = questioned(worklist, waiting.record, waiting.identities, listing.fetched)
            if record is not None:
                self._spool.review.question(waiting, record, time.time_ns(), in_force.profile.version)
                continue
            entry = entry_for(worklist, waiting.identities)
            if entry is None:
                continue
            if matching.terms.rematch:
                self._spool.review.reopen(waiting.study)
            elif waiting.record.suggestion != entry:
                self._spool.review.suggest(waiting, entry, time.time_ns(), in_force.profile.version)
        self._rematched = (listing, in_force)

    def _looked_again(self, listing: Listing, in_force: InForce) -> bool:
        done = self._rematched
        return done is not None and done[0] is listing and done[1] is in_force

    def _goes_on(self, in_force: InForce) -> bool:
        """Return whether decisions are still to be made by this version of the profile."""
        return self._routing.in_force is in_force and not self._stopping.is_set()

    def _decide(self, page: Sequence[Undecided], in_force: InForce) -> CapacitordError | None:
        """Decide for a page of images and file it; return what kept it from deciding for one, if anything did."""
        decided: list[Decided] = []
        records: dict[int, Record] = {}
        trouble: CapacitordError | None = None
        for image in page:
            if not self._goes_on(in_force):
                break
            began = time.monotonic()
            failed = self._failed.get(image.image)
            if failed is not None and failed.again > began:
                trouble = _unforeseen()
                continue
            try:
                # What is found on the way to a decision counts with the decision only.
                found = ChainMap[int, Record]({}, records)
                decided.append(self._decided(image, in_force, found))
                records.update(found.maps[0])
                self._failed.pop(image.image, None)
            except NotFound:
                # It has left: there is nothing to decide, and it has no turn.
                decided += [Decided(image.image, image.received_at, None, _LAST)] * in_force.sorts
                if in_force.profile.completeness.whole:
                    # The others of its study may have waited for its decision.
                    self._wanted.set()
                self._failed.pop(image.image, None)
            except CapacitordError as error:
                trouble = _graver(trouble, error)
            except Exception as error:  # noqa: BLE001 - one image must not stop the others
                LOG.error(  # noqa: TRY400 - without the words of the error, which may be a patient's
                    "It cannot be decided where image %s goes: %s", image.object_id.hex()[:12], describe(error)
                )
                held = self._unforeseen_at(image, in_force)
                if held is None:
                    trouble = _unforeseen()
                else:
                    decided.append(held)
            self._give_way(time.monotonic() - began)
        # What a version decided that holds no more is forgotten: it may say that an image goes where it must not.
        whole = in_force.profile.completeness.whole
        holds = lambda: self._routing.in_force is in_force  # noqa: E731 - named for what it says
        if decided:
            self._tell(self._spool.decisions.file(decided, holds, whole=whole))
        return trouble

    def _short(self, study: int) -> str:
        return self._spool.studies.some([study])[study].id

    def _tell(self, filed: Filed) -> None:
        """Say for which destinations something waits, and what was done; look again if there is more to decide."""
        if filed.urgencies:
            self._filed(filed.urgencies)
        if filed.deeds:
            self._did()
        if filed.again:
            self._wanted.set()

    def _unforeseen_at(self, image: Undecided, in_force: InForce) -> Decided | None:
        """Take notice of an unforeseen error at an image; return the decision to hold it, None while it may pass."""
        known = self._failed.get(image.image)
        times = 1 if known is None else known.times + 1
        if times < _TRIES:
            self._failed[image.image] = _Failed(times, time.monotonic() + self._first_pause * 2 ** (times - 1))
            return None
        self._failed.pop(image.image, None)
        routed = in_force.invalid(image.findings) or in_force.unreadable(_unforeseen().message)
        return Decided(image.image, image.received_at, routed, _LAST if in_force.sorts else None)

    def _give_way(self, spent: float) -> None:
        if self._receiving():
            self._stopping.wait(spent * _SHARE)

    def _decided(self, image: Undecided, in_force: InForce, records: MutableMapping[int, Record]) -> Decided:
        """Return what is decided for an image. Raises what keeps this box from reading it for now.

        `records` has what was found for studies on the way and is not filed yet.
        """
        invalid = in_force.invalid(image.findings)
        if invalid is not None:
            found, routed = self._invalid(image, invalid, in_force, records)
            return Decided(image.image, image.received_at, routed, _LAST if in_force.sorts else None, found)
        attributes = _Lazy(self._spool, image, in_force, self._keys.hashes)
        reviewed: Reviewed | None = None
        try:
            opinion, reviewed = self._reviewed(image, attributes, in_force, records)
            routed = self._routed(image, attributes, in_force, opinion)
            if in_force.profile.completeness.whole:
                routed = self._demand_changeable(image, routed, in_force)
        except Unreadable as error:
            routed = in_force.unreadable(str(error))
        if not in_force.sorts:
            return Decided(image.image, image.received_at, routed, reviewed=reviewed)
        try:
            turn = in_force.turn(attributes)
        except Unreadable:
            turn = in_force.turn(_Nothing())
        return Decided(image.image, image.received_at, routed, turn, reviewed)

    def _invalid(
        self, image: Undecided, invalid: Routed, in_force: InForce, records: MutableMapping[int, Record]
    ) -> tuple[Reviewed | None, Routed]:
        """Return what becomes of an image that is not what it says: it is held, for whose it is before all.

        It says nothing in favour of its study: that it matches is not kept. Raises what keeps this box from reading it.
        """
        study = image.image >> STUDY_SHIFT
        record = records[study] if study in records else self._spool.review.record(study)
        known = dict(records)
        try:
            opinion, reviewed = self._reviewed(
                image, _Lazy(self._spool, image, in_force, self._keys.hashes), in_force, known
            )
        except Unreadable:
            return None, invalid
        if opinion is None or reviewed is None:
            return None, invalid
        if opinion.reason is not None:
            records[study] = opinion.record
            return reviewed, in_force.held(opinion.reason)
        return None if record is None else reviewed._replace(record=record, reopened=False, deed=None), invalid

    def _demand_changeable(self, image: Undecided, routed: Routed, in_force: InForce) -> Routed:
        """Return a decision; one to hold the image if it could not leave by it, for the others wait for that.

        Raises what reading the image raises.
        """
        for what in in_force.changes_for(routed):
            came = Came.at(in_force.profile.timezone, image.calling_ae, image.called_ae, image.received_at)
            try:
                demand_changeable(image, what, came, keys=self._keys, now=dt.datetime.now(dt.UTC))
            except (NotTransformed, NotDeidentified) as error:
                return in_force.unchangeable(what, in_words(error))
            except DamagedObject as error:
                raise _damaged(self._spool, image, error) from error
        return routed

    def _reviewed(
        self, image: Undecided, attributes: Attributes, in_force: InForce, records: MutableMapping[int, Record]
    ) -> tuple[Opinion | None, Reviewed | None]:
        """Return what matching says of an image, None if it does not matter. Raises as `attributes` does."""
        study = image.image >> STUDY_SHIFT
        record = records[study] if study in records else self._spool.review.record(study)
        matching = in_force.matching
        if matching is None and record is None:
            return None, None
        awaited = "" if matching is None else self._matcher.listing().awaited
        if awaited:
            raise _ListAwaited(awaited)
        identity = identity_of(attributes, image.calling_ae)
        look = None if matching is None else self._matcher.look(identity, record, matching.rules)
        opinion = judge(record, identity, look, Terms() if matching is None else matching.terms)
        if opinion is None:
            return None, None
        records[study] = opinion.record
        found = Reviewed(record, opinion.record, identity, opinion.reopened)
        return opinion, found._replace(deed=deed_of(found, in_force, lambda: self._short(study), later=opinion.later))

    def _routed(self, image: Undecided, attributes: Attributes, in_force: InForce, opinion: Opinion | None) -> Routed:
        """Return where an image goes of which matching says that. Raises as `attributes` does."""
        if opinion is not None and opinion.reason is not None:
            return in_force.held(opinion.reason)
        state = None if opinion is None else opinion.record.state
        if opinion is not None and state is State.RELEASED:
            released = self._spool.releasing.made(opinion.record.release)
            return in_force.held(Reason.UNMATCHED) if released is None else in_force.following(released)
        if state is State.LET_THROUGH:
            return in_force.let_through()
        return in_force.routed(attributes, image.calling_ae, image.called_ae, image.received_at)


class _Lazy:
    """The attributes of an image, read when the first is asked for."""

    def __init__(self, spool: Spool, image: Undecided, in_force: InForce, key: bytes) -> None:
        self._spool, self._image, self._in_force, self._key = spool, image, in_force, key
        self._read: Attributes | None = None

    def values(self, attribute: Attribute) -> tuple[str, ...] | None:
        """Return the values of an attribute. Raises `Unreadable`, and what keeps this box from reading the image."""
        if self._read is None:
            try:
                image, profile = self._image, self._in_force.profile
                came = Came.at(profile.timezone, image.calling_ae, image.called_ae, image.received_at)
                self._read = attributes_for_routing(image, profile, came, self._key)
            except DamagedObject as error:
                raise _damaged(self._spool, self._image, error) from error
        return self._read.values(attribute)


def _graver(before: CapacitordError | None, now: CapacitordError | None) -> CapacitordError | None:
    """Return the later of two troubles; a list that is awaited is one only if there is no other."""
    return now if before is None or not (now is None or isinstance(now, _ListAwaited)) else before


def _damaged(spool: Spool, image: Undecided, error: DamagedObject) -> CapacitordError:
    """Return what is wrong with an image that seems damaged: if it is, it is set aside and goes nowhere.

    It may have been moved while it was read.
    """
    return NotFound(error.message) if spool.housekeeping.examine(image.image) else error


class _Nothing:
    """No attributes."""

    def values(self, _attribute: Attribute) -> tuple[str, ...] | None:
        """Return None: it is not there."""
        return None


def _unforeseen() -> CapacitordError:
    return CapacitordError("an unforeseen error, which the log of this box tells of", hint="See the log.")


def _pages(*sources: _Page) -> Iterator[Sequence[Undecided]]:
    """Yield pages of images, one source after the other."""
    for source in sources:
        after = -1
        while page := source(after, AT_ONCE):
            after = page[-1].image
            yield page
