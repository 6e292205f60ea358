"""What is wrong with a file that a person wrote: where, what, and what to write instead."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

import msgspec
import pydantic

from capacitord.config.positions import Key, Positions
from capacitord.errors import Invalid

_FEW: Final = 20
_WIDEST: Final = 120
"""Of a longer line, only the surroundings of the place are shown."""
_AT: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_Model = TypeVar("_Model", bound=pydantic.BaseModel)


class Diagnostic(msgspec.Struct, frozen=True, omit_defaults=True):
    """One problem. `key` is its path as a person would write it.

    `line` and `column` count characters from 1 and are None where the place is not known. `excerpt` is the line, or
    the part of a long line around the place, which is `length` characters from `mark` (counted from 0) on.
    """

    file: str
    key: str
    message: str
    hint: str = ""
    line: int | None = None
    column: int | None = None
    excerpt: str = ""
    mark: int = 0
    length: int = 0

    @property
    def place(self) -> str:
        """Where it is: `file:line:column`, as far as that is known."""
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part)

    def __str__(self) -> str:
        about = f"{self.key}: " if self.key else ""
        advice = f" ({self.hint})" if self.hint else ""
        return f"{self.place}: {about}{self.message}{advice}"


class Finding(msgspec.Struct, frozen=True):
    """Something wrong at a key path, before it is known where that is written.

    `at_key` marks the key itself instead of its value.
    """

    key: Key
    message: str
    hint: str = ""
    at_key: bool = False


class Rejected(ValueError):
    """A value that is not allowed, and what would be."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Rejections(ValueError):
    """Several things that are wrong within a value; their key paths begin at the value."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("; ".join(finding.message for finding in findings))
        self.findings = tuple(findings)


class Source:
    """The text of a file, for saying where something in it is."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self._text = text
        self._positions: Positions | None = None

    def diagnostics(self, findings: Iterable[Finding]) -> tuple[Diagnostic, ...]:
        """Return findings with their places, in the order of the file, each once."""
        found = dict.fromkeys(self.diagnostic(finding) for finding in findings)
        return tuple(sorted(found, key=lambda d: (d.line or 0, d.column or 0, d.key)))

    def diagnostic(self, finding: Finding) -> Diagnostic:
        """Return a finding with its place: that of its key path, or of what is around it."""
        plain = Diagnostic(self.file, key_text(finding.key), finding.message, finding.hint)
        nearest = self.positions.nearest(finding.key)
        if nearest is None:
            return plain
        key, spot = nearest
        place = spot.key if finding.at_key or key != finding.key else spot.value
        return marked(plain, self.positions.line(place.line), place.line, place.column, place.length)

    def place(self, key: Key) -> tuple[int, int] | tuple[None, None]:
        """Return the line and the column where a key is written, or what is around it."""
        nearest = self.positions.nearest(key)
        return (None, None) if nearest is None else (nearest[1].key.line, nearest[1].key.column)

    @property
    def positions(self) -> Positions:
        """Where everything stands; found out when it is first asked for."""
        if self._positions is None:
            self._positions = Positions(self._text)
        return self._positions


