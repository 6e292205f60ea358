"""What the sections of a profile say of each other. All of it works on tables that may be wrong in other ways."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from capacitord.config import doubts
from capacitord.config.bare import always, covers, rows, texts
from capacitord.config.diagnostics import MISSING, Finding, suggestion
from capacitord.config.doubts import policies
from capacitord.config.positions import Key

_NODE: Final = ("ae_title", "host", "port")
_EVIDENCE: Final = ("subnet", "gateway_mac", "ssid", "dns_suffix", "echo", "endpoint")


def check(tables: Mapping[str, Any]) -> tuple[list[Finding], list[Finding]]:
    """Return what is wrong between the sections of a profile, and what is worth a warning."""
    names = [str(table.get("name", "")) for _, table in rows(tables, "destination")]
    wrong = [
        *_destinations(tables),
        *_named(tables, frozenset(names)),
        *_routes(tables),
        *_transforms(tables),
        *_evidence(tables),
        *_delivery(tables),
    ]
    return wrong, doubts.check(tables)


def _destinations(tables: Mapping[str, Any]) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for key, row in rows(tables, "destination"):
        name, number = row.get("name"), key[1]
        if isinstance(name, str) and name in seen:
            words = f"two destinations are called {name}"
            yield Finding((*key, "name"), words, "Give every destination a name of its own.")
        elif isinstance(name, str) and isinstance(number, int):
            seen[name] = number
        yield from _by_dicom_or_web(key, row)
        tls = row.get("tls")
        if isinstance(tls, Mapping) and ("certificate" in tls) != ("key" in tls):
            words = "certificate and key go together"
            yield Finding((*key, "tls"), words, "Name both, or neither if the destination asks for none.")


def _by_dicom_or_web(key: Key, row: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what a DICOM node or a DICOMweb service lacks, and what it can't have."""
    if "stow" in row:
        for part in (*_NODE, "calling_ae_title", "commitment", "batch"):
            if part in row:
                words = "does not go with stow: a destination is a DICOM node or a DICOMweb service"
                yield Finding((*key, part), words, "Leave it out, or make two destinations of it.", at_key=True)
        return
    for part in _NODE:
        if part not in row:
            yield Finding((*key, part), MISSING, at_key=True)
    if "token_file" in row:
        yield Finding((*key, "token_file"), "goes with stow only", "Leave it out.", at_key=True)


def _named(tables: Mapping[str, Any], names: frozenset[str]) -> Iterator[Finding]:
    """Yield names of destinations that there are not."""
    if not isinstance(tables.get("destination"), list):
        return  # of which the profile's own check speaks
    places: list[tuple[Key, object]] = []
    for key, row in rows(tables, "route"):
        places += [((*key, part), row.get(part)) for part in ("to", "else_to")]
    places += [((*key, "to"), row.get("to")) for key, row in rows(tables, "transform")]
    review = tables.get("review")
    if isinstance(review, Mapping) and isinstance(unmatched := review.get("unmatched"), Mapping):
        places.append((("review", "unmatched", "release-to"), unmatched.get("release-to")))
    for key, value in places:
        for number, name in texts(value):
            if name not in names:
                yield Finding((*key, number), f"there is no destination {name!r}", suggestion(name, names))


def _routes(tables: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield routes that are never reached, and stand-ins that are none."""
    before: list[tuple[int, object]] = []
    for key, row in rows(tables, "route"):
        match, number = row.get("match", {}), key[1]
        for earlier, other in before:
            if covers(other, match):
                same = "has the same condition" if other == match else "takes all that this one would"
                words = f"is never reached: route[{earlier}] {'takes every image' if always(other) else same}"
                yield Finding(key, words, "Put the special routes first and the general one last.", at_key=True)
                break
        if isinstance(number, int):
            before.append((number, match))
        taken = {name for _, name in texts(row.get("to"))}
        for place, name in texts(row.get("else_to")):
            if name in taken:
                yield Finding((*key, "else_to", place), f"{name} is in `to` already", "Name another one, or none.")
        if "else_after" in row and "else_to" not in row:
            yield Finding((*key, "else_after"), "goes with else_to only", "Leave it out.", at_key=True)


def _transforms(tables: Mapping[str, Any]) -> Iterator[Finding]:
    acts = {"set", "set_missing", "remove", "copy", "replace", "map", "clean", "hash", "prefix", "suffix"}
    for key, row in rows(tables, "transform"):
        if not acts & row.keys() and "deidentify" not in row:
            yield Finding(key, "does nothing", "Give it something to do, like set or remove.", at_key=True)
        if row.get("on", "outbound") == "outbound":
            continue
        for part in ("to", "deidentify"):
            if part in row:
                yield Finding((*key, part), "goes with outbound transforms only", "Leave it out.", at_key=True)
    worklist = tables.get("worklist")
    if isinstance(worklist, Mapping):
        for key, row in rows(worklist, "correct"):
            if not (acts | {"codes"}) & row.keys():
                yield Finding(("worklist", *key), "does nothing", "Give it something to do, like set.", at_key=True)


def _evidence(tables: Mapping[str, Any]) -> Iterator[Finding]:
    location = tables.get("location")
    if not isinstance(location, Mapping):
        return
    listed = list(rows(location, "evidence"))
    if not isinstance(location.get("evidence", []), list):
        return
    for key, row in listed:
        known = [name for name in _EVIDENCE if name in row]
        if len(known) > 1 or not row:
            words = "must have exactly one of " + ", ".join(_EVIDENCE)
            yield Finding(("location", *key), words, "Make a table of its own for each.", at_key=True)
    if not listed and location.get("network") in {"any", "all"}:
        words = "asks for evidence, and there is none"
        yield Finding(("location", "network"), words, 'Add [[location.evidence]], or write network = "none".')
    if not listed and "geofence" not in location:
        yield Finding(
            ("location",), "says nothing of where the site is", "Give it a geofence or evidence.", at_key=True
        )
    if listed and "geofence" not in location and location.get("network") == "none":
        words = "leaves nothing to know the site by: it has no geofence"
        yield Finding(("location", "network"), words, 'Write network = "any" or "all", or give it a geofence.')


def _delivery(tables: Mapping[str, Any]) -> Iterator[Finding]:
    delivery = tables.get("delivery")
    if not isinstance(delivery, Mapping):
        return
    for policy, part in (("docked", "networks"), ("scheduled", "windows")):
        if policy in policies(delivery) and not delivery.get(part):
            yield Finding(
                ("delivery", "policy"), f"{policy} needs {part}", f"Add {part}: without it nothing ever leaves."
            )
