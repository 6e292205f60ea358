"""`[[transform]]`: what is changed in a dataset, when, and for whom."""

from __future__ import annotations

from typing import Annotated, Any, Final, Self

import pydantic

from capacitord.config import operations
from capacitord.config.diagnostics import MISSING, Finding, Rejected, Rejections, quoted, suggestion, unknown
from capacitord.config.fields import Table, Text
from capacitord.config.matching import Match
from capacitord.config.operation_schemas import OPERATIONS
from capacitord.config.tables.route import SomeNames
from capacitord.model.conditions import ALWAYS
from capacitord.model.deidentify import Deidentification, Option
from capacitord.model.transform import On, OnError, Operation, Reason, Record, Transform

Operations = tuple[Operation, ...]
SCHEMAS: Final = {name: pydantic.WithJsonSchema(schema) for name, schema in OPERATIONS.items()}


def _deidentify(value: object) -> Deidentification:
    if not isinstance(value, dict):
        msg = "must be a table"
        raise Rejected(msg, 'Write { profile = "basic", options = ["RetainLongitudinalModified"] }.')
    findings = [unknown((str(name),), ("profile", "options")) for name in value if name not in {"profile", "options"}]
    if value.get("profile") != "basic":
        hint = "It is the Basic Application Level Confidentiality Profile (PS3.15 §E.2)."
        findings.append(Finding(("profile",), "must be basic" if "profile" in value else MISSING, hint))
    options = value.get("options", [])
    if not isinstance(options, list):
        findings.append(Finding(("options",), "must be a list", 'Write it like ["RetainUIDs"].'))
        options = []
    known = [option.value for option in Option]
    for number, option in enumerate(options):
        if option not in known:
            words = f"{quoted(option)} is not an option of PS3.15 §E.3"
            findings.append(Finding(("options", number), words, suggestion(str(option), known)))
        elif option in options[:number]:
            findings.append(Finding(("options", number), f"{option} is in this list already", "Leave one of them out."))
    if {Option.RETAIN_LONGITUDINAL_FULL.value, Option.RETAIN_LONGITUDINAL_MODIFIED.value} <= {*map(str, options)}:
        hint = "Leave RetainLongitudinalFull or RetainLongitudinalModified out."
        findings.append(Finding(("options",), "dates can be kept in full or modified, not both", hint))
    if findings:
        raise Rejections(findings)
    return Deidentification(tuple(Option(option) for option in options))


DEIDENTIFY: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["profile"],
    "additionalProperties": False,
    "properties": {
        "profile": {"const": "basic", "description": "The Basic Application Level Confidentiality Profile."},
        "options": {
            "type": "array",
            "items": {"enum": list(Option)},
            "uniqueItems": True,
            "description": "Options of PS3.15 §E.3.",
        },
    },
}


class RecordTable(Table):
    """`record`: what Original Attributes Sequence says of a change (PS3.3 §C.12.1.1.9)."""

    reason: Annotated[Reason, pydantic.Field(strict=False)] = Reason.COERCE
    """Why: "COERCE" or "CORRECT"."""
    source: Annotated[str, pydantic.Field(max_length=64)] = ""
    """Who had the values before."""
    system: Annotated[str, pydantic.Field(max_length=64)] = ""
    """Who changed them; empty: "capacitord"."""


_RECORD: Final[dict[str, Any]] = {
    "description": "Whether changes are recorded in Original Attributes Sequence (PS3.3 §C.12.1), and as what.",
    "anyOf": [
        {"type": "boolean"},
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "reason": {"enum": list(Reason), "description": "Why."},
                "source": {"type": "string", "maxLength": 64, "description": "Who had the values before."},
                "system": {"type": "string", "maxLength": 64, "description": 'Who changed them; empty: "capacitord".'},
            },
        },
    ],
}


def _record(value: object) -> object:
    if not isinstance(value, bool | dict):
        msg = "must be true, false or a table"
        raise Rejected(msg, 'Write true, or { reason = "COERCE", source = "St. Mary\'s Hospital" }.')
    return RecordTable() if value is True else None if value is False else value


_FIELDS: Final = {"copy": "copy_"}
"""Fields that can't have the name of their key."""


class OperationsTable(Table):
    """What can be done to a dataset; carried out in the order in which it is written."""

    set: Annotated[Operations, SCHEMAS["set"]] = ()
    """Attributes and their values; "{PatientID}" in a value stands for that of another attribute."""
    set_missing: Annotated[Operations, SCHEMAS["set_missing"]] = ()
    """The same, but only where the attribute is missing or empty."""
    remove: Annotated[Operations, SCHEMAS["remove"]] = ()
    """Attributes that are taken out."""
    copy_: Annotated[Operations, SCHEMAS["copy"]] = pydantic.Field(default=(), alias="copy")
    """Attributes, and those whose values they get."""
    replace: Annotated[Operations, SCHEMAS["replace"]] = ()
    """Attributes, and a pattern (RE2) with what replaces it."""
    map: Annotated[Operations, SCHEMAS["map"]] = ()
    """Attributes, and a table of values with what they become; table = {..} or file = "values.csv"."""
    clean: Annotated[Operations, SCHEMAS["clean"]] = ()
    """Attributes from which characters are taken that others can't show."""
    hash: Annotated[Operations, SCHEMAS["hash"]] = ()
    """Attributes whose values become codes that only this site's key makes."""
    prefix: Annotated[Operations, SCHEMAS["prefix"]] = ()
    """Attributes, and what their values begin with in addition."""
    suffix: Annotated[Operations, SCHEMAS["suffix"]] = ()
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

    model_config = pydantic.ConfigDict(
        json_schema_extra={"anyOf": [{"required": [name]} for name in (*OPERATIONS, "deidentify")]}
    )

    name: Text | None = None
    """How people call it."""
    on: Annotated[On, pydantic.Field(strict=False)] = On.OUTBOUND
    """When: as images come in, as they go out, or as the worklist is served. Inbound is seen by routes and `match`."""
    match: Match = ALWAYS
    """Which images it is for; without it, all. Inbound looks at the image as received, outbound after that."""
    to: SomeNames = pydantic.Field(default=[])
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
        name = self.name or f"transform {number + 1}"
        return Transform(name, self.on, self.operations, self.match, tuple(self.to), self.on_error, record)

    @property
    def deidentification(self) -> Deidentification | None:
        """Its de-identification, for whom it is."""
        if self.deidentify is None:
            return None
        return Deidentification(self.deidentify.options, self.match, tuple(self.to))
