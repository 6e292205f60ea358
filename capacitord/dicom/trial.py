"""What a profile would do with an image: carried out by the code that delivers, and told for a person to read.

Nothing here knows a rule of its own: which transforms apply, what they change and in which form a copy leaves is
what `outgoing`, `forms` and `produce` do. What is told of it is what differs between the results.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import msgspec

from capacitord.api.trial import Fate, Leaving, Trial
from capacitord.dicom import outgoing
from capacitord.dicom.contexts import Pair, sop_class_name
from capacitord.dicom.deidentify.engine import NotDeidentified
from capacitord.dicom.forms import NATIVE, Form, forms
from capacitord.dicom.outgoing import Came, Keys, Recipe, recipe, subject_of
from capacitord.dicom.produce import NO_FORM, AsReceived, InMemory, NotProduced, in_words, produce
from capacitord.dicom.telling import (
    attributes_of,
    change_of,
    differing,
    findings_of,
    first,
    of_routing,
    route_of,
    skip_of,
    syntax_of,
)
from capacitord.dicom.transform.failure import NotTransformed
from capacitord.errors import TryAgain
from capacitord.model import findings
from capacitord.model.attribute import Attribute
from capacitord.model.routes import Decision, Route, decide
from capacitord.model.transform import On, Transform

if TYPE_CHECKING:
    from capacitord.dicom.part10 import File
    from capacitord.dicom.produce import Piece
    from capacitord.dicom.rewriting import Encoded, Rewritten
    from capacitord.model.conditions import Attributes
    from capacitord.model.destination import Destination
    from capacitord.model.profile import Profile

DEIDENTIFY: Final = "de-identify"
WRITE: Final = "write anew"
"""What is told as the operation where no transform changed an attribute, but de-identification or compression did."""

LARGEST_TRIED: Final = 256 << 20
"""Bytes of an image that is written only to see whether it can be."""

_NOTHING: Final = "It is in that form already."
_SOP_CLASS: Final = 0x00080016
_SOP_INSTANCE: Final = 0x00080018
_MODALITY: Final = 0x00080060


class Copy(NamedTuple):
    """What would leave. Its bytes can be read as long as those of the image can."""

    transfer_syntax_uid: str
    sop_instance_uid: str
    length: int
    chunks: Callable[[], Iterator[Piece]]


class Tried(NamedTuple):
    """What would become of an image: told, and the copies that would leave, by destination."""

    trial: Trial
    copies: Mapping[str, Copy]


class Subject(NamedTuple):
    """An image to try a profile on, and how it came. UIDs that are empty are taken from the dataset.

    `reconciled` is what a person said is written into every copy of it, behind the inbound transforms.
    """

    image: Encoded
    came: Came
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    reconciled: tuple[Transform, ...] = ()


def in_file(file: File, came: Came) -> Subject:
    """Return the image in a file as a scanner would send it: by the UIDs of its dataset, as far as that can be read.

    Raises OSError.
    """
    attributes = attributes_of(file)
    sop_class = first(attributes, _SOP_CLASS) or file.sop_class_uid
    return Subject(file, came, sop_class, first(attributes, _SOP_INSTANCE) or file.sop_instance_uid)


class Make(Protocol):
    """Writes images in another transfer syntax."""

    def __call__(self, subject: Subject, what: Recipe, form: Form) -> Copy:
        """Return an image as a recipe makes it, in this form, which is not the one it came in.

        Raises `NotProduced`, and what reading the image raises.
        """


def maker(keys: Keys, now: dt.datetime) -> Make:
    """Return what writes images in this process, in memory."""

    def make(subject: Subject, what: Recipe, form: Form) -> Copy:
        whole = memoryview(b"".join(map(bytes, subject.image.chunks())))
        image = InMemory(subject.image.transfer_syntax_uid, whole)
        made = produce(image, subject.sop_instance_uid, what, subject.came, [form], keys=keys, now=now)
        if isinstance(made, AsReceived):
            raise NotProduced(_NOTHING)
        return Copy(made.transfer_syntax_uid, made.sop_instance_uid, made.length, lambda: iter(made.pieces))

    return make


class Bench:
    """A profile to be tried: what it takes to carry it out, and the destinations that are asked for; none means all.

    `now` has a time zone.
    """

    def __init__(
        self, profile: Profile, *, keys: Keys, now: dt.datetime, make: Make, only: Collection[str] = ()
    ) -> None:
        self.profile, self._keys, self._now, self._make, self._only = profile, keys, now, make, only
        self._inbound = tuple(each for each in profile.transforms if each.on is On.INBOUND)
        self._implied = profile.routes == (Route(tuple(each.name for each in profile.destinations)),)

    def tried(self, subject: Subject) -> Tried:
        """Return what the profile would do with an image. Raises what reading the image raises."""
        subject, told = self._looked_at(subject)
        if self._inbound or subject.reconciled:
            # What fails here fails for every copy, which says so.
            with contextlib.suppress(NotTransformed):
                told = self._changed_for_all(subject, told)
        lines = findings_of(subject.image, subject.sop_class_uid, subject.sop_instance_uid)
        told = msgspec.structs.replace(told, findings=tuple(map(findings.sentence, lines)))
        why = findings.why_invalid(lines)
        if why:
            return Tried(msgspec.structs.replace(told, held=why), {})
        attributes = _Lazy(lambda: self._after_inbound(subject))
        try:
            decision = decide(self.profile.routes, subject_of(attributes, subject.came))
        except NotTransformed as error:
            return Tried(msgspec.structs.replace(told, held=of_routing(error)), {})
        told = msgspec.structs.replace(told, **self._decided(decision))
        leaving: list[Leaving] = []
        copies: dict[str, Copy] = {}
        for destination in self._asked_for(decision):
            one, copy = self._leaving(subject, destination, len(told.inbound) + len(told.reconciled))
            leaving.append(msgspec.structs.replace(one, stands_in=destination.name not in decision.to))
            if copy is not None:
                copies[destination.name] = copy
        return Tried(msgspec.structs.replace(told, destinations=tuple(leaving)), copies)

    # --- where it goes

    def _looked_at(self, subject: Subject) -> tuple[Subject, Trial]:
        """Return the subject with its UIDs, and what is told of it whatever becomes of it."""
        attributes = attributes_of(subject.image)
        subject = subject._replace(
            sop_class_uid=subject.sop_class_uid or first(attributes, _SOP_CLASS),
            sop_instance_uid=subject.sop_instance_uid or first(attributes, _SOP_INSTANCE),
        )
        return subject, Trial(
            sop_class=sop_class_name(subject.sop_class_uid) if subject.sop_class_uid else "",
            sop_class_uid=subject.sop_class_uid,
            sop_instance_uid=subject.sop_instance_uid,
            modality=first(attributes, _MODALITY),
            transfer_syntax=syntax_of(subject.image.transfer_syntax_uid),
            bytes=subject.image.length,
            calling_ae_title=subject.came.calling_ae_title,
            called_ae_title=subject.came.called_ae_title,
            local=subject.came.local,
        )

    def _after_inbound(self, subject: Subject) -> Attributes:
        """Return what routes look at. Raises `NotTransformed`."""
        opened = outgoing.open_for_routing(subject.image, self.profile)
        return outgoing.attributes_after_inbound(
            opened, self.profile, subject.came, key=self._keys.hashes, now=self._now
        )

    def _decided(self, decision: Decision) -> dict[str, object]:
        implied = self._implied
        return {
            "routes": () if implied else tuple(map(route_of, decision.considered)),
            "route": None if implied or decision.route is None else decision.route + 1,
            "held": decision.held,
            "to": decision.to,
            "else_to": tuple(name for name in decision.else_to if name not in decision.to),
            "priority": "" if decision.route is None else decision.priority.value,
        }

    def _asked_for(self, decision: Decision) -> list[Destination]:
        known = {each.name: each for each in self.profile.destinations}
        names = dict.fromkeys((*decision.to, *decision.else_to))
        return [known[name] for name in names if name in known and (not self._only or name in self._only)]

    # --- what becomes of it

    def _recipe_of_all(self, subject: Subject) -> Recipe:
        """Return what happens to every copy."""
        return Recipe("", self.profile.timezone, self._inbound, reconciled=subject.reconciled)

    def _changed_for_all(self, subject: Subject, told: Trial) -> Trial:
        """Tell what is changed in every copy, by the profile and by a person. Raises `NotTransformed`."""
        become = self._changed(subject, self._recipe_of_all(subject)).image
        names = {each.name for each in subject.reconciled}
        changes = tuple(map(change_of, become.changes))
        return msgspec.structs.replace(
            told,
            inbound=tuple(each for each in changes if each.transform not in names),
            inbound_skipped=tuple(map(skip_of, become.skipped)),
            reconciled=tuple(each for each in changes if each.transform in names),
        )

    def _changed(self, subject: Subject, what: Recipe) -> outgoing.Changed:
        return outgoing.changed(
            subject.image, subject.sop_instance_uid, what, subject.came, keys=self._keys, now=self._now
        )

    def _leaving(self, subject: Subject, destination: Destination, for_all: int) -> tuple[Leaving, Copy | None]:
        """Return what leaves for a destination, and the copy. The first `for_all` changes are those of every copy."""
        what = msgspec.structs.replace(recipe(self.profile, destination), reconciled=subject.reconciled)
        leaving = Leaving(destination.name, destination.ae_title, Fate.LEAVES)
        if destination.barred:
            leaving = msgspec.structs.replace(leaving, fate=Fate.BARRED, reason=destination.barred)
        changed = None
        if not what.keeps_attributes:
            try:
                changed = self._changed(subject, what)
            except (NotTransformed, NotDeidentified) as error:
                return msgspec.structs.replace(leaving, fate=Fate.HELD, reason=in_words(error)), None
            leaving = self._told(leaving, subject, what, changed, for_all)
        wanted = forms(
            Pair(subject.sop_class_uid, subject.image.transfer_syntax_uid), what.compress, what.transfer_syntaxes
        )
        leaving, copy = self._written(leaving, subject, what, changed, wanted)
        return leaving, copy if leaving.fate is Fate.LEAVES else None

    def _told(
        self, leaving: Leaving, subject: Subject, what: Recipe, changed: outgoing.Changed, for_all: int
    ) -> Leaving:
        """Tell what the transforms and the de-identification of a recipe changed."""
        changes = [change_of(each) for each in changed.image.changes]
        if changed.is_deidentified:
            before = self._changed(subject, self._recipe_of_all(subject))
            after = self._changed(subject, msgspec.structs.replace(what, outbound=()))
            syntax = subject.image.transfer_syntax_uid
            changes[for_all:for_all] = differing(_Again(syntax, before.image), _Again(syntax, after.image), DEIDENTIFY)
        return msgspec.structs.replace(
            leaving,
            deidentified=changed.is_deidentified,
            changes=tuple(changes),
            skipped=tuple(map(skip_of, changed.image.skipped)),
        )

    def _written(
        self,
        leaving: Leaving,
        subject: Subject,
        what: Recipe,
        changed: outgoing.Changed | None,
        wanted: Sequence[Form],
    ) -> tuple[Leaving, Copy | None]:
        """Write it in the first form it can be written in; tell in which, and what had to be changed for that."""
        syntax = subject.image.transfer_syntax_uid
        refused: list[str] = []
        for number, form in enumerate(wanted):
            changes, same = leaving.changes, False
            if form.how is None:
                same = changed is None or changed.image.is_as_received
                copy = _unwritten(subject, changed)
            else:
                try:
                    copy = self._make(subject, what, form)
                except NotProduced as error:
                    refused.append(str(error).removeprefix(NO_FORM).strip())
                    continue
                before = subject.image if changed is None else _Again(syntax, changed.image)
                changes += differing(before, _Written(copy), WRITE)
            told = msgspec.structs.replace(
                leaving,
                as_received=same,
                changes=changes,
                transfer_syntax=syntax_of(copy.transfer_syntax_uid),
                bytes=copy.length,
                remark=" ".join(refused),
                unlisted=bool(what.transfer_syntaxes) and copy.transfer_syntax_uid not in what.transfer_syntaxes,
            )
            return self._with_others(told, subject, what, wanted[number + 1 :], refused), copy
        return msgspec.structs.replace(leaving, fate=Fate.HELD, reason=f"{NO_FORM} {' '.join(refused)}"), None

    def _with_others(
        self, leaving: Leaving, subject: Subject, what: Recipe, others: Sequence[Form], refused: Sequence[str]
    ) -> Leaving:
        """Tell in which forms it can leave where the first is not accepted; that is found out by writing it in them."""
        found, failed = [], list(refused)
        untried = False
        native: str | None = None
        for form in others:
            is_native = form.transfer_syntax_uid in NATIVE
            if form.how is None or (is_native and native == ""):
                found.append(form)
                continue
            if is_native and native is not None:
                continue
            why = self._why_not(subject, what, form)
            if why is None:
                untried = True
            elif is_native:
                native = why
            if why:
                failed.append(why)
            else:
                found.append(form)
        return msgspec.structs.replace(
            leaving,
            otherwise=tuple(syntax_of(each.transfer_syntax_uid) for each in found),
            not_otherwise=f"{NO_FORM} {' '.join(failed)}" if failed else "",
            untried=untried,
        )

    def _why_not(self, subject: Subject, what: Recipe, form: Form) -> str | None:
        """Return why an image cannot be written in a form, empty if it can; None if that takes too much to see."""
        if subject.image.length > LARGEST_TRIED:
            return None
        try:
            self._make(subject, what, form)
        except NotProduced as error:
            return str(error).removeprefix(NO_FORM).strip()
        except TryAgain:
            return None
        return ""


def _unwritten(subject: Subject, changed: outgoing.Changed | None) -> Copy:
    """Return what leaves in the transfer syntax it came in."""
    image = subject.image
    if changed is None:
        return Copy(image.transfer_syntax_uid, subject.sop_instance_uid, image.length, image.chunks)
    return Copy(image.transfer_syntax_uid, changed.sop_instance_uid, changed.image.length, changed.image.chunks)


class _Lazy:
    """The attributes that routes look at, read when the first is asked for: what asks for none is not held for them."""

    def __init__(self, read: Callable[[], Attributes]) -> None:
        self._read = read
        self._attributes: Attributes | None = None

    def values(self, attribute: Attribute) -> tuple[str, ...] | None:
        """Return the values of an attribute. Raises `NotTransformed`."""
        if self._attributes is None:
            self._attributes = self._read()
        return self._attributes.values(attribute)


class _Again:
    """A rewritten image as one that is received."""

    def __init__(self, transfer_syntax_uid: str, image: Rewritten) -> None:
        self.transfer_syntax_uid, self.length, self.chunks = transfer_syntax_uid, image.length, image.chunks


class _Written:
    """A copy as an image that is received."""

    def __init__(self, copy: Copy) -> None:
        self.transfer_syntax_uid, self.length, self._copy = copy.transfer_syntax_uid, copy.length, copy

    def chunks(self) -> Iterator[memoryview]:
        """Yield the dataset's bytes in order."""
        return map(memoryview, self._copy.chunks())
