"""The options and arguments that many commands share. A metavar says what completes there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
AsLines = Annotated[bool, typer.Option("--jsonl", help="Print one JSON document per row.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask; for scripts.")]
PassphraseStdin = Annotated[
    bool, typer.Option("--passphrase-stdin", help="Read the passphrase from the first line of standard input.")
]
StudyArgument = Annotated[
    str, typer.Argument(metavar="STUDY", help="Its short id, its Study Instance UID or its accession number.")
]
DestinationArgument = Annotated[str, typer.Argument(metavar="DEST", help="The destination's name in the profile.")]
DestinationOrAll = Annotated[
    str, typer.Argument(metavar="DEST|ALL", help="A destination's name, or the word ALL for every one.")
]
Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; no patient names, as it stays in the audit log.")
]
Operator = Annotated[
    str, typer.Option("--operator", metavar="NAME", help="Who you are, on a login that several people share.")
]
SiteArgument = Annotated[str, typer.Argument(metavar="SITE", help="The site's id.")]
FilesArgument = Annotated[list[Path], typer.Argument(metavar="FILE", help="Files; - for standard input.")]
