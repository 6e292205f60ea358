"""What `attributes.txt` must hold; `python -m tests.config.dictionary_file` writes it."""

from __future__ import annotations

from pathlib import Path

from pydicom._dicom_dict import DicomDictionary

import capacitord.config
from capacitord.config.dictionary import FILE

PLACE = Path(capacitord.config.__file__).parent / FILE


def contents() -> str:
    """Return the dictionary of pydicom, a line for each attribute that has a keyword."""
    lines = (
        f"{tag:08x} {entry[4]} {entry[1]} {entry[0]}\n" for tag, entry in sorted(DicomDictionary.items()) if entry[4]
    )
    return "".join(lines)


if __name__ == "__main__":
    PLACE.write_text(contents(), "ascii")
