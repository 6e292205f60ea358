"""In which transfer syntax an image may leave for a destination, by what its profile says and the peer accepts.

Nothing here reads an image: whether it can really be written in a syntax is found out when it is tried.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from capacitord.dicom.contexts import Pair
from capacitord.model.compression import Compression

IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
NATIVE: Final = (EXPLICIT_LITTLE, IMPLICIT_LITTLE)
"""What a destination that lists nothing is sent when it accepts nothing else, in this order."""

LOSSLESS: Final = frozenset(
    {
        *NATIVE,
        "1.2.840.10008.1.2.5",
        "1.2.840.10008.1.2.4.70",
        "1.2.840.10008.1.2.4.80",
        "1.2.840.10008.1.2.4.90",
        "1.2.840.10008.1.2.4.201",
    }
)
"""What an image may be written in because a destination lists it. Loss is for `compress` to ask for, in words."""


class Form(NamedTuple):
    """A transfer syntax to send an image in, and how it is written in it; None if it stays as it was received."""

    transfer_syntax_uid: str
    how: Compression | None = None


def forms(source: str, compress: Compression | None, listed: Collection[str]) -> tuple[Form, ...]:
    """Return how an image that was received as `source` may leave, preferred first.

    `listed` are the transfer syntaxes that the profile names for the destination, preferred first. An image leaves in
    one that is not listed only as it was received, and only if no other can be.
    """
    as_received = Form(source)
    found: list[Form] = []
    if compress is not None:
        found.append(Form(compress.transfer_syntax, compress))
    if not listed or source in listed:
        found.append(as_received)
    found += [Form(uid, Compression(uid)) for uid in listed or NATIVE if uid in LOSSLESS]
    found.append(as_received)
    # In its own syntax an image is not written once more.
    once = {form.transfer_syntax_uid: form for form in reversed(found)}
    once[source] = as_received
    return tuple(once[uid] for uid in dict.fromkeys(form.transfer_syntax_uid for form in found))


def acceptable(wanted: Collection[Form], sop_class_uid: str, accepted: Collection[Pair]) -> tuple[Form, ...]:
    """Return the forms that a peer accepts for a SOP class, in the same order."""
    return tuple(form for form in wanted if Pair(sop_class_uid, form.transfer_syntax_uid) in accepted)
