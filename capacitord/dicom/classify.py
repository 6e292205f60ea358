"""What an answer, a refusal, an abort or a silence of a peer means for the queue, and in words.

Everything here is a table or a total function over one; nothing here does I/O. The sentences name the peer and say
what to do where a person has to do something. They never carry anything of an image. The peer's own Error
Comment is kept beside them (`Outcome.comment`): a peer may have put patient data into it, so it is for the
operator's eyes and never for a log.

Which verdict: *later* where the same bytes may be taken another time (no room, no connection, a failure without a
cause), *needs-person* where repeating alone cannot help (the image, its SOP class or this box is refused), *held* where
it is this box that does not send the image, and the peer has said nothing.
"""

from __future__ import annotations

import enum
import errno
import socket
import unicodedata
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec

from capacitord.dicom.contexts import Pair, Refusal, sop_class_name, syntax_name
from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.reasons import Reason

DUPLICATE_SOP_INSTANCE: Final = 0x0111
LONGEST_COMMENT: Final = 128
"""Characters kept of an Error Comment. The standard allows 64 (PS3.5 LO); some peers send more."""

_DONE, _WARNING = Verdict.DONE, Verdict.DONE_WITH_WARNING
_LATER, _PERSON = Verdict.LATER, Verdict.NEEDS_PERSON

_AGAIN = "It is tried again."
_OBJECT = "Ask the administrator of {peer} what is wrong with this image; the box keeps it."
_SETUP = "Ask the administrator of {peer} to check how this box is set up there."


class Meaning(NamedTuple):
    """A row of a table: what to do, and the sentences, with `{peer}` and `{status}` to be filled in."""

    verdict: Verdict
    words: str


_EXACT: Mapping[int, Meaning] = MappingProxyType(
    {
        0x0000: Meaning(_DONE, "{peer} has stored the image."),
        0x0001: Meaning(_WARNING, "{peer} has stored the image, with a warning."),
        0x0107: Meaning(_WARNING, "{peer} has stored the image, but not all of its attributes."),
        0x0116: Meaning(_WARNING, "{peer} has stored the image, but found a value out of its range."),
        0xB000: Meaning(_WARNING, "{peer} has stored the image and changed some of its values."),
        0xB006: Meaning(_WARNING, "{peer} has stored the image and left out some of its elements."),
        0xB007: Meaning(_WARNING, "{peer} has stored the image, though it does not match its SOP class."),
        0x0110: Meaning(_LATER, "{peer} failed to process the image (status {status}). " + _AGAIN),
        0x0111: Meaning(
            _PERSON,
            "{peer} already has an image with this SOP Instance UID and did not store this one. "
            "Compare the two at {peer}; the box keeps its own.",
        ),
        0x0112: Meaning(_PERSON, "{peer} says that there is no such SOP instance (status {status}). " + _OBJECT),
        0x0117: Meaning(_PERSON, "{peer} says that the SOP Instance UID is not valid. " + _OBJECT),
        0x0118: Meaning(_PERSON, "{peer} does not know the SOP class of the image. " + _SETUP),
        0x0119: Meaning(_PERSON, "{peer} has this SOP instance under another SOP class. " + _OBJECT),
        0x0122: Meaning(_PERSON, "{peer} does not support the SOP class of the image. " + _SETUP),
        0x0124: Meaning(_PERSON, "{peer} does not allow this box to store images. " + _SETUP),
        0x0210: Meaning(_LATER, "{peer} took the message for one it already had (status {status}). " + _AGAIN),
        0x0211: Meaning(_PERSON, "{peer} does not take images at all (status {status}). " + _SETUP),
        0x0212: Meaning(_PERSON, "{peer} could not read the request (status {status}). " + _SETUP),
        0x0213: Meaning(_LATER, "{peer} is short of resources (status {status}). " + _AGAIN),
        0xFE00: Meaning(_LATER, "{peer} cancelled the transfer. " + _AGAIN),
        0xFF00: Meaning(_LATER, "{peer} gave no final answer (status {status}). " + _AGAIN),
        0xFF01: Meaning(_LATER, "{peer} gave no final answer (status {status}). " + _AGAIN),
    }
)
"""Statuses with a meaning of their own in an answer to C-STORE (PS3.7 §9.1.1.1.9, annex C; PS3.4 table B.2-1).

0110 says only that something went wrong inside the peer, so it is worth another try. 0111 is no acknowledgement:
the image there may be another one with the same UID; see `as_repeated` for when it is ours.
"""

