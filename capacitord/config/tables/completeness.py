"""`[completeness]`: when a study counts as complete, and whether its images wait for that."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
import pydantic

from capacitord.config import units
from capacitord.config.diagnostics import Rejected, suggestion
from capacitord.config.fields import DURATION, Table, each_once, written
from capacitord.errors import Invalid
from capacitord.model.completeness import Event
from capacitord.model.delivery import Send


class Closing(msgspec.Struct, frozen=True):
    """One of them; `seconds` is how long it must have been quiet."""

    event: Event
    seconds: float = 0.0


_HINT: Final = 'Write "commitment", "mpps" or "quiet 30s".'


def _closing(value: object) -> Closing:
    word, _, rest = str(value).partition(" ")
    if word not in list(Event):
        msg = f"{value!r} does not tell that a study is complete"
        raise Rejected(msg, suggestion(word, list(Event)) if isinstance(value, str) else _HINT)
    if word == Event.QUIET and not rest:
        msg = "says not for how long it must be quiet"
        raise Rejected(msg, _HINT)
    if word != Event.QUIET:
        if rest:
            msg = f"{value!r}: {word} takes no duration"
            raise Rejected(msg, _HINT)
        return Closing(Event(word))
    try:
        seconds = units.parse_duration(rest.strip())
    except Invalid as error:
        raise Rejected(error.message, _HINT) from None
    if not 1 <= seconds <= units.SECONDS["d"]:
        msg = "must be between one second and one day"
        raise Rejected(msg, _HINT)
    return Closing(Event.QUIET, seconds)


def _each_once(found: list[Closing]) -> list[Closing]:
    each_once([closing.event for closing in found], shown=str)
    return found


class CompletenessTable(Table):
    """`[completeness]`: when a study counts as complete, and whether its images wait for that."""

    study_closes: Annotated[
        list[
            Annotated[
                Closing, pydantic.PlainValidator(_closing), written("quiet 30s", f"commitment|mpps|quiet {DURATION}")
            ]
        ],
        pydantic.AfterValidator(_each_once),
    ] = pydantic.Field(default=[Closing(Event.QUIET, 30.0)], min_length=1)
    """What closes a study, whichever comes first: a storage commitment request, an MPPS, or quiet."""
    send: Annotated[Send, pydantic.Field(strict=False)] = Send.IMAGE
    """Whether only whole studies leave, or images as they arrive."""
