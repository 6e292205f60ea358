"""capacitord-profile(5): the keys and their defaults are those of the model."""

from __future__ import annotations

from typing import Any, Final

from capacitord.config.fields import Table
from capacitord.config.profile import CALLING, MAX_FILE, DeliveryTable, DestinationTable, Profile
from capacitord.config.transfer_syntaxes import TRANSFER_SYNTAXES
from fluxctl.manual.page import Page

SEE_ALSO: Final = "`fluxctl`(1), `capacitord`(8), `capacitord.toml`(5)"
TABLES: Final[dict[str, type[Table]]] = {"": Profile, "[[destination]]": DestinationTable, "[delivery]": DeliveryTable}
ABOUT: Final = {
    "[[destination]]": "A storage SCP of the site; 1 to 32 of them. Every image goes to each.",
    "[delivery]": "How long a delivered image stays in the spool. The table may be left out.",
}
KEYS: Final = {
    "schema": ("number", "The version of this format: 1."),
    "id": (
        "name",
        (
            "What the site is called in commands, folders and the log: small letters, digits and hyphens. It never "
            "changes: the site's key and its spool hang on it, and this version of the box serves one id for good."
        ),
    ),
    "name": ("text", "What people call the site."),
    "version": (
        "number",
        "Grows with every change. An import of one that is not newer is refused without `--allow-older`.",
    ),
    "timezone": ("time zone", 'Where the site\'s clocks are, such as "America/Chicago".'),
    "destination.name": (
        "name",
        (
            "What commands call it, as in `fluxctl queue list`. What waits is kept under this name: a destination with "
            "another name is another destination."
        ),
    ),
    "destination.ae_title": ("AE title", "The AE title of the destination, which this box calls."),
    "destination.host": ("host name or address", "Where it is. A name is looked up for every connection."),
    "destination.port": ("number", "Its port."),
    "destination.calling_ae_title": (
        "AE title",
        f'What this box calls itself there. "{CALLING}" passes the scanner\'s own title on.',
    ),
    "destination.associations": ("number", "How many associations may be open to it at once, 1 to 32."),
    "destination.transfer_syntaxes": (
        "list of transfer syntaxes",
        (
            "What it prefers, the best first. It does not act yet: images leave as they were received, and "
            "`fluxctl status` says so."
        ),
    ),
    "delivery.keep_delivered": (
        "duration",
        (
            "How long an image stays after every destination has it. It goes sooner when the disk gets full; never "
            "before it is delivered."
        ),
    ),
}
"""What each key means. A key of the model that is missing here, or the other way round, fails the generation."""
EXAMPLE: Final = """\
schema = 1
id = "st-marys"
name = "St. Mary's Hospital"
version = 2
timezone = "America/Chicago"

[[destination]]
name = "pacs"
ae_title = "STM_PACS"
host = "10.20.1.10"
port = 104
calling_ae_title = "FLUXBOX"
associations = 4

[[destination]]
name = "archive"
ae_title = "STM_VNA"
host = "vna.st-marys.example"
port = 11112

[delivery]
keep_delivered = "2d"
"""


def page() -> str:
    """Return the page in roff."""
    page = Page("capacitord-profile", 5, "profile of a site that capacitord delivers for")
    page.section("DESCRIPTION")
    page.text(
        "A profile is one file that says what is true of one facility: who it is and where its images go. Check it "
        "with `fluxctl profile validate FILE`, on any machine; put it in force with `fluxctl profile import FILE`. "
        f"The format is TOML 1.0, and a file has at most {MAX_FILE >> 10} KiB. A key that is not known is an error and "
        "never ignored; one that a later version will know is refused by name.",
        "A new version acts at once, without a restart. Images that have come are filed under the version that held "
        "then. What waits for a destination that the new version does not name goes on waiting, and says so.",
        'Durations are texts like "90s", "2m", "1h30m" or "1d".',
    )
    page.section("KEYS")
    unexplained = dict(KEYS)
    for title, table in TABLES.items():
        if title:
            page.subsection(title)
            page.text(ABOUT[title])
        for name, field in table.model_fields.items():
            if title or name not in {"destination", "delivery"}:
                key = field.alias or name
                kind, meaning = unexplained.pop(f"{title.strip('[]')}.{key}".lstrip("."))
                has = "required" if field.is_required() else f"default: {_written(field.default)}"
                page.item(key, f"{meaning} [{kind}; {has}]")
    if unexplained:
        raise KeyError(*unexplained)
    page.section("TRANSFER SYNTAXES")
    page.text(f"By name or by UID: {', '.join(TRANSFER_SYNTAXES)}.")
    page.section("EXAMPLE")
    page.verbatim(EXAMPLE)
    page.section("SEE ALSO")
    page.text(SEE_ALSO)
    return page.render()


def _written(value: Any) -> str:
    """Return a default as it would be written in the file."""
    if isinstance(value, float):
        return f'"{int(value) // 86400}d"' if value and value % 86400 == 0 else f'"{value:g}s"'
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)