_RANGES: tuple[tuple[range, Meaning], ...] = (
    (
        range(0xA700, 0xA800),
        Meaning(_LATER, "{peer} is out of resources, for example disk space (status {status}). " + _AGAIN),
    ),
    (
        range(0xA900, 0xAA00),
        Meaning(_PERSON, "{peer} says that the image does not match its SOP class (status {status}). " + _OBJECT),
    ),
    (range(0xA000, 0xB000), Meaning(_PERSON, "{peer} refused the image (status {status}). " + _OBJECT)),
    (
        range(0xB000, 0xC000),
        Meaning(_WARNING, "{peer} has stored the image, with a warning of its own (status {status})."),
    ),
    (
        range(0xC000, 0xD000),
        Meaning(_PERSON, "{peer} cannot understand the image (status {status}). " + _OBJECT),
    ),
    (range(0x0100, 0x0300), Meaning(_PERSON, "{peer} failed to store the image (status {status}). " + _OBJECT)),
)
"""The first range that holds a status decides; exact statuses go before all of them."""

_UNKNOWN = Meaning(
    _PERSON,
    "{peer} answered with a status that no standard defines ({status}). Ask the administrator of {peer} what it "
    "means; the box keeps the image.",
)


def store_answer(peer: str, status: int, comment: str = "") -> Outcome:
    """Return what a C-STORE response's status (0 to FFFF) means. `peer` is its AE title, `comment` as received."""
    return _outcome(_meaning(status), peer, status, comment)


def _meaning(status: int) -> Meaning:
    exact = _EXACT.get(status)
    if exact is not None:
        return exact
    return next((meaning for span, meaning in _RANGES if status in span), _UNKNOWN)


def as_repeated(outcome: Outcome, peer: str) -> Outcome:
    """Return what `outcome` means for an image that an earlier attempt may already have brought to `peer`.

    Only 0111 (duplicate SOP instance) changes: after an attempt whose answer was lost, or before a resend that was
    asked for, the instance the peer has is taken to be ours. It counts as stored, with a warning that says so.
    """
    if outcome.status != DUPLICATE_SOP_INSTANCE:
        return outcome
    meaning = Meaning(
        _WARNING, "{peer} already has this image from an earlier attempt (status {status}) and did not store it twice."
    )
    return _outcome(meaning, peer, outcome.status, outcome.comment)


def other_instance(outcome: Outcome, peer: str) -> Outcome:
    """Return what an answer means whose message id is right and whose Affected SOP Instance UID is not ours.

    The message id is what ties an answer to its request (PS3.7 §9.3.1.2), so the verdict stands; but a success is
    shown with a warning, for the peer may have given the image another UID.
    """
    if outcome.verdict not in {_DONE, _WARNING}:
        return outcome
    meaning = Meaning(
        _WARNING,
        "{peer} has stored the image but named another SOP Instance UID in its answer. Look at {peer} whether it "
        "changed the UID.",
    )
    return _outcome(meaning, peer, outcome.status, outcome.comment)


def echo_answer(peer: str, status: int, comment: str = "") -> Outcome:
    """Return what a C-ECHO response's status means (PS3.7 §9.1.5.1.4)."""
    if status == 0:
        return Outcome(_DONE, f"{peer} answers.", 0)
    meaning = Meaning(_PERSON, "{peer} answers a C-ECHO with status {status}. " + _SETUP)
    return _outcome(meaning, peer, status, comment)


class RejectResult(enum.IntEnum):
    """How an association was rejected (PS3.8 table 9-21)."""

    PERMANENT = 1
    TRANSIENT = 2


_REJECTIONS: Mapping[tuple[int, int], Meaning] = MappingProxyType(
    {
        (1, 1): Meaning(_PERSON, "{peer} rejects associations from this box and gives no reason. " + _SETUP),
        (1, 2): Meaning(_PERSON, "{peer} does not support the DICOM application context. " + _SETUP),
        (1, 3): Meaning(
            _PERSON,
            "{peer} does not know this box by its AE title ({calling}). Ask the administrator of {peer} to add it.",
        ),
        (1, 7): Meaning(
            _PERSON,
            "The system at this address does not call itself {peer} (called AE title not recognized). "
            "Check the AE title, host and port that this box has for it.",
        ),
        (2, 1): Meaning(_PERSON, "{peer} rejects associations (ACSE) and gives no reason. " + _SETUP),
        (2, 2): Meaning(_PERSON, "{peer} does not support the version of the DICOM protocol. " + _SETUP),
        (3, 1): Meaning(_LATER, "{peer} is congested for the moment. " + _AGAIN),
        (3, 2): Meaning(_LATER, "{peer} has as many associations as it allows. " + _AGAIN),
    }
)
"""By source and reason (PS3.8 table 9-21)."""


