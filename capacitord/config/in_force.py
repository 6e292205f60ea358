"""A profile as a runtime acts on it: what was checked, in the frozen types of the domain."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from capacitord.config import idle
from capacitord.config.attributes import attribute
from capacitord.config.profile import Profile
from capacitord.config.tables.completeness import CompletenessTable
from capacitord.config.tables.destination import DestinationTable
from capacitord.config.tables.review import Rematch, ReviewTable
from capacitord.model import profile as model
from capacitord.model.completeness import BY_QUIET, Completeness, Event
from capacitord.model.destination import Destination
from capacitord.model.review import Terms
from capacitord.model.transform import On
from capacitord.model.worklist import Source

_PRIORITY: Final = "priority"
_HTTPS: Final = 443


def in_force(source: Profile) -> model.Profile:
    """Return the part of a profile that a runtime acts on."""
    barred = idle.barred(source)
    return model.Profile(
        id=source.id,
        name=source.name,
        version=source.version,
        timezone=source.timezone,
        destinations=tuple(_destination(each, barred.get(each.name, "")) for each in source.destination),
        routes=source.routes,
        transforms=source.transforms,
        deidentifications=source.deidentifications,
        order=tuple(None if name == _PRIORITY else attribute(name) for name in source.delivery.order),
        keep_delivered=source.delivery.keep_delivered,
        matching=_matching(source),
        completeness=BY_QUIET if source.completeness is None else _completeness(source.completeness),
        worklist=_worklist(source),
        when_inactive=source.delivery.when_inactive,
    )


def _worklist(source: Profile) -> model.Worklist | None:
    """Return the worklist as it is fetched and corrected: by its own corrections first, then by transforms for it."""
    table = source.worklist
    if table is None:
        return None
    return model.Worklist(
        Source(
            table.source.ae_title,
            table.source.host,
            table.source.port,
            calling_ae_title=table.source.calling_ae_title,
        ),
        refresh=table.refresh,
        past=table.window.past,
        future=table.window.future,
        stale_after=table.stale_after,
        corrections=(
            *(correct.transform(number) for number, correct in enumerate(table.correct)),
            *(transform for transform in source.transforms if transform.on is On.WORKLIST),
        ),
    )


def _matching(source: Profile) -> model.Matching | None:
    """Return how studies are matched: by a profile with a worklist or a review, and by no other."""
    if source.review is None and source.worklist is None:
        return None
    review = source.review or ReviewTable()
    release_to = review.unmatched.release_to if review.unmatched is not None else []
    return model.Matching(
        tuple(review.match), Terms(rematch=review.rematch is Rematch.RELEASE, release_to=tuple(release_to))
    )


def _completeness(source: CompletenessTable) -> Completeness:
    quiet = next((each.seconds for each in source.study_closes if each.event is Event.QUIET), None)
    return Completeness(tuple(each.event for each in source.study_closes), quiet, source.send)


def _destination(source: DestinationTable, barred: str) -> Destination:
    service = urlsplit(source.stow or "")
    return Destination(
        name=source.name,
        ae_title=source.ae_title or "",
        host=source.host or service.hostname or "",
        port=source.port or service.port or _HTTPS,
        calling_ae_title=source.calling_ae_title,
        associations=source.associations,
        transfer_syntaxes=tuple(source.transfer_syntaxes),
        compress=source.compress,
        barred=barred,
    )
