"""What may follow on a command line: commands and options from a table, studies and destinations from the daemon.

A shell calls `fluxctl` with the words up to the cursor and _FLUXCTL_COMPLETE naming itself. The answer comes within
100 ms, so neither Typer nor rich is imported here; and whatever goes wrong, nothing is said.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from fluxctl.tree import CHOICES, PATHS, TREE

PATIENCE: Final = 0.05
"""Seconds the daemon has for each step of its answer."""
FILES, DIRECTORIES = ":files", ":directories"
MENU: Final = frozenset({"37", "42"})
"""The values of bash's COMP_TYPE with which it inserts whole entries, so that they may hold no explanation."""

MEANS_SOMETHING: Final = frozenset(" \t\"'`$\\|&;<>(){}[]*?!#~^")
"""The characters of a line that bash does not take as they are."""

Candidates = list[tuple[str, str]]


class Place(NamedTuple):
    """Where the cursor is: the command so far, what may stand here, and the socket named on the way."""

    node: Any
    wanted: str
    socket: str
    used: frozenset[str]
    options_over: bool


def answer(shell: str, words: Sequence[str]) -> int:
    """Print the completions of the last of `words` for `shell`; always return 0."""
    try:
        current = words[-1] if words else ""
        if shell == "bash" and current == "=":
            current = ""
        before, current, cut = _rejoined(words[:-1], current) if shell == "bash" else (words[:-1], current, 0)
        lines = _written(shell, [(value[cut:], text) for value, text in complete(before, current)])
        sys.stdout.buffer.write("".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))
        sys.stdout.buffer.flush()
    except Exception:  # noqa: BLE001 - a person in the middle of a line wants no message there
        return 0
    return 0


def _rejoined(before: Sequence[str], current: str) -> tuple[Sequence[str], str, int]:
    """Return words as they stand on the line, and how much of the last bash keeps: it cuts st-marys@6 at the "@"."""
    joined: list[str] = []
    for word in [*before, current]:
        if joined and (word == "@" or joined[-1].endswith("@")):
            joined[-1] += word
        else:
            joined.append(word)
    *before, whole = joined
    return before, whole, len(whole) - len(current) if current != "@" else len(whole)


def complete(before: Sequence[str], current: str) -> Candidates:
    """Return what `current` may become after the words `before`, each with its explanation."""
    place = _walk(before)
    prefix = ""
    if not place.options_over and current.startswith("-") and not place.wanted:
        name, equals, value = current.partition("=")
        if not equals:
            fitting = [(n, o["help"]) for n, o in place.node["options"].items() if n not in place.used or o["many"]]
            return [(name, text) for name, text in fitting if name.startswith(current)]
        prefix, current = f"{name}=", value
        place = place._replace(wanted=place.node["options"].get(name, {}).get("metavar", ""))
    if not place.wanted and place.node.get("commands"):
        found = [(name, child["help"]) for name, child in place.node["commands"].items()]
    else:
        found = _values(place.wanted, current, place.socket)
    return [(prefix + value, text) for value, text in found if value.startswith((current, ":"))]


def _walk(words: Iterable[str]) -> Place:
    """Follow complete words from the program down to where the cursor is."""
    node: Any = TREE
    path: list[str] = []
    option, socket, position, over = "", "", 0, False
    used: set[str] = set()
    for word in words:
        if option:
            if word == "=":  # bash makes three words of --to=pacs
                continue
            socket = word if option == "--socket" else socket
            option = ""
        elif word == "--":
            over = True
        elif word.startswith("-") and not over:
            name, equals, _ = word.partition("=")
            used.add(name)
            option = "" if equals or not node["options"].get(name, {}).get("metavar") else name
        elif node.get("commands"):
            node, used = node["commands"].get(word, {"options": {}, "arguments": []}), set()
            path.append(word)
        else:
            position += 1
    wanted = node["options"][option]["metavar"] if option else _argument(node, position)
    if wanted == "STUDY" and " ".join(path) in OF_HELD:
        wanted = HELD
    return Place(node, wanted, socket, frozenset(used), over)


def _argument(node: Any, position: int) -> str:
    arguments = node.get("arguments", [])
    return str(arguments[position]) if position < len(arguments) else ""


def _values(metavar: str, current: str, socket: str) -> Candidates:
    if metavar in VERSIONED and "@" in current:
        site = current.partition("@")[0]
        return _versions(site, _fetch(f"{PATHS['profile.list']}/{site}/history", socket))
    if metavar in LIVE:
        name, read = LIVE[metavar]
        return read(_fetch(PATHS[name], socket), current)
    if metavar in CHOICES:
        return [(value, "") for value in CHOICES[metavar]]
    return PLACES.get(metavar, [])


