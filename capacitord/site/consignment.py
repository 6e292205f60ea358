"""The images of one association: from the queue into its hands, and every one of them back again."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from capacitord.dicom.classify import End
from capacitord.dicom.contexts import Pair
from capacitord.dicom.storage_scu import Report, Sendable
from capacitord.errors import CapacitordError, DamagedObject
from capacitord.model.outcome import Outcome, Verdict
from capacitord.site.feed import Feed
from capacitord.spool.ledger import Pending

_OF_THE_LINK: Final = frozenset({End.CLOSED, End.STALLED})
"""How a link breaks. A peer that ends an association otherwise, or is silent, may have something against the image."""


class Image:
    """A queued image as the storage SCU wants it. `unreadable` says why it could not be read, if so."""

    __slots__ = ("length", "pending", "sop_class_uid", "sop_instance_uid", "transfer_syntax_uid", "unreadable")

    def __init__(self, pending: Pending) -> None:
        self.pending = pending
        self.sop_class_uid = pending.sop_class_uid
        self.sop_instance_uid = pending.sop_instance_uid
        self.transfer_syntax_uid = pending.transfer_syntax_uid
        self.length = pending.length
        self.unreadable: CapacitordError | None = None

    def chunks(self) -> Iterator[memoryview]:
        """Yield the dataset as it was received, unsealed chunk by chunk.

        Raises `DamagedObject` if this box cannot read it, for whatever reason.
        """
        try:
            yield from self.pending.stored.chunks()
        except DamagedObject as error:
            self.unreadable = error
            raise
        except CapacitordError as error:
            self.unreadable = error
            raise DamagedObject(error.message, hint=error.hint) from error


class Consignment:
    """What one association has in hand. Used by its thread only, but for `in_hand`."""

    def __init__(self, feed: Feed, pairs: Collection[Pair], calling_ae: str | None) -> None:
        """Take images of these pairs only, and of one scanner's only unless `calling_ae` is None."""
        self._feed, self._pairs, self._calling = feed, frozenset(pairs), calling_ae
        self._out: list[Image] = []
        self.refused_all: Outcome | None = None

    def images(self) -> Iterator[Image]:
        """Yield images in the order they should leave.

        Ends when there are none, when the next one does not fit, or when the destination takes nothing. Raises what
        the ledger raises.
        """
        while self.refused_all is None and (pending := self._feed.take(self.fits)) is not None:
            image = Image(pending)
            self._out.append(image)
            yield image

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
        if self._feed.answered(image.pending, outcome):
            self.refused_all = outcome
        return outcome.verdict is not Verdict.LATER

    def broken(self, report: Report) -> None:
        """Take notice of how the association ended, and with which image if there was one."""
        if report.image is not None and report.outcome is not None:
            pending = self._back(report.image).pending
            suspect = report.how not in _OF_THE_LINK
            self._feed.broke_off(pending, report.outcome.reason, suspect=suspect, in_doubt=report.in_doubt)

    def _back(self, sent: Sendable) -> Image:
        """Return the image that was handed out as `sent`, which is in hand no more."""
        image = next(image for image in self._out if image is sent)
        self._out.remove(image)
        return image

    def in_hand(self, sop_instance_uid: str) -> Pending | None:
        """Return an image with this UID that is on its way. For any thread."""
        return next((image.pending for image in tuple(self._out) if image.sop_instance_uid == sop_instance_uid), None)

    def close(self, *, unforeseen: bool = False) -> None:
        """Give back what did not leave, or not whole.

        After an `unforeseen` error nobody knows how far the images in hand came: they stay in doubt, and rest.
        """
        out = [image.pending for image in self._out]
        self._out.clear()
        if unforeseen:
            for pending in out:
                self._feed.broke_off(pending, "An unforeseen error in this box.", suspect=True, in_doubt=True)
            return
        self._feed.not_sent(out)