def marked(plain: Diagnostic, line: str, number: int, column: int, length: int) -> Diagnostic:
    """Return a diagnostic with its place in a line of the file; `number` and `column` count from 1."""
    start = 0 if len(line) <= _WIDEST else max(0, min(column - 1 - _WIDEST // 4, len(line) - _WIDEST))
    excerpt = line[start : start + _WIDEST]
    mark = min(column - 1 - start, len(excerpt))
    return msgspec.structs.replace(
        plain,
        line=number,
        column=column,
        excerpt=excerpt,
        mark=mark,
        length=max(1, min(length, len(excerpt) - mark)),
    )


def read_toml(text: str, file: str) -> tuple[dict[str, Any], tuple[Diagnostic, ...]]:
    """Return the tables of a TOML document, or what is wrong with it as a document."""
    try:
        return tomllib.loads(text), ()
    except tomllib.TOMLDecodeError as error:
        return {}, (_not_toml(str(error), text, file),)
    except RecursionError:
        return {}, (Diagnostic(file, "", "tables or lists are nested too deeply"),)


def _not_toml(words: str, text: str, file: str) -> Diagnostic:
    place = _AT.search(words)
    message = words[: place.start()] if place else words
    lines = text.replace("\r\n", "\n").split("\n")
    last = len(lines) - (len(lines) > 1 and not lines[-1])
    number, column = (int(place[1]), int(place[2])) if place and place[1] else (last, len(lines[last - 1]) + 1)
    plain = Diagnostic(file, "", message[:1].lower() + message[1:], "The file is TOML 1.0.")
    return marked(plain, lines[number - 1], number, column, 1)


def validate(model: type[_Model], text: str, file: str) -> tuple[_Model | None, tuple[Diagnostic, ...]]:
    """Return the model that `text` describes, or None and all that is wrong with it."""
    tables, problems = read_toml(text, file)
    if problems:
        return None, problems
    found, findings = fill(model, tables)
    return found, Source(text, file).diagnostics(findings) if findings else ()


def fill(model: type[_Model], tables: dict[str, Any]) -> tuple[_Model | None, tuple[Finding, ...]]:
    """Return the model that tables describe, or None and all that is wrong with them."""
    try:
        return model.model_validate(tables), ()
    except pydantic.ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        return None, tuple(finding for detail in details for finding in _translated(model, detail))


def refusal(problems: Sequence[Diagnostic]) -> Invalid:
    """Return the error that says all of `problems`, of which there is at least one."""
    first = problems[0]
    if len(problems) == 1:
        about = f"{first.key}: {first.message}" if first.key else first.message
        return Invalid(about, where=first.place, hint=first.hint)
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
            name = part if _BARE.fullmatch(part) else f'"{part}"'
            text += f".{name}" if text else name
    return text


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return a hint that names the word somebody may have meant, or all that there are if they are few."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if not close:
        folded = {name.casefold(): name for name in reversed(names)}
        close = [folded[near] for near in difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)]
    if close:
        return f"Did you mean {close[0]}?"
    return f"Known here: {', '.join(names)}." if 0 < len(names) <= _FEW else ""


_BARE: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_WORDS: Final = {
    "missing": "is missing",
    "string_type": "must be a text in quotes",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "is_instance_of": "must be a table",
}


def _translated(model: type[pydantic.BaseModel], detail: Any) -> list[Finding]:
    key: Key = tuple(part for part in detail["loc"] if not str(part).startswith(("function-", "tagged-")))
    kind: str = detail["type"]
    context: dict[str, Any] = detail.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, Rejections):
        return [msgspec.structs.replace(each, key=(*key, *each.key)) for each in cause.findings]
    if isinstance(cause, Rejected):
        return [Finding(key, cause.message, cause.hint)]
    if kind == "extra_forbidden":
        table = _table_at(model, key[:-1])
        return [unknown(key, _by_alias(table) if table is not None else ())]
    return [Finding(key, _sentence(kind, context) or _WORDS.get(kind, detail["msg"]), at_key=kind == "missing")]


def _sentence(kind: str, context: dict[str, Any]) -> str:
    if kind in {"greater_than_equal", "greater_than"}:
        return f"must be {'more than' if kind == 'greater_than' else 'at least'} {context.get('ge', context.get('gt'))}"
    if kind in {"less_than_equal", "less_than"}:
        return f"must be {'less than' if kind == 'less_than' else 'at most'} {context.get('le', context.get('lt'))}"
    if kind in {"literal_error", "enum"}:
        return f"must be {context['expected']}"
    if kind in {"too_short", "string_too_short"}:
        return "must not be empty"
    if kind == "too_long":
        return f"must have at most {context['max_length']} entries"
    return f"must have at most {context['max_length']} characters" if kind == "string_too_long" else ""


def unknown(key: Key, known: Iterable[str]) -> Finding:
    """Return that the last part of a key path is not known there, with what may have been meant."""
    return Finding(key, "is not known here", suggestion(str(key[-1]), known), at_key=True)


def _table_at(model: type[pydantic.BaseModel], path: Key) -> type[pydantic.BaseModel] | None:
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
