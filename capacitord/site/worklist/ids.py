"""What people call worklist entries by: short, the same in every life of the spool, and nothing of a patient."""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Iterable
from typing import Final

import msgspec

from capacitord.dicom.worklist.keys import tag
from capacitord.dicom.worklist.served import Shown
from capacitord.errors import Ambiguous, NotFound
from capacitord.model.worklist import EntryKey
from capacitord.seal.keys import SiteKey

_PURPOSE: Final = b"capacitord worklist ids 1"
_DIGITS: Final = 8
_MOST_DIGITS: Final = 64
_SHORTEST: Final = 4
_HEXADECIMAL: Final = frozenset("0123456789abcdef")
_ACCESSION, _STUDY = tag("AccessionNumber"), tag("StudyInstanceUID")


class EntryIds:
    """Short ids of entries, made with a key of the site's."""

    def __init__(self, site: SiteKey) -> None:
        self._key = site.derive(_PURPOSE)

    def of(self, keys: Iterable[EntryKey]) -> dict[EntryKey, str]:
        """Return the ids of a list's entries: eight hex digits, and as many more as tell apart those that share these.

        An id that was given while nothing shared its digits is the beginning of both then, and names neither.
        """
        left = {key: hmac.digest(self._key, msgspec.json.encode(key), "sha256").hex() for key in keys}
        found = dict.fromkeys(left, "")
        for digits in range(_DIGITS, _MOST_DIGITS + 1, _DIGITS):
            often = Counter(text[:digits] for text in left.values())
            found |= {key: text[:digits] for key, text in left.items() if often[text[:digits]] == 1}
            left = {key: text for key, text in left.items() if not found[key]}
            if not left:
                break
        return found


def find(reference: str, entries: Iterable[tuple[str, Shown]]) -> tuple[str, Shown]:
    """Return the entry that the beginning of an id, an accession number or a Study Instance UID names, with its id.

    Of several with a number, those that vanished at the source are meant only if all did. Raises `NotFound`, or
    `Ambiguous` with the ids it could be.
    """
    known = list(entries)
    low = reference.lower()
    is_short = len(low) >= _SHORTEST and _HEXADECIMAL.issuperset(low)
    # What this box itself calls an entry is never taken for another one's accession number.
    found = [each for each in known if each[0] == low] or [
        each
        for each in known
        if (is_short and each[0].startswith(low)) or (reference and reference in _numbers(each[1]))
    ]
    if not found:
        raise NotFound(
            "No worklist entry has this short id, accession number or Study Instance UID.",
            hint="List them: fluxctl worklist list --vanished. A short id needs four digits at least.",
        )
    if not any(is_short and each[0].startswith(low) for each in found):
        found = [each for each in found if each[1].held.vanished is None] or found
    if len(found) > 1:
        raise Ambiguous(
            f"This names {len(found)} worklist entries.",
            hint="Name one of them by its short id.",
            candidates=tuple(name for name, _ in found),
        )
    return found[0]


def _numbers(shown: Shown) -> set[str]:
    """Return what an entry is called by as it came, and as it is served."""
    key, served = shown.held.key, shown.corrected.entry
    return {key.accession, key.study, *served.values(_ACCESSION), *served.values(_STUDY)}
