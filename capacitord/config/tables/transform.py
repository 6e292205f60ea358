"""`[[transform]]`: what is changed in a dataset, when, and for whom."""

from __future__ import annotations

from typing import Annotated, Any, Final, Self

import pydantic

from capacitord.config import operations
from capacitord.config.diagnostics import Rejected, Rejections, suggestion, unknown
from capacitord.config.fields import Table, Text
from capacitord.config.matching import Match
from capacitord.config.tables.route import Names
from capacitord.model.conditions import ALWAYS
from capacitord.model.deidentify import Deidentification, Option
from capacitord.model.transform import On, OnError, Operation, Reason, Record, Transform

Operations = tuple[Operation, ...]
_LISTED: Final[dict[str, Any]] = {"type": "array", "items": {"type": "string"}, "minItems": 1}
_TABLE: Final[dict[str, Any]] = {"type": "object", "minProperties": 1}
ByTable = Annotated[Operations, pydantic.WithJsonSchema(_TABLE)]
ByList = Annotated[Operations, pydantic.WithJsonSchema(_LISTED)]
ByEither = Annotated[Operations, pydantic.WithJsonSchema({"anyOf": [_LISTED, _TABLE]})]


def _deidentify(value: object) -> Deidentification:
    if not isinstance(value, dict):
        msg = "must be a table"
        raise Rejected(msg, 'Write { profile = "basic", options = ["RetainLongitudinalModified"] }.')
    findings = [unknown((str(name),), ("profile", "options")) for name in value if name not in {"profile", "options"}]
    if findings:
        raise Rejections(findings)
    if value.get("profile") != "basic":
        msg = "profile must be basic"
        raise Rejected(msg, "It is the Basic Application Level Confidentiality Profile (PS3.15 §E.2).")
    options = value.get("options", [])
    for option in options if isinstance(options, list) else [options]:
        if option not in list(Option):
            msg = f"{option!r} is not an option of PS3.15 §E.3"
            raise Rejected(msg, suggestion(str(option), list(Option)))
    found = tuple(Option(option) for option in options)
    if len(set(found)) != len(found):
        msg = "names an option twice"
        raise Rejected(msg)
    if {Option.RETAIN_LONGITUDINAL_FULL, Option.RETAIN_LONGITUDINAL_MODIFIED} <= set(found):
        msg = "dates can be kept in full or modified, not both"
        raise Rejected(msg, "Leave RetainLongitudinalFull or RetainLongitudinalModified out.")
    return Deidentification(found)


DEIDENTIFY: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["profile"],
    "additionalProperties": False,
    "properties": {
        "profile": {"const": "basic"},
        "options": {"type": "array", "items": {"enum": list(Option)}, "uniqueItems": True},
    },
}


class RecordTable(Table):
    """`record`: what Original Attributes Sequence says of a change (PS3.3 §C.12.1.1.9)."""

    reason: Annotated[Reason, pydantic.Field(strict=False)] = Reason.COERCE
    """Why: "COERCE" or "CORRECT"."""
    source: Annotated[str, pydantic.Field(max_length=64)] = ""
    """Who had the values before."""
    system: Annotated[str, pydantic.Field(max_length=64)] = ""
    """Who changed them."""


_RECORD: Final[dict[str, Any]] = {
    "description": "Whether changes are recorded in Original Attributes Sequence (PS3.3 §C.12.1), and as what.",
    "anyOf": [
        {"type": "boolean"},
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "reason": {"enum": list(Reason)},
                "source": {"type": "string"},
                "system": {"type": "string"},
            },
        },
    ],
}


def _record(value: object) -> object:
    return RecordTable() if value is True else None if value is False else value


_FIELDS: Final = {"copy": "copy_"}
"""Fields that can't have the name of their key."""


class OperationsTable(Table):
    """What can be done to a dataset; carried out in the order in which it is written."""

    set: ByTable = ()
    """Attributes and their values; "{PatientID}" in a value stands for that of another attribute."""
    set_missing: ByTable = ()
    """The same, but only where the attribute is missing or empty."""
    remove: ByList = ()
    """Attributes that are taken out."""
    copy_: ByTable = pydantic.Field(default=(), alias="copy")
    """Attributes, and those whose values they get."""
    replace: ByTable = ()
    """Attributes, and a pattern (RE2) with what replaces it."""
    map: ByTable = ()
    """Attributes, and a table of values with what they become; table = {..} or file = "values.csv"."""
    clean: ByEither = ()
    """Attributes from which characters are taken that others can't show."""
    hash: ByEither = ()
    """Attributes whose values become codes that only this site's key makes."""
    prefix: ByTable = ()
    """Attributes, and what their values begin with in addition."""
    suffix: ByTable = ()
    """Attributes, and what their values end with in addition."""
    _order: tuple[str, ...] = pydantic.PrivateAttr(default=())

    @pydantic.field_validator(*(_FIELDS.get(name, name) for name in operations.NAMES), mode="plain")
    @classmethod
    def _read(cls, value: object, info: pydantic.ValidationInfo) -> Operations:
        return operations.parse(str(info.field_name).removesuffix("_"), value)

    @pydantic.model_validator(mode="wrap")
    @classmethod
    def _as_written(cls, value: Any, handler: pydantic.ModelWrapValidatorHandler[Self]) -> Self:
        table = handler(value)
        if isinstance(value, dict):
            table._order = tuple(name for name in value if name in operations.NAMES)  # noqa: SLF001 - its own
        return table

    @property
    def operations(self) -> Operations:
        """All operations, in the order in which they are written."""
        return tuple(each for name in self._order for each in getattr(self, _FIELDS.get(name, name)))


class TransformTable(OperationsTable):
    """`[[transform]]`: what is changed in a dataset, when, and for whom."""

    name: Text | None = None
    """How people call it."""
    on: Annotated[On, pydantic.Field(strict=False)] = On.OUTBOUND
    """When: as images come in, as they go out, or as the worklist is served. Inbound is seen by routes and `match`."""
    match: Match = ALWAYS
    """Which images it is for; without it, all. Inbound looks at the image as received, outbound after that."""
    to: Names = pydantic.Field(default=[])
    """Names of the destinations for whose copies it is meant; without it, all. Outbound only."""
    deidentify: Annotated[
        Deidentification | None, pydantic.PlainValidator(_deidentify), pydantic.WithJsonSchema(DEIDENTIFY)
    ] = None
    """De-identification (PS3.15 Annex E), before the operations; the first that matches for a destination."""
    on_error: Annotated[OnError, pydantic.Field(strict=False)] = OnError.HOLD
    """What becomes of an image for which it fails: it is held, or it goes without the change."""
    record: Annotated[
        RecordTable | None,
        pydantic.BeforeValidator(_record),
        pydantic.WithJsonSchema(_RECORD),
    ] = None
    """Whether changes are recorded in Original Attributes Sequence (PS3.3 §C.12.1)."""

    def transform(self, number: int) -> Transform:
        """Return its operations as they are carried out; `number` is its place in the profile, from 0."""
        record = None if self.record is None else Record(self.record.reason, self.record.source, self.record.system)
        name = self.name or f"transform[{number}]"
        return Transform(name, self.on, self.operations, self.match, tuple(self.to), self.on_error, record)

    @property
    def deidentification(self) -> Deidentification | None:
        """Its de-identification, for whom it is."""
        if self.deidentify is None:
            return None
        return Deidentification(self.deidentify.options, self.match, tuple(self.to))
