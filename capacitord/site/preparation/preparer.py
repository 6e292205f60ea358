"""From a queued image to one that can be sent over a given association, whatever has to be done for that.

What costs next to nothing is done at once, when the image's turn comes. What takes long is begun ahead, by the pool.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Final, Protocol

import msgspec

from capacitord.dicom.contexts import Pair
from capacitord.dicom.deidentify.engine import NotDeidentified
from capacitord.dicom.forms import acceptable, forms
from capacitord.dicom.outgoing import Came, Keys, Recipe, changed
from capacitord.dicom.produce import in_words, left_out, reason_of
from capacitord.dicom.transform.failure import NotTransformed
from capacitord.errors import CapacitordError, DamagedObject
from capacitord.model.codes import Code
from capacitord.model.reasons import Reason
from capacitord.model.transform import Transform
from capacitord.site.preparation.commission import Commission, Product
from capacitord.site.preparation.helper import HelperLost
from capacitord.site.preparation.messages import AsReceived, Job, NotMade
from capacitord.site.preparation.pool import Pool
from capacitord.spool.ledger import Pending

_STEP: Final = 1 << 20


class Contents(Protocol):
    """The bytes of an image."""

    def chunks(self) -> Iterator[memoryview]:
        """Yield the dataset in pieces, each valid until the next is taken."""


class _Ordered:
    """What may have a commission with the pool."""

    __slots__ = ("_commission",)

    def __init__(self, commission: Commission | None = None) -> None:
        self._commission = commission

    def release(self) -> None:
        """Say that it is not needed any more."""
        if self._commission is not None:
            self._commission.release()

    def set_aside(self) -> None:
        """Say that it will be needed again, if not by this association."""
        if self._commission is not None:
            self._commission.set_aside()


class Image(_Ordered):
    """A queued image as the storage SCU wants it. `unreadable` says why it could not be read, if so.

    What it is called in the queue is in `pending`; what is sent may have another UID and another length, and `codes`
    instead of what tells who the patient is. `without` says what it leaves without, as the profile lets it.
    """

    __slots__ = (
        "_contents",
        "codes",
        "length",
        "pending",
        "sop_class_uid",
        "sop_instance_uid",
        "transfer_syntax_uid",
        "unreadable",
        "without",
    )

    def __init__(self, pending: Pending) -> None:
        super().__init__()
        self.pending = pending
        self.sop_class_uid = pending.sop_class_uid
        self.sop_instance_uid = pending.sop_instance_uid
        self.transfer_syntax_uid = pending.transfer_syntax_uid
        self.length = pending.length
        self.codes: tuple[Code, ...] = ()
        self.without: tuple[str, ...] = ()
        self.unreadable: CapacitordError | None = None
        self._contents: Contents = pending.stored

    def becomes(self, contents: Contents, length: int, sop_instance_uid: str, codes: tuple[Code, ...]) -> Image:
        """Return it with its attributes changed."""
        self._contents, self.length = contents, length
        self.sop_instance_uid, self.codes = sop_instance_uid, codes
        return self

    def made(self, product: Product, commission: Commission) -> Image:
        """Return it as the pool made it, whose commission is released when the image is not needed any more."""
        self.becomes(_InMemory(product.data), product.length, product.sop_instance_uid, product.codes)
        self.without = product.without
        self.transfer_syntax_uid, self._commission = product.transfer_syntax_uid, commission
        return self

    def chunks(self) -> Iterator[memoryview]:
        """Yield the dataset as it is to leave, in pieces.

        Raises `DamagedObject` if this box cannot read it, for whatever reason.
        """
        try:
            yield from self._contents.chunks()
        except DamagedObject as error:
            self.unreadable = error
            raise
        except CapacitordError as error:
            self.unreadable = error
            raise DamagedObject(error.message, hint=error.hint) from error


class _InMemory:
    def __init__(self, data: memoryview) -> None:
        self._data = data

    def chunks(self) -> Iterator[memoryview]:
        for start in range(0, len(self._data), _STEP):
            yield self._data[start : start + _STEP]


class Held(Exception):
    """An image does not leave as its profile is: why, in a sentence, and which `reason` that is."""

    def __init__(self, why: str, reason: Reason) -> None:
        super().__init__(why)
        self.reason = reason


class Upcoming(_Ordered):
    """A queued image that is being prepared, or will be when its turn comes."""

    def __init__(self, pending: Pending, preparer: Preparer | None, commission: Commission | None) -> None:
        super().__init__(commission)
        self.pending, self._preparer = pending, preparer

    @property
    def takes_long(self) -> bool:
        """Whether the pool prepares it."""
        return self._commission is not None

    @property
    def is_begun(self) -> bool:
        """Whether it does not wait for its turn, or for room in memory."""
        return self._commission is None or self._commission.is_begun

    @property
    def is_ready(self) -> bool:
        """Whether it can be had without waiting."""
        return self._commission is None or self._commission.is_done

    def wait(self, seconds: float) -> bool:
        """Wait until it is ready, or for so many seconds; return whether it is."""
        return self._commission is None or self._commission.wait(seconds)

    def image(self) -> Image:
        """Return the image; once, when it is ready.

        Raises `Held` if it must not leave, `HelperLost` if it can't be prepared now, and what reading it raises.
        """
        if self._commission is None:
            return Image(self.pending) if self._preparer is None else self._preparer.at_once(self.pending)
        result = self._commission.result
        if isinstance(result, Product):
            return Image(self.pending).made(result, self._commission)
        self.release()
        if isinstance(result, AsReceived):
            image = Image(self.pending)
            image.without = result.without
            return image
        if isinstance(result, NotMade):
            raise Held(result.reason, result.held)
        raise result


class Preparer:
    """Prepares images for one association, by one recipe; `accepted` is what the peer takes."""

    def __init__(self, recipe: Recipe, accepted: Mapping[Pair, int], pool: Pool, keys: Keys) -> None:
        self.recipe = recipe
        self._accepted, self._pool, self._keys = accepted, pool, keys
        # For images that a person has reconciled; the same object for the same, so that a helper is told it once.
        self._reconciling: dict[Transform, Recipe] = {}

    @property
    def ahead(self) -> int:
        """How many images are worth being prepared before they can be sent."""
        return self._pool.size + 1

    def begin(self, pending: Pending) -> Upcoming:
        """Begin to prepare an image. Raises `Held`, and what reading how it came in raises."""
        source = Pair(pending.sop_class_uid, pending.transfer_syntax_uid)
        wanted = forms(source, self.recipe.compress, self.recipe.transfer_syntaxes)
        possible = acceptable(wanted, pending.sop_class_uid, self._accepted)
        if not possible:
            # The association says why.
            return Upcoming(pending, None, None)
        stays = possible[0].how is None
        if stays and not self.recipe.deidentifications:
            return Upcoming(pending, self, None)
        if pending.length > self._pool.largest:
            if all(form.how is not None for form in possible):
                most = self._pool.largest >> 20
                msg = f"It is larger than {most} MiB, the most this box writes in another transfer syntax."
                raise Held(msg, Reason.NOT_WRITABLE)
            return Upcoming(pending, self, None)
        job = Job(
            pending.transfer_syntax_uid,
            pending.sop_instance_uid,
            pending.length,
            self._came(pending),
            possible,
            self._recipe_for(pending),
        )
        key = (self.recipe.destination, pending.delivery, pending.image)
        return Upcoming(pending, self, self._pool.submit(pending.stored, job, key, pending.priority))

    def at_once(self, pending: Pending) -> Image:
        """Return an image in the transfer syntax it was received in. Raises as `Upcoming.image` does."""
        image, what = Image(pending), self._recipe_for(pending)
        if what.keeps_attributes:
            return image
        now = dt.datetime.now(dt.UTC)
        try:
            become = changed(
                _Received(pending), pending.sop_instance_uid, what, self._came(pending), keys=self._keys, now=now
            )
        except (NotTransformed, NotDeidentified) as error:
            raise Held(in_words(error), reason_of(error)) from None
        image.without = left_out(become)
        if become.image.is_as_received:
            return image
        return image.becomes(become.image, become.image.length, become.sop_instance_uid, become.codes)

    def _recipe_for(self, pending: Pending) -> Recipe:
        """Return what is to become of an image: what the profile says, and what a person said of its study."""
        changes = pending.reconciled
        if changes is None:
            return self.recipe
        known = self._reconciling.get(changes)
        if known is None:
            known = self._reconciling[changes] = msgspec.structs.replace(self.recipe, reconciled=(changes,))
        return known

    def _came(self, pending: Pending) -> Came:
        arrival = pending.stored.arrival()
        return Came.at(self.recipe.timezone, arrival.calling_ae, arrival.called_ae, arrival.received_at)


class _Received:
    def __init__(self, pending: Pending) -> None:
        self.transfer_syntax_uid, self.length = pending.transfer_syntax_uid, pending.length
        self.chunks = pending.stored.chunks


__all__ = ["Held", "HelperLost", "Image", "Preparer", "Upcoming"]
