"""What a profile would do with an image: carried out by the code that delivers, and told for a person to read.

Nothing here knows a rule of its own: which transforms apply, what they change and in which form a copy leaves is
what `capacitord.dicom.outgoing` does.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from capacitord.api.trial import Changed, Fate, Leaving, Skipped, Syntax, Trial, TriedRoute
from capacitord.dicom import forms
from capacitord.dicom.contexts import sop_class_name, syntax_name
from capacitord.dicom.outgoing import Recipe, attributes_after_inbound, open_for, recipe, subject_of, transformed
from capacitord.dicom.transform.failure import NotTransformed
from capacitord.model.attribute import Attribute, Step
from capacitord.model.conditions import decisive, local_time
from capacitord.model.routes import Considered, decide
from capacitord.model.transform import On

if TYPE_CHECKING:
    from capacitord.dicom.outgoing import Came
    from capacitord.dicom.rewriting import Encoded, Rewritten
    from capacitord.dicom.transform.engine import Change
    from capacitord.dicom.transform.failure import TransformFailed
    from capacitord.model.conditions import Attributes
    from capacitord.model.destination import Destination
    from capacitord.model.profile import Profile

_SOP_CLASS: Final = 0x00080016
_SOP_INSTANCE: Final = 0x00080018
_MODALITY: Final = 0x00080060


class Tried(NamedTuple):
    """What would become of an image: told, and the copies that would leave, by destination.

    A copy can be read as long as the image can.
    """

    trial: Trial
    copies: Mapping[str, Rewritten]


def tried(
    image: Encoded,
    came: Came,
    profile: Profile,
    *,
    key: bytes,
    now: dt.datetime,
    only: Collection[str] = (),
    sop_class_uid: str = "",
    sop_instance_uid: str = "",
) -> Tried:
    """Return what a profile would do with an image that came in like this.

    With `only`, the copies for these destinations; without it all, those that may stand in last. `key` is the site's,
    `now` has a time zone. The UIDs are told where the dataset cannot be read. Raises what reading the image raises.
    """
    case = _Case(image, came, profile, key, now)
    conditions = (*(each.when for each in profile.routes), *(each.match for each in profile.transforms))
    try:
        opened = open_for(image, conditions)
    except NotTransformed as error:
        told = _trial(image, came, profile, None, (sop_class_uid, sop_instance_uid))
        return Tried(msgspec.structs.replace(told, held=str(error)), {})
    told = _trial(image, came, profile, opened.attributes, (sop_class_uid, sop_instance_uid))
    try:
        attributes = attributes_after_inbound(opened, profile, came, key=key, now=now)
        inbound = _inbound(case)
    except NotTransformed as error:
        return Tried(msgspec.structs.replace(told, held=str(error)), {})
    decision = decide(profile.routes, subject_of(attributes, came, profile.timezone))
    leaving: list[Leaving] = []
    copies: dict[str, Rewritten] = {}
    destinations = {each.name: each for each in profile.destinations}
    for name in dict.fromkeys((*decision.to, *decision.else_to)):
        if only and name not in only:
            continue
        one, copy = _leaving(destinations[name], case)
        leaving.append(msgspec.structs.replace(one, stands_in=name not in decision.to))
        if copy is not None:
            copies[name] = copy
    told = msgspec.structs.replace(
        told,
        inbound=tuple(map(_changed, inbound.changes)),
        inbound_skipped=tuple(map(_skipped, inbound.skipped)),
        routes=tuple(map(_tried_route, decision.considered)),
        route=decision.route,
        held=decision.held,
        to=decision.to,
        else_to=decision.else_to,
        priority="" if decision.route is None else decision.priority.value,
        destinations=tuple(leaving),
    )
    return Tried(told, copies)


class _Case(NamedTuple):
    """An image, how it came, and with what its copies are made."""

    image: Encoded
    came: Came
    profile: Profile
    key: bytes
    now: dt.datetime

    def copy(self, what: Recipe) -> Rewritten:
        """Return the copy that a recipe makes. Raises `NotTransformed`, and what reading the image raises."""
        return transformed(self.image, what, self.came, key=self.key, now=self.now)


def _inbound(case: _Case) -> Rewritten:
    """Return the image with the transforms that every copy gets, as `attributes_after_inbound` sees it."""
    inbound = tuple(each for each in case.profile.transforms if each.on is On.INBOUND)
    return case.copy(Recipe("", case.profile.timezone, inbound))


def _leaving(destination: Destination, case: _Case) -> tuple[Leaving, Rewritten | None]:
    image, what = case.image, recipe(case.profile, destination)
    leaving = Leaving(destination.name, destination.ae_title, Fate.LEAVES)
    if destination.barred:
        leaving = msgspec.structs.replace(leaving, fate=Fate.BARRED, reason=destination.barred)
    try:
        copy = case.copy(what)
    except NotTransformed as error:
        return msgspec.structs.replace(leaving, fate=Fate.HELD, reason=str(error)), None
    first, *others = forms.forms(image.transfer_syntax_uid, what.compress, what.transfer_syntaxes)
    told = msgspec.structs.replace(
        leaving,
        as_received=copy.is_as_received,
        changes=tuple(map(_changed, copy.changes)),
        skipped=tuple(map(_skipped, copy.skipped)),
        transfer_syntax=_syntax(first.transfer_syntax_uid),
        otherwise=tuple(_syntax(form.transfer_syntax_uid) for form in others),
        bytes=copy.length,
    )
    return told, copy if leaving.fate is Fate.LEAVES else None


# --- in the words of the answer


def _trial(image: Encoded, came: Came, profile: Profile, attributes: Attributes | None, uids: tuple[str, str]) -> Trial:
    sop_class, sop_instance = uids
    sop_class = sop_class or _first(attributes, _SOP_CLASS)
    return Trial(
        sop_class=sop_class_name(sop_class) if sop_class else "",
        sop_class_uid=sop_class,
        sop_instance_uid=sop_instance or _first(attributes, _SOP_INSTANCE),
        modality=_first(attributes, _MODALITY),
        transfer_syntax=_syntax(image.transfer_syntax_uid),
        bytes=image.length,
        calling_ae_title=came.calling_ae_title,
        called_ae_title=came.called_ae_title,
        local=local_time(came.received_at, profile.timezone),
    )


def _first(attributes: Attributes | None, tag: int) -> str:
    values = attributes.values(Attribute(f"{tag:08X}", (Step(tag),))) if attributes is not None else None
    return values[0] if values else ""


def _syntax(uid: str) -> Syntax:
    return Syntax(uid, syntax_name(uid))


def _tried_route(considered: Considered) -> TriedRoute:
    reason = considered.reason
    return TriedRoute(considered.route, reason.holds, tuple(decisive(reason)), reason)


def _changed(change: Change) -> Changed:
    return Changed(
        _path_text(change.path), change.attribute, change.before, change.after, change.transform, change.operation
    )


def _path_text(path: Iterable[int]) -> str:
    """Return a path as tags; items count from 1."""
    text = ""
    for place, number in enumerate(path):
        if place % 2:
            text += f"[{number + 1}]."
        else:
            text += f"({number >> 16:04X},{number & 0xFFFF:04X})"
    return text


def _skipped(failure: TransformFailed) -> Skipped:
    return Skipped(failure.transform, failure.operation, failure.attribute, failure.why)
