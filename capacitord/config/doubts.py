"""What in a profile is allowed and can hardly be meant: worth a warning. It looks at bare tables, wrong ones too."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from capacitord.config import attributes
from capacitord.config.bare import covers, mentions, never, rows, texts
from capacitord.config.diagnostics import Finding, Rejected
from capacitord.config.fields import timezone
from capacitord.config.positions import Key
from capacitord.config.schedules import parse_window
from capacitord.config.transfer_syntaxes import TRANSFER_SYNTAXES
from capacitord.model.compression import CAN_COMPRESS, Loss
from capacitord.model.schedule import changes, clock, left_out
from capacitord.model.targets import refers

_FIXED: Final = re.compile(r"EST|MST|HST|Etc/GMT[+-]\d+", re.ASCII)
"""Zones without summer time, by names that people take for ones that have it."""


def check(tables: Mapping[str, Any]) -> list[Finding]:
    """Return what is worth a warning."""
    return [
        *_unreached(tables),
        *_unused(tables),
        *_fixed(tables),
        *_clocks(tables),
        *_unproposed(tables),
        *_mammograms(tables),
        *_second_deidentification(tables),
        *_without_vr(tables),
        *_without_worklist(tables),
        *_removed_references(tables),
        *_never(tables),
        *_anywhere(tables),
        *_laxer(tables),
    ]


def policies(delivery: Mapping[str, Any]) -> frozenset[str]:
    """Return the delivery policies that a `[delivery]` names."""
    policy = delivery.get("policy", "realtime")
    return frozenset(str(each) for each in (policy if isinstance(policy, list) else [policy]))


def _anywhere(tables: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield that a site is known by nothing but private addresses, which other networks have, too."""
    location = tables.get("location")
    if not isinstance(location, Mapping) or "geofence" in location:
        return
    listed = list(rows(location, "evidence"))
    weak = [(*key, part) for key, row in listed for part in row if _is_private(row)]
    if weak and (location.get("network", "any") == "any" or len(weak) == len(listed)):
        words = "is enough to open for this site, and private addresses are in use everywhere"
        hint = 'Give it a geofence, or an endpoint with certificate_sha256 and network = "all".'
        yield Finding(("location", *weak[0]), words, hint, at_key=True)