def rejection(peer: str, calling: str, result: int, source: int, reason: int) -> Outcome:
    """Return what an A-ASSOCIATE-RJ means; `calling` is the AE title this box gave itself.

    A transient rejection is *later* whatever its reason. So is a permanent one for want of room, because
    congestion passes. Numbers that the standard reserves are shown as they are.
    """
    meaning = _REJECTIONS.get((source, reason))
    if meaning is None:
        words = f"{{peer}} rejects associations for a reason the standard does not define ({source}/{reason}). "
        meaning = Meaning(_PERSON, words + _SETUP)
    if result == RejectResult.TRANSIENT:
        words = meaning.words
        meaning = Meaning(_LATER, words if words.endswith(_AGAIN) else f"{words} {_AGAIN}")
    return Outcome(meaning.verdict, meaning.words.format(peer=peer, calling=calling))


_PROVIDER_ABORTS: Mapping[int, str] = MappingProxyType(
    {
        0: "reason not specified",
        1: "unrecognized PDU",
        2: "unexpected PDU",
        4: "unrecognized PDU parameter",
        5: "unexpected PDU parameter",
        6: "invalid PDU parameter value",
    }
)


def abort(peer: str, source: int, reason: int) -> Outcome:
    """Return what an A-ABORT from the peer means (PS3.8 table 9-26)."""
    if source == 0:
        return ended(peer, End.ABORTED)
    words = _PROVIDER_ABORTS.get(reason, f"reason {reason}, which the standard does not define")
    return Outcome(_LATER, f"{peer} aborted the association ({words}). {_AGAIN}")


class End(enum.StrEnum):
    """How an association comes to an end that nobody asked the peer for."""

    REJECTED = "rejected"
    ABORTED = "aborted"
    CLOSED = "closed"
    RELEASED = "released"
    NO_ANSWER = "no-answer"
    STALLED = "stalled"
    PROTOCOL = "protocol"
    EARLY_SUCCESS = "early-success"
    STOPPED = "stopped"


_ENDS: Mapping[End, str] = MappingProxyType(
    {
        End.REJECTED: "{peer} rejected the association. " + _AGAIN,
        End.ABORTED: "{peer} aborted the association. " + _AGAIN,
        End.CLOSED: "{peer} closed the connection. " + _AGAIN,
        End.RELEASED: "{peer} ended the association. " + _AGAIN,
        End.NO_ANSWER: "{peer} did not answer in time. " + _AGAIN,
        End.STALLED: "{peer} stopped taking data. " + _AGAIN,
        End.PROTOCOL: "{peer} sent what does not belong there, so the association was aborted. " + _AGAIN,
        End.EARLY_SUCCESS: (
            "{peer} said that it stored the image before it had all of it; that was not believed. " + _AGAIN
        ),
        End.STOPPED: "Sending was stopped at this box.",
    }
)


def ended(peer: str, how: End) -> Outcome:
    """Return what such an end means: always later, on a new association.

    `rejection` and `abort` say more where the peer did.
    """
    return Outcome(_LATER, _ENDS[how].format(peer=peer))


class ConnectFailure(enum.StrEnum):
    """Why no connection came about."""

    REFUSED = "refused"
    TIMED_OUT = "timed-out"
    UNREACHABLE = "unreachable"
    UNKNOWN_HOST = "unknown-host"
    OTHER = "other"

    @classmethod
    def of(cls, error: OSError) -> ConnectFailure:
        """Return which one the operating system's error is."""
        if isinstance(error, socket.gaierror):
            return cls.UNKNOWN_HOST
        if isinstance(error, TimeoutError):
            return cls.TIMED_OUT
        return _BY_ERRNO.get(error.errno or 0, cls.OTHER)


_BY_ERRNO: Mapping[int, ConnectFailure] = MappingProxyType(
    {
        errno.ECONNREFUSED: ConnectFailure.REFUSED,
        errno.ETIMEDOUT: ConnectFailure.TIMED_OUT,
        errno.EHOSTUNREACH: ConnectFailure.UNREACHABLE,
        errno.ENETUNREACH: ConnectFailure.UNREACHABLE,
        errno.EHOSTDOWN: ConnectFailure.UNREACHABLE,
        errno.ENETDOWN: ConnectFailure.UNREACHABLE,
        errno.EADDRNOTAVAIL: ConnectFailure.UNREACHABLE,
    }
)

_CONNECT: Mapping[ConnectFailure, str] = MappingProxyType(
    {
        ConnectFailure.REFUSED: "Nothing listens at the address of {peer}: its service is down, or the port is wrong.",
        ConnectFailure.TIMED_OUT: "The address of {peer} does not answer: it is off, or a firewall is in between.",
        ConnectFailure.UNREACHABLE: "There is no network path to {peer} now.",
        ConnectFailure.UNKNOWN_HOST: "The host name of {peer} is not known to this network's name service.",
        ConnectFailure.OTHER: "No connection to {peer} could be made.",
    }
)


