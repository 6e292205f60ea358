"""A picture of an image: into a file, or drawn at the terminal. Nothing is written that was not asked for."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from capacitord.api.preview import Pictured, Preview, label_of
from capacitord.api.schemas import Previewed
from capacitord.errors import CapacitordError, Refused
from fluxctl import graphics
from fluxctl.files import STANDARD, must_be_free, must_have_a_folder, write_private
from fluxctl.output import print_bytes
from fluxctl.render.look import speaks_unicode

if TYPE_CHECKING:
    from capacitord.api.client import Client


def write(client: Client, request: Preview, file: Path, *, force: bool) -> Previewed:
    """Write a picture to a file for its owner only, and return what was written.

    Raises `Refused` if there is a file and it is not to be replaced, `CapacitordError` if there is no folder for it,
    before the box is asked.
    """
    must_have_a_folder(file)
    if file != STANDARD and file.exists() and not file.is_file():
        raise Refused("this is no file that a picture can be in", where=str(file), hint="Name another.")
    if not force:
        must_be_free(file, "a picture", "Name another, or replace it: --force.")
    data = client.study_preview(request)
    label = _label(data)
    write_private(file, data, replace=force)
    where = str(file) if file == STANDARD else str(file.absolute())
    return Previewed(label, where, len(data))


def draw(client: Client, request: Preview) -> Pictured:
    """Draw a picture at the terminal, and return what it shows. Raises `Refused` if there is no terminal."""
    if not sys.stdout.isatty():
        raise Refused("there is no terminal to draw a picture at", hint="Write it to a file: --png FILE")
    screen = graphics.here(os.environ, unicode=speaks_unicode(sys.stdout))
    # Its codecs take longer to load than everything else.
    from fluxctl.render.picture import drawn, wanted  # noqa: PLC0415

    request = msgspec.structs.replace(request, size=min(request.size, wanted(screen)))
    data = client.study_preview(request)
    label = _label(data)
    try:
        print_bytes(drawn(data, screen))
    except ValueError as error:
        raise _odd(error) from None
    return label


def _label(data: bytes) -> Pictured:
    try:
        return label_of(data)
    except (ValueError, msgspec.DecodeError) as error:
        raise _odd(error) from None


def _odd(error: Exception) -> CapacitordError:
    return CapacitordError(
        f"the daemon's picture cannot be read: {error}",
        hint="Compare versions with fluxctl version; restart capacitord after an upgrade.",
    )
