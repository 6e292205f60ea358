"""What the profile in force says, as a runtime acts on it."""

from __future__ import annotations

import msgspec

from capacitord.model.attribute import Attribute
from capacitord.model.completeness import BY_QUIET, Completeness
from capacitord.model.deidentify import Deidentification
from capacitord.model.destination import Destination
from capacitord.model.matching import Rule
from capacitord.model.review import Terms
from capacitord.model.routes import Route
from capacitord.model.transform import Transform


class Matching(msgspec.Struct, frozen=True):
    """How studies are matched with the worklist: by which rules, and what becomes of those that are not."""

    rules: tuple[Rule, ...]
    terms: Terms = Terms()


class Profile(msgspec.Struct, frozen=True):
    """The part of a site's profile that decides what becomes of images.

    `order` says what leaves first: attributes in ascending order; None among them stands for the route's priority.
    Without `matching`, nothing is matched with a worklist, and none is held for that.
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
