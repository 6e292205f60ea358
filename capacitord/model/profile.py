"""What the profile in force says, as a runtime acts on it."""

from __future__ import annotations

import msgspec

from capacitord.model.attribute import Attribute
from capacitord.model.completeness import BY_QUIET, Completeness
from capacitord.model.deidentify import Deidentification
from capacitord.model.delivery import Inactive
from capacitord.model.destination import Destination
from capacitord.model.matching import Rule
from capacitord.model.review import Terms
from capacitord.model.routes import Route
from capacitord.model.transform import Transform
from capacitord.model.worklist import Source


class Worklist(msgspec.Struct, frozen=True):
    """Where the worklist of a site comes from, and what becomes of its entries before a scanner gets them.

    The source is asked every `refresh`, for the days from `past` before now to `future` after it; after `stale_after`
    without a list the last one is served as out of date. All of these are in seconds.
    """

    source: Source
    refresh: float = 120.0
    past: float = 86400.0
    future: float = 172800.0
    stale_after: float = 43200.0
    corrections: tuple[Transform, ...] = ()


class Matching(msgspec.Struct, frozen=True):
    """How studies are matched with the worklist: by which rules, and what becomes of those that are not."""

    rules: tuple[Rule, ...]
    terms: Terms = Terms()


class Profile(msgspec.Struct, frozen=True):
    """The part of a site's profile that decides what becomes of images, and what scanners are told to make them of.

    `order` says what leaves first: attributes in ascending order; None among them stands for the route's priority.
    Without `matching`, nothing is matched with a worklist, and none is held for that.
    Without a `worklist` there is none, and no port for it.
    `when_inactive` says what becomes of what waits when the box leaves the site.
    """

    id: str
    name: str
    version: int
    timezone: str
    destinations: tuple[Destination, ...]
    routes: tuple[Route, ...] = ()
    transforms: tuple[Transform, ...] = ()
    deidentifications: tuple[Deidentification, ...] = ()
    order: tuple[Attribute | None, ...] = (None,)
    keep_delivered: float = 86400.0
    matching: Matching | None = None
    completeness: Completeness = BY_QUIET
    worklist: Worklist | None = None
    when_inactive: Inactive = Inactive()
