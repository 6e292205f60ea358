"""Where each key and each value of a TOML document stands."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import tree_sitter
import tree_sitter_toml

Key = tuple[str | int, ...]
_KEYS: Final = frozenset({"bare_key", "quoted_key", "dotted_key"})
_MARKS: Final = frozenset({"[", "]", "[[", "]]", "=", "{", "}", ",", "comment"})


class Place(NamedTuple):
    """A piece of the document: the line and column of its first character, from 1, and its length on that line."""

    line: int
    column: int
    length: int


class Spot(NamedTuple):
    """Where a key is written, and where its value is; an entry of a list has a value only."""

    key: Place
    value: Place


class Positions:
    """The places of a document that is known to be TOML."""

    def __init__(self, text: str) -> None:
        self._source = text.encode(errors="replace")
        self._lines = self._source.split(b"\n")
        self._spots: dict[Key, Spot] = {}
        self._counts: dict[Key, int] = {}
        parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_toml.language()))
        self._read(parser.parse(self._source).root_node)

    @property
    def spots(self) -> Mapping[Key, Spot]:
        """All that is written, by its key path."""
        return self._spots

    def line(self, number: int) -> str:
        """Return a line of the document, counted from 1."""
        return self._lines[number - 1].decode().rstrip("\r")

    def nearest(self, key: Key) -> tuple[Key, Spot] | None:
        """Return what is written at a key path, or the smallest thing around it; None if that is the document."""
        for length in range(len(key), 0, -1):
            if (spot := self._spots.get(key[:length])) is not None:
                return key[:length], spot
        return None

    def _read(self, document: tree_sitter.Node) -> None:
        for node in document.children:
            if node.type == "pair":
                self._pair((), node)
            elif node.type in {"table", "table_array_element"}:
                self._table(node)

    def _table(self, node: tree_sitter.Node) -> None:
        head = next(child for child in node.children if child.type in _KEYS)
        *above, (name, place) = self._parts(head)
        path: Key = ()
        for part, where in above:
            path = (*path, part)
            self._spots.setdefault(path, Spot(where, where))
            if path in self._counts:
                path = (*path, self._counts[path])
        path = (*path, name)
        if node.type == "table_array_element":
            number = self._counts[path] = self._counts.get(path, -1) + 1
            self._spots.setdefault(path, Spot(place, place))
            path = (*path, number)
        self._spots[path] = Spot(place, place)
        for child in node.children:
            if child.type == "pair":
                self._pair(path, child)

    def _pair(self, table: Key, node: tree_sitter.Node) -> None:
        """Read an assignment, and what is within it. Not by recursion: a document may be nested deeply."""
        todo = [(table, node)]
        while todo:
            above, pair = todo.pop()
            key, value = _sides(pair)
            path = above
            spot = self._place(value)
            for name, place in self._parts(key):
                path = (*path, name)
                self._spots.setdefault(path, Spot(place, spot))
            todo += self._within(path, value)

    def _within(self, path: Key, value: tree_sitter.Node) -> Iterator[tuple[Key, tree_sitter.Node]]:
        """Note the entries of lists, and yield the assignments of inline tables."""
        todo = [(path, value)]
        while todo:
            here, node = todo.pop()
            if node.type == "inline_table":
                yield from ((here, child) for child in node.children if child.type == "pair")
            elif node.type == "array":
                entries = [child for child in node.children if child.type not in _MARKS]
                for number, entry in enumerate(entries):
                    place = self._place(entry)
                    self._spots[(*here, number)] = Spot(place, place)
                    todo.append(((*here, number), entry))

    def _parts(self, key: tree_sitter.Node) -> Iterator[tuple[str, Place]]:
        """Yield the parts of a dotted key, each as the text it means. Not by recursion, as it may have many."""
        todo = [key]
        while todo:
            node = todo.pop()
            if node.type == "dotted_key":
                todo += [child for child in reversed(node.children) if child.type in _KEYS]
            else:
                written = self._source[node.start_byte : node.end_byte].decode()
                yield next(iter(tomllib.loads(f"{written} = 0"))), self._place(node)

    def _place(self, node: tree_sitter.Node) -> Place:
        row, start = node.start_point.row, node.start_point.column
        line = self._lines[row]
        # The grammar counts bytes; people count characters.
        end = node.end_point.column if node.end_point.row == row else len(line.rstrip(b"\r"))
        return Place(row + 1, len(line[:start].decode()) + 1, max(1, len(line[start:end].decode())))


def _sides(pair: tree_sitter.Node) -> tuple[tree_sitter.Node, tree_sitter.Node]:
    """Return the key and the value of an assignment; the grammar may count a comment behind it as part of it."""
    key, value = (child for child in pair.children if child.type not in _MARKS)
    return key, value
