"""The images of one association: from the queue into its hands, and every one of them back again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Final

from capacitord.dicom import classify
from capacitord.dicom.classify import End
from capacitord.dicom.contexts import Pair
from capacitord.dicom.storage_scu import Report, Sendable
from capacitord.errors import CapacitordError
from capacitord.model.outcome import Outcome, Verdict
from capacitord.site.feed import Feed
from capacitord.site.overtaking import overtakes
from capacitord.site.preparation.preparer import Held, HelperLost, Image, Preparer, Upcoming
from capacitord.spool.ledger import Pending

_OF_THE_LINK: Final = frozenset({End.CLOSED, End.STALLED})
"""How a link breaks. A peer that ends an association otherwise, or is silent, may have something against the image."""

_MOMENT: Final = 0.05
"""Seconds to wait for an image that is being prepared, before the association looks at what else there is to do."""


class Consignment:
    """What one association has in hand. Used by its thread only, but for `in_hand`.

    `ahead` are images that are being prepared while others are on the wire. They are claimed, and none has left.
    """

    def __init__(
        self,
        feed: Feed,
        pairs: Collection[Pair],
        calling_ae: str | None,
        preparer: Preparer,
        version_in_force: Callable[[], int | None],
    ) -> None:
        """Take images of these pairs only, and of one scanner's only unless `calling_ae` is None.

        `version_in_force` says under which version of the profile the preparer works. Once it is None nothing more is
        handed out, and nothing that was `stands`.
        """
        self._feed, self._pairs, self._calling = feed, frozenset(pairs), calling_ae
        self._preparer, self._version_in_force = preparer, version_in_force
        self._version: int | None = None
        self._ahead: list[Upcoming] = []
        self._out: list[Image] = []
        self._outdated = False
        self.refused_all: Outcome | None = None

    @property
    def goes_on(self) -> bool:
        """Whether images may still be handed out."""
        return self.refused_all is None and self._is_current()

    def stands(self, sent: Sendable) -> bool:
        """Say whether an image that was handed out may leave as it is, and now.

        One that yields to a more urgent image is given back at once, one that is outdated in the end. Raises what the
        ledger raises.
        """
        if not self._is_current():
            return False
        image = self._handed_out(sent)
        if not self._yields(image.pending):
            return True
        self._back(sent, again=True)
        self._feed.not_sent([image.pending])
        return False

    def _yields(self, pending: Pending) -> bool:
        """Say whether an image has to let a more urgent one go first, from the queue or from those in hand."""
        if any(upcoming.is_ready and overtakes(upcoming.pending, pending) for upcoming in self._ahead):
            return True
        return self._feed.overtaking(pending) is not None

    def _is_current(self) -> bool:
        # For good: what was not sent meanwhile goes with another association.
        now = None if self._outdated else self._version_in_force()
        self._outdated = now is None
        # What was made before the version changed is what both versions make.
        self._version = self._version if now is None else now
        return not self._outdated

    def images(self) -> Iterator[Image | None]:
        """Yield images in the order they should leave; None while the next one is still being prepared.

        Ends when there are none, when the next one does not fit, or when the destination takes nothing. Raises what
        the ledger raises.
        """
        while self.goes_on:
            urgent = self._feed.overtaking(self._ahead[0].pending) if self._ahead else None
            if urgent is not None and not self.fits(urgent):
                # It needs another association, and what is prepared for this one is not to keep it waiting.
                self._give_back()
                return
            self._look_ahead(urgent)
            if not self._ahead:
                return
            following = self._following()
            if following is None:
                yield None
                continue
            self._ahead.remove(following)
            if self.goes_on:
                image = self._prepared(following)
                if image is not None:
                    yield image
            else:
                following.release()
                self._feed.not_sent([following.pending])

    def _look_ahead(self, urgent: Pending | None) -> None:
        """Take images from the queue: one that can go at once, or as many as are worth being prepared ahead.

        One that is `urgent` is taken in any case.
        """
        most, at_least_one = self._preparer.ahead, urgent is not None
        while at_least_one or (len(self._ahead) < most and all(upcoming.takes_long for upcoming in self._ahead)):
            pending = self._feed.take(self.fits)
            if pending is None:
                return
            self._take(pending)
            at_least_one = False

    def _give_back(self) -> None:
        """Let go of all that is being prepared. None of it has left."""
        for upcoming in self._ahead:
            upcoming.set_aside()
        pending = [upcoming.pending for upcoming in self._ahead]
        self._ahead.clear()
        self._feed.not_sent(pending)

    def _take(self, pending: Pending) -> None:
        try:
            self._ahead.append(self._preparer.begin(pending))
        except Held as held:
            self._feed.held(pending, classify.held(str(held), held.reason), self._version)
        except CapacitordError as error:
            self._feed.unreadable(pending, error)
        except BaseException:
            self._feed.not_sent([pending])
            raise
        self._ahead.sort(key=lambda upcoming: -upcoming.pending.priority)

    def _following(self) -> Upcoming | None:
        """Return what goes next; None if nothing can yet.

        What is less urgent goes only while the first is not ready. What is as urgent goes only while the first is not
        even begun: it may wait for the room in memory that the others take.
        """
        first = self._ahead[0]
        if first.is_ready:
            return first
        for upcoming in self._ahead[1:]:
            may_go = upcoming.pending.priority < first.pending.priority or not first.is_begun
            if may_go and upcoming.is_ready:
                return upcoming
        return first if first.wait(_MOMENT) else None

    def _prepared(self, upcoming: Upcoming) -> Image | None:
        """Return an image that is ready, None if it does not leave."""
        pending = upcoming.pending
        try:
            image = upcoming.image()
        except Held as held:
            self._feed.held(pending, classify.held(str(held), held.reason), self._version)
        except HelperLost as lost:
            self._feed.not_prepared(pending, lost.message)
        except CapacitordError as error:
            self._feed.unreadable(pending, error)
        except BaseException:
            self._feed.not_sent([pending])
            raise
        else:
            self._out.append(image)
            return image
        return None

    def fits(self, pending: Pending) -> bool:
        """Say whether an image can go with this association."""
        pair = Pair(pending.sop_class_uid, pending.transfer_syntax_uid)
        return pair in self._pairs and self._calling in {None, pending.calling_ae}

    def answered(self, sent: Sendable, outcome: Outcome) -> bool:
        """Take what became of an image; return whether the destination has dealt with it for good.

        `refused_all` is set when the destination seems to take nothing.
        """
        image = self._back(sent)
        if image.unreadable is not None:
            self._feed.unreadable(image.pending, image.unreadable)
            return False
        if image.without:
            outcome = classify.sent_without(outcome, image.without)
        if self._feed.answered(image.pending, outcome, image.codes, self._version):
            self.refused_all = outcome
        return outcome.verdict not in {Verdict.LATER, Verdict.HELD}

    def broken(self, report: Report) -> None:
        """Take notice of how the association ended, and with which image if there was one."""
        if report.image is not None and report.outcome is not None:
            image = self._back(report.image, again=True)
            suspect = report.how not in _OF_THE_LINK
            self._feed.broke_off(
                image.pending, report.outcome.reason, image.codes, suspect=suspect, in_doubt=report.in_doubt
            )

    def _back(self, sent: Sendable, *, again: bool = False) -> Image:
        """Return the image that was handed out as `sent`, which is in hand no more; `again` if it is to be sent."""
        image = self._handed_out(sent)
        self._out.remove(image)
        if again:
            image.set_aside()
        else:
            image.release()
        return image

    def _handed_out(self, sent: Sendable) -> Image:
        return next(image for image in self._out if image is sent)

    def in_hand(self, sop_instance_uid: str) -> Pending | None:
        """Return an image with this UID that is on its way. For any thread."""
        return next((image.pending for image in tuple(self._out) if image.sop_instance_uid == sop_instance_uid), None)

    def close(self, *, unforeseen: bool = False) -> None:
        """Give back what did not leave, or not whole.

        After an `unforeseen` error nobody knows how far the images in hand came: they stay in doubt, and rest.
        """
        self._give_back()
        out = self._out.copy()
        for image in out:
            image.set_aside()
        self._out.clear()
        if unforeseen:
            why = "An unforeseen error in this box."
            for image in out:
                self._feed.broke_off(image.pending, why, image.codes, suspect=True, in_doubt=True)
            return
        self._feed.not_sent([image.pending for image in out])
