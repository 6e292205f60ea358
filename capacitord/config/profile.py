"""A site's profile: everything that is true of one facility. The tables are in `config/tables`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, NamedTuple

import pydantic

from capacitord.config import credentials, diagnostics, document, enclosed, file_names, references
from capacitord.config.diagnostics import Diagnostic, Finding, Rejected, Source
from capacitord.config.fields import Slug, Table, Text, Timezone
from capacitord.config.tables.completeness import CompletenessTable
from capacitord.config.tables.delivery import DeliveryTable
from capacitord.config.tables.destination import CALLING, DestinationTable
from capacitord.config.tables.location import LocationTable
from capacitord.config.tables.preflight import PreflightTable
from capacitord.config.tables.review import ReviewTable
from capacitord.config.tables.route import RouteTable
from capacitord.config.tables.transform import TransformTable
from capacitord.config.tables.worklist import WorklistTable
from capacitord.model.deidentify import Deidentification
from capacitord.model.routes import Route
from capacitord.model.transform import Transform

__all__ = ["CALLING", "MAX_FILE", "Checked", "Profile", "check", "parse"]

MAX_FILE: Final = 1 << 19
_SMALLER: Final = "Draw the geofence with fewer corners, or keep tables of values in files beside it."


def _schema(value: object) -> object:
    if type(value) is not int:  # true and 1.0 are equal to 1, and not meant
        msg = "must be 1"
        raise Rejected(msg, "Write schema = 1: the version of this format.")
    if value > 1:
        msg = "was written for a newer version of capacitord"
        raise Rejected(msg, "Update capacitord and fluxctl: this version reads schema = 1.")
    return value


class Profile(Table):
    """A site profile of capacitord: everything that is true of one facility."""

    schema_: Annotated[Literal[1], pydantic.BeforeValidator(_schema), pydantic.Field(alias="schema")]
    """The version of this format."""
    id: Slug
    """What commands, folders and the log call the site. It never changes: the site's key and its spool hang on it."""
    name: Text
    """What people call the site."""
    version: Annotated[int, pydantic.Field(ge=1, le=2**31 - 1)]
    """Grows with every change. One that is older than the one in force is refused without --allow-older."""
    timezone: Timezone
    """The site's zone in the IANA database, such as "America/Chicago"."""
    location: LocationTable | None = None
    """How the box knows that it is at this site."""
    preflight: PreflightTable | None = None
    """Whether the scanner must be clean of other sites' studies before the storage port opens."""
    worklist: WorklistTable | None = None
    """Where the worklist comes from, and how it is served to the scanner."""
    review: ReviewTable | None = None
    """How a study is matched with the worklist, and what becomes of one that is not."""
    completeness: CompletenessTable | None = None
    """When a study counts as complete, and whether its images wait for that."""
    destination: list[DestinationTable] = pydantic.Field(min_length=1, max_length=32)
    """Where images go, by DICOM or by DICOMweb."""
    route: list[RouteTable] = pydantic.Field(default=[], max_length=500)
    """Which destinations an image goes to: the first that matches wins."""
    transform: list[TransformTable] = pydantic.Field(default=[], max_length=500)
    """What is changed in images, when, and for whom."""
    delivery: DeliveryTable = DeliveryTable()
    """When images leave, how fast and in which order, and how long they stay."""

    @property
    def routes(self) -> tuple[Route, ...]:
        """The routes as the runtime takes them. A profile that names none has one to all its destinations."""
        if not self.route:
            return (Route(tuple(destination.name for destination in self.destination)),)
        return tuple(route.route for route in self.route)

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """What is changed in images, in order; what only de-identifies is not among them."""
        return tuple(table.transform(number) for number, table in enumerate(self.transform) if table.operations)

    @property
    def deidentifications(self) -> tuple[Deidentification, ...]:
        """Whose images leave de-identified. That comes before what `transforms` do."""
        return tuple(found for table in self.transform if (found := table.deidentification) is not None)


class Checked(NamedTuple):
    """What a text is: a profile, or what is wrong with it. Warnings there may be with both.

    `tables` is the document as it is written, with what files beside it hold; empty if it is not TOML.
    """

    profile: Profile | None
    problems: tuple[Diagnostic, ...]
    warnings: tuple[Diagnostic, ...]
    tables: dict[str, Any]


Further = Callable[[dict[str, Any]], tuple[list[Finding], list[Finding]]]
"""A check that has its place elsewhere: tables to what is wrong and what to take care of. It raises nothing."""


def parse(text: str, name: str, *, further: Further | None = None) -> Profile:
    """Return the profile that `text` is; `Invalid` with all that is wrong with it. `name` is the file's."""
    found = check(text, name, further=further)
    if found.profile is None:
        raise diagnostics.refusal(found.problems)
    return found.profile


def check(text: str, name: str, *, beside: enclosed.Beside | None = None, further: Further | None = None) -> Checked:
    """Return the profile that `text` is, and all that is wrong with it.

    `beside` reads the files that it names; without it, a profile that depends on one is refused. `further` checks
    more of it in the same go.
    """
    if len(text.encode(errors="replace")) > MAX_FILE:
        return Checked(None, (Diagnostic(name, "", "is larger than 512 KiB", _SMALLER),), (), {})
    tables, problems = document.read_toml(text, name)
    if problems:
        return Checked(None, problems, (), {})
    bad, warnings = references.check(tables)
    wrong, missing = credentials.check(tables, beside) if beside is not None else ([], [])
    taken = list(file_names.collisions(tables))
    tables, broken = enclosed.inlined(tables, beside)
    profile, findings = diagnostics.fill(Profile, tables)
    more, worth = further(tables) if further is not None else ([], [])
    source = Source(text, name)
    errors = source.diagnostics([*wrong, *taken, *broken, *findings, *bad, *more])
    return Checked(None if errors else profile, errors, source.diagnostics([*missing, *warnings, *worth]), tables)
