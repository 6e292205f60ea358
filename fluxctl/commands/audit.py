"""`fluxctl audit`: who did what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from capacitord.api import messages as m
from capacitord.errors import Invalid, Locked
from fluxctl import exits
from fluxctl.command import noun, verb
from fluxctl.options import AsJson, AsLines
from fluxctl.output import Form, form, show
from fluxctl.session import daemon
from fluxctl.times import since as parse_since

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import RenderableType

    from fluxctl.render.look import Look

_MOST: Final = 10_000
"""Entries that the daemon gives at once."""

app = noun("audit", "Who did what on this box, and that nobody edited the record.")


@verb(
    app,
    "show",
    ("fluxctl audit show", "The hundred newest entries, newest last."),
    ("fluxctl audit show --since 2h", "What was done in the last two hours."),
    ("fluxctl audit show --study 3f2a9c --operator ann", "What ann did to a study."),
    ("fluxctl audit show --action study.discard --since 2025-11-01 --jsonl", "Every discard since a day."),
    codes=(exits.NOT_FOUND,),
)
def show_entries(
    ctx: typer.Context,
    *,
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="N", min=1, max=_MOST, help="At most this many.")
    ] = 100,
    action: Annotated[str, typer.Option("--action", metavar="ACTION", help="Only this, such as study.discard.")] = "",
    subject: Annotated[str, typer.Option("--subject", metavar="NAME", help="Only what was done to this.")] = "",
    since: Annotated[
        str, typer.Option("--since", metavar="WHEN", help="Not before: an age (2h, 3d) or a local time (2025-11-21).")
    ] = "",
    until: Annotated[str, typer.Option("--until", metavar="WHEN", help="Not after: likewise.")] = "",
    study: Annotated[str, typer.Option("--study", metavar="STUDY", help="Only what was done to this study.")] = "",
    operator: Annotated[
        str, typer.Option("--operator", metavar="NAME", help="Only what this user did, or whoever gave this name.")
    ] = "",
    json: AsJson = False,
    jsonl: AsLines = False,
) -> None:
    """Show who did what to what, and what came of it.

    STUDY is one of the active site by short id, Study Instance UID or accession number. The log itself has short ids
    only, so a study of another site takes that. What was begun and has no end is said so.
    What has both is one row, and two entries in JSON, where N counts entries.
    """
    _demand_action(action)
    wanted = form(json=json, jsonl=jsonl)
    query = m.AuditQuery(
        # A person sees what was begun and has its end as one.
        limit=min(2 * limit, _MOST) if wanted is Form.PAGE else limit,
        action=action,
        subject=subject,
        since=_moment(since, "--since"),
        until=_moment(until, "--until"),
        study=study,
        operator=operator,
    )
    answer = daemon(ctx).audit_show(query)

    def page(look: Look) -> RenderableType:
        from fluxctl.render.box import audit

        return audit(answer, look, limit)

    show("audit.show", answer, wanted, page)


def _moment(text: str, option: str) -> datetime | None:
    """Return the time that an option gives. Raises `typer.BadParameter` if it gives none."""
    try:
        return parse_since(text)
    except Invalid as error:
        msg = f"{option}: {error.message}. {error.hint}"
        raise typer.BadParameter(msg) from None


def _demand_action(action: str) -> None:
    """Raise `typer.BadParameter` for an action that no entry can have."""
    from capacitord.api.actions import ACTIONS

    if action and action not in ACTIONS:
        from capacitord.config.diagnostics import nearest

        near = nearest(action, ACTIONS)
        hint = f"did you mean {near}?" if near else f"there are: {', '.join(ACTIONS)}"
        msg = f"no entry has the action {action!r}; {hint}"
        raise typer.BadParameter(msg)


@verb(
    app,
    "verify",
    ("fluxctl audit verify", "Follow the chain from the first entry to the last, and check seals and anchor."),
    codes=(exits.REFUSED,),
)
def verify(ctx: typer.Context, json: AsJson = False) -> None:
    """Prove that no sealed entry was changed or removed, and nothing put between them unseen.

    Each entry has a digest of the one before it, and a seal that only the box key makes. An anchor in the key store
    says which entry was the last, so a log that was cut back, or whose seals were taken away, is found as well. What
    is found once stays in the log, and in `fluxctl status` until capacitord ends.

    While the box key is away entries get no seal, so anybody who can write the file may have put them there: they are
    named. Those of what takes the key to do cannot be genuine.

    Ends with 1 if something is not as it was written, and with 6 if nothing is proven, as the box key is away.
    """
    answer = daemon(ctx).audit_verify()

    def page(_look: Look) -> RenderableType:
        from fluxctl.render.box import audit_report

        return audit_report(answer)

    show("audit.verify", answer, form(json=json), page)
    unproven = exits.REFUSED if answer.reason == Locked.reference else exits.FAILED
    raise typer.Exit(exits.DONE if answer.ok else unproven)
