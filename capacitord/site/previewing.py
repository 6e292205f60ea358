"""Pictures of images for whoever has to decide on them, made by a helper process: no codec runs in this one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Final

from capacitord.api import messages as m
from capacitord.api.preview import Pictured, Preview, labelled
from capacitord.errors import NotFound, TryAgain
from capacitord.site.preparation.commission import Drawn
from capacitord.site.preparation.helper import HelperLost
from capacitord.site.preparation.messages import Draw, NotMade
from capacitord.site.preparation.pool import Pool
from capacitord.spool.store import Spool

PATIENCE: Final = 60.0
"""Seconds that a picture may take, its turn included."""

MOST_TRIED: Final = 5
"""How many series are looked into for an image that has pixels."""

_FIRST: Final = 1_000_000
"""The priority of one picture that a person waits for, with a patient's study held meanwhile."""

_NO_DELIVERY: Final = ("", 0, 0)
"""Instead of a destination, a delivery and an image: a picture is set aside for nobody."""


class Previewing:
    """Makes pictures of the images of a spool."""

    def __init__(self, spool: Spool, pool: Pool) -> None:
        self._spool, self._pool = spool, pool

    def preview(self, request: Preview) -> tuple[bytes, str]:
        """Return a picture as a PNG file, and the short id of the study.

        Raises `NotFound` if there is no picture, with why, `TryAgain`, and what reading the image raises.
        """
        study, short = self._spool.studies.find(request.study)
        images = self._spool.studies.detail(study, "").images
        if request.image:
            wanted = self._spool.studies.object_id(self._spool.studies.image(study, request.image))
            found = next(image for image in images if image.object_id == wanted)
            return self._made(study, short, found, request), short
        first: NotFound | None = None
        for image in itertools.islice(candidates(images), MOST_TRIED):
            try:
                return self._made(study, short, image, request), short
            except NotFound as error:
                first = first or error
        if first is not None:
            raise first
        raise _none(short, "", "None of its images can be opened: they have left this box, or are damaged.")

    def _made(self, study: int, short: str, image: m.Image, request: Preview) -> bytes:
        specimen = self._spool.studies.specimen(self._spool.studies.image(study, image.object_id))
        if specimen is None:
            why = "Its bytes have left this box." if image.purged else "It cannot be read."
            raise _none(short, image.object_id, why)
        if specimen.length > self._pool.largest_drawn:
            why = f"It is larger than {self._pool.largest_drawn >> 20} MiB, the most this box makes a picture of."
            raise _none(short, image.object_id, why)
        job = Draw(specimen.transfer_syntax_uid, specimen.length, request.frame, request.size, request.window)
        commission = self._pool.submit(specimen, job, _NO_DELIVERY, _FIRST)
        try:
            if not commission.wait(PATIENCE):
                hint = "Try again in a moment."
                raise TryAgain("The box is busy preparing images.", where=f"study {short}", hint=hint)
            match commission.drawing:
                case Drawn() as drawn:
                    return labelled(bytes(drawn.data), _label(short, image, drawn))
                case NotMade(reason):
                    raise _none(short, image.object_id, reason)
                case HelperLost():
                    raise _lost(short, image.object_id)
                case error:
                    raise error
        finally:
            commission.release()


def candidates(images: Sequence[m.Image]) -> Iterator[m.Image]:
    """Yield the image in the middle of each series, of those that are here and whole; series in their order.

    First of all those that wait for a person: they may be another patient's than the others of the study.
    """
    here = [image for image in images if not (image.purged or image.corrupt)]
    for waits in (True, False):
        wanted = (image for image in here if (image.routing == "held") is waits)
        for _, series in itertools.groupby(wanted, key=lambda image: image.series_uid):
            each = list(series)
            yield each[len(each) // 2]


def _label(short: str, image: m.Image, drawn: Drawn) -> Pictured:
    return Pictured(
        short,
        image.object_id,
        image.modality,
        image.series_number,
        image.instance_number,
        drawn.frame,
        drawn.frames,
        drawn.rows,
        drawn.columns,
        drawn.window,
        drawn.is_whole,
    )


def _lost(short: str, object_id: str) -> TryAgain:
    where = f"study {short}, image {object_id[:12]}"
    hint = "Try again. If that does not help, the image is not as its kind should be, and the box's log says more."
    return TryAgain("The process that makes pictures ended, or took too long.", where=where, hint=hint)


def _none(short: str, object_id: str, why: str) -> NotFound:
    where = f"study {short}, image {object_id[:12]}" if object_id else f"study {short}"
    hint = f"See its images: `fluxctl study show {short} --images`. Another one: --image OBJECT."
    return NotFound(f"There is no picture of it. {why}", where=where, hint=hint)