def connect_failure(peer: str, failure: ConnectFailure) -> Outcome:
    """Return what it means that no connection came about: always later, networks come and go."""
    return Outcome(_LATER, f"{_CONNECT[failure].format(peer=peer)} {_AGAIN}")


_CONTEXTS: Mapping[Refusal, str] = MappingProxyType(
    {
        Refusal.BY_USER: "{peer} refuses {sop} as {syntax}.",
        Refusal.NO_REASON: "{peer} refuses {sop} as {syntax} and gives no reason.",
        Refusal.SOP_CLASS: "{peer} does not accept {sop} in any transfer syntax.",
        Refusal.TRANSFER_SYNTAX: "{peer} does not accept {sop} as {syntax}.",
        Refusal.NOT_ANSWERED: "{peer} did not say whether it accepts {sop} as {syntax}.",
        Refusal.OTHER_SYNTAX: "{peer} does not accept {sop} as {syntax} and asks for another transfer syntax.",
    }
)

_SAID = frozenset(_CONTEXTS) - {Refusal.NOT_ANSWERED}
"""What a peer has said, and will say of the next such image."""

_ADD_SOP_CLASS = "Ask the administrator of {peer} to add the SOP class."
_ADD_SYNTAX = "Ask the administrator of {peer} to add it, or have the scanner send another transfer syntax."


def context_refused(peer: str, pair: Pair, refusal: Refusal) -> Outcome:
    """Return what it means for an image that its presentation context was not accepted.

    `NOT_PROPOSED` is no fault of the peer: the image came after the association was opened, and goes with the next.
    """
    sop, syntax = sop_class_name(pair.sop_class_uid), syntax_name(pair.transfer_syntax_uid)
    if refusal is Refusal.NOT_PROPOSED:
        return Outcome(_LATER, f"{sop} as {syntax} was not proposed to {peer} this time. {_AGAIN}")
    if refusal is Refusal.UNFIT:
        return Outcome(
            Verdict.HELD,
            f"The UIDs of the image cannot be proposed to any system ({sop} as {syntax}). Export the image.",
            held=Reason.UNFIT_UIDS,
        )
    hint = _ADD_SOP_CLASS if refusal is Refusal.SOP_CLASS else _ADD_SYNTAX
    words = f"{_CONTEXTS[refusal]} {hint}".format(peer=peer, sop=sop, syntax=syntax)
    return Outcome(_PERSON, words, by_peer=refusal in _SAID)


_CORRECT: Final = "Correct the profile: its next version tries again, as does `fluxctl resend`."
_CURES: Final[Mapping[Reason, str]] = MappingProxyType(
    {
        Reason.UNCLEAR_PIXELS: "No profile can mend that: correct it at the device, or leave it out.",
        Reason.NOT_WRITABLE: (
            "Have it accept the image as it came, or correct the profile: a new version tries again, "
            "or `fluxctl resend`."
        ),
        Reason.NOT_PREPARED: "Try again: `fluxctl resend`.",
    }
)
"""What a person can do where correcting the profile is not what helps, in short; `reasons.WORDS` says more."""


def held(why: str, reason: Reason) -> Outcome:
    """Return what it means that an image does not leave for a destination as the profile is, and what to do."""
    return Outcome(Verdict.HELD, f"{why} {_CURES.get(reason, _CORRECT)}", held=reason)


def sent_without(outcome: Outcome, without: Sequence[str]) -> Outcome:
    """Return an answer with what the image was sent without, in sentences; stored so, it is stored with a warning."""
    if outcome.verdict not in {_DONE, _WARNING}:
        return outcome
    return msgspec.structs.replace(outcome, verdict=_WARNING, reason=" ".join((outcome.reason, *without)))


def damaged_image() -> Outcome:
    """Return what it means that the box's own copy could not be read whole: nothing of it is left at a peer."""
    return Outcome(
        Verdict.HELD,
        "This box's copy of the image is damaged and was not sent. Send the image from the scanner again.",
        held=Reason.DAMAGED,
    )


def clean_comment(comment: str) -> str:
    """Return a peer's Error Comment as one line of printable characters, at most `LONGEST_COMMENT` of them.

    Control characters, line ends and characters that turn the direction of writing become spaces.
    """
    printable = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in comment[:4096])
    line = " ".join(printable.split())
    return line if len(line) <= LONGEST_COMMENT else line[: LONGEST_COMMENT - 1].rstrip() + "…"


def _outcome(meaning: Meaning, peer: str, status: int | None, comment: str) -> Outcome:
    shown = "" if status is None else f"{status:04X}"
    return Outcome(meaning.verdict, meaning.words.format(peer=peer, status=shown), status, clean_comment(comment))
