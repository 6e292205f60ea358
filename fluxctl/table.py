"""Every command of the first level, so that `fluxctl --help` and completion need not import them."""

from __future__ import annotations

from typing import Final, NamedTuple


class Entry(NamedTuple):
    """A command: its name, and what it is for in one line. `fluxctl/commands/<name>.py` holds its `app`."""

    name: str
    summary: str


SECTIONS: Final[tuple[tuple[str, tuple[Entry, ...]], ...]] = (
    (
        "Look",
        (
            Entry("status", "Whether the scanner may send now, and everything that waits"),
            Entry("watch", "The same, live"),
            Entry("doctor", "Check the box end to end and say what to fix"),
        ),
    ),
    (
        "Images",
        (
            Entry("study", "Every study of the site"),
            Entry("held", "What waits for a person: why, and whose it may be"),
            Entry("release", "Send a study that is held, on purpose"),
            Entry("queue", "What waits, per destination"),
            Entry("resend", "Send a study, or one image of it, again"),
            Entry("destination", "Where images go, and whether it answers"),
            Entry("worklist", "Whom the scanner finds on its list"),
        ),
    ),
    (
        "The box",
        (
            Entry("site", "Which site the box serves"),
            Entry("preflight", "Which patients are still on the scanners"),
            Entry("geofence", "Where the sites are, and which one a position is in"),
            Entry("profile", "Site profiles: what is true of one facility"),
            Entry("key", "The keys that seal every image"),
            Entry("audit", "Who did what, and that nobody edited it"),
        ),
    ),
    (
        "More",
        (
            Entry("demo", "The whole story on this machine"),
            Entry("completion", "Completion for bash, zsh and fish"),
            Entry("schema", "The JSON Schema of every --json document"),
            Entry("version", "The versions of fluxctl and capacitord"),
        ),
    ),
)
ENTRIES: Final[dict[str, Entry]] = {entry.name: entry for _, entries in SECTIONS for entry in entries}
