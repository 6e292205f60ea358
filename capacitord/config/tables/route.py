"""`[[route]]`: which destinations an image goes to. The first that matches wins."""

from __future__ import annotations

from typing import Annotated

import pydantic

from capacitord.config.diagnostics import Rejected
from capacitord.config.fields import Duration, Slug, Table, each_once
from capacitord.config.matching import Match
from capacitord.model.conditions import ALWAYS
from capacitord.model.routes import Priority, Route


def _patience(seconds: float) -> float:
    if seconds < 1:
        msg = "must be at least one second"
        raise Rejected(msg)
    return seconds


Names = Annotated[
    list[Slug],
    pydantic.Field(max_length=32, json_schema_extra={"uniqueItems": True}),
    pydantic.AfterValidator(each_once),
]
SomeNames = Annotated[Names, pydantic.Field(min_length=1)]


class RouteTable(Table):
    """`[[route]]`: which destinations an image goes to. The first that matches wins; if none does, it is held.

    Without any route, images go to every destination.
    """

    match: Match = ALWAYS
    """When the route applies; without it, always."""
    to: SomeNames
    """Names of destinations; images go to all of them."""
    else_to: Names = pydantic.Field(default=[])
    """Names of destinations that stand in, in order, for one that can't be reached or refuses for good."""
    else_after: Annotated[Duration, pydantic.AfterValidator(_patience)] = 900.0
    """How long a destination must have been unreachable before another one stands in."""
    priority: Annotated[Priority, pydantic.Field(strict=False)] = Priority.ROUTINE
    """How urgent it is."""

    @property
    def route(self) -> Route:
        """The route as the runtime takes it."""
        return Route(tuple(self.to), self.match, tuple(self.else_to), self.else_after, self.priority)
