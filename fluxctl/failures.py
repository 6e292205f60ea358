"""The one switch that turns whatever went wrong into a message and an exit code; never a traceback."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import traceback
from pathlib import Path
from typing import Final

import typer

from capacitord.errors import CapacitordError, Problem
from fluxctl import exits
from fluxctl.command import MissingVerb
from fluxctl.output import ReaderGone, close_quietly, print_json, say
from fluxctl.render.look import speaks_unicode
from fluxctl.render.words import clean, plain

UsageError = typer.BadParameter.__base__ or typer.BadParameter
"""Every complaint of Typer about a command line; it has no public name of its own."""
DEBUG: Final = "FLUXCTL_DEBUG"
PROGRAM: Final = Path(__file__).parent.parent


def report(error: BaseException, *, json: bool) -> int:
    """Tell a person on standard error what went wrong, and a script on standard output; return the exit code."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else exits.FAILED
    if isinstance(error, (KeyboardInterrupt, typer.Abort, EOFError)):
        say("")
        return exits.INTERRUPTED
    if isinstance(error, (ReaderGone, BrokenPipeError)):
        close_quietly()
        return exits.READER_GONE
    if isinstance(error, MissingVerb):
        say(str(error))
        return exits.USAGE
    if os.environ.get(DEBUG):
        traceback.print_exception(error)
    problem = problem_of(error)
    width = min(shutil.get_terminal_size((80, 24)).columns, 100)
    say(told(problem, color=_color(), width=width, unicode=speaks_unicode(sys.stderr)))
    if json:
        from capacitord.api.schemas import error_document  # noqa: PLC0415 - only here

        try:
            print_json(error_document(problem))
        except ReaderGone:
            close_quietly()
    return problem.exit_code


def problem_of(error: BaseException) -> Problem:
    """Return any error as data."""
    if isinstance(error, CapacitordError):
        return error.problem()
    if isinstance(error, UsageError):
        return _usage(error)
    if isinstance(error, UnicodeError):
        return Problem(
            "usage",
            "an argument or an input is not text in UTF-8",
            hint="Type it again, or set a UTF-8 locale.",
            exit_code=exits.USAGE,
        )
    if isinstance(error, OSError) and error.filename is not None:
        return Problem("failed", error.strerror or "it cannot be used", where=str(error.filename))
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(str(PROGRAM))] or list(frames)
    return Problem(
        "internal",
        f"fluxctl itself is at fault: {type(error).__name__}",
        where=f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "",
        hint=f"Report it with what {DEBUG}=1 prints (read it first: it may name patients).",
    )


def _usage(error: BaseException) -> Problem:
    message = str(getattr(error, "format_message", error.__str__)()).strip().rstrip(".")
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "fluxctl"
    if "--socket" in message:
        hint = "Options of fluxctl itself come first: fluxctl --socket PATH COMMAND"
    else:
        hint = f"See: {path} --help"
    return Problem("usage", message[:1].lower() + message[1:], hint=hint, exit_code=exits.USAGE)


def told(problem: Problem, *, color: bool, width: int, unicode: bool) -> str:
    """Return an error in words: what happened, where, what to do next, its reference."""
    first = textwrap.fill(clean(problem.message), width, initial_indent="✘ ", subsequent_indent="  ")
    lines = [f"\x1b[1;31m{first}\x1b[0m" if color else first]
    if problem.where:
        lines.append(f"  at:    {clean(problem.where)}")
    if problem.candidates:
        label = "which:" if problem.exit_code == exits.NOT_FOUND else "what:"
        names = [clean(name) for name in problem.candidates]
        lines.append(_folded(label, ("\n" if any(" " in name for name in names) else ", ").join(names), width))
    if problem.hint:
        lines.append(_folded("next:", clean(problem.hint), width))
    lines.append(f"  ({problem.reference}, exit {problem.exit_code})")
    text = "\n".join(lines)
    return text if unicode else plain(text)


def _folded(label: str, text: str, width: int) -> str:
    return "\n".join(
        textwrap.fill(
            line,
            width,
            initial_indent=f"  {label if place == 0 else '':6} ",
            subsequent_indent=" " * 9,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for place, line in enumerate(text.splitlines())
    )


def _color() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
