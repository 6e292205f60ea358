"""`[delivery]`: when images leave, how fast and in which order, and how long they stay."""

from __future__ import annotations

from typing import Annotated, Any, Final

import pydantic

from capacitord.config import units
from capacitord.config.attributes import valued
from capacitord.config.diagnostics import Rejected, nearest, quoted, suggestion
from capacitord.config.fields import DURATION, Duration, Rate, Ssid, Table, TimeWindow, each_once, written
from capacitord.errors import Invalid
from capacitord.model.delivery import Inactive, Policy, WhenInactive


def _policies(value: object) -> tuple[Policy, ...]:
    names = value if isinstance(value, list) else [value]
    for name in names:
        if name not in list(Policy):
            msg = f"{quoted(name)} is not a delivery policy"
            raise Rejected(msg, suggestion(str(name), list(Policy)))
    found = tuple(Policy(str(name)) for name in names)
    if not found or len(set(found)) != len(found):
        msg = "must name each policy once"
        raise Rejected(msg, 'Write it like "realtime", or ["docked", "scheduled"].')
    if Policy.REALTIME in found and len(found) > 1:
        msg = "realtime goes with no other policy"
        raise Rejected(msg, "docked and scheduled make images wait, realtime does not.")
    return found


def _key(text: str) -> str:
    if text != "priority":
        try:
            valued(text)
        except Rejected as error:
            near = nearest(text, ["priority"]) and 'Did you mean "priority"?'
            raise Rejected(error.message, near or error.hint) from None
    return text


_INACTIVE: Final = 'Write "stop", "drain" or "drain 4h".'
_LONGEST: Final = 30


def _inactive(value: object) -> Inactive:
    word, _, rest = str(value).partition(" ")
    if not isinstance(value, str) or word not in list(WhenInactive):
        msg = f"{quoted(value)} does not say what becomes of the queue"
        raise Rejected(msg, suggestion(word, list(WhenInactive)) if isinstance(value, str) else _INACTIVE)
    if not rest:
        return Inactive(WhenInactive(word))
    if word != WhenInactive.DRAIN:
        msg = f"{quoted(value)}: {word} takes no duration"
        raise Rejected(msg, _INACTIVE)
    try:
        seconds = units.parse_duration(rest.strip())
    except Invalid as error:
        raise Rejected(error.message, _INACTIVE) from None
    if not units.SECONDS["m"] <= seconds <= _LONGEST * units.SECONDS["d"]:
        msg = f"must be between one minute and {_LONGEST} days"
        raise Rejected(msg, _INACTIVE)
    return Inactive(WhenInactive.DRAIN, seconds)


_KEY: Final[dict[str, Any]] = {
    "anyOf": [{"const": "priority"}, {"type": "string", "pattern": r"^[A-Z(0-9]"}],
    "description": 'The priority of the route, or an attribute such as "StudyDate".',
}
_POLICY: Final[dict[str, Any]] = {"enum": list(Policy)}


class DeliveryTable(Table):
    """`[delivery]`: when images leave, how fast and in which order, and how long they stay."""

    policy: Annotated[
        tuple[Policy, ...],
        pydantic.PlainValidator(_policies),
        pydantic.WithJsonSchema({"anyOf": [_POLICY, {"type": "array", "items": _POLICY, "minItems": 1}]}),
    ] = (Policy.REALTIME,)
    """When images leave. Of several policies, all must allow it."""
    networks: list[Ssid] = pydantic.Field(default=[], max_length=50)
    """For docked: the wireless networks and the interfaces of this box over which images leave."""
    windows: list[TimeWindow] = pydantic.Field(default=[], max_length=50)
    """For scheduled: when images leave, at the site: "Mon-Fri 19:00-06:00"."""
    rate_limit: Rate | None = None
    """How fast images leave, all destinations together."""
    order: Annotated[
        list[Annotated[str, pydantic.AfterValidator(_key), pydantic.WithJsonSchema(_KEY)]],
        pydantic.AfterValidator(each_once),
    ] = pydantic.Field(default=["priority"], max_length=10)
    """What leaves first: "priority", and attributes in ascending order; among equals, what came first.

    Without it: by priority.
    """
    when_inactive: Annotated[
        Inactive, pydantic.PlainValidator(_inactive), written("drain 4h", f"stop|drain(?: {DURATION})?")
    ] = Inactive()
    """What becomes of the queue of this site after the coach has left: it stops, or drains.

    "drain" goes on until the queue is empty, "drain 4h" for that long at most.
    """
    keep_delivered: Duration = 86400.0
    """How long an image stays after every destination has it. It goes sooner when the disk gets full, never before."""
