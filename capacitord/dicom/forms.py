"""In which transfer syntax an image may leave for a destination, by what its profile says and the peer accepts.

Nothing here reads an image: whether it can really be written in a syntax is found out when it is tried.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from capacitord.dicom.contexts import Pair
from capacitord.dicom.transcode.syntaxes import EXPLICIT_UID, IMPLICIT_UID, SOURCES, TARGETS, possible
from capacitord.model.compression import Compression, Loss

NATIVE: Final = (EXPLICIT_UID, IMPLICIT_UID)
"""What a destination that lists nothing is sent when it accepts nothing else, in this order."""


class Form(NamedTuple):
    """A transfer syntax to send an image in, and how it is written in it; None if it stays as it was received."""

    transfer_syntax_uid: str
    how: Compression | None = None


def forms(source: Pair, compress: Compression | None, listed: Collection[str]) -> tuple[Form, ...]:
    """Return how an image that was received as `source` may leave, preferred first.

    `listed` are the transfer syntaxes that the profile names for the destination, preferred first. An image leaves in
    one that is not listed only as it was received, and only if no other can be. Loss is for `compress` to ask for.
    What was compressed with loss before is not written without loss where it may stay as it was received: that brings
    nothing back, and it would only grow.
    """
    as_received = Form(source.transfer_syntax_uid)
    may_stay = not listed or source.transfer_syntax_uid in listed
    found: list[Form] = []
    if may_stay and compress is not None and _only_grows(source, compress):
        found.append(as_received)
    if compress is not None:
        found.append(Form(compress.transfer_syntax, compress))
    if may_stay:
        found.append(as_received)
    lossless = (uid for uid in listed or NATIVE if uid in TARGETS and TARGETS[uid].loss is Loss.NONE)
    found += [Form(uid, Compression(uid)) for uid in lossless]
    found.append(as_received)
    once: dict[str, Form] = {}
    for form in found:
        # In its own syntax an image is not written once more.
        it = as_received if form.transfer_syntax_uid == source.transfer_syntax_uid else form
        if it.how is None or not possible(source.transfer_syntax_uid, it.how, sop_class_uid=source.sop_class_uid):
            once.setdefault(it.transfer_syntax_uid, it)
    return tuple(once.values())


def _only_grows(source: Pair, compress: Compression) -> bool:
    """Whether an image in a syntax that may lose something would be written in one that loses nothing."""
    received = SOURCES.get(source.transfer_syntax_uid)
    return received is not None and received.may_lose and not compress.lossy


def acceptable(wanted: Collection[Form], sop_class_uid: str, accepted: Collection[Pair]) -> tuple[Form, ...]:
    """Return the forms that a peer accepts for a SOP class, in the same order."""
    return tuple(form for form in wanted if Pair(sop_class_uid, form.transfer_syntax_uid) in accepted)
