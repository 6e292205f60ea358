"""`[review]`: how a study is matched with the worklist, and what becomes of one that is not."""

from __future__ import annotations

import enum
from typing import Annotated, Any, Final

import pydantic

from capacitord.config.diagnostics import Rejected, suggestion
from capacitord.config.fields import Slug, Table
from capacitord.model.matching import MatchKey, Rule


class Rematch(enum.StrEnum):
    """What a worklist entry does that comes after the study: a person decides, or it goes at once."""

    SUGGEST = "suggest"
    RELEASE = "release"


def _keys(value: object) -> Rule:
    names = value if isinstance(value, list) else [value]
    known = [key.value for key in MatchKey]
    for name in names:
        if name not in known:
            msg = f"{name!r} is nothing that a study and a worklist have in common"
            raise Rejected(msg, suggestion(str(name), known))
    if not names or len(set(names)) != len(names):
        msg = "must name each key once"
        raise Rejected(msg, 'Write it like "AccessionNumber", or ["PatientID", "Modality"] for both at once.')
    return tuple(MatchKey(str(name)) for name in names)


_NAME: Final[dict[str, Any]] = {"enum": [key.value for key in MatchKey]}
MatchKeys = Annotated[
    Rule,
    pydantic.PlainValidator(_keys),
    pydantic.WithJsonSchema({"anyOf": [_NAME, {"type": "array", "items": _NAME, "minItems": 1}]}),
]


class ReleaseTable(Table):
    """`unmatched = { release-to = [..] }`: where a study goes that nothing matches."""

    release_to: Annotated[list[Slug], pydantic.Field(alias="release-to", min_length=1, max_length=32)]
    """Names of destinations."""


_UNMATCHED: Final[dict[str, Any]] = {
    "description": "What becomes of a study that nothing matches: it is held for a person, or released.",
    "anyOf": [
        {"const": "hold"},
        {
            "type": "object",
            "required": ["release-to"],
            "additionalProperties": False,
            "properties": {
                "release-to": {
                    "type": "array",
                    "items": {"type": "string"},
                    "minItems": 1,
                    "description": "Names of the destinations it goes to.",
                }
            },
        },
    ],
}


def _unmatched(value: object) -> object:
    if isinstance(value, str) and value != "hold":
        msg = f"{value!r} is not known here"
        raise Rejected(msg, 'Write "hold", or { release-to = ["pacs"] }.')
    return None if value == "hold" else value


class ReviewTable(Table):
    """`[review]`: how a study is matched with the worklist, and what becomes of one that is not.

    A profile with `[review]` or `[worklist]` matches every study; with neither, nothing is matched. Matching looks at
    an image as the inbound transforms leave it, and is exact, but for padding, case and delimiters that say nothing.
    Two entries that agree are no match, unless they are steps of one order and differ in nothing else. A study under
    the order of another patient is a conflict. What does not match goes nowhere until a person releases it, whatever
    later versions of the profile say.
    """

    match: list[MatchKeys] = pydantic.Field(
        default=[(MatchKey.ACCESSION_NUMBER,), (MatchKey.STUDY_INSTANCE_UID,)], min_length=1, max_length=20
    )
    """What must agree, tried in order; a list within the list must agree in all its entries. The first by which an
    entry agrees decides. An empty value agrees with nothing."""
    unmatched: Annotated[
        ReleaseTable | None,
        pydantic.BeforeValidator(_unmatched),
        pydantic.WithJsonSchema(_UNMATCHED),
    ] = None
    """What becomes of a study that nothing matches: it is held for a person, or released. Several candidates and
    conflicts are held in any case."""
    rematch: Annotated[Rematch, pydantic.Field(strict=False)] = Rematch.SUGGEST
    """What a worklist entry does that comes later and matches a study that nothing matched: it is shown to a person, or
    releases the study."""
