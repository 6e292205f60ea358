"""Whether a site may be opened while patients of another one may still be on a scanner: facts and one rule.

Everything here is pure, and nothing here is about a particular patient: a scanner's answer is counted.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final

import msgspec

from capacitord.model.outcome import Outcome, Verdict


class Root(enum.StrEnum):
    """The information model by which a scanner is asked (PS3.4 §C.3)."""

    PATIENT = "patient-root"
    STUDY = "study-root"


class Obstacle(enum.StrEnum):
    """What keeps a scanner from saying all that is on it."""

    NETWORK = "network"
    TITLE = "title"
    QUERY = "query"
    ANSWER = "answer"
    BOX = "box"


_STEPS: Final = {
    Obstacle.NETWORK: "Switch the scanner on and check its network",
    Obstacle.TITLE: (
        "Have the scanner take associations from this box, by the titles that its [[modality]] in capacitord.toml says"
    ),
    Obstacle.QUERY: "Have the scanner answer queries, or say by which it does in capacitord.toml: [[modality]] query",
    Obstacle.ANSWER: "The scanner is there and does not answer as it should: look at it, or start it again",
    Obstacle.BOX: "It is not the scanner; see what this box says: journalctl -u capacitord -n 100",
}


class Checked(msgspec.Struct, frozen=True, omit_defaults=True):
    """What asking one scanner came to. `scanner` is its AE title.

    `outcome` is done only if the scanner said all it has to say. With `at_least` the counts are what it said until
    then, and there may be more. `obstacle` is what kept it from saying more.
    """

    scanner: str
    outcome: Outcome
    patients: int = 0
    studies: int = 0
    at_least: bool = False
    obstacle: Obstacle = Obstacle.ANSWER

    @property
    def clean(self) -> bool:
        """Whether it is certain that nobody is on this scanner."""
        return self.outcome.verdict is Verdict.DONE and not (self.patients or self.studies or self.at_least)

    @property
    def sentence(self) -> str:
        """What it came to, in words."""
        if self.clean:
            return f"{self.scanner} has no patient."
        if not (self.patients or self.studies):
            return _named(self.scanner, self.outcome.reason)
        more = "at least " if self.at_least else ""
        studies = f"{_count(self.studies, 'study', 'studies')} of " if self.studies else ""
        words = f"{self.scanner} still has {more}{studies}{_count(self.patients, 'patient', 'patients')}."
        return words if self.outcome.verdict is Verdict.DONE else f"{words} {self.outcome.reason}"


class Preflight(msgspec.Struct, frozen=True):
    """What asking all scanners came to."""

    scanners: tuple[Checked, ...]

    @property
    def clean(self) -> bool:
        """Whether it is certain that no patient is on any scanner. Without a scanner nothing is certain."""
        return bool(self.scanners) and all(each.clean for each in self.scanners)

    @property
    def names_somebody(self) -> bool:
        """Whether a scanner named a patient or a study."""
        return any(each.patients or each.studies for each in self.scanners)

    @property
    def sentence(self) -> str:
        """What it came to, in words: of those that are not clean, if there is one."""
        if not self.scanners:
            return NO_SCANNER
        wrong = [each for each in self.scanners if not each.clean]
        return " ".join(each.sentence for each in wrong or self.scanners)

    @property
    def hint(self) -> str:
        """What a person can do about it; empty if it is clean."""
        if self.clean:
            return ""
        if not self.scanners:
            return NAME_ONE
        if self.names_somebody:
            return "Finish them at their own site, or delete them on the scanner."
        steps = dict.fromkeys(_STEPS[each.obstacle] for each in self.scanners if not each.clean)
        return f"{'. '.join(steps)}; then: fluxctl preflight --watch"


NO_SCANNER: Final = "No scanner is named that could be asked for patients of another site."
NAME_ONE: Final = (
    "Name it in capacitord.toml: [[modality]] with ae_title, host and port. "
    "If it cannot be asked and you accept that: [preflight] required = false"
)


class Last(msgspec.Struct, frozen=True):
    """For which site scanners could send last. `site` is empty if they never could; `doubt` says why nobody knows."""

    site: str = ""
    doubt: str = ""


class Clearance(enum.StrEnum):
    """Why a site may be opened for.

    `SAME` is on record, and what all others say is to be put there first. `AGAIN` is the same site, too, but the record
    may not say so any more.
    """

    SAME = "same-site"
    AGAIN = "same-site-again"
    FIRST = "first-site"
    NOT_REQUIRED = "not-required"
    WAIVED = "waived"
    CLEAN = "clean"


GROUNDS: Final = {
    Clearance.SAME: "it was open for this site last",
    Clearance.AGAIN: "it was open for this site last",
    Clearance.FIRST: "it was never open before",
    Clearance.NOT_REQUIRED: "no preflight is required",
    Clearance.WAIVED: "the preflight is waived",
    Clearance.CLEAN: "the preflight is clean",
}
"""Each in words, after "may be opened, as"."""


def exempt(site: str, last: Last, *, required: bool, waived: bool) -> Clearance | None:
    """Return why a site needs no preflight, None if it needs one.

    `required` is what box and profile say together, see `is_required`; `waived` that a person has waived it for this
    activation. Any doubt about the last site needs one.
    """
    if not last.doubt and last.site == site:
        return Clearance.SAME
    if not last.doubt and not last.site:
        return Clearance.FIRST
    if not required:
        return Clearance.NOT_REQUIRED
    return Clearance.WAIVED if waived else None


def clearance(site: str, last: Last, found: Preflight | None, *, required: bool, waived: bool) -> Clearance | None:
    """Return why a site may be opened for, None if it may not. `found` is the latest preflight for this activation."""
    without = exempt(site, last, required=required, waived=waived)
    if without is not None:
        return without
    return Clearance.CLEAN if found is not None and found.clean else None


def is_required(box: bool, profile: bool | None) -> bool:
    """Return whether a preflight is required: a profile can be stricter than its box, never laxer."""
    return box or bool(profile)


def evidence(found: Preflight | None) -> str:
    """Return a preflight for the audit log: of each scanner what it came to, counted."""
    if found is None:
        return "no scanner was asked"
    return " ".join(_brief(each) for each in found.scanners) or NO_SCANNER


def _named(scanner: str, reason: str) -> str:
    """Return a reason that says which scanner it is about: who reads it knows no addresses."""
    if scanner in reason:
        return reason
    first = reason[:1] if reason[1:2].isupper() else reason[:1].lower()
    return f"{scanner}: {first}{reason[1:]}"


def _brief(checked: Checked) -> str:
    status = checked.outcome.status
    said = "" if status is None else f" (status {status:04X})"
    return f"{checked.scanner}: {'clean' if checked.clean else 'not clean'}{said}. {checked.sentence}"


def failed(scanners: Sequence[str], reason: str) -> Preflight:
    """Return a preflight in which nobody could be asked, for `reason`."""
    outcome = Outcome(Verdict.LATER, reason)
    return Preflight(tuple(Checked(each, outcome, obstacle=Obstacle.BOX) for each in scanners))


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
