"""`fluxctl key`: the keys that seal every image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capacitord.api import messages as m
from capacitord.api.schemas import Recovery
from capacitord.errors import Refused
from fluxctl import ask, exits
from fluxctl.command import noun, verb
from fluxctl.files import STANDARD, must_not_exist, read_text, write_secret
from fluxctl.options import AsJson, PassphraseStdin, Yes
from fluxctl.output import form, show
from fluxctl.session import daemon

if TYPE_CHECKING:
    from rich.console import RenderableType

    from fluxctl.render.look import Look

app = noun("key", "The keys that seal every image: box key, then site keys, then one key per image.")

_QUESTION = "Passphrase of the box key: "
_NO_SITE = (
    "⚠ It holds no site's key yet, so it opens no images: those keys are made by the first `fluxctl profile import`. "
    "Export again after that."
)
_RECOVERY = "Passphrase of the recovery file: "


@verb(
    app,
    "init",
    ("fluxctl key init", "Make the box key and keep it in a key file on this box (mode 0600)."),
    ("fluxctl key init --source passphrase", "Make one that needs a passphrase after every start."),
    codes=(exits.REFUSED, exits.INVALID),
)
def init(
    ctx: typer.Context,
    source: Annotated[
        m.KeySource,
        typer.Option("--source", metavar="SOURCE", help="Where it comes from: file, credential (systemd), passphrase."),
    ] = m.KeySource.FILE,
    passphrase_stdin: PassphraseStdin = False,
    json: AsJson = False,
) -> None:
    """Make the box key. An existing one is never replaced.

    Import the site's profile next, which makes the site's key, and then write a recovery file (fluxctl key export
    --recovery FILE): without these keys every image on this box is lost.
    """
    secret = None
    if source is m.KeySource.PASSPHRASE:
        secret = ask.passphrase(_QUESTION, new=True, from_stdin=passphrase_stdin, json=json)
    _show("key.init", daemon(ctx).key_init(m.KeyInit(source=source, passphrase=secret)), json=json)


@verb(
    app,
    "status",
    ("fluxctl key status", "Whether the box key is there, where it comes from, and how old it is."),
)
def status(ctx: typer.Context, json: AsJson = False) -> None:
    """Show the state of the keys; never a key."""
    _show("key.status", daemon(ctx).key_status(), json=json)


@verb(
    app,
    "unlock",
    ("fluxctl key unlock", "Ask for the passphrase and give it to the daemon."),
    ("pass show coach | fluxctl key unlock --passphrase-stdin", "From a password store."),
    codes=(exits.REFUSED, exits.INVALID),
)
def unlock(ctx: typer.Context, passphrase_stdin: PassphraseStdin = False, json: AsJson = False) -> None:
    """Give the passphrase of the box key, after a start of the daemon."""
    secret = ask.passphrase(_QUESTION, new=False, from_stdin=passphrase_stdin, json=json)
    _show("key.unlock", daemon(ctx).key_unlock(m.KeyUnlock(passphrase=secret)), json=json)


@verb(
    app,
    "rotate",
    ("fluxctl key rotate", "Make a new box key. Images stay as they are; only the site keys are wrapped again."),
    ("fluxctl key rotate --new-key coach.key", "Where it is a systemd credential, which you renew yourself."),
    codes=(exits.NOT_FOUND, exits.REFUSED, exits.INVALID),
)
def rotate(
    ctx: typer.Context,
    *,
    passphrase_stdin: PassphraseStdin = False,
    new_key: Annotated[
        Path | None,
        typer.Option(
            "--new-key",
            metavar="FILE",
            help="For a systemd credential: the new key, 64 hexadecimal digits; - for standard input.",
        ),
    ] = None,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Make a new box key and wrap all site keys under it.

    A key under a passphrase gets a new passphrase. A systemd credential gets the key you give; install it as the
    credential before the next start. Write a new recovery file afterwards.
    """
    client = daemon(ctx)
    source = client.key_status().source
    request = m.KeyRotate()
    if source is m.KeySource.PASSPHRASE:
        asked = "New passphrase of the box key: "
        request = m.KeyRotate(passphrase=ask.passphrase(asked, new=True, from_stdin=passphrase_stdin, json=json))
    elif source is m.KeySource.CREDENTIAL:
        request = m.KeyRotate(new_key=_new_key(new_key))
    else:
        ask.agreed("Make a new box key?", yes=yes, json=json)
    _show("key.rotate", client.key_rotate(request), json=json)


