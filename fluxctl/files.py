"""Files that commands read and write: named in errors, never overwritten, secrets for their owner only."""

from __future__ import annotations

import errno
import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Final

from capacitord.errors import CapacitordError, Invalid, NotFound, Refused

STANDARD: Final = Path("-")
LARGEST: Final = 1 << 20
"""The most bytes such a file may have."""


def read_text(file: Path, what: str = "profile") -> str:
    """Return the text of a file, or of standard input for "-". Raises `NotFound` or `Invalid`, naming the file.

    `what` is the kind of file that was asked for.
    """
    data = read_bytes(file, what)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Invalid("a character is not UTF-8", where=f"{file}:{line}", hint="Save it as UTF-8.") from None


def read_bytes(file: Path, what: str = "profile", largest: int = LARGEST) -> bytes:
    """Return what is in a file, or in standard input for "-". Raises `NotFound` or `Invalid`, naming the file."""
    try:
        data = sys.stdin.buffer.read(largest + 1) if file == STANDARD else _start(file, largest)
    except FileNotFoundError:
        raise NotFound("there is no such file", where=str(file), hint="Look at its name.") from None
    except IsADirectoryError:
        raise Invalid("this is a folder", where=str(file), hint=f"Name the file of the {what} in it.") from None
    if len(data) > largest:
        raise Invalid(f"this is too large to be a {what}", where=str(file), hint=f"Name the file of the {what}.")
    return data


def _start(file: Path, largest: int) -> bytes:
    with file.open("rb") as opened:
        return opened.read(largest + 1)


def must_not_exist(file: Path) -> None:
    """Return if a file can be written without replacing another. Raises `Refused` otherwise."""
    must_be_free(file, "keys", "Name another.")


def must_be_free(file: Path, what: str, instead: str) -> None:
    """Return if `what` can be written to a file without replacing another. Raises `Refused` with what to do instead."""
    if file != STANDARD and os.path.lexists(file):
        raise Refused("this file exists and is not overwritten", where=str(file), hint=instead)
    if file == STANDARD and sys.stdout.isatty():
        verb = "are" if what == "keys" else "is"
        hint = "Name a file, or send standard output to one."
        raise Refused(f"{what} {verb} not printed to a terminal", hint=hint)


def must_have_a_folder(file: Path) -> None:
    """Return if the folder that a file is to be in exists. Raises `CapacitordError` otherwise."""
    if file != STANDARD and not file.parent.is_dir():
        raise unwritable(file, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))


def unwritable(file: Path, error: OSError) -> CapacitordError:
    """Return why a file cannot be written where a person wants it, by the name that she gave it."""
    if not file.parent.is_dir():
        hint = f"Make it first, or name another file: mkdir -p {shlex.quote(str(file.parent))}"
        return CapacitordError("the folder of this file does not exist", where=str(file), hint=hint)
    words = (error.strerror or "it takes no file").lower()
    return CapacitordError(
        f"this file cannot be written: {words}", where=str(file), hint="Name a file in another folder."
    )


def write_private(file: Path, data: bytes, *, replace: bool) -> None:
    """Write bytes for their owner only (mode 0600), durably: all of them, or no file. "-" is standard output.

    With `replace` a file of that name is replaced. Raises `Refused` without it, `CapacitordError` if its folder takes
    no file, and OSError.
    """
    if file == STANDARD:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        descriptor, name = tempfile.mkstemp(prefix=".fluxctl-", dir=file.parent)
    except OSError as error:
        raise unwritable(file, error) from None
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
        if not replace:
            # Not every stick knows links, by which a file appears only if there is none.
            os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        beside.replace(file)
    except FileExistsError:
        raise Refused("this file exists and is not overwritten", where=str(file), hint="Name another.") from None
    finally:
        beside.unlink(missing_ok=True)


def write_secret(file: Path, text: str) -> Path | None:
    """Write a text for its owner only (mode 0600), durably, and return where; None for standard output."""
    if file == STANDARD:
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
        return None
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise Refused("this file exists and is not overwritten", where=str(file), hint="Name another.") from None
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(text.encode())
            opened.flush()
            os.fsync(opened.fileno())
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    return file.absolute()
