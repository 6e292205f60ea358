"""What a profile may say and this version does not act on yet. A line goes from here when its behaviour comes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec
import pydantic

from capacitord.config.diagnostics import Finding, Source, key_text
from capacitord.config.positions import Key
from capacitord.config.profile import Profile
from capacitord.model.delivery import Policy

_EACH: Final = "*"
"""In a key path: every entry of a list."""

_TLS: Final = ("destination", _EACH, "tls")
_STOW: Final = ("destination", _EACH, "stow")

IDLE: Final[Mapping[tuple[str, ...], str]] = MappingProxyType(
    {
        _TLS: "nothing is sent there: this version has no TLS, and does not send in the clear",
        _STOW: "nothing is sent there: this version has no STOW-RS",
        (
            "destination",
            _EACH,
            "commitment",
        ): "it is not asked for storage commitment: its C-STORE response is the proof",
        ("destination", _EACH, "batch"): "an association stays open as long as images wait",
        ("delivery", "policy"): "images leave as they arrive",
        ("delivery", "networks"): "images leave over any network",
        ("delivery", "windows"): "images leave at any time",
        ("delivery", "rate_limit"): "images leave as fast as the link takes them",
    }
)
"""Key paths, and what happens instead."""
_QUIET: Final[Mapping[tuple[str, ...], tuple[object, ...]]] = MappingProxyType(
    {
        ("destination", _EACH, "commitment"): (False,),
        ("delivery", "policy"): ((Policy.REALTIME,),),
    }
)
"""Values that ask for nothing, and so need no note."""


class Note(msgspec.Struct, frozen=True, omit_defaults=True):
    """A key that is accepted and does not act yet: its path, what happens instead, and where it is written."""

    key: str
    message: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return f"{self.key} does not act yet: {self.message}"


def notes(profile: Profile, text: str = "") -> tuple[Note, ...]:
    """Return what of a profile does not act yet; `text` is the document, for saying where it is."""
    source = Source(text, "") if text else None
    found = [_note(key, message, source) for pattern, message in IDLE.items() for key, _ in _written(profile, pattern)]
    return tuple(sorted(found, key=lambda note: (note.line or 0, note.column or 0)))


def barred(profile: Profile) -> dict[str, str]:
    """Return the destinations that nothing may be sent to, because what the profile asks for there does not act yet.

    To send without it would be to send in the clear. By name, with the reason.
    """
    found: dict[str, str] = {}
    for pattern in (_TLS, _STOW):
        for key, _ in _written(profile, pattern) if pattern in IDLE else ():
            number = key[1]
            if isinstance(number, int):
                found[profile.destination[number].name] = IDLE[pattern]
    return found


def standing_in(profile: Profile) -> list[Finding]:
    """Return where a destination that nothing may be sent to is to stand in for another one, which it can't."""
    reasons = barred(profile)
    return [
        Finding(("route", number, "else_to", place), f"{name} can't stand in: {reasons[name]}", "Name another one.")
        for number, route in enumerate(profile.route)
        for place, name in enumerate(route.else_to)
        if name in reasons
    ]


def _note(key: Key, message: str, source: Source | None) -> Note:
    line, column = (None, None) if source is None else source.place(key)
    return Note(key_text(key), message, line, column)


def _written(profile: Profile, pattern: tuple[str, ...]) -> Iterator[tuple[Key, Any]]:
    """Yield the key paths that a pattern fits and that are written, with what the model has there."""
    found: list[tuple[Key, Any]] = [((), profile)]
    for part in pattern:
        found = [((*key, step), inner) for key, value in found for step, inner in _steps(value, part)]
    quiet = _QUIET.get(pattern, ())
    yield from ((key, value) for key, value in found if value not in quiet)


def _steps(value: Any, part: str) -> list[tuple[str | int, Any]]:
    if part == _EACH:
        return list(enumerate(value))
    written = isinstance(value, pydantic.BaseModel) and part in value.model_fields_set
    return [(part, getattr(value, part))] if written else []
