"""capacitord.toml(5): the keys and their defaults are those of the model."""

from __future__ import annotations

import typing
from typing import Any

from capacitord.config.box import DEFAULT_FILE, Box
from capacitord.config.units import format_size
from fluxctl.manual.page import Page

SEE_ALSO = "`capacitord`(8), `capacitord-profile`(5), `fluxctl`(1)"
KEYS = {
    "box.state": (
        "path",
        "The folder that holds everything: keys, profiles, audit log, spools. It belongs to the daemon's user alone.",
    ),
    "control.socket": ("path", "The control socket. Its folder must not be writable for others."),
    "control.read_groups": ("list of groups", "Whose members may look: status, lists, studies with their patients."),
    "control.operate_groups": ("list of groups", "Whose members may change things, too; each change is audited."),
    "storage.ae_title": ("AE title", "The AE title of the storage SCP. The scanner calls it."),
    "storage.address": ("address", 'The address to listen on. "0.0.0.0" is all of IPv4, "::" all of IPv6 and IPv4.'),
    "storage.port": ("number", "The port to listen on. 104 is DICOM's own; 0 takes a free one."),
    "storage.called_ae_titles": ("list of AE titles", "The titles that a scanner may call; empty allows any."),
    "storage.calling_ae_titles": ("list of AE titles", "The titles that a scanner may call itself; empty allows any."),
    "storage.peers": ("list of networks", 'The addresses that may connect, such as "10.20.0.0/16"; empty allows any.'),
    "storage.associations": ("number", "How many associations may be open at once."),
    "storage.max_pdu": ("size", "The largest PDU to announce, between 4 KiB and 16 MiB. A large one is faster."),
    "storage.idle_timeout": ("duration", "After this long without a byte an association is aborted."),
    "storage.private_sop_classes": ("list of UIDs", "SOP classes to accept beside those of the standard."),
    "storage.private_transfer_syntaxes": ("list of UIDs", "Transfer syntaxes to accept beside those of the standard."),
    "modality.ae_title": ("AE title", "What the scanner calls itself, also when it asks for storage commitment."),
    "modality.host": (
        "host",
        "Where it answers queries, and takes the result of storage commitment if that is on another association.",
    ),
    "modality.port": ("number", "The port of both."),
    "modality.query": (
        '"study-root" or "patient-root"; default: "study-root"',
        "By which information model it is asked which patients are on it.",
    ),
    "modality.calling_ae_title": (
        "AE title; default: not set",
        "What this box calls itself when it asks; not set, it is the title of `[storage]`.",
    ),
    "modality.preflight": (
        "true or false; default: true",
        "Whether it is asked before the box opens for another site. false is for what keeps no patients.",
    ),
    "preflight.required": (
        "true or false",
        "Whether scanners must be clean of patients before the box opens for another site. A profile can be stricter.",
    ),
    "preflight.waiver": (
        "true or false",
        "Whether a person may do without it, once: `fluxctl site activate SITE --waive-preflight`.",
    ),
    "preflight.every": ("duration", "How often scanners are asked again while the box may not open."),
    "preflight.timeout": (
        "duration",
        "How long one scanner may take for its whole answer. One that takes longer is not clean.",
    ),
    "preflight.answers": (
        "number",
        "How many patients and studies of a scanner are listed. The query is cancelled behind that many.",
    ),
    "worklist.ae_title": ("AE title", "The AE title of the worklist SCP; not set, it is that of `[storage]`."),
    "worklist.address": ("address", "The address to listen on; not set, it is that of `[storage]`."),
    "worklist.port": (
        "number",
        "The port to listen on, open while that for storage is, if the site has a worklist. 0 takes a free one.",
    ),
    "worklist.called_ae_titles": (
        "list of AE titles",
        "The titles that a scanner may call; empty, those of `[storage]`.",
    ),
    "worklist.calling_ae_titles": (
        "list of AE titles",
        "The titles that a scanner may call itself; empty, those of `[storage]`.",
    ),
    "worklist.peers": ("list of networks", "The addresses that may connect; empty, those of `[storage]`."),
    "worklist.associations": ("number", "How many associations may be open at once."),
    "keys.source": (
        '"file", "credential" or "passphrase"',
        "Where the box key has to come from. Without it, `fluxctl key init` chooses.",
    ),
    "spool.reserve": (
        "size or share of the disk",
        "Below this much free space nothing new is taken in: the scanner is answered A700, out of resources.",
    ),
    "spool.warning": (
        "size or share of the disk",
        "Below this much free space status warns. Never less than the reserve.",
    ),
    "spool.study_quiet": (
        "duration",
        "After this long without a new image a study is complete, unless the profile has `[completeness]`.",
    ),
    "isolation.mode": (
        '"preferred" or "required"',
        'Whether a runtime may be without a container. "required" refuses to start so: ISOLATION in `capacitord`(8).',
    ),
    "location.follow": (
        "true or false",
        "Whether evidence chooses the site where profiles have `[location]`. Otherwise a person does.",
    ),
    "location.gpsd": (
        "host and port",
        'Where gpsd listens, such as "127.0.0.1:2947". Not set, this box has no GPS.',
    ),
    "location.device": (
        "path",
        'The receiver of gpsd to listen to, such as "/dev/ttyUSB0". Not set, the most exact of those that agree.',
    ),
    "location.max_age": (
        "duration",
        (
            "A position that is older is none, also one that is repeated. It ages from when this box heard of it "
            "first; the time that the receiver puts on it is compared with that of its other positions only."
        ),
    ),
    "location.max_error": (
        "length",
        (
            "A position that may be further off is none, by what the receiver says. A position in a geofence must be "
            'clear of its edge by 1.5 times what it says. In metres, or written like "100 m".'
        ),
    ),
    "location.leave_after": (
        "duration",
        (
            "How long the evidence must say that the box is elsewhere before it leaves a site. Lost evidence says "
            "nothing: the time without it does not count."
        ),
    ),
    "location.poll": ("duration", "How often it looks at the network, and decides."),
    "isolation.memory": (
        "size",
        "How much memory each process of a runtime may write to, with 8 MiB for each thread. At least 1 GiB.",
    ),
    "isolation.descriptors": ("number", "How many files and connections each process of a runtime may have open."),
    "log.level": ('"debug", "info", "warning" or "error"', "How much goes to standard error."),
}
"""What each key means. A key of the model that is missing here, or the other way round, fails the generation."""
EXAMPLE = """\
schema = 1

[storage]
ae_title = "FLUXBOX"
port = 104
peers = ["10.20.5.0/24"]

[spool]
reserve = "20 GiB"
warning = "10%"

[control]
read_groups = ["capacitord-read", "technologists"]
"""


