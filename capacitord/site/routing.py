"""Where images go, by the profile in force."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from capacitord.config import dictionary
from capacitord.dicom.arriving import describe
from capacitord.dicom.outgoing import Came, Recipe, attributes_after_inbound, open_for_routing, recipe
from capacitord.dicom.rewriting import Encoded
from capacitord.dicom.transform.failure import NotTransformed, TransformFailed, Unreadable
from capacitord.model import compare, sorting
from capacitord.model.attribute import Attribute
from capacitord.model.conditions import ALWAYS, Attributes, Subject, local_time
from capacitord.model.findings import why_invalid
from capacitord.model.image import Arrival, Facts
from capacitord.model.profile import Matching, Profile
from capacitord.model.reasons import WORDS, Reason
from capacitord.model.routes import Route, choose
from capacitord.model.sorting import By
from capacitord.spool.decisions import Turn
from capacitord.spool.releasing import Released
from capacitord.spool.review import STANDINGS
from capacitord.spool.routed import BY_A_PERSON, UNMATCHED_ROUTE, Routed, Standing

LOG = logging.getLogger(__name__)


class _Unread:
    """The attributes of an image that nobody has looked at."""

    def values(self, _attribute: Attribute) -> tuple[str, ...] | None:
        """Raise `_Wanted`: the decision takes attributes."""
        raise _Wanted


class _Wanted(Exception):
    """A condition asks for an attribute."""


_UNREAD: Final = _Unread()
_HELD_FOR: Final[Mapping[Reason, str]] = MappingProxyType(
    {reason: f"{WORDS[reason].sentence[:1].lower()}{WORDS[reason].sentence[1:].rstrip('.')}" for reason in STANDINGS}
)


class InForce:
    """One version of the profile, and what follows from it for every image."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        named = frozenset(destination.name for destination in profile.destinations)
        implied = (Route(tuple(destination.name for destination in profile.destinations)),)
        self._by_route = [
            _routed(profile.version, number, route, named) for number, route in enumerate(profile.routes, 1)
        ]
        if profile.routes == implied:
            self._by_route = [self._by_route[0]._replace(route=None)]
        self._none = Routed(
            profile.version,
            standing=Standing.NO_ROUTE,
            held=f"no route of version {profile.version} of the profile matches it",
        )
        place = profile.order.index(None) if None in profile.order else 0
        self._before = _sorted_by(profile.order[:place])
        self._after = _sorted_by(profile.order[place:])
        self._at_once = bool(profile.routes) and profile.routes[0].when == ALWAYS
        self._recipes = {each.name: recipe(profile, each) for each in profile.destinations}

    @property
    def matching(self) -> Matching | None:
        """How studies are matched with the worklist, None if they are not."""
        return self.profile.matching

    @property
    def order(self) -> tuple[str, ...]:
        """What decides what leaves first, as it is written; empty if no attributes do."""
        if not self.sorts:
            return ()
        return tuple("priority" if attribute is None else attribute.text for attribute in self.profile.order)

    @property
    def sorts(self) -> bool:
        """Whether attributes decide what leaves first."""
        return bool(self._before or self._after)

    def routed(self, attributes: Attributes, calling_ae: str, called_ae: str, received_at: int) -> Routed:
        """Return where an image goes; raises what `attributes` raises if a condition looks at them."""
        if self._at_once:
            return self._by_route[0]
        subject = Subject(attributes, calling_ae, called_ae, local_time(received_at, self.profile.timezone))
        number = choose(self.profile.routes, subject)
        return self._none if number is None else self._by_route[number]

    def held(self, reason: Reason) -> Routed:
        """Return what becomes of an image that matching holds."""
        words = f"{_HELD_FOR[reason]} (version {self.profile.version} of the profile)"
        return Routed(self.profile.version, standing=STANDINGS[reason], held=words)

    def let_through(self) -> Routed:
        """Return where a study goes that nothing matches, where the profile sends such studies somewhere."""
        to = self.profile.matching.terms.release_to if self.profile.matching is not None else ()
        if not to:
            return self.held(Reason.UNMATCHED)
        return Routed(self.profile.version, to, UNMATCHED_ROUTE)

    def following(self, released: Released) -> Routed:
        """Return where an image goes that comes after a person has released its study."""
        return Routed(self.profile.version, released.what.destinations, BY_A_PERSON, release=released.id)

    def invalid(self, findings: Sequence[str]) -> Routed | None:
        """Return what becomes of an image with these findings (`model.findings`); None if it may go."""
        why = why_invalid(findings)
        return Routed(self.profile.version, standing=Standing.INVALID, held=why) if why else None

    def unreadable(self, why: str) -> Routed:
        """Return what becomes of an image whose attributes cannot be read, and are asked for."""
        held = f"the attributes that routes look at cannot be read: {why.rstrip('.')}"
        return Routed(self.profile.version, standing=Standing.UNREADABLE, held=held)

    def changes_for(self, routed: Routed) -> list[Recipe]:
        """Return what may change the attributes of an image on its way to the destinations of a decision."""
        found = (self._recipes[name] for name in routed.to if name in self._recipes)
        return [each for each in found if not each.keeps_attributes]

    def unchangeable(self, what: Recipe, why: str) -> Routed:
        """Return what becomes of an image that cannot be changed for a destination as the profile says."""
        held = f"it cannot be made ready for {what.destination}: {why[:1].lower()}{why[1:].rstrip('.')}"
        return Routed(self.profile.version, standing=Standing.TRANSFORM_FAILED, held=held)

    def turn(self, attributes: Attributes) -> Turn:
        """Return when an image leaves."""
        return Turn(sorting.key(self._before, attributes), sorting.key(self._after, attributes))


