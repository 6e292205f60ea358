"""What the files beside a profile may be called: one rule for checking, importing and exporting them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from capacitord.config.diagnostics import Finding
from capacitord.config.positions import Key

_LONGEST: Final = 255
_NAMING: Final = frozenset({"file", "token_file", "ca", "certificate", "key"})


def is_plain(name: object) -> bool:
    """Return whether a text is the name of a file in a folder or below, which can be written there again.

    Blanks and letters of any script are fine, as is any depth; hidden files are not, nor what leads out.
    """
    if not isinstance(name, str) or not name.isprintable() or "\\" in name or len(name.encode()) > _LONGEST:
        return False
    return all(part and part == part.strip() and not part.startswith(".") for part in name.split("/"))


def is_profile(name: str, site: object) -> bool:
    """Return whether a file is called as the profile of its site is when it is exported."""
    return name.casefold() == f"{site}.toml".casefold()


def collisions(tables: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield where a profile names a file that would take the place of its own text."""
    for key, name in _named(tables, ()):
        if is_profile(name, tables.get("id")):
            yield Finding(key, f"{name} is what the profile itself is called", "Give the file another name.")


def _named(value: Any, above: Key) -> Iterator[tuple[Key, str]]:
    if isinstance(value, Mapping):
        for name, part in value.items():
            if name in _NAMING and isinstance(part, str):
                yield (*above, name), part
            else:
                yield from _named(part, (*above, str(name)))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from _named(part, (*above, number))
