"""Short ways to say queries and entries, written out as a scanner or a source would."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword

from capacitord.dicom.transform.characters import TEXT_VRS, character_set
from capacitord.dicom.worklist.answers import Answer, answer
from capacitord.dicom.worklist.entry import SYNTAXES, Entry, read
from capacitord.dicom.worklist.matching import Query, understood
from tests.dicom.samples import EXPLICIT
from tests.dicom.trees import Node, written

Said = Mapping[str, Any]
"""Attributes by keyword: text, bytes as they are, None for empty, or a list of items."""

STEP = "ScheduledProcedureStepSequence"


def data(said: Said, characters: str = "", syntax: str = EXPLICIT) -> bytes:
    """Return a dataset whose text is in `characters`, which it declares."""
    declared = {"SpecificCharacterSet": characters} if characters else {}
    return written(_nodes({**declared, **said}, characters), syntax)


def _nodes(said: Said, characters: str) -> tuple[Node, ...]:
    nodes = []
    for keyword, content in said.items():
        tag = tag_for_keyword(keyword) if isinstance(keyword, str) and not keyword[0].isdigit() else int(keyword, 16)
        assert tag is not None, keyword
        vr = "LO" if tag >> 16 & 1 else dictionary_VR(tag)
        if vr == "SQ":
            items = tuple(_nodes(item, characters) for item in content or ())
            nodes.append(Node(tag, "SQ", items=items))
            continue
        value = content if isinstance(content, bytes) else _encoded(content or "", vr, characters)
        nodes.append(Node(tag, vr, value + (b"\0" if vr == "UI" else b" ") * (len(value) % 2)))
    return tuple(sorted(nodes, key=lambda node: node.tag))


def _encoded(text: str, vr: str, characters: str) -> bytes:
    if vr == "US":
        return int(text).to_bytes(2, "little") if text else b""
    return character_set(characters).encode(text, vr) if vr in TEXT_VRS else text.encode("ascii")


def entry(said: Said, characters: str = "", syntax: str = EXPLICIT) -> Entry:
    """Return an entry as it is read from bytes."""
    return read(data(said, characters, syntax), syntax)


def query(said: Said, characters: str = "", syntax: str = EXPLICIT) -> Query:
    """Return a query as it is read from bytes."""
    return understood(entry(said, characters, syntax).dataset)


def matched(asked: Said, there: Said, characters: str = "") -> bool:
    """Whether an entry matches a query, both written in one character set."""
    return query(asked, characters).matches(entry(there, characters))


def answered(asked: Said, there: Said, *, asked_in: str = "", there_in: str = "", syntax: str = EXPLICIT) -> Answer:
    """Return what is answered, whether it matches or not."""
    return answer(query(asked, asked_in), entry(there, there_in), SYNTAXES[syntax])


def step(**said: Any) -> dict[str, Any]:
    """Return a dataset that has these attributes in its scheduled procedure step."""
    return {STEP: [said]}


def patient(number: int, rng: random.Random, *, day: str = "20260302") -> dict[str, Any]:
    """Return a plausible entry."""
    return {
        "AccessionNumber": f"A{number:05}",
        "PatientName": f"{rng.choice(('Miller', 'Meyer', 'Smith', 'Novak'))}^{rng.choice(('Anna', 'Bob', 'Eve'))}",
        "PatientID": f"P{number:05}",
        "PatientBirthDate": f"19{rng.randrange(30, 99)}0{rng.randrange(1, 9)}15",
        "PatientSex": rng.choice("MFO"),
        "StudyInstanceUID": f"1.2.826.0.1.3680043.9.{number + 1}",
        "RequestedProcedureID": f"R{number:05}",
        "RequestedProcedureDescription": "CT Head",
        **step(
            Modality=rng.choice(("CT", "MR")),
            ScheduledStationAETitle=rng.choice(("COACH1", "COACH2")),
            ScheduledProcedureStepStartDate=day,
            ScheduledProcedureStepStartTime=f"{rng.randrange(7, 18):02}{rng.randrange(60):02}00",
            ScheduledProcedureStepID=f"S{number:05}",
            ScheduledProcedureStepDescription="Head",
        ),
    }
