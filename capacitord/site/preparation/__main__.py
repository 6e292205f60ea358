"""A helper process: `python -m capacitord.site.preparation FD`, started by a site's runtime only.

It has one socket, and is sent the images it works on as memory files. It opens no file and no connection once it is
ready.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import resource
import signal
import socket
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Final

from capacitord.dicom import produce as produced
from capacitord.dicom.arriving import describe
from capacitord.dicom.outgoing import Keys, Recipe
from capacitord.dicom.preview.engine import NotShown, picture
from capacitord.dicom.produce import InMemory, NotProduced, load, produce
from capacitord.link import logs, secrecy
from capacitord.link.channel import Channel, LinkClosed
from capacitord.site.preparation.memory import mapped, sealed
from capacitord.site.preparation.messages import (
    AsReceived,
    Begin,
    Draw,
    Drew,
    Follow,
    FromHelper,
    Job,
    Made,
    NotMade,
    Ready,
    ToHelper,
    Work,
)

LOG = logging.getLogger(__name__)
NICENESS: Final = 19
"""Reception and delivery go before, and get all the time they want."""

Answer = tuple[FromHelper, int | None]
"""What is said to the runtime, with a memory file if there is one."""

_LIBRARIES: Final = 1 << 30
"""Bytes that libraries may reserve, mostly for threads, whatever the image."""


def main() -> int:
    """Prepare images until the runtime is gone; return the exit code."""
    logs.set_up("warning")
    for library in ("pynetdicom", "pydicom"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    sys.excepthook = lambda _kind, error, _trace: LOG.critical("A helper ended: %s", describe(error))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    # What is in memory here is a patient's, and no crash may write it to a disk.
    secrecy.leave_no_dump()
    load()
    channel: Channel[FromHelper, ToHelper] = Channel(socket.socket(fileno=int(sys.argv[1])), ToHelper)
    try:
        serve(channel)
    except LinkClosed:
        return 0
    return 1


def serve(channel: Channel[FromHelper, ToHelper]) -> None:
    """Do one job after the other. Raises `LinkClosed` in the end; returns if the runtime says what it must not."""
    channel.send(Ready())
    begin, _ = channel.receive()
    if not isinstance(begin, Begin):
        return
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _LIBRARIES + begin.memory
    if most != resource.RLIM_INFINITY:
        limit = min(limit, most)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    recipe: Recipe | None = None
    while True:
        job, descriptor = channel.receive()
        if isinstance(job, Follow):
            recipe = job.recipe
            continue
        if isinstance(job, Draw) and descriptor is not None:
            answer, made = do(job, descriptor, partial(drawn, job))
        elif isinstance(job, Job) and descriptor is not None and recipe is not None:
            answer, made = do(job, descriptor, partial(prepared, job, recipe, begin.keys))
        else:
            return
        try:
            channel.send(answer, made)
        finally:
            if made is not None:
                os.close(made)


def do(job: Work, descriptor: int, make: Callable[[memoryview], Answer]) -> Answer:
    """Return what `make` makes of the dataset in a memory file, or why there is nothing."""
    try:
        return make(mapped(descriptor, job.length))
    except NotProduced as error:
        return NotMade(str(error), job.number, error.held), None
    except NotShown as error:
        return NotMade(str(error), job.number), None
    except MemoryError:
        why = "To prepare the image takes more memory than this box may use for that."
        return NotMade(why, job.number), None
    except Exception as error:  # noqa: BLE001 - whatever an image does to a library, it is that image's matter
        LOG.warning("An image could not be prepared for an unforeseen reason: %s", describe(error))
        why = "The image could not be prepared because of an unforeseen error; the box's log says more."
        return NotMade(why, job.number), None


def prepared(job: Job, recipe: Recipe, keys: Keys, data: memoryview) -> Answer:
    """Return an image as its recipe says. Raises `NotProduced`."""
    image = InMemory(job.transfer_syntax_uid, data)
    product = produce(image, job.sop_instance_uid, recipe, job.came, job.forms, keys=keys, now=dt.datetime.now(dt.UTC))
    if isinstance(product, produced.AsReceived):
        return AsReceived(job.number, product.without), None
    made = Made(
        product.transfer_syntax_uid,
        product.sop_instance_uid,
        product.length,
        job.number,
        product.codes,
        product.without,
    )
    return made, sealed(product.pieces, product.length)


def drawn(job: Draw, data: memoryview) -> Answer:
    """Return a picture of an image. Raises `NotShown`."""
    made = picture(data, job.transfer_syntax_uid, size=job.size, frame=job.frame, window=job.window)
    length = len(made.png)
    drew = Drew(length, made.rows, made.columns, made.frame, made.frames, made.window, made.is_whole, job.number)
    return drew, sealed([made.png], length)


if __name__ == "__main__":
    sys.exit(main())
