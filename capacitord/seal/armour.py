"""Bytes as lines that survive a printer, a scanner and a person with a keyboard.

Each line has a number, 36 bytes in base64, and a check value of its own, so that a mistake is found where it was
made. Spaces, line ends and the text around the lines do not matter.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from typing import Final

from capacitord.errors import Invalid

LARGEST = 1024 * 1024
"""Bytes of armoured text that are looked at."""

_BYTES_A_LINE = 36
_GROUP = 4
_BEGIN = "-----BEGIN CAPACITORD RECOVERY FILE-----"
_END: Final = re.compile(r"-----END CAPACITORD RECOVERY FILE, ([0-9]{1,5}) LINES?-----")


def _check_value(number: int, text: str) -> str:
    return f"{zlib.crc32(f'{number} {text}'.encode()) & 0xFFFFFF:06x}"


def armour(data: bytes) -> str:
    """Return `data` as lines between a first and a last one that say what they are."""
    lines = []
    for number, start in enumerate(range(0, len(data), _BYTES_A_LINE), 1):
        text = base64.b64encode(data[start : start + _BYTES_A_LINE]).decode()
        groups = " ".join(text[i : i + _GROUP] for i in range(0, len(text), _GROUP))
        lines.append(f"{number:02d}  {groups:59}  {_check_value(number, text)}")
    end = f"-----END CAPACITORD RECOVERY FILE, {len(lines)} LINE{'' if len(lines) == 1 else 'S'}-----"
    return "\n".join([_BEGIN, *lines, end, ""])


def unarmour(text: bytes) -> bytes:
    """Return the bytes in a text that `armour` made. `Invalid`, with the line to look at, if a line is wrong."""
    if len(text) > LARGEST:
        msg = "This is too large for a recovery file."
        raise Invalid(msg, hint="Give the file that fluxctl key export --recovery wrote.")
    lines = [" ".join(line.split()) for line in text.decode("ascii", errors="replace").splitlines()]
    try:
        begin = lines.index(_BEGIN)
    except ValueError:
        msg = "This is not a recovery file: its first line is not there."
        raise Invalid(msg, hint=f"It starts with {_BEGIN}") from None
    data = bytearray()
    number = 0
    for line in lines[begin + 1 :]:
        if (end := _END.fullmatch(line)) is not None:
            if int(end[1]) != number:
                msg = f"The recovery file has {number} lines and should have {end[1]}."
                raise Invalid(msg, hint="Copy it again, whole.")
            return bytes(data)
        if line:
            number += 1
            data += _line(number, line.split())
    msg = "The recovery file stops before its last line."
    raise Invalid(msg, hint="Copy it again, down to the line that says END.")


def _line(number: int, words: list[str]) -> bytes:
    hint = "Compare it with the original, letter by letter; 0 and O, 1 and l and I are easily confused."
    if words[0].lstrip("0") != str(number):
        msg = f"Line {number} of the recovery file is missing or out of order."
        raise Invalid(msg, hint="Put the lines in the order of their numbers, each once.")
    text = "".join(words[1:-1])
    if words[-1].lower() != _check_value(number, text):
        msg = f"Line {number} of the recovery file has a mistake in it."
        raise Invalid(msg, hint=hint)
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        msg = f"Line {number} of the recovery file is not base64."
        raise Invalid(msg, hint=hint) from None
