"""The dictionary is pydicom's; nobody who does not need it reads it."""

from __future__ import annotations

import subprocess
import sys

from capacitord.config import dictionary
from tests.config.dictionary_file import PLACE, contents


def test_the_file_is_not_stale() -> None:
    """If this fails: python -m tests.config.dictionary_file."""
    assert PLACE.read_text("ascii") == contents()


def test_what_is_asked_for_is_found() -> None:
    assert dictionary.entry("Modality") == dictionary.Entry(0x00080060, "Modality", "1", "CS")
    assert dictionary.tag_of("Modalty") is None
    assert dictionary.vr_of(0x00280106) == "US or SS"
    assert dictionary.vr_of(0x00091001) == dictionary.multiplicity_of(0x00091001) == ""
    assert dictionary.multiplicity_of(0x00080008) == "2-n"
    assert len(dictionary.keywords()) == len(contents().splitlines())


def test_a_profile_that_names_no_attribute_does_not_read_it() -> None:
    probe = (
        "from capacitord.config import dictionary, profile\n"
        "from capacitord.config.starting_point import starting_point\n"
        "starting_point('x')\n"
        "assert dictionary._attributes.cache_info().currsize == 0\n"
    )
    subprocess.run([sys.executable, "-c", probe], check=True)
