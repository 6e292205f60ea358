"""What a profile says through files beside it: a geofence, a table of values, certificates, a token."""

from __future__ import annotations

import csv
import io
import json
import ssl
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from capacitord.config.diagnostics import Finding
from capacitord.config.positions import Key

_ALONE: Final = "Write what it holds into the profile itself."
_LARGEST: Final = 1 << 20


class Beside(Protocol):
    """The folder of a profile."""

    def read(self, name: str) -> bytes | None:
        """Return what a file holds, at most 1 MiB of it; None if there is none, or it can't be read."""

    def chain(self, certificate: str, key: str) -> str:
        """Return what is wrong with a certificate and its key, which both are there; empty if nothing is."""


def inlined(tables: dict[str, Any], beside: Beside | None) -> tuple[dict[str, Any], list[Finding], list[Finding]]:
    """Return tables with what files hold in the place of the files' names, what is wrong, and what is not there."""
    wrong: list[Finding] = []
    found = dict(tables)
    location = tables.get("location")
    if isinstance(location, dict) and isinstance(fence := location.get("geofence"), dict) and "file" in fence:
        geometry = _geometry(fence, beside, wrong)
        found["location"] = {name: value for name, value in location.items() if name != "geofence"} | geometry
    for name, holder in (("transform", tables), ("correct", tables.get("worklist"))):
        above = () if name == "transform" else ("worklist",)
        if isinstance(holder, dict) and isinstance(rules := holder.get(name), list):
            mapped = [_mapped(rule, (*above, name, number), beside, wrong) for number, rule in enumerate(rules)]
            if above:
                found["worklist"] = {**holder, name: mapped}
            else:
                found[name] = mapped
    return found, wrong, list(_secrets(tables, beside, wrong)) if beside is not None else []


def _geometry(fence: dict[str, Any], beside: Beside | None, wrong: list[Finding]) -> dict[str, Any]:
    """Return `{"geofence": geometry}` from a file, or nothing."""
    key: Key = ("location", "geofence", "file")
    text = _content(fence, key, beside, wrong)
    if text is None:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        wrong.append(Finding(key, "is not JSON", "It holds GeoJSON (RFC 7946)."))
        return {}
    if isinstance(value, dict) and value.get("type") == "FeatureCollection":
        features = value.get("features")
        if not isinstance(features, list) or len(features) != 1:
            wrong.append(Finding(key, "holds several features, or none", "A site is one: a MultiPolygon if need be."))
            return {}
        value = features[0]
    if isinstance(value, dict) and value.get("type") == "Feature":
        value = value.get("geometry")
    return {"geofence": value}


def _mapped(rule: Any, key: Key, beside: Beside | None, wrong: list[Finding]) -> Any:
    if not isinstance(rule, dict) or not isinstance(rule.get("map"), dict):
        return rule
    tables = {name: _looked_up(value, (*key, "map", str(name)), beside, wrong) for name, value in rule["map"].items()}
    found = {name: value for name, value in tables.items() if value is not None}
    rest = {name: value for name, value in rule.items() if name != "map" or len(found) == len(tables)}
    return {name: found if name == "map" else value for name, value in rest.items()}


def _looked_up(value: Any, key: Key, beside: Beside | None, wrong: list[Finding]) -> Any:
    """Return a `map` with the table that its file holds, None if there is none."""
    if not isinstance(value, dict) or "file" not in value:
        return value
    if "table" in value:
        wrong.append(Finding((*key, "file"), "does not go with a table", "Leave one of them out.", at_key=True))
        return None
    text = _content(value, (*key, "file"), beside, wrong)
    if text is None:
        return None
    try:
        rows = [row for row in csv.reader(io.StringIO(text), strict=True) if row]
    except csv.Error as error:
        wrong.append(Finding((*key, "file"), f"is not CSV: {error}"))
        return None
    for number, row in enumerate(rows, start=1):
        if len(row) != 2 or any(row[0] == other[0] for other in rows[: number - 1]):
            words = f"row {number} repeats {row[0]!r}" if len(row) == 2 else f"row {number} has {len(row)} columns"
            wrong.append(
                Finding((*key, "file"), words, "Each row holds a value and what it becomes, without a header.")
            )
            return None
    return {name: part for name, part in value.items() if name != "file"} | {"table": {row[0]: row[1] for row in rows}}


def _content(table: Mapping[str, Any], key: Key, beside: Beside | None, wrong: list[Finding]) -> str | None:
    """Return the text of the file that a table names, or None and what is wrong."""
    name = table["file"]
    if not isinstance(name, str) or not _plain(name):
        wrong.append(Finding(key, "is not the name of a file beside the profile", "Write it like values.csv."))
        return None
    if beside is None:
        wrong.append(Finding(key, f"{name} did not come with the profile", _ALONE))
        return None
    data = beside.read(name)
    if data is None:
        wrong.append(
            Finding(key, f"there is no file {name} beside the profile", "Put it there, or write its name right.")
        )
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        wrong.append(Finding(key, f"{name} is not UTF-8"))
        return None


def _plain(name: str) -> bool:
    return bool(name) and name.isprintable() and not name.startswith("/") and ".." not in name.split("/")


def _secrets(tables: Mapping[str, Any], beside: Beside, wrong: list[Finding]) -> Iterator[Finding]:
    """Yield the certificates, keys and tokens that are not there; what is there and no good is wrong."""
    destinations = tables.get("destination")
    for number, destination in enumerate(destinations if isinstance(destinations, list) else []):
        if not isinstance(destination, dict):
            continue
        tls = destination.get("tls")
        files: dict[Key, Any] = {("token_file",): destination.get("token_file")}
        if isinstance(tls, dict):
            files |= {("tls", name): tls.get(name) for name in ("ca", "certificate", "key")}
        there: dict[str, str] = {}
        for path, name in files.items():
            if not isinstance(name, str) or not _plain(name):
                continue
            key: Key = ("destination", number, *path)
            data = beside.read(name)
            if data is None:
                yield Finding(key, f"{name} is not beside the profile", "It must be on the box that uses the profile.")
            elif words := _unfit(str(path[-1]), data):
                wrong.append(Finding(key, f"{name} {words}"))
            else:
                there[str(path[-1])] = name
        if {"certificate", "key"} <= there.keys() and (words := beside.chain(there["certificate"], there["key"])):
            wrong.append(Finding(("destination", number, "tls", "key"), words, "The key must be the certificate's."))


def _unfit(part: str, data: bytes) -> str:
    """Return what is wrong with a file by itself; empty if nothing is."""
    if part == "token_file":
        return "" if data.strip().isascii() and len(data.split()) == 1 else "does not hold one token"
    if part == "key":
        if b"ENCRYPTED" in data:
            return "is encrypted, and nobody is there to type its passphrase"
        return "" if b"PRIVATE KEY-----" in data else "is not a private key in PEM"
    if b"-----BEGIN CERTIFICATE-----" not in data:
        return "is not a certificate in PEM"
    try:
        ssl.create_default_context(cadata=data.decode("ascii"))
    except (ssl.SSLError, ValueError):
        return "holds a certificate that can't be read"
    return ""
