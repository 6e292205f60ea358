"""The documents of `--json`: a versioned name for each, and its JSON Schema.

A command's document is the daemon's answer with `"schema": "fluxctl.<command>/<version>"` first. `--jsonl` gives one
line per row, named `fluxctl.<command>.line/<version>`. A version changes when a field changes its meaning; fields are
only ever added.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from capacitord.api import messages as m
from capacitord.api.codes import Resolved
from capacitord.api.demo import Demo
from capacitord.api.departure import Departure
from capacitord.api.geofence import AreasChecked, Doubt, Mapped, SiteArea, Spot, Stood, Tested, Visit
from capacitord.api.location import EvidenceNow, Location
from capacitord.api.preflight import Preflight, Scanner
from capacitord.api.preview import Pictured
from capacitord.api.review import Held, HeldDetail, HeldList
from capacitord.api.trial import ProfileTrial, StudyExplained, TriedFile
from capacitord.api.worklist import Attribute, Entry, EntryDetail, EntryList, Refreshed
from capacitord.errors import Problem

JSON_SCHEMA: Final = "https://json-schema.org/draft/2020-12/schema"
ERROR: Final = "fluxctl.error/1"


class Version(m.Answer, frozen=True):
    """The versions of both ends. `daemon` is None when it cannot be reached, and `reason` says why."""

    fluxctl: str
    python: str
    socket: str
    daemon: str | None
    reason: str = ""


class Exported(m.Answer, frozen=True):
    """What an export wrote. `files` are relative to `directory`."""

    study: str
    directory: str
    images: int
    bytes: int
    files: tuple[str, ...]


class Previewed(m.Answer, frozen=True):
    """A picture that was written: what it shows, and the file; "-" is standard output."""

    picture: Pictured
    file: str
    bytes: int


class EchoList(m.Answer, frozen=True):
    """What each C-ECHO came to."""

    echoes: tuple[m.Echo, ...]


class Verified(m.Answer, frozen=True):
    """What a reading of all sealed objects found."""

    images: int
    bytes: int
    damaged: int
    message: str
    damage: tuple[m.VerifyDamage, ...]


class Doctor(m.Answer, frozen=True):
    """Everything looked at, from this side and by the daemon; `verify` with `--verify` only."""

    checks: tuple[m.Check, ...]
    verify: Verified | None = None


class Recovery(m.Answer, frozen=True):
    """Where the recovery file was written."""

    file: str


class ValidatedProfile(msgspec.Struct, frozen=True):
    """What was found in one file; `id`, `name`, `version` and `destinations` only if it is valid."""

    file: str
    valid: bool
    findings: tuple[m.ProfileFinding, ...]
    id: str = ""
    name: str = ""
    version: int | None = None
    destinations: tuple[str, ...] = ()


class Validated(m.Answer, frozen=True):
    """What was found in each file."""

    profiles: tuple[ValidatedProfile, ...]


class ProfileChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """A difference between two profiles, at a key path. `old` is None for what is new, `new` for what is gone.

    `where` names the table for people: "route 2", "destination pacs". `name` is the key within it.
    """

    key: str
    where: str
    name: str
    old: str | None = None
    new: str | None = None


class ProfileDiff(m.Answer, frozen=True):
    """What differs between two profiles; `old` and `new` say which: SITE@VERSION, or a file."""

    old: str
    new: str
    changes: tuple[ProfileChange, ...]


class ProfileExported(m.Answer, frozen=True):
    """What an export wrote. `files` are relative to `directory`."""

    profile: str
    version: int
    directory: str
    files: tuple[str, ...]


class Document(NamedTuple):
    """What a command prints with `--json`; `rows` names the field and the type that `--jsonl` prints line by line."""

    kind: object
    rows: tuple[str, object] | None = None
    version: int = 1


DOCUMENTS: Final[Mapping[str, Document]] = MappingProxyType(
    {
        "audit.show": Document(m.AuditList, ("entries", m.AuditEntry)),
        "audit.verify": Document(m.AuditReport),
        "demo": Document(Demo),
        "destination.echo": Document(EchoList, ("echoes", m.Echo)),
        "destination.list": Document(m.DestinationList, ("destinations", m.DestinationStatus)),
        "doctor": Document(Doctor, ("checks", m.Check)),
        "geofence.check": Document(AreasChecked, ("lines", Doubt | Spot)),
        "geofence.map": Document(Mapped, ("sites", SiteArea)),
        "geofence.test": Document(Tested, ("lines", Stood | Visit)),
        "held.discard": Document(m.Done),
        "held.list": Document(HeldList, ("held", Held)),
        "held.restore": Document(m.Done),
        "held.show": Document(HeldDetail),
        "key.export": Document(Recovery),
        "key.init": Document(m.KeyStatus),
        "key.restore": Document(m.KeyStatus),
        "key.rotate": Document(m.KeyStatus),
        "key.status": Document(m.KeyStatus),
        "key.unlock": Document(m.KeyStatus),
        "preflight": Document(Preflight, ("scanners", Scanner)),
        "profile.diff": Document(ProfileDiff, ("changes", ProfileChange)),
        "profile.export": Document(ProfileExported),
        "profile.history": Document(m.ProfileHistory, ("activations", m.Activation)),
        "profile.import": Document(m.ProfileImported),
        "profile.list": Document(m.ProfileList, ("profiles", m.ProfileSummary)),
        "profile.remove": Document(m.Done),
        "profile.rollback": Document(m.ProfileSummary),
        "profile.show": Document(m.ProfileText),
        "profile.try": Document(ProfileTrial, ("files", TriedFile)),
        "profile.validate": Document(Validated, ("profiles", ValidatedProfile), version=2),
        "queue.flush": Document(m.Done),
        "queue.list": Document(m.QueueList, ("destinations", m.QueueRow)),
        "queue.pause": Document(m.Done),
        "queue.resume": Document(m.Done),
        "queue.show": Document(m.StudyDetail),
        "release": Document(m.Done),
        "resend": Document(m.Done),
        "site.activate": Document(m.Done),
        "site.deactivate": Document(m.Done),
        "site.departure": Document(Departure),
        "site.erase": Document(m.Done),
        "site.follow": Document(m.Done),
        "site.list": Document(m.SiteList, ("sites", m.SiteEntry)),
        "site.location": Document(Location, ("evidence", EvidenceNow)),
        "status": Document(m.Status),
        "study.discard": Document(m.Done),
        "study.explain": Document(StudyExplained),
        "study.export": Document(Exported),
        "study.list": Document(m.StudyList, ("studies", m.Study)),
        "study.preview": Document(Previewed),
        "study.resolve": Document(Resolved),
        "study.show": Document(m.StudyDetail),
        "version": Document(Version),
        "watch": Document(m.Event),
        "worklist.list": Document(EntryList, ("entries", Entry)),
        "worklist.refresh": Document(Refreshed),
        "worklist.show": Document(EntryDetail, ("attributes", Attribute)),
    }
)


def schema_name(command: str, *, line: bool = False) -> str:
    """Return the name of a command's document, or of its lines."""
    return f"fluxctl.{command}{'.line' if line else ''}/{DOCUMENTS[command].version}"


