"""What is wrong with a file that a person wrote: where, what, and what to write instead."""

from __future__ import annotations

import difflib
import itertools
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

import msgspec
import pydantic

from capacitord.config.positions import Key, Positions
from capacitord.errors import Invalid

MISSING: Final = "is missing"
_FEW: Final = 20
_QUOTED: Final = 80
_WORTH_GOING_ON: Final = 4
"""Letters of a word from which on it may be the beginning of another one."""
_BEGINNING: Final = 0.05
_WIDEST: Final = 120
"""Of a longer line, only the surroundings of the place are shown."""
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

    def told(self) -> dict[str, Any]:
        """Return all of it but the file, by name: what an `api.messages.ProfileFinding` says beside its level."""
        return {name: getattr(self, name) for name in self.__struct_fields__ if name != "file"}

    def __str__(self) -> str:
        about = f"{self.key}: " if self.key else ""
        advice = f" ({self.hint})" if self.hint else ""
        return f"{self.place}: {about}{self.message}{advice}"


class Finding(msgspec.Struct, frozen=True):
    """Something wrong at a key path, before it is known where that is written.

    `at_key` marks the key itself instead of its value. `meant` is the key that may be meant by one that is not known.
    """

    key: Key
    message: str
    hint: str = ""
    at_key: bool = False
    meant: str = ""


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
        found = dict.fromkeys(self.diagnostic(finding) for finding in _once(findings))
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


def _once(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings without keys that are missing only because they are written wrong, which is said already."""
    found = list(findings)
    meant = {(*finding.key[:-1], finding.meant) for finding in found if finding.meant}
    return [finding for finding in found if finding.message != MISSING or finding.key not in meant]


def fill(model: type[_Model], tables: dict[str, Any]) -> tuple[_Model | None, tuple[Finding, ...]]:
    """Return the model that tables describe, or None and all that is wrong with them."""
    try:
        return model.model_validate(tables), ()
    except pydantic.ValidationError as error:
        details = error.errors(include_url=False)
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
            name = part if _BARE.fullmatch(part) else json.dumps(part, ensure_ascii=False)
            text += f".{name}" if text else name
    return text


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return a hint that names the word somebody may have meant, or all that there are if they are few."""
    names = sorted(known)
    if near := nearest(word, names):
        return f"Did you mean {near}?"
    return f"Known here: {', '.join(names)}." if 0 < len(names) <= _FEW else ""


def nearest(word: str, known: Iterable[str], *, alike: float = 0.6) -> str:
    """Return the word that somebody may have meant; empty if none is near: at least `alike`, where 1 is the same."""
    word = word[:_WIDEST].casefold()
    folded = {name.casefold(): name for name in sorted(known, reverse=True)}
    near = difflib.get_close_matches(word, folded, n=_FEW, cutoff=alike)
    near += sorted(name for name in folded if len(word) >= _WORTH_GOING_ON and name.startswith(word))
    return folded[max(near, key=lambda name: _likeness(word, name))] if near else ""


def _likeness(word: str, name: str) -> float:
    """Return how near a name is: what begins as the word does is nearer."""
    alike = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(word, name, strict=False))
    return difflib.SequenceMatcher(None, word, name).ratio() + _BEGINNING * len(list(alike))


def quoted(value: object) -> str:
    """Return a value as a message quotes it: as it is if it is short, else its beginning."""
    text = repr(value)
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…{text[0] if isinstance(value, str) else ''}"


_BARE: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_TABLES: Final = ("dict_type", "model_type", "model_attributes_type", "is_instance_of")
_WORDS: Final = {
    "missing": MISSING,
    "string_type": "must be a text in quotes",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    **dict.fromkeys(_TABLES, "must be a table"),
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
        if len(key) > 1 and (name := str(key[-1])) in _by_alias(model):
            return [Finding(key, "is not known here", _outermost(name, detail["input"]), at_key=True)]
        return [unknown(key, _by_alias(table) if table is not None else ())]
    words = _sentence(kind, context) or _WORDS.get(kind, detail["msg"])
    hint = _brackets(kind, key, detail["input"]) or _within(kind, context)
    return [Finding(key, words, hint, at_key=kind == "missing")]


def _outermost(name: str, value: object) -> str:
    """Return where a key of the whole file goes that is written within a table."""
    if isinstance(value, dict | list):
        header = f"[{name}]" if isinstance(value, dict) else f"[[{name}]]"
        return f"It belongs to the whole file: write {header}, with nothing before its name."
    return "It belongs to the whole file: write it above the first [table]."


def _brackets(kind: str, key: Key, value: object) -> str:
    """Return how brackets make of a value what was expected; empty if that is not what is wrong."""
    name = ".".join(part for part in key if isinstance(part, str))
    if kind == "list_type" and isinstance(value, dict):
        return f"Write [[{name}]], in double brackets: there may be several."
    if kind == "list_type" and isinstance(value, str):
        return f"Write it in brackets: [{json.dumps(value[:_FEW], ensure_ascii=False)}]."
    if kind in _TABLES and isinstance(value, list):
        return f"Write [{name}], in single brackets: there is only one."
    return ""


def _within(kind: str, context: dict[str, Any]) -> str:
    """Return what to write instead of a value that is too large, too small, or none of a few; else empty."""
    if kind in {"literal_error", "enum"}:
        first = str(context["expected"]).split("'")[1:2]
        return f"Write it like {json.dumps(first[0])}." if first else ""
    for name, words in (("ge", "or more"), ("le", "or less")):
        if name in context:
            return f"Write {context[name]}, {words}."
    return "Write a larger one." if "gt" in context else "Write a smaller one." if "lt" in context else ""


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
    names = list(known)
    word = str(key[-1])
    return Finding(key, "is not known here", suggestion(word, names), at_key=True, meant=nearest(word, names))


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
