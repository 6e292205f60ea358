"""Transforms: what is to be changed in a dataset, where, and what happens if that fails.

The words are those of a profile; `capacitord.dicom.transform` carries them out. A target that would change which
image it is, or how its bytes are to be read, is refused when the operation is made.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal

import msgspec

from capacitord.errors import Invalid
from capacitord.model import patterns
from capacitord.model.attribute import Attribute, NotAllowed, parse
from capacitord.model.conditions import ALWAYS, Condition
from capacitord.model.targets import check_replaced, check_target
from capacitord.model.worklist import Code

_ESCAPES: Final = re.compile(r"\\(.?)", re.DOTALL)
_GROUPS: Final = frozenset("0123456789")


class On(enum.StrEnum):
    """When a transform is applied."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    WORKLIST = "worklist"


class OnError(enum.StrEnum):
    """What happens to an image for which an operation fails: it waits for a person, or it goes without that change."""

    HOLD = "hold"
    SKIP = "skip"


class Repertoire(enum.StrEnum):
    """The characters that `clean` leaves: the default repertoire (PS3.5 §6.1.2.1), or that of ISO_IR 100."""

    ASCII = "ascii"
    LATIN_1 = "latin-1"


class Reason(enum.StrEnum):
    """Why attributes were modified: the defined terms of (0400,0565) that fit a profile (PS3.3 table C.12.1.1.9-1)."""

    COERCE = "COERCE"
    CORRECT = "CORRECT"


class Source(msgspec.Struct, frozen=True, omit_defaults=True):
    """A place of a template: the value of `attribute`, or `default` where it is missing or empty.

    Without a default such an image fails the operation.
    """

    attribute: Attribute
    default: str | None = None

    def __post_init__(self) -> None:
        _one(self.attribute)


class Template(msgspec.Struct, frozen=True):
    """A value put together from text and from other attributes; `text` is how it was written."""

    text: str
    parts: tuple[str | Source, ...]


class _Operation(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="operation", tag=str.lower):
    target: Attribute

    def __post_init__(self) -> None:
        check_target(self.target)

    @property
    def name(self) -> str:
        """Its key in a profile."""
        return str(self.__struct_config__.tag)


class Set(_Operation, frozen=True):
    """The attribute has this value. One that is named exactly is made where it is missing, sequences too.

    `vr` is needed for private attributes that no dictionary knows.
    """

    value: Template
    vr: str = ""


class SetMissing(Set, frozen=True, tag="set_missing"):
    """The same, but only where the attribute is missing or empty."""


class Remove(_Operation, frozen=True):
    """The attribute is not there."""


class Copy(_Operation, frozen=True):
    """The attribute has the value of another one; where that one is missing or empty, nothing changes."""

    source: Attribute

    def __post_init__(self) -> None:
        check_target(self.target)
        check_replaced(self.target)
        _one(self.source)


class Replace(_Operation, frozen=True):
    r"""In each value, what matches the regular expression (RE2) becomes `replacement`.

    There \1 to \9 are its groups and \0 is all that matched.
    """

    pattern: str
    replacement: str

    def __post_init__(self) -> None:
        check_target(self.target)
        try:
            compiled = patterns.compiled(self.pattern)
        except Invalid as error:
            raise NotAllowed(error.message, error.hint) from None
        for part in self.parts():
            if isinstance(part, int) and part > compiled.groups:
                msg = f"the replacement names group {part}, and the expression has {compiled.groups}"
                raise NotAllowed(msg, "Groups are what stands in parentheses, counted from the left.")

    def parts(self) -> tuple[str | int, ...]:
        r"""Return what the replacement is made of: text, and numbers of groups. Raises `NotAllowed`."""
        pieces = _ESCAPES.split(self.replacement)
        parts: list[str | int] = [pieces[0]]
        for escaped, text in zip(pieces[1::2], pieces[2::2], strict=True):
            if escaped not in _GROUPS and escaped != "\\":
                msg = f"the replacement has \\{escaped}, which means nothing"
                raise NotAllowed(msg, r"Write \1 for the first group, \0 for all that matched, \\ for a backslash.")
            parts += [escaped if escaped == "\\" else int(escaped), text]
        return tuple(part for part in parts if part != "")