class Routing:
    """The profile in force. An image is filed under whichever version holds when it is complete."""

    def __init__(self, profile: Profile) -> None:
        # Replaced and never changed, so that whoever looks needs no lock.
        self.in_force = InForce(profile)

    @property
    def profile(self) -> Profile:
        """The version of the profile that holds now."""
        return self.in_force.profile

    @profile.setter
    def profile(self, profile: Profile) -> None:
        self.in_force = InForce(profile)

    def decide(self, facts: Facts, arrival: Arrival) -> Routed | None:
        """Return where an image goes, None if that is decided later.

        It is where it takes attributes, where they decide when the image leaves, and where whole studies only leave.
        """
        in_force = self.in_force
        invalid = in_force.invalid(facts.findings) if facts.findings else None
        if invalid is not None and in_force.matching is None:
            return invalid
        if in_force.sorts or in_force.matching is not None or in_force.profile.completeness.whole:
            return None
        try:
            return in_force.routed(_UNREAD, arrival.calling_ae, arrival.called_ae, arrival.received_at)
        except _Wanted:
            return None
        except Exception as error:  # noqa: BLE001 - the image is durable, and the router decides for it
            LOG.error("It cannot be decided at once where an image goes: %s", describe(error))  # noqa: TRY400
            return None


def attributes_for_routing(image: Encoded, profile: Profile, came: Came, key: bytes) -> Attributes:
    """Return what the conditions of a profile's routes, and its order, see of an image: after inbound transforms.

    `key` is for the operation `hash`. Raises `dicom.transform.failure.Unreadable`, also for a transform that fails,
    and what reading the image raises.
    """
    try:
        return attributes_after_inbound(open_for_routing(image, profile), profile, came, key=key, now=datetime.now(UTC))
    except TransformFailed as error:
        msg = f"transform {error.transform!r} could not {error.operation} {error.attribute}: {error.why}"
        raise Unreadable(msg) from None
    except NotTransformed as error:
        raise Unreadable(str(error)) from None


def _routed(version: int, number: int, route: Route, named: frozenset[str]) -> Routed:
    """Return what a route says; one that names a destination which is not there holds what it matches."""
    for name in (*route.to, *route.else_to):
        if name not in named:
            held = f"route {number} of version {version} of the profile names {name}, which that version does not have"
            return Routed(version, route=number, standing=Standing.UNKNOWN_DESTINATION, held=held)
    spare = tuple(name for name in route.else_to if name not in route.to)
    return Routed(version, route.to, number, spare, route.else_after, route.priority.urgency)


def _sorted_by(order: tuple[Attribute | None, ...]) -> tuple[By, ...]:
    return tuple(By(attribute, _kind(attribute)) for attribute in order if attribute is not None)


def _kind(attribute: Attribute) -> compare.Kind | None:
    last = attribute.steps[-1]
    return None if last.creator or not last.exact else compare.KINDS.get(dictionary.vr_of(last.tag))
