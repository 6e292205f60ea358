"""Why something waits for a person: one enumeration, with a sentence and a next step for each.

A whole image may wait, whose destinations nobody has decided on, or only its copy for one destination, which this box
does not send as the profile is. What decides it says which reason it is; nobody finds that out from words.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class Reason(enum.StrEnum):
    """Why a study, an image of it, or its copy for a destination, waits for a person.

    These words are in catalogs: they are never given another meaning. The gravest come first.
    """

    CONFLICT = "conflict"
    AMBIGUOUS = "ambiguous"
    UNMATCHED = "unmatched"
    INVALID = "invalid"
    DUPLICATE = "duplicate"
    NO_ROUTE = "no-route"
    UNKNOWN_DESTINATION = "unknown-destination"
    UNREADABLE = "unreadable"
    MISSING_IMAGES = "missing-images"
    TOGETHER = "together"
    TRANSFORM_FAILED = "transform-failed"
    BURNED_IN = "burned-in"
    NOT_DEIDENTIFIED = "not-deidentified"
    UNCLEAR_PIXELS = "unclear-pixels"
    NOT_WRITABLE = "not-writable"
    NOT_PREPARED = "not-prepared"
    UNFIT_UIDS = "unfit-uids"
    DAMAGED = "damaged"


class Words(NamedTuple):
    """A reason in a sentence, and the next step.

    `{study}` stands for the short id, and `{destination}` for the name of the one that does not get it.
    """

    sentence: str
    step: str


_LOOK: Final = "Look at it: `fluxctl held show {study}`. "
_RELEASE: Final = "Send it on purpose: `fluxctl release {study}`."
_WHY: Final = "See what it is about: `fluxctl study explain {study}`. "
_AGAIN: Final = (
    "Its next version tries again by itself, and at any time you can: `fluxctl resend {study} --to {destination}`. "
)
_WITHOUT: Final = "Or leave it out: `fluxctl held discard {study}`."

WORDS: Final[Mapping[Reason, Words]] = MappingProxyType(
    {
        Reason.UNMATCHED: Words(
            "Nothing on the worklist agrees with it by the rules of the profile.",
            _LOOK + "Release it, as the entry it belongs to if there is one: `fluxctl release {study}` asks which.",
        ),
        Reason.CONFLICT: Words(
            "It came under the identity of another patient.",
            _LOOK + "Find out who was examined before you release or discard it.",
        ),
        Reason.AMBIGUOUS: Words(
            "Several entries of the worklist come into question for it, which is as good as none.",
            _LOOK + "Say which one it is: `fluxctl release {study}` asks.",
        ),
        Reason.INVALID: Words(
            "Its images are not what they say they are, and other systems may refuse or misread them.",
            _LOOK + "Send it again from the scanner, or release it as it is: `fluxctl release {study}`.",
        ),
        Reason.DUPLICATE: Words(
            "It came again under the UID of another image with other content, and nobody gets it.",
            "Compare them: `fluxctl study show {study}` names it, `fluxctl study preview {study} --image OBJECT` shows "
            "it. Send it: `fluxctl resend {study} --image OBJECT`. Or leave it out: `fluxctl held discard {study}`.",
        ),
        Reason.NO_ROUTE: Words("No route of the profile matches it.", "Add a route to the profile. " + _RELEASE),
        Reason.UNKNOWN_DESTINATION: Words(
            "Its route names a destination that the profile does not have.", "Mend the profile. " + _RELEASE
        ),
        Reason.UNREADABLE: Words("What routes or matching look at cannot be read in it.", _LOOK + _RELEASE),
        Reason.MISSING_IMAGES: Words(
            "Images are missing that the scanner has announced.",
            "Send them again from the scanner; their names: `fluxctl study show {study}`. " + _RELEASE,
        ),
        Reason.TOGETHER: Words(
            "Another image of its study cannot leave, and the profile sends whole studies only.",
            _LOOK + "Discard what is held, and the others leave: `fluxctl held discard {study}`. "
            "Or release all of it: `fluxctl release {study}`.",
        ),
        Reason.TRANSFORM_FAILED: Words(
            "The profile changes it for {destination}, and that failed.",
            _WHY + "Correct the profile: `fluxctl profile import FILE`. " + _AGAIN + _WITHOUT,
        ),
        Reason.BURNED_IN: Words(
            "The patient may be recognisable in its pixels, so it does not leave de-identified for {destination}.",
            "Look at the images: `fluxctl study preview {study}`. Where nothing is to be seen in them, the profile can "
            "say so for this device: a transform that sets BurnedInAnnotation to NO. " + _AGAIN + _WITHOUT,
        ),
        Reason.NOT_DEIDENTIFIED: Words(
            "It cannot be de-identified as the profile says, so it does not leave for {destination}.",
            _WHY + "Correct the profile: `fluxctl profile import FILE`. " + _AGAIN + _WITHOUT,
        ),
        Reason.UNCLEAR_PIXELS: Words(
            "There may be more than pixels in its pixel data, so it does not leave de-identified for {destination}.",
            "No profile can mend that: have its device send it anew. " + _WITHOUT,
        ),
        Reason.NOT_WRITABLE: Words(
            "It cannot be written in a form that {destination} accepts.",
            "Have {destination} accept it as it came, or correct the profile: `fluxctl profile import FILE`. "
            + _AGAIN
            + _WITHOUT,
        ),
        Reason.NOT_PREPARED: Words(
            "This box could not prepare it for {destination}.",
            "Why is in the log: `journalctl -u capacitord`. Try again: `fluxctl resend {study} --to {destination}`. "
            + _WITHOUT,
        ),
        Reason.UNFIT_UIDS: Words(
            "Its SOP class or transfer syntax has no UID that could be proposed to any system.",
            "Take it out by hand: `fluxctl study export {study} DIRECTORY`. " + _WITHOUT,
        ),
        Reason.DAMAGED: Words(
            "This box's copy of it is damaged, so {destination} does not get it.",
            "Send it from the scanner again, and check the disk: `fluxctl doctor --verify`.",
        ),
    }
)


def suggested(entry: str) -> Words:
    """Return the words for a study that nothing matched, and that an entry matches which came onto the list later."""
    return Words(
        f"Nothing on the worklist agreed with it when it came. Entry {entry} came later, and matches.",
        f"{_LOOK}If it is that, release it so: `fluxctl release {{study}} --match {entry}`.",
    )


WHOSE: Final = frozenset({Reason.CONFLICT, Reason.AMBIGUOUS, Reason.UNMATCHED})
"""For what a study waits of which it is not known whose it is: while it does, nobody is advised to send it as it is."""

UNCHANGEABLE: Final = Words(
    "The profile changes it, and that failed.",
    _WHY + "Correct the profile: `fluxctl profile import FILE`. " + _WITHOUT,
)
"""Of `TRANSFORM_FAILED` where it holds a whole image, for the others of its study leave with it or not at all."""

FOR_A_DESTINATION: Final = frozenset(
    {
        Reason.TRANSFORM_FAILED,
        Reason.BURNED_IN,
        Reason.NOT_DEIDENTIFIED,
        Reason.UNCLEAR_PIXELS,
        Reason.NOT_WRITABLE,
        Reason.NOT_PREPARED,
        Reason.UNFIT_UIDS,
        Reason.DAMAGED,
    }
)
"""For what a copy waits on its way to one destination; the image may go to others."""
