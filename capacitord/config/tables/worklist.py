"""`[worklist]`: where the worklist of the site comes from, and how it is served to the scanner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import pydantic

from capacitord.config import attributes
from capacitord.config.diagnostics import Finding, Rejected, Rejections, unknown
from capacitord.config.fields import AeTitle, Duration, Table
from capacitord.config.matching import Match
from capacitord.config.tables.node import NodeTable
from capacitord.config.tables.transform import OperationsTable
from capacitord.model.conditions import ALWAYS
from capacitord.model.transform import On, Recode, Transform
from capacitord.model.worklist import Code

_SHORTEST = 10.0
_PARTS = {"value": 16, "scheme": 16, "meaning": 64}
"""Of a code, with the most characters of its VR (PS3.3 §8.1)."""


def _codes(value: object) -> tuple[Recode, ...]:
    """Return which codes become which, by code sequence."""
    hint = (
        '{ RequestedProcedureCodeSequence = { "CTHD" = { value = "CTHEAD", scheme = "99STM", meaning = "CT Head" } } }'
    )
    if not isinstance(value, Mapping) or not value:
        msg = "must be a table that is not empty"
        raise Rejected(msg, f"Write it like {hint}.")
    findings: list[Finding] = []
    found = []
    for name, table in value.items():
        if not isinstance(table, Mapping) or not table:
            findings.append(Finding((str(name),), "must be a table that is not empty", f"Write it like {hint}."))
            continue
        try:
            sequence = attributes.owned(str(name))
            if attributes.vr_of(sequence.steps[-1]) not in {"SQ", ""}:
                msg = f"{name} is not a code sequence"
                raise Rejected(msg, f"Write it like {hint}.")  # noqa: TRY301 - one way out for all that is wrong
        except Rejected as error:
            findings.append(Finding((str(name),), error.message, error.hint, at_key=True))
            continue
        wrong = [
            Finding((str(name), str(old), *each.key), each.message, each.hint, each.at_key)
            for old, new in table.items()
            for each in _wrong_code(new)
        ]
        findings += wrong
        if not wrong:
            found.append(Recode(sequence, {str(old): Code(**new) for old, new in table.items()}))
    if findings:
        raise Rejections(findings)
    return tuple(found)


def _wrong_code(new: object) -> list[Finding]:
    if not isinstance(new, Mapping):
        return [Finding((), "must be a table", "Its keys are value, scheme and meaning.")]
    findings = [unknown((str(name),), _PARTS) for name in new if name not in _PARTS]
    for part, longest in _PARTS.items():
        text = new.get(part)
        if not isinstance(text, str) or not 1 <= len(text) <= longest or "\\" in text:
            words = "is missing" if text is None else f"must be a text of 1 to {longest} characters without backslash"
            findings.append(Finding((part,), words))
    return findings


_CODE: dict[str, Any] = {
    "type": "object",
    "required": list(_PARTS),
    "additionalProperties": False,
    "properties": {
        name: {"type": "string", "minLength": 1, "maxLength": longest, "description": words}
        for (name, longest), words in zip(
            _PARTS.items(), ("Code Value.", "Coding Scheme Designator.", "Code Meaning."), strict=True
        )
    },
}
_CODES: dict[str, Any] = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": {"type": "object", "minProperties": 1, "additionalProperties": _CODE},
}


class CorrectTable(OperationsTable):
    """`[[worklist.correct]]`: what is changed in entries of the worklist before the scanner gets them.

    Where `clean` leaves nothing of the first group of a patient's name, another group that is left is shown there, and
    else the patient id.
    """

    match: Match = ALWAYS
    """Which entries; without it, all."""
    codes: Annotated[tuple[Recode, ...], pydantic.PlainValidator(_codes), pydantic.WithJsonSchema(_CODES)] = ()
    """Code sequences, and which code becomes which."""

    def transform(self, number: int) -> Transform:
        """Return its operations as they are carried out; `number` is its place in the profile, from 0."""
        return Transform(f"worklist.correct[{number}]", On.WORKLIST, (*self.operations, *self.codes), self.match)


class WindowTable(Table):
    """`window`: how much more than today is asked for."""

    past: Duration = 86400.0
    """How far back."""
    future: Duration = 172800.0
    """How far ahead."""


def _refresh(seconds: float) -> float:
    if seconds < _SHORTEST:
        msg = "must be at least ten seconds"
        raise Rejected(msg, "Every refresh is a query of the site's system; 2m is usual.")
    return seconds


class SourceTable(NodeTable):
    """`source`: the site's worklist SCP."""

    calling_ae_title: AeTitle = "FLUXBOX"
    """What this box calls itself there."""


class WorklistTable(Table):
    """`[worklist]`: where the worklist of the site comes from, and how it is served to the scanner."""

    source: SourceTable
    """The site's worklist SCP."""
    refresh: Annotated[Duration, pydantic.AfterValidator(_refresh)] = 120.0
    """How often it is asked."""
    window: WindowTable = WindowTable()
    """Which days are asked for: more than the scanner does. The source is asked for a single patient or order of any
    day when a scanner looks for one that is not on the list; see `capacitord`(8)."""
    stale_after: Duration = 43200.0
    """After this long without an answer the list is served as stale, and status warns."""
    correct: list[CorrectTable] = pydantic.Field(default=[], max_length=200)
    """What is changed in the entries, in order."""
