"""What a profile says through text files beside it: a geofence, a table of values."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any, Final, Protocol

from capacitord.config.diagnostics import Finding
from capacitord.config.file_names import is_plain
from capacitord.config.positions import Key

LARGEST: Final = 1 << 20
"""The most bytes such a file may have."""
_ALONE: Final = "Write what it holds into the profile itself."
_ROWS: Final = "Each row holds a value and what it becomes, without a header."


class Beside(Protocol):
    """The folder of a profile."""

    def read(self, name: str) -> bytes | None:
        """Return what a file holds, and of a larger one `LARGEST` bytes and one more; None if it can't be read."""

    def chain(self, certificate: str, key: str) -> str:
        """Return what is wrong with a certificate and its key, which both are there; empty if nothing is."""


def inlined(tables: dict[str, Any], beside: Beside | None) -> tuple[dict[str, Any], list[Finding]]:
    """Return tables with what files hold in the place of the files' names, and what is wrong with those."""
    reader = _Reader(beside)
    found = dict(tables)
    location, worklist = tables.get("location"), tables.get("worklist")
    if isinstance(location, dict):
        found["location"] = reader.location(location)
    if isinstance(worklist, dict) and "correct" in worklist:
        found["worklist"] = {**worklist, "correct": reader.rules(worklist["correct"], ("worklist", "correct"))}
    if "transform" in tables:
        found["transform"] = reader.rules(tables["transform"], ("transform",))
    return found, reader.wrong


class _Reader:
    """Reads what is named, and notes what is wrong instead of stopping there."""

    def __init__(self, beside: Beside | None) -> None:
        self._beside = beside
        self.wrong: list[Finding] = []

    def location(self, table: dict[str, Any]) -> dict[str, Any]:
        fence = table.get("geofence")
        if not isinstance(fence, dict) or "file" not in fence:
            return table
        rest = {name: value for name, value in table.items() if name != "geofence"}
        key: Key = ("location", "geofence", "file")
        if others := [str(name) for name in fence if name != "file"]:
            self.wrong.append(
                Finding(key, f"does not go with {', '.join(others)[:80]}", "Leave one of them out.", at_key=True)
            )
            return rest
        text = self._text(fence["file"], key)
        try:
            geometry = None if text is None else _geometry(text)
        except ValueError as error:
            self.wrong.append(Finding(key, str(error), "It holds one area as GeoJSON (RFC 7946)."))
            return rest
        return rest if text is None else {**rest, "geofence": geometry}

    def rules(self, value: Any, key: Key) -> Any:
        if not isinstance(value, list):
            return value
        return [self._rule(rule, (*key, number)) for number, rule in enumerate(value)]

    def _rule(self, rule: Any, key: Key) -> Any:
        if not isinstance(rule, dict) or not isinstance(rule.get("map"), dict):
            return rule
        before = len(self.wrong)
        maps = {name: self._map(value, (*key, "map", str(name))) for name, value in rule["map"].items()}
        if len(self.wrong) > before:
            return {name: value for name, value in rule.items() if name != "map"}
        return {name: maps if name == "map" else value for name, value in rule.items()}

    def _map(self, value: Any, above: Key) -> Any:
        """Return a `map` with the table that its file holds."""
        if not isinstance(value, dict) or "file" not in value:
            return value
        key = (*above, "file")
        if "table" in value:
            self.wrong.append(Finding(key, "does not go with a table", "Leave one of them out.", at_key=True))
            return value
        text = self._text(value["file"], key)
        try:
            table = {} if text is None else _table(text)
        except ValueError as error:
            self.wrong.append(Finding(key, str(error), _ROWS))
            return value
        return {**{name: part for name, part in value.items() if name != "file"}, "table": table}

    def _text(self, name: object, key: Key) -> str | None:
        """Return the text of a file, or None and note what is wrong."""
        if not isinstance(name, str) or not is_plain(name):
            self.wrong.append(Finding(key, "is not the name of a file beside the profile", "Write it like values.csv."))
            return None
        if self._beside is None:
            self.wrong.append(Finding(key, f"{name} did not come with the profile", _ALONE))
            return None
        data = self._beside.read(name)
        if data is None:
            words, hint = f"there is no file {name} beside the profile", "Put it there, or write its name right."
        elif len(data) > LARGEST:
            words, hint = f"{name} is larger than 1 MiB", "Name the file that is meant."
        else:
            try:
                return data.decode("utf-8-sig")
            except UnicodeDecodeError:
                words, hint = f"{name} is not UTF-8", "Save it as UTF-8."
        self.wrong.append(Finding(key, words, hint))
        return None


def _geometry(text: str) -> Any:
    """Return the geometry that GeoJSON holds, by itself or as the one feature. Raises `ValueError`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        msg = "is not JSON"
        raise ValueError(msg) from None
    if isinstance(value, Mapping) and value.get("type") == "FeatureCollection":
        features = value.get("features")
        if not isinstance(features, list) or len(features) != 1:
            msg = "holds several features, or none"
            raise ValueError(msg)
        value = features[0]
    return value.get("geometry") if isinstance(value, Mapping) and value.get("type") == "Feature" else value


def _table(text: str) -> dict[str, str]:
    """Return the table that CSV holds, two columns wide. Raises `ValueError`."""
    table: dict[str, str] = {}
    try:
        for number, row in enumerate(filter(None, csv.reader(io.StringIO(text), strict=True)), start=1):
            if len(row) != 2:
                msg = f"row {number} has {len(row)} columns"
                raise ValueError(msg)
            if row[0] in table:
                msg = f"row {number} repeats {row[0]!r}"
                raise ValueError(msg)
            table[row[0]] = row[1]
    except csv.Error as error:
        msg = f"is not CSV: {error}"
        raise ValueError(msg) from None
    return table
