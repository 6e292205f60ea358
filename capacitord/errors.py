"""Everything that can go wrong, each with one class, one exit code and a next step.

::

    CapacitordError                  exit 1   failed
    ├── Unreachable                       3   nobody answers on the control socket
    ├── NotPermitted                      4   the peer's groups do not allow it
    ├── NotFound                          5   no such study, destination, profile …
    │   └── Ambiguous                     5   several match; they are listed
    ├── Refused                           6   a safety rule says no
    │   └── Locked                        6   the box key is not available yet
    ├── Invalid                           7   profile, configuration or request is wrong
    ├── PartlyDone                        8   the report says which
    ├── TryAgain                         75   busy, or waiting for something that comes back
    │   ├── OutOfSpace                   75   below the disk reserve
    │   └── Unanswered                   75   nobody knows whether it was done
    ├── DamagedObject                     1   sealed bytes are not what was written
    │   └── WrongKey                      1   sealed under another key
    └── StorageFailed                     1   the disk refused a write or a sync

An error says what happened, where, and what to do next. It never carries patient data: ids of this box
(object ids, short study ids) name things instead.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec


class Problem(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """An error as data: what travels in an answer of the control socket and in `--json`."""

    reference: str
    message: str
    where: str = ""
    hint: str = ""
    exit_code: int = 1
    candidates: tuple[str, ...] = ()


class CapacitordError(Exception):
    """Base of all errors a person may see."""

    reference: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, where: str = "", hint: str = "", candidates: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint
        self.candidates = candidates
        self.done = ""
        """What came about all the same, for the audit log."""

    def problem(self) -> Problem:
        """Return this error as data."""
        return Problem(
            reference=self.reference,
            message=self.message,
            where=self.where,
            hint=self.hint,
            exit_code=self.exit_code,
            candidates=self.candidates,
        )


class Unreachable(CapacitordError):
    """Nobody answers on the control socket."""

    reference = "daemon-unreachable"
    exit_code = 3


class NotPermitted(CapacitordError):
    """The peer's user and groups do not allow this request."""

    reference = "not-permitted"
    exit_code = 4


class NotFound(CapacitordError):
    """What was named does not exist on this box."""

    reference = "not-found"
    exit_code = 5


class Ambiguous(NotFound):
    """What was named fits several things; `candidates` lists them."""

    reference = "ambiguous"


class Refused(CapacitordError):
    """A safety rule says no; the hint says what would have to be true."""

    reference = "refused"
    exit_code = 6


class Locked(Refused):
    """The box key is not available, so nothing can be sealed or read."""

    reference = "locked"


class Invalid(CapacitordError):
    """A profile, a configuration or a request does not say something this box can do."""

    reference = "invalid"
    exit_code = 7


class PartlyDone(CapacitordError):
    """Some of it was done; `candidates` names what was not."""

    reference = "partly-done"
    exit_code = 8


class TryAgain(CapacitordError):
    """It cannot be done now and may be done later unchanged."""

    reference = "try-again"
    exit_code = 75


class OutOfSpace(TryAgain):
    """The disk is below its reserve, so nothing new is taken in."""

    reference = "out-of-space"


class Unanswered(TryAgain):
    """Whoever was to do it gave no answer: nobody knows whether it was done."""

    reference = "unanswered"


class DamagedObject(CapacitordError):
    """Sealed bytes are not what was written: flipped, truncated or swapped."""

    reference = "damaged-object"


class WrongKey(DamagedObject):
    """The bytes were sealed under a key that is not the one at hand."""

    reference = "wrong-key"


class StorageFailed(CapacitordError):
    """The disk refused a write or a sync; nothing that depended on it was acknowledged."""

    reference = "storage-failed"


def _tree(root: type[CapacitordError]) -> list[type[CapacitordError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _tree(child))]


def from_problem(problem: Problem) -> CapacitordError:
    """Return the error a problem describes, of its own class; an unknown reference gives the base class."""
    for kind in _tree(CapacitordError):
        if kind.reference == problem.reference:
            break
    else:
        kind = CapacitordError
    return kind(problem.message, where=problem.where, hint=problem.hint, candidates=problem.candidates)
