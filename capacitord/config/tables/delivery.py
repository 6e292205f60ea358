"""`[delivery]`: when images leave, how fast and in which order, and how long they stay."""

from __future__ import annotations

from typing import Annotated, Any, Final

import pydantic

from capacitord.config.attributes import valued
from capacitord.config.diagnostics import Rejected, nearest, quoted, suggestion
from capacitord.config.fields import Duration, Rate, Ssid, Table, TimeWindow, each_once
from capacitord.model.delivery import Policy, WhenInactive


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
    when_inactive: Annotated[WhenInactive, pydantic.Field(strict=False)] = WhenInactive.STOP
    """Whether the queue of this site goes on draining after the coach has left."""
    keep_delivered: Duration = 86400.0
    """How long an image stays after every destination has it. It goes sooner when the disk gets full, never before."""
