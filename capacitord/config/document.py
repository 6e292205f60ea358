"""A TOML document, read: its tables, or what is wrong with it as a document."""

from __future__ import annotations

import re
import tomllib
from typing import Any, Final, TypeVar

import pydantic

from capacitord.config import syntax
from capacitord.config.diagnostics import Diagnostic, Finding, Source, fill, marked
from capacitord.config.positions import Key

_DEEPEST: Final = 100
_DEEP: Final = "tables or lists are nested too deeply"
_FLATTEN: Final = f"Nothing here needs more than {_DEEPEST} levels."
_ENDLESS: Final = re.compile(r"\d(?:_?\d){4299}", re.ASCII)
_AT: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_Model = TypeVar("_Model", bound=pydantic.BaseModel)


def validate(model: type[_Model], text: str, file: str) -> tuple[_Model | None, tuple[Diagnostic, ...]]:
    """Return the model that `text` describes, or None and all that is wrong with it."""
    tables, problems = read_toml(text, file)
    if problems:
        return None, problems
    found, findings = fill(model, tables)
    return found, Source(text, file).diagnostics(findings) if findings else ()


def read_toml(text: str, file: str) -> tuple[dict[str, Any], tuple[Diagnostic, ...]]:
    """Return the tables of a TOML document, or what is wrong with it as a document."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return {}, (_not_toml(str(error), text, file),)
    except RecursionError:
        return {}, (Diagnostic(file, "", _DEEP, _FLATTEN),)
    except ValueError:  # Python reads no longer number, and tomllib lets it say so
        line = next((number for number, line in enumerate(text.split("\n"), 1) if _ENDLESS.search(line)), None)
        return {}, (Diagnostic(file, "", "a number has more digits than any number here needs", line=line),)
    deep = _too_deep(tables)
    return ({}, (Source(text, file).diagnostic(Finding(deep, _DEEP, _FLATTEN)),)) if deep else (tables, ())


def not_utf8(data: bytes, at: int, file: str) -> Diagnostic:
    """Return that the byte `at` is the first of `data` that is not UTF-8, and where that is for a person."""
    begins = data.rfind(b"\n", 0, at) + 1
    line = data[begins:].partition(b"\n")[0].decode(errors="replace").rstrip("\r")
    column = len(data[begins:at].decode()) + 1
    plain = Diagnostic(file, "", "has a character that is not UTF-8", "Save it as UTF-8.")
    return marked(plain, line, data.count(b"\n", 0, at) + 1, column, 1)


def _too_deep(tables: dict[str, Any]) -> Key:
    """Return the beginning of a key path that is longer than any may be; empty if none is."""
    todo: list[tuple[Key, Any]] = [((), tables)]
    while todo:
        key, value = todo.pop()
        if len(key) > _DEEPEST:
            return key[:2]
        if isinstance(value, dict):
            todo += [((*key, name), inner) for name, inner in value.items() if isinstance(inner, dict | list)]
        elif isinstance(value, list):
            todo += [((*key, number), inner) for number, inner in enumerate(value) if isinstance(inner, dict | list)]
    return ()


def _not_toml(words: str, text: str, file: str) -> Diagnostic:
    place = _AT.search(words)
    message = words[: place.start()] if place else words
    lines = text.replace("\r\n", "\n").split("\n")
    if place is None or not place[1]:
        while len(lines) > 1 and not lines[-1].strip():
            lines.pop()
    number, column = (int(place[1]), int(place[2])) if place and place[1] else (len(lines), len(lines[-1]) + 1)
    line = lines[number - 1]
    found = syntax.explain(message, line, column)
    plain = Diagnostic(file, "", found.message, found.hint)
    return marked(plain, line, number, found.column, found.length)
