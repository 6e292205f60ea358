"""An image on its whole way to a destination, by the code that delivers: what becomes of it, and whether it is valid.

Inbound transforms, de-identification, outbound transforms and compression, in this order and in one go. What comes
out is as it was received, or written and no worse than before for a validator that others wrote, or held with a
reason. Anything else is an error.
"""

from __future__ import annotations

import datetime as dt
import enum
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from capacitord.config import profile
from capacitord.config.in_force import in_force
from capacitord.dicom import outgoing
from capacitord.dicom.contexts import Pair
from capacitord.dicom.forms import Form, acceptable, forms
from capacitord.dicom.outgoing import Came, Keys, Recipe
from capacitord.dicom.part10 import preamble
from capacitord.dicom.produce import InMemory, NotProduced, Product, produce
from capacitord.model.profile import Profile
from tests.images import Image
from tests.peers.dciodvfy import DiedOfIt, errors

KEYS = Keys(b"h" * 32, b"c" * 32)
NOW = dt.datetime(2026, 3, 1, 9, 30, tzinfo=dt.UTC)
CAME = Came.at("Europe/Berlin", "SCANNER", "FLUXBOX", 1_700_000_000_000_000_000)
DEFLATED, EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
HTJ2K, J2K = "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.90"


class Outcome(enum.Enum):
    """What becomes of an image."""

    AS_RECEIVED = enum.auto()
    WRITTEN = enum.auto()
    HELD = enum.auto()


class Arrival(NamedTuple):
    """What arrives, or why nothing does."""

    outcome: Outcome
    transfer_syntax_uid: str = ""
    sop_instance_uid: str = ""
    data: bytes = b""
    reason: str = ""


class Folder:
    """The files beside a profile."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def read(self, name: str) -> bytes | None:
        """Return what a file holds, None if it is not there."""
        return self._files.get(name)

    def chain(self, certificate: str, key: str) -> str:
        """There are no certificates here."""
        return f"{certificate} and {key} are not here"


def profile_of(text: str, files: Mapping[str, bytes]) -> Profile:
    """Return the profile in force that a text and the files beside it are."""
    found = profile.check(text, "profile.toml", beside=Folder(files))
    assert found.profile is not None, found.problems
    return in_force(found.profile)


def travel(image: Image, what: Recipe, accepted: Collection[str]) -> Arrival:
    """Return what arrives of an image at a destination that accepts these transfer syntaxes, as delivery finds it.

    Whatever is raised is a crash: of all that can be wrong with an image, `NotProduced` is what delivery expects.
    """
    source = Pair(image.sop_class_uid, image.transfer_syntax_uid)
    wanted = acceptable(
        forms(source, what.compress, what.transfer_syntaxes),
        image.sop_class_uid,
        {Pair(image.sop_class_uid, uid) for uid in accepted},
    )
    if not wanted:
        return Arrival(Outcome.HELD, reason="The destination accepts it in no form it may leave in.")
    received = memoryview(image.dataset())
    try:
        made = _made(image, received, what, wanted)
    except NotProduced as why:
        return Arrival(Outcome.HELD, reason=str(why))
    if made is None:
        assert any(form.how is None for form in wanted)
        return Arrival(Outcome.AS_RECEIVED, image.transfer_syntax_uid, image.sop_instance_uid, bytes(received))
    data = b"".join(made.pieces)
    assert len(data) == made.length
    assert made.transfer_syntax_uid in {form.transfer_syntax_uid for form in wanted}
    return Arrival(Outcome.WRITTEN, made.transfer_syntax_uid, made.sop_instance_uid, data)


def _made(image: Image, data: memoryview, what: Recipe, wanted: tuple[Form, ...]) -> Product | None:
    received = InMemory(image.transfer_syntax_uid, data)
    made = produce(received, image.sop_instance_uid, what, CAME, wanted, keys=KEYS, now=NOW)
    return made if isinstance(made, Product) else None


def recipes(found: Profile) -> dict[str, Recipe]:
    """Return what a profile does for each of its destinations, by its name."""
    return {destination.name: outgoing.recipe(found, destination) for destination in found.destinations}


class Validator:
    """dciodvfy, asked about each image as it was received once. It writes into `folder`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "image.dcm"
        self._before: dict[Path, Counter[str] | None] = {}

    def new_errors(self, image: Image, arrival: Arrival) -> Iterable[str] | None:
        """Return the errors in what arrived that were not in what was received; None if it died of either."""
        if image.path not in self._before:
            self._before[image.path] = self._errors(
                image, image.sop_instance_uid, image.transfer_syntax_uid, image.dataset()
            )
        before = self._before[image.path]
        after = self._errors(image, arrival.sop_instance_uid, arrival.transfer_syntax_uid, arrival.data)
        return None if before is None or after is None else sorted(set(after) - set(before))

    def _errors(self, image: Image, instance: str, syntax: str, data: bytes) -> Counter[str] | None:
        if syntax == DEFLATED:
            # It cannot inflate.
            syntax, data = EXPLICIT, zlib.decompressobj(-zlib.MAX_WBITS).decompress(data)
        # It has not heard of HTJ2K, whose datasets are those of JPEG 2000.
        syntax = J2K if syntax == HTJ2K else syntax
        self._path.write_bytes(preamble(image.sop_class_uid, instance, syntax, "") + data)
        try:
            return errors(self._path)
        except DiedOfIt:
            return None
