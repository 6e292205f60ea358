"""Answers go to standard output, whole and at once; everything else goes to standard error."""

from __future__ import annotations

import enum
import os
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TextIO

from fluxctl.render.look import Look, stdout_look

if TYPE_CHECKING:
    import msgspec
    from rich.console import RenderableType

    from capacitord.api.messages import Done


class ReaderGone(Exception):
    """Whoever read our standard output has closed it."""


class Form(enum.Enum):
    """How an answer is printed."""

    PAGE = "page"
    DOCUMENT = "document"
    LINES = "lines"


def form(*, json: bool, jsonl: bool = False) -> Form:
    """Return the form that the options ask for; lines win."""
    return Form.LINES if jsonl else Form.DOCUMENT if json else Form.PAGE


def show(command: str, answer: msgspec.Struct, wanted: Form, page: Callable[[Look], RenderableType]) -> None:
    """Print an answer as `wanted`; `page` is called only to draw it for a person."""
    from capacitord.api.schemas import DOCUMENTS, document  # noqa: PLC0415 - --help prints no answer

    if wanted is Form.PAGE:
        show_page(page)
    elif wanted is Form.DOCUMENT:
        print_json(document(command, answer))
    else:
        rows = DOCUMENTS[command].rows
        if rows is None:
            raise KeyError(command)
        print_lines(document(command, row, line=True) for row in getattr(answer, rows[0]))


def show_done(command: str, answer: Done, *, json: bool) -> None:
    """Print what was done."""

    def page(_look: Look) -> RenderableType:
        from fluxctl.render.box import done  # noqa: PLC0415 - rich, as in `show_page`

        return done(answer)

    show(command, answer, form(json=json), page)


def show_page(page: Callable[[Look], RenderableType]) -> None:
    """Draw a page for a person."""
    from fluxctl.render.page import draw  # noqa: PLC0415 - rich costs as much as the rest; only people need it

    look = stdout_look()
    print_text(draw(page(look), look))


def show_first(page: Callable[[Look], RenderableType]) -> None:
    """Draw for a person what a question is about; it is no answer, so it goes to standard error."""
    from fluxctl.render.look import stderr_look  # noqa: PLC0415 - rich, as in `show_page`
    from fluxctl.render.page import draw  # noqa: PLC0415

    look = stderr_look()
    say(draw(page(look), look))


def print_json(fields: dict[str, Any]) -> None:
    """Print one document, indented, in UTF-8 whatever the locale."""
    import msgspec  # noqa: PLC0415 - --help prints no document

    print_bytes(msgspec.json.format(msgspec.json.encode(fields), indent=2) + b"\n")


def print_lines(rows: Iterable[dict[str, Any]]) -> None:
    """Print one document a line, each as soon as it is there."""
    import msgspec  # noqa: PLC0415 - --help prints no document

    for row in rows:
        print_bytes(msgspec.json.encode(row) + b"\n")


def print_text(text: str) -> None:
    """Print text in the terminal's own encoding, what it lacks as "?"."""
    print_bytes(text.encode(sys.stdout.encoding or "utf-8", "replace"))


def print_bytes(data: bytes) -> None:
    """Print bytes and flush. Raises `ReaderGone` if nobody reads any more."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise ReaderGone from None


def say(text: str, stream: TextIO | None = None) -> None:
    """Write a line for a person to standard error, in its own encoding; never fails."""
    stream = stream or sys.stderr
    safe = f"{text}\n".encode(stream.encoding or "utf-8", "replace").decode(stream.encoding or "utf-8", "replace")
    try:
        stream.write(safe)
        stream.flush()
    except OSError:
        return


def close_quietly() -> None:
    """Point standard output at nothing, so that Python's own flush at the end finds no broken pipe."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