def _new_key(file: Path | None) -> m.Secret:
    if file is None:
        raise Refused(
            "the box key is a systemd credential, and this box cannot renew that by itself",
            hint="Make a new key, give it with --new-key FILE, and install it as the credential.",
        )
    return m.Secret(read_text(file, "key").strip())


@verb(
    app,
    "export",
    (
        "fluxctl key export --recovery /media/usb/coach-3.recovery",
        "Ask for a passphrase, and write every key under it.",
    ),
    codes=(exits.REFUSED, exits.INVALID),
)
def export(
    ctx: typer.Context,
    recovery: Annotated[
        Path, typer.Option("--recovery", metavar="FILE", help="The file to write (mode 0600); - for standard output.")
    ],
    passphrase_stdin: PassphraseStdin = False,
    json: AsJson = False,
) -> None:
    """Write every key into a recovery file, under a passphrase of its own.

    Keep it away from the box. With it and its passphrase the images of this box can be read elsewhere; without it
    they die with the box. An existing file is never overwritten. Write a new one after the first import of a site's
    profile, which makes that site's key, and after `fluxctl key rotate`; `fluxctl status` says when it is time.
    """
    must_not_exist(recovery)
    secret = ask.passphrase(_RECOVERY, new=True, from_stdin=passphrase_stdin, json=json)
    client = daemon(ctx)
    found = client.key_export(m.KeyExport(passphrase=secret))
    no_site = not client.key_status().sites
    written = write_secret(recovery, found.text)
    if written is None:
        return

    def page(_look: Look) -> RenderableType:
        from rich.text import Text

        words = f"✔ The recovery file is {written}. Keep it, and its passphrase, away from this box."
        return Text(f"{words}\n{_NO_SITE}" if no_site else words)

    show("key.export", Recovery(file=str(written)), form(json=json), page)


@verb(
    app,
    "restore",
    ("fluxctl key restore /media/usb/coach-3.recovery", "Ask for the file's passphrase, and put back what is lost."),
    (
        "fluxctl key restore coach-3.recovery --source passphrase",
        "On a new box: ask for a passphrase of its box key, too.",
    ),
    codes=(exits.NOT_FOUND, exits.REFUSED, exits.INVALID),
)
def restore(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The recovery file.")],
    source: Annotated[
        m.KeySource,
        typer.Option(
            "--source",
            metavar="SOURCE",
            help="Where a new box keeps its box key: file, credential (systemd), passphrase.",
        ),
    ] = m.KeySource.FILE,
    passphrase_stdin: Annotated[
        bool,
        typer.Option(
            "--passphrase-stdin",
            help="Read the file's passphrase from the first line of standard input, the box key's from the next.",
        ),
    ] = False,
    json: AsJson = False,
) -> None:
    """Put back the keys of a recovery file. A key that opens is never replaced.

    On a box without keys, all of them are put in place, and its images can be read again. On a box that still has its
    box key, the keys of sites that are missing or damaged are.
    """
    if file == STANDARD:
        raise Refused("a recovery file is not taken from standard input", hint="Name the file; passphrases are typed.")
    text = read_text(file, "recovery file")
    recovery = ask.passphrase(_RECOVERY, new=False, from_stdin=passphrase_stdin, json=json)
    secret = None
    if source is m.KeySource.PASSPHRASE:
        secret = ask.passphrase(_QUESTION, new=True, from_stdin=passphrase_stdin, json=json)
    request = m.KeyRestore(text=text, recovery=recovery, source=source, passphrase=secret)
    _show("key.restore", daemon(ctx).key_restore(request), json=json)


def _show(command: str, answer: m.KeyStatus, *, json: bool) -> None:
    def page(look: Look) -> RenderableType:
        from fluxctl.render.box import key

        return key(answer, look)

    show(command, answer, form(json=json), page)
