"""Every DICOM file that pydicom ships, changed and as it is, with its name and without, in every syntax there is."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import msgspec

from capacitord.dicom.outgoing import Recipe
from capacitord.dicom.transcode.syntaxes import IMPLICIT_UID
from tests.dicom.journey import Outcome, Validator, profile_of, recipes, travel
from tests.dicom.test_every_file import DEPARTMENTS, KILL_THE_VALIDATOR, PROFILE
from tests.dicom.transcode.kit import EVERYTHING
from tests.images import Image, every
from tests.torture.report import Report


def torture(folder: Path) -> Report:
    """Send every file to every destination in every transfer syntax that is written, and no other."""
    report = Report("files")
    validator = Validator(folder)
    for what, image in itertools.product(_recipes(), every()):
        report.cycles += 1
        _one(image, what, validator, report)
    return report


def _recipes() -> Iterator[Recipe]:
    whole = recipes(profile_of(PROFILE, {"departments.csv": DEPARTMENTS}))
    for what, how in itertools.product((whole["pacs"], whole["research"], Recipe("plain", "UTC")), EVERYTHING.values()):
        yield msgspec.structs.replace(what, compress=how, transfer_syntaxes=(how.transfer_syntax,))


def _one(image: Image, what: Recipe, validator: Validator, report: Report) -> None:
    (syntax,) = what.transfer_syntaxes
    arrival = travel(image, what, {syntax})
    report.deeds[arrival.outcome.name.lower().replace("_", " ")] += 1
    who = f"files: {image.path.parent.name}/{image.path.name} for {what.destination} in {syntax}"
    if arrival.outcome is Outcome.HELD:
        if not arrival.reason.endswith("."):
            report.violations.append(f"{who} is held without a reason")
        return
    new = validator.new_errors(image, arrival)
    if new is None and image.path.name not in KILL_THE_VALIDATOR:
        report.violations.append(f"{who} kills the validator")
    elif new and not (syntax == IMPLICIT_UID and image.path.parent.name == "palettes"):
        report.violations.append(f"{who} is not valid any more: {', '.join(new)}")