def page() -> str:
    """Return the page in roff."""
    page = Page("capacitord.toml", 5, "configuration of capacitord")
    page.section("SYNOPSIS")
    page.text(f"`{DEFAULT_FILE}`")
    page.section("DESCRIPTION")
    page.text(
        "The file holds what belongs to this box and not to a site: its ports, the control socket, room on the "
        "disk. What is true of one facility is in its profile, which `fluxctl profile import` brings: "
        "`capacitord-profile`(5). The format is TOML 1.0. Every key has a default, so an empty file is a valid one. A "
        "key that is not known is an error and never ignored. `capacitord check-config` says all that is wrong with a "
        "file, with line and key. It is read when the daemon starts.",
    )
    page.text(
        'Durations are texts like "90s", "2m", "1h30m" or "1d". Sizes are texts like "200 MB" (millions of bytes) or '
        '"1 MiB" (1048576 bytes). Shares of a disk are texts like "10%".'
    )
    page.section("KEYS")
    page.item("schema", "The version of this format. [number; default: 1]")
    unexplained = dict(KEYS)
    for name, field in Box.model_fields.items():
        if name == "schema_":
            continue
        if isinstance(field.default, list):
            (of,) = typing.get_args(field.annotation)
            page.subsection(f"[[{name}]]")
            page.text(_about(of))
            for key in of.model_fields:
                kind, meaning = unexplained.pop(f"{name}.{key}")
                page.item(key, f"{meaning} [{kind}]")
            continue
        table = field.default
        page.subsection(f"[{name}]")
        page.text(_about(type(table)))
        for key in type(table).model_fields:
            kind, meaning = unexplained.pop(f"{name}.{key}")
            page.item(key, f"{meaning} [{kind}; default: {_written(f'{name}.{key}', getattr(table, key))}]")
    if unexplained:
        raise KeyError(*unexplained)
    page.section("EXAMPLE")
    page.verbatim(EXAMPLE)
    page.section("FILES")
    page.item(str(DEFAULT_FILE), "Where it is looked for, unless `capacitord run --config` names another.")
    page.section("SEE ALSO")
    page.text(SEE_ALSO)
    return page.render()


def _about(table: type[Any]) -> str:
    """Return the sentence of a table's docstring, without the table's name before it."""
    text = (table.__doc__ or "").partition(": ")[2]
    return text[:1].upper() + text[1:]


def _written(key: str, value: object) -> str:
    """Return a default as it would be written in the file."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(_written(key, item) for item in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f'"{value:g} m"' if KEYS[key][0] == "length" else f'"{value:g}s"'
    if isinstance(value, int):
        return f'"{format_size(value)}"' if KEYS[key][0] == "size" else str(value)
    return f'"{value}"'