def _laxer(tables: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield that a profile cannot do without a preflight that the box requires."""
    preflight = tables.get("preflight")
    if isinstance(preflight, Mapping) and preflight.get("required") is False:
        words = "changes nothing: a site may be stricter than its box, never laxer"
        hint = "Leave it out; the box says it in capacitord.toml: [preflight] required."
        yield Finding(("preflight", "required"), words, hint, at_key=True)


def _is_private(row: Mapping[str, Any]) -> bool:
    """Tell whether a piece of evidence is so in any network that happens to have the same private addresses."""
    node = row.get("echo", row.get("endpoint"))
    place = row.get("subnet")
    if isinstance(node, Mapping) and "certificate_sha256" not in node:
        place = node.get("host")
    try:
        return isinstance(place, str) and ipaddress.ip_network(place, strict=False).is_private
    except ValueError:
        return False


def _unused(tables: Mapping[str, Any]) -> Iterator[Finding]:
    delivery = tables.get("delivery")
    if isinstance(delivery, Mapping):
        for policy, part in (("docked", "networks"), ("scheduled", "windows")):
            if part in delivery and policy not in policies(delivery):
                words = f"is not used: the policy is not {policy}"
                yield Finding(("delivery", part), words, f'It counts with policy = "{policy}".', at_key=True)


def _unreached(tables: Mapping[str, Any]) -> Iterator[Finding]:
    reached: set[str] = set()
    for _, row in rows(tables, "route"):
        reached |= {name for part in ("to", "else_to") for _, name in texts(row.get(part))}
    review = tables.get("review")
    unmatched = review.get("unmatched") if isinstance(review, Mapping) else None
    if isinstance(unmatched, Mapping):
        reached |= {name for _, name in texts(unmatched.get("release-to"))}
    for key, row in rows(tables, "destination"):
        name = row.get("name")
        if tables.get("route") and isinstance(name, str) and name not in reached:
            words = f"no route goes to {name}"
            yield Finding((*key, "name"), words, "Name it in a [[route]], unless people release studies to it by hand.")


def _clocks(tables: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield windows that do not come on the day when the clocks are put forward."""
    windows = list(_windows(tables))
    if not windows:
        # To find out when clocks change takes longer than all the rest, and most profiles need not know.
        return
    try:
        zone = ZoneInfo(timezone(str(tables.get("timezone", ""))))
    except Rejected:
        return
    today = datetime.now(zone).date()
    coming = [*changes(zone, today.year), *changes(zone, today.year + 1)]
    # One time is enough: the next one.
    forward = [change for change in coming if change.after > change.before and change.date >= str(today)][:1]
    for key, text in windows:
        try:
            window = parse_window(text)
        except Rejected:
            continue
        for change in forward:
            if left_out(window, change):
                clocks = f"{clock(change.before)} to {clock(change.after)}"
                words = f"does not come on {change.date}: the clocks go from {clocks}"
                yield Finding(key, words, "Let it begin earlier or end later.")


def _windows(tables: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    """Yield all windows of time in a profile."""
    delivery = tables.get("delivery")
    if isinstance(delivery, Mapping):
        yield from ((("delivery", "windows", number), text) for number, text in texts(delivery.get("windows")))
    for name in ("route", "transform"):
        for key, row in rows(tables, name):
            yield from _times(row.get("match"), (*key, "match"))
    worklist = tables.get("worklist")
    for key, row in rows(worklist, "correct") if isinstance(worklist, Mapping) else ():
        yield from _times(row.get("match"), ("worklist", *key, "match"))


def _times(match: object, key: Key) -> Iterator[tuple[Key, str]]:
    if isinstance(match, Mapping):
        for name, value in match.items():
            if name == "time" and isinstance(value, str):
                yield (*key, "time"), value
            elif name == "time":
                yield from (((*key, "time", number), text) for number, text in texts(value))
            elif name in {"any", "all", "not"}:
                yield from _times(value, (*key, name))
    elif isinstance(match, list):
        for number, part in enumerate(match):
            yield from _times(part, (*key, number))


def _fixed(tables: Mapping[str, Any]) -> Iterator[Finding]:
    zone = tables.get("timezone")
    if isinstance(zone, str) and _FIXED.fullmatch(zone):
        hint = 'Where the clocks are put forward in summer, name a city, like "America/New_York".'
        yield Finding(("timezone",), f"{zone} has the same time all year", hint)


def _unproposed(tables: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield destinations that images are compressed for in a transfer syntax that they are not said to take."""
    for key, row in rows(tables, "destination"):
        wanted = _compressed_to(row)
        taken = {TRANSFER_SYNTAXES.get(name, name) for _, name in texts(row.get("transfer_syntaxes"))}
        if wanted and taken and TRANSFER_SYNTAXES[wanted] not in taken:
            words = f"{wanted} is not among transfer_syntaxes, so images are compressed to what is not proposed there"
            yield Finding((*key, "compress"), words, "Add it there, or compress to one of those.")


def _mammograms(tables: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield destinations that are to get mammograms compressed with loss, which is not said in as many words."""
    for key, row in rows(tables, "destination"):
        compress, wanted = row.get("compress"), _compressed_to(row)
        allowed = isinstance(compress, Mapping) and compress.get("lossy_mammography") is True
        if not wanted or CAN_COMPRESS[wanted] is Loss.NONE or allowed:
            continue
        for (_, number), route in rows(tables, "route"):
            names = [name for part in ("to", "else_to") for _, name in texts(route.get(part))]
            if row.get("name") in names and mentions(route.get("match"), "Modality", "MG"):
                words = (
                    f"{wanted} loses something, and route[{number}] sends mammograms there: those are not compressed"
                )
                hint = "If they may lose something, add lossy_mammography = true; if not, compress without loss."
                yield Finding((*key, "compress"), words, hint)
                break


def _compressed_to(row: Mapping[str, Any]) -> str:
    """Return the transfer syntax that a destination's images are compressed to; empty if there is none."""
    compress = row.get("compress")
    name = compress.get("transfer_syntax") if isinstance(compress, Mapping) else compress
    return name if isinstance(name, str) and name in CAN_COMPRESS else ""


def _second_deidentification(tables: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield de-identifications that are never used, since an earlier one is for all the images they are for."""
    every = [name for _, row in rows(tables, "destination") if isinstance(name := row.get("name"), str)]
    before: list[tuple[str | int, object, set[str]]] = []
    for key, row in rows(tables, "transform"):
        if "deidentify" not in row or row.get("on", "outbound") != "outbound":
            continue
        match, names = row.get("match", {}), {name for _, name in texts(row.get("to", every))}
        for number, earlier, taken in before:
            if covers(earlier, match) and (both := sorted(names & taken)):
                words = f"is never used for {', '.join(both)}: transform[{number}] de-identifies all of that before"
                yield Finding(
                    (*key, "deidentify"), words, "Leave one of them out, or give the first a match.", at_key=True
                )
                break
        before.append((key[1], match, names))


def _without_vr(tables: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield attributes that are made without a VR, and that the standard does not know, as private ones."""
    for key, row in _changes(tables):
        for name in ("set", "set_missing"):
            values = row.get(name)
            for text, wanted in values.items() if isinstance(values, Mapping) else ():
                if (isinstance(wanted, Mapping) and wanted.get("vr")) or not _is_unknown(str(text)):
                    continue
                words = "says no VR: an image is held if it does not have the attribute and no dictionary knows it"
                hint = 'Write { value = "x", vr = "LO" }, with the VR that its maker says.'
                yield Finding((*key, name, str(text)), words, hint)


def _without_worklist(tables: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what has no effect, or an odd one, in a profile that has no worklist."""
    if "worklist" not in tables:
        review = tables.get("review")
        if isinstance(review, Mapping) and not isinstance(review.get("unmatched"), Mapping):
            words = "holds every study: this profile has no worklist that one could match"
            yield Finding(("review",), words, "Add [worklist], or leave [review] out.", at_key=True)
        for key, row in rows(tables, "transform"):
            if row.get("on") == "worklist":
                yield Finding((*key, "on"), "changes nothing: this profile has no worklist", "Add [worklist].")


def _removed_references(tables: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield sequences to be removed that refer to other instances."""
    for key, row in _changes(tables):
        for number, text in texts(row.get("remove")):
            try:
                found = attributes.attribute(text)
            except Rejected:
                continue
            if refers(found):
                words = f"removes {text}, by which images refer to each other"
                hint = "What was made from what, or belongs to what, is lost there: leave it out if that is not meant."
                yield Finding((*key, "remove", number), words, hint)


def _never(tables: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield conditions that nothing can fulfil."""
    routes = ((key, row) for key, row in rows(tables, "route"))
    for key, row in (*routes, *_changes(tables)):
        if never(row.get("match")):
            words = "never matches: an empty table matches everything, and this asks for the opposite"
            yield Finding((*key, "match"), words, "Say in it what must not be so, or leave the whole entry out.")


def _changes(tables: Mapping[str, Any]) -> list[tuple[Key, Mapping[str, Any]]]:
    """Return all entries that change a dataset, with their keys."""
    worklist = tables.get("worklist")
    corrections = rows(worklist, "correct") if isinstance(worklist, Mapping) else ()
    return [*rows(tables, "transform"), *((("worklist", *key), row) for key, row in corrections)]


def _is_unknown(text: str) -> bool:
    """Return whether a text names one attribute, whose VR the standard does not know."""
    try:
        found = attributes.owned(text)
    except Rejected:
        return False
    return found.exact and not attributes.vr_of(found.steps[-1])
