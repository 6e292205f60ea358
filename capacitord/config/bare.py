"""The tables of a profile as they are written: what of them has the shape it should have, and no more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from capacitord.config.positions import Key


def rows(tables: Mapping[str, Any], name: str) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    """Yield the tables of a list of tables, with their key paths."""
    found = tables.get(name)
    for number, row in enumerate(found if isinstance(found, list) else []):
        if isinstance(row, Mapping):
            yield (name, number), row


def texts(value: object) -> Iterator[tuple[int, str]]:
    """Yield the texts of a list, with their places in it."""
    for number, text in enumerate(value if isinstance(value, list) else []):
        if isinstance(text, str):
            yield number, text


def always(match: object) -> bool:
    """Return whether a `match` holds for every image."""
    if not isinstance(match, Mapping):
        return False
    parts = {name: value if isinstance(value, list) else [] for name, value in match.items()}
    holds = {"any": lambda each: any(map(always, each)), "all": lambda each: bool(each) and all(map(always, each))}
    return all(name in holds and holds[name](each) for name, each in parts.items())


def never(match: object) -> bool:
    """Return whether a `match` surely holds for no image, because it asks for the opposite of an empty table."""
    if not isinstance(match, Mapping):
        return False
    parts = {name: value if isinstance(value, list) else [] for name, value in match.items()}
    return (
        ("not" in match and always(match["not"]))
        or any(never(each) for each in parts.get("all", ()))
        or (bool(parts.get("any")) and all(never(each) for each in parts["any"]))
    )


def covers(earlier: object, later: object) -> bool:
    """Return whether a `match` surely holds wherever another one does; what is not sure does not count."""
    if always(earlier):
        return True
    if not isinstance(earlier, Mapping) or not isinstance(later, Mapping):
        return False
    return all(name in later and _covers(value, later[name]) for name, value in earlier.items())


def _covers(earlier: object, later: object) -> bool:
    if type(earlier) is type(later) and earlier == later:
        return True
    wide, narrow = (value if isinstance(value, list) else [value] for value in (earlier, later))
    plain = all(isinstance(each, str) and not each.startswith("!") for each in (*wide, *narrow))
    return plain and bool(narrow) and set(narrow) <= set(wide)


def mentions(match: object, attribute: str, value: str) -> bool:
    """Return whether a `match` asks for a value of an attribute, in any of its groups but `not`."""
    if isinstance(match, list):
        return any(mentions(part, attribute, value) for part in match)
    if not isinstance(match, Mapping):
        return False
    wanted = match.get(attribute)
    asked = wanted if isinstance(wanted, list) else [wanted]
    return value in asked or any(mentions(match.get(group), attribute, value) for group in ("any", "all"))
