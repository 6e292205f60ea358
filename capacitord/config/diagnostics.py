"""What is wrong with a file that a person wrote: where, what, and what to write instead."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

import msgspec
import pydantic

from capacitord.errors import Invalid

Key = tuple[str | int, ...]
_FEW: Final = 20
_Model = TypeVar("_Model", bound=pydantic.BaseModel)


class Diagnostic(msgspec.Struct, frozen=True, omit_defaults=True):
    """One problem. `key` is its path as a person would write it; `line` counts from 1, None where it is not known."""

    file: str
    key: str
    message: str
    hint: str = ""
    line: int | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        about = f"{self.key}: " if self.key else ""
        advice = f" ({self.hint})" if self.hint else ""
        return f"{place}: {about}{self.message}{advice}"


class Rejected(ValueError):
    """A value that is not allowed, and what would be."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def read_toml(text: str, file: str) -> tuple[dict[str, Any], tuple[Diagnostic, ...]]:
    """Return the tables of a TOML document, or what is wrong with it as a document."""
    try:
        return tomllib.loads(text), ()
    except tomllib.TOMLDecodeError as error:
        place = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", str(error))
        message = str(error)[: place.start()] if place else str(error)
        line = int(place[1]) if place and place[1] else len(text.splitlines())
        return {}, (Diagnostic(file, "", message[:1].lower() + message[1:], "The file is TOML 1.0.", line),)
    except RecursionError:
        return {}, (Diagnostic(file, "", "tables or lists are nested too deeply"),)


def validate(model: type[_Model], text: str, file: str) -> tuple[_Model | None, tuple[Diagnostic, ...]]:
    """Return the model that `text` describes, or None and all that is wrong with it."""
    tables, problems = read_toml(text, file)
    if problems:
        return None, problems
    try:
        return model.model_validate(tables), ()
    except pydantic.ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        found = {_translate(model, text, file, detail): None for detail in details}
        return None, tuple(sorted(found, key=lambda d: (d.line or 0, d.key)))


def refusal(problems: Sequence[Diagnostic]) -> Invalid:
    """Return the error that says all of `problems`, of which there is at least one."""
    first = problems[0]
    if len(problems) == 1:
        about = f"{first.key}: {first.message}" if first.key else first.message
        where = f"{first.file}:{first.line}" if first.line else first.file
        return Invalid(about, where=where, hint=first.hint)
    return Invalid(
        f"{first.file} has {len(problems)} problems",
        where=first.file,
        hint="Correct all of them and try again.",
        candidates=tuple(str(problem) for problem in problems),
    )


def key_text(key: Key) -> str:
    """Return a key path as a person would write it: `destination[0].port`."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return a hint that names the word somebody may have meant, or all that there are if they are few."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {close[0]}?"
    return f"Known here: {', '.join(names)}." if 0 < len(names) <= _FEW else ""


_HEADER: Final = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.\-\"' ]+?)\s*\]\]?\s*(?:#.*)?")
_ASSIGNMENT: Final = re.compile(r"\s*([A-Za-z0-9_\-]+|\"[^\"]*\"|'[^']*')\s*=")


def line_of(text: str, key: Key) -> int | None:
    """Return the line of `text` that sets `key`, or that of the nearest table around it, or None.

    This reads headers and assignments only: it serves a message, and the parser has had its say before.
    """
    best: tuple[int, int | None] = (0, None)
    table: Key = ()
    counts: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        here: Key = table
        if header := _HEADER.fullmatch(line):
            name = header[2].strip()
            parts: Key = tuple(part.strip(" \"'") for part in name.split("."))
            if header[1] == "[[":
                counts[name] = counts.get(name, -1) + 1
                parts = (*parts, counts[name])
            here = table = parts
        elif assignment := _ASSIGNMENT.match(line):
            here = (*table, assignment[1].strip("\"'"))
        else:
            continue
        # The longest common path wins; a whole list of tables is found at its first one.
        common = len(here) if key[: len(here)] == here else len(key) if here[: len(key)] == key else 0
        if common > best[0]:
            best = (common, number)
    return best[1]


_WORDS: Final = {
    "missing": "is missing",
    "string_type": "must be a text in quotes",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
}


def _translate(model: type[pydantic.BaseModel], text: str, file: str, detail: Any) -> Diagnostic:
    key: Key = tuple(part for part in detail["loc"] if not str(part).startswith(("function-", "tagged-")))
    kind: str = detail["type"]
    context: dict[str, Any] = detail.get("ctx", {})
    message, hint = _WORDS.get(kind, detail["msg"]), ""
    cause = context.get("error")
    if kind == "extra_forbidden":
        message, hint = _unknown(model, key)
    elif isinstance(cause, Rejected):
        message, hint = cause.message, cause.hint
    elif kind in {"greater_than_equal", "greater_than"}:
        message = f"must be at least {context.get('ge', context.get('gt'))}"
    elif kind in {"less_than_equal", "less_than"}:
        message = f"must be at most {context.get('le', context.get('lt'))}"
    elif kind in {"literal_error", "enum"}:
        message = f"must be {context['expected']}"
    elif kind == "too_short":
        message = "must not be empty"
    elif kind == "too_long":
        message = f"must have at most {context['max_length']} entries"
    elif kind == "string_too_long":
        message = f"must have at most {context['max_length']} characters"
    elif kind == "string_too_short":
        message = "must not be empty"
    return Diagnostic(file, key_text(key), message, hint, line_of(text, key))


def _unknown(model: type[pydantic.BaseModel], key: Key) -> tuple[str, str]:
    table = _table_at(model, key[:-1])
    name = str(key[-1])
    if table is not None and name in getattr(table, "LATER", {}):
        return f"this version does not support {table.LATER[name]} yet", "Leave it out, so that nobody relies on it."
    return "is not known here", suggestion(name, _by_alias(table) if table is not None else ())


def _table_at(model: type[pydantic.BaseModel], path: Key) -> Any:
    table: type[pydantic.BaseModel] | None = model
    for part in path:
        if isinstance(part, str) and table is not None:
            info = _by_alias(table).get(part)
            table = _model_within(info.annotation) if info is not None else None
    return table


def _by_alias(model: type[pydantic.BaseModel]) -> dict[str, Any]:
    return {info.alias or name: info for name, info in model.model_fields.items()}


def _model_within(annotation: Any) -> type[pydantic.BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (found := _model_within(argument)) is not None:
            return found
    return None
