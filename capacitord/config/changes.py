"""What differs between two profiles, told by what it means: this route, that destination; not line by line."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from capacitord.config.diagnostics import key_text
from capacitord.config.positions import Key

_GEOMETRY: Final = frozenset({"geofence"})
"""Keys whose value is told as a whole: nobody reads the coordinates of two outlines side by side."""


class Change(NamedTuple):
    """A difference at a key path. `old` is None for what is new, `new` for what is gone.

    `where` names the table for people ("route 2", "destination pacs"), `name` the key within it, empty for all of it.
    """

    key: str
    where: str
    name: str
    old: str | None
    new: str | None


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Return what differs between the tables of two profiles, as they are written.

    Destinations are compared by their names, other lists of tables in their order.
    """
    return list(_tables((), "", "", old, new))


def _tables(key: Key, where: str, above: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for name in dict.fromkeys([*new, *old]):
        path = f"{above}.{name}" if above else name
        yield from _values((*key, name), where, path, old.get(name), new.get(name))


def _values(key: Key, where: str, name: str, old: Any, new: Any) -> Iterator[Change]:
    if old == new:
        return
    if _is_tables(old) and _is_tables(new) and (old or new):
        yield from _lists(key, where, old or [], new or [])
    elif isinstance(old, Mapping) and isinstance(new, Mapping) and name not in _GEOMETRY:
        # A table of the first level is a place of its own.
        yield from _tables(key, where or name, name if where else "", old, new)
    else:
        top = not where and (isinstance(old, Mapping) or isinstance(new, Mapping))
        yield _change(key, name if top else where, "" if top else name, old, new)


def _is_tables(value: Any) -> bool:
    return value is None or (isinstance(value, list) and bool(value) and all(isinstance(v, Mapping) for v in value))


def _lists(key: Key, where: str, old: Sequence[Any], new: Sequence[Any]) -> Iterator[Change]:
    label = " ".join(part for part in (where, str(key[-1])) if part)
    for before, after in _pairs(key, old, new):
        number = after if after is not None else before
        entry = new[after] if after is not None else old[before or 0]
        named = _called(key, entry, number or 0)
        place = (*key, number or 0)
        if before is None or after is None:
            values = (None, entry) if before is None else (entry, None)
            yield _change(place, f"{label} {named}", "", *values)
        else:
            yield from _tables(place, f"{label} {named}", "", old[before], new[after])


def _pairs(key: Key, old: Sequence[Any], new: Sequence[Any]) -> Iterator[tuple[int | None, int | None]]:
    """Yield which entry became which; None for what is gone, or new."""
    if key == ("destination",):
        names = {str(entry.get("name")): number for number, entry in enumerate(old)}
        yield from ((names.pop(str(entry.get("name")), None), number) for number, entry in enumerate(new))
        yield from ((number, None) for number in names.values())
        return
    before, after = ([json.dumps(entry, sort_keys=True, default=str) for entry in side] for side in (old, new))
    for _, a, b, c, d in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        common = min(b - a, d - c)
        yield from ((a + step, c + step) for step in range(common))
        yield from ((number, None) for number in range(a + common, b))
        yield from ((None, number) for number in range(c + common, d))


def _called(key: Key, entry: Mapping[str, Any], number: int) -> str:
    return str(entry.get("name", number + 1)) if key == ("destination",) else str(number + 1)


def _change(key: Key, where: str, name: str, old: Any, new: Any) -> Change:
    return Change(
        key_text(key), where, name, *(None if each is None else _text(each, key, inside=False) for each in (old, new))
    )


def _text(value: Any, key: Key, *, inside: bool = True) -> str:
    """Return a value as a person reads it; `inside` another one, a table has braces."""
    if key[-1] in _GEOMETRY and isinstance(value, Mapping):
        return _geometry(value)
    match value:
        case bool():
            return str(value).lower()
        case str():
            return value if value.strip() == value and value.isprintable() and value else json.dumps(value)
        case Mapping():
            entries = ", ".join(f"{name} = {_text(part, (*key, name))}" for name, part in value.items())
            return f"{{ {entries} }}" if inside else entries
        case list():
            return ", ".join(_text(part, (*key, "")) for part in value) or "none"
        case _:
            return str(value)


def _geometry(value: Mapping[str, Any]) -> str:
    """Return an area in a few words: its kind, its corners, and around where it is."""
    if "file" in value:
        return f"file {value['file']}"
    corners = list(_positions(value.get("coordinates")))
    if not corners:
        return str(value.get("type", "none"))
    east, north = (sum(each) / len(corners) for each in zip(*corners, strict=True))
    return f"{value.get('type')}, {len(corners)} positions around [{east:.4f}, {north:.4f}]"


def _positions(value: Any) -> Iterator[tuple[float, float]]:
    if not isinstance(value, list):
        return
    if len(value) >= 2 and all(isinstance(each, int | float) for each in value):
        yield float(value[0]), float(value[1])
        return
    for part in value:
        yield from _positions(part)