def _fetch(target: str, path: str) -> Any:
    """Return what the daemon answers to a GET, undecoded into types: `capacitord.api.client` takes 50 ms to import."""
    import json  # noqa: PLC0415 - commands and options need no daemon
    from socket import AF_UNIX, SOCK_STREAM, socket  # noqa: PLC0415

    from capacitord.api.socket_path import find  # noqa: PLC0415

    with socket(AF_UNIX, SOCK_STREAM) as peer:
        peer.settimeout(PATIENCE)
        peer.connect(str(find(path or None, os.environ)))
        peer.sendall(f"GET {target} HTTP/1.0\r\nHost: capacitord\r\nAccept: application/json\r\n\r\n".encode())
        head, _, body = b"".join(iter(lambda: peer.recv(65536), b"")).partition(b"\r\n\r\n")
    return json.loads(body) if head.split(None, 2)[1:2] == [b"200"] else {}


def _studies(answer: Any, current: str) -> Candidates:
    studies = answer.get("studies", [])
    found = [(s["id"], f"{'/'.join(s['modalities'])} {initials(s['patient_name'])}".strip()) for s in studies]
    if current and not any(name.startswith(current) for name, _ in found):
        found += [(s["accession_number"], s["id"]) for s in studies if s["accession_number"]]
        found += [(s["study_uid"], s["id"]) for s in studies]
    return found


def _held(answer: Any, current: str) -> Candidates:
    return _studies({"studies": [each["study"] for each in answer.get("held", [])]}, current)


def initials(name: str) -> str:
    """Return the initials of a PN value (PS3.5 §6.2.1), given name first: "J.D.". Of its first group with a name."""
    family, _, rest = next((group for group in name.split("=") if group.strip("^ ")), "").partition("^")
    return "".join(f"{part[0]}." for part in (rest.partition("^")[0], family) if part)


def _destinations(answer: Any, _current: str) -> Candidates:
    found = answer.get("destinations", [])
    return [(item["name"], f"{item['ae_title']}, {item['waiting_images']} waiting") for item in found]


def _destinations_or_all(answer: Any, current: str) -> Candidates:
    return [*_destinations(answer, current), ("ALL", "every destination")]


def _profiles(answer: Any, _current: str) -> Candidates:
    return [(item["id"], item["name"]) for item in answer.get("profiles", [])]


def _entries(answer: Any, current: str) -> Candidates:
    entries = answer.get("entries", [])
    found = [(e["id"], f"{e['modality']} {initials(e['patient_name'])}".strip()) for e in entries]
    if current and not any(name.startswith(current) for name, _ in found):
        found += [(e["accession_number"], e["id"]) for e in entries if e["accession_number"]]
    return found


PLACES: Final[dict[str, Candidates]] = {
    "FILE": [(FILES, "")],
    "PROFILE.toml": [(FILES, "")],
    "DIRECTORY": [(DIRECTORIES, "")],
    "DIR": [(DIRECTORIES, "")],
}


def _profiles_or_files(answer: Any, current: str) -> Candidates:
    found = _profiles(answer, current)
    return found if any(name.startswith(current) for name, _ in found) else [(FILES, "")]


def _versions(site: str, answer: Any) -> Candidates:
    found = reversed(answer.get("versions", []))
    return [
        (f"{site}@{item['version']}", f"{(item['imported_at'] or '')[:10]} {item['imported_by']}".strip())
        for item in found
    ]


VERSIONED: Final = frozenset({"PROFILE", "PROFILE|FILE"})
HELD: Final = "STUDY that is held"
OF_HELD: Final = frozenset({"held show", "held discard", "release"})
"""The commands whose studies are those that wait for a person."""
LIVE: Final[dict[str, tuple[str, Callable[[Any, str], Candidates]]]] = {
    "STUDY": ("study.list", _studies),
    HELD: ("held.list", _held),
    "DEST": ("destination.list", _destinations),
    "DEST|ALL": ("destination.list", _destinations_or_all),
    "PROFILE": ("profile.list", _profiles),
    "PROFILE|FILE": ("profile.list", _profiles_or_files),
    "SITE": ("profile.list", _profiles),
    "ENTRY": ("worklist.list", _entries),
}


def _written(shell: str, found: Candidates) -> list[str]:
    """Return candidates in the form that the shell's function reads."""
    safe = [(_one_line(value), _one_line(text)) for value, text in found]
    if shell == "bash":
        return _for_bash(safe)
    if shell == "zsh":
        return [f"{value.replace(':', chr(92) + ':')}:{text}" if text else value for value, text in safe]
    return [f"{value}\t{text}" if text else value for value, text in safe]


def _for_bash(found: Candidates) -> list[str]:
    """Bash knows no explanations; they stand in the entries, unless one of those would be inserted whole.

    It inserts entries as they are, and an accession number is whatever a scanner sends: one that would be more than
    a word to the shell is left out.
    """
    found = [(value, text) for value, text in found if MEANS_SOMETHING.isdisjoint(value)]
    if len(found) < 2 or os.environ.get("_FLUXCTL_COMP_TYPE") in MENU:
        return [value for value, _ in found]
    width = max(len(value) for value, _ in found)
    return [f"{value:{width}}  ({text})" if text else value for value, text in found]


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
