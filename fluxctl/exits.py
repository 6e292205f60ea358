"""The exit codes, for people: the numbers themselves are those of `capacitord.errors`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

DONE, FAILED, USAGE = 0, 1, 2
UNREACHABLE, NOT_PERMITTED, NOT_FOUND, REFUSED, INVALID, PARTLY, TRY_AGAIN = 3, 4, 5, 6, 7, 8, 75
INTERRUPTED, READER_GONE = 130, 141

MEANINGS: Final[Mapping[int, str]] = MappingProxyType(
    {
        DONE: "done",
        FAILED: "failed",
        USAGE: "wrong usage",
        UNREACHABLE: "capacitord is unreachable",
        NOT_PERMITTED: "not permitted",
        NOT_FOUND: "not found or ambiguous",
        REFUSED: "refused by a safety rule, or not confirmed",
        INVALID: "invalid profile, configuration or request",
        PARTLY: "partly done",
        TRY_AGAIN: "try again later",
        INTERRUPTED: "interrupted from the keyboard",
        READER_GONE: "whoever read the output went away",
    }
)
ALWAYS: Final = (DONE, FAILED, USAGE)
ASKING: Final = (*ALWAYS, UNREACHABLE, NOT_PERMITTED)
"""The codes of every command that asks the daemon."""
OF_SITE: Final = (NOT_FOUND, REFUSED, TRY_AGAIN)
"""What more there is where the active site's runtime is asked: no site, a key that is away, one that is not ready."""


def described(codes: Iterable[int]) -> str:
    """Return codes with their meanings: "0 done, 1 failed, …"."""
    return ", ".join(f"{code} {MEANINGS[code]}" for code in codes)