class Map(_Operation, frozen=True):
    """Each value that is a key of the table becomes its value.

    Another one becomes `default`; without one it stays as it is, or fails the operation if `strict`.
    """

    table: dict[str, str]
    default: str | None = None
    strict: bool = False


class Clean(_Operation, frozen=True):
    """Characters outside the repertoire lose their accents, are spelled out, or become `replacement`."""

    repertoire: Repertoire = Repertoire.ASCII
    replacement: str = ""


class Hash(_Operation, frozen=True):
    """Each value becomes a code that only the holder of the site's key can make: the same for the same value.

    `length` is in characters, 5 bits each; a UID becomes a UID.
    """

    length: int = 16

    def __post_init__(self) -> None:
        check_target(self.target)
        if not 8 <= self.length <= 52:
            msg = "a hash has 8 to 52 characters"
            raise NotAllowed(msg, "16 characters fit every text and make an accident as good as impossible.")


class Prefix(_Operation, frozen=True):
    """Each value begins with this text in addition."""

    text: str


class Suffix(_Operation, frozen=True):
    """Each value ends with this text in addition; of a person name the first component group does."""

    text: str


class Recode(_Operation, frozen=True):
    """In each item of the code sequence whose code value is a key, the code becomes another one."""

    codes: dict[str, Code]


Operation = Set | SetMissing | Remove | Copy | Replace | Map | Clean | Hash | Prefix | Suffix | Recode


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """Changes are written into Original Attributes Sequence (PS3.3 §C.12.1.1.9).

    `source` names who had the values before (0400,0564), `system` who changed them (0400,0563): if empty, capacitord.
    """

    reason: Reason = Reason.COERCE
    source: str = ""
    system: str = ""


class Transform(msgspec.Struct, frozen=True, omit_defaults=True):
    """Operations in the order they are carried out, and when.

    `name` is how a person finds it in the profile. `match` of an inbound transform looks at the image as it was
    received. That of an outbound one looks at the image after the inbound ones that fitted, and so do routes and
    de-identification; its operations are carried out on what de-identification left. `to` names the destinations for
    whose copy an outbound transform is meant; none means all. Without `record` nothing is written into Original
    Attributes Sequence.
    """

    name: str
    on: On
    operations: tuple[Operation, ...]
    match: Condition = ALWAYS
    to: tuple[str, ...] = ()
    on_error: OnError = OnError.HOLD
    record: Record | None = None


def attributes_of(transforms: Iterable[Transform]) -> Iterator[Attribute]:
    """Yield all attributes that the operations change or take values from."""
    for transform in transforms:
        for operation in transform.operations:
            yield operation.target
            if isinstance(operation, Copy):
                yield operation.source
            if isinstance(operation, Set):
                yield from (part.attribute for part in operation.value.parts if isinstance(part, Source))


def _one(source: Attribute) -> None:
    if not source.exact:
        msg = f"{source.text} may name several attributes"
        raise NotAllowed(msg, "A value is taken from one attribute: name it without x and **.")


_PLACE: Final = re.compile(r"\{\{|\}\}|\{((?:\([^)]*\)|[^{}|])+)(?:\|([^{}]*))?\}|[{}]")


def template(text: str, tag_of: Callable[[str], int | None]) -> Template:
    """Return the template that `text` is: `{PatientID}` stands for a value, `{PatientID|none}` has a default.

    `{{` and `}}` are braces. Raises `NotAllowed`.
    """
    parts: list[str | Source] = []
    literal, end = "", 0
    if "{}" in text.replace("{{", "").replace("}}", ""):
        msg = "has {} with nothing in it"
        raise NotAllowed(msg, "Write {Keyword} for a value, {{ and }} for braces.")
    for place in _PLACE.finditer(text):
        literal += text[end : place.start()]
        end = place.end()
        if place[1] is None:
            literal += _brace(place[0])
            continue
        if literal:
            parts.append(literal)
        literal = ""
        parts.append(Source(parse(place[1].strip(), tag_of), place[2]))
    literal += text[end:]
    return Template(text, (*parts, literal) if literal else tuple(parts))


def _brace(found: str) -> Literal["{", "}"]:
    if found == "{{":
        return "{"
    if found == "}}":
        return "}"
    msg = f"has a single {found}"
    raise NotAllowed(msg, "Write {Keyword} for a value, {{ and }} for braces.")