def document(command: str, answer: msgspec.Struct, *, line: bool = False) -> dict[str, Any]:
    """Return an answer as the document of `command`, its name first."""
    fields: dict[str, Any] = msgspec.to_builtins(answer)
    return {**_first(schema_name(command, line=line)), **{k: v for k, v in fields.items() if k != "schema"}}


def error_document(problem: Problem) -> dict[str, Any]:
    """Return an error as the document every command prints with `--json` when it fails."""
    return {**_first(ERROR), "error": msgspec.to_builtins(problem)}


def json_schema(command: str, *, line: bool = False) -> dict[str, Any]:
    """Return the JSON Schema of a command's document, or of its lines; "error" names that of errors.

    Raises `KeyError` if there is no such document.
    """
    if command == "error":
        return _named(m.Refusal, ERROR)
    wanted = DOCUMENTS[command]
    if not line:
        return _named(wanted.kind, schema_name(command))
    if wanted.rows is None:
        raise KeyError(command)
    return _named(wanted.rows[1], schema_name(command, line=True))


def _first(name: str) -> dict[str, Any]:
    return {"schema": name}


def _named(kind: object, name: str) -> dict[str, Any]:
    (top,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    for reference in top.get("anyOf", [top]):
        part = parts[reference["$ref"].rpartition("/")[2]]
        part["properties"] = {
            "schema": {"const": name},
            **{k: v for k, v in part["properties"].items() if k != "schema"},
        }
        part["required"] = ["schema", *(field for field in part.get("required", ()) if field != "schema")]
    return {"$schema": JSON_SCHEMA, "title": name, **top, "$defs": parts}
