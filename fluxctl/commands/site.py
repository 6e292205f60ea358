"""`fluxctl site`: which of its sites the box serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fluxctl import ask, exits
from fluxctl.command import noun, verb
from fluxctl.options import AsJson, AsLines, Operator, Reason, SiteArgument, Yes
from fluxctl.output import form, show, show_done
from fluxctl.session import daemon

if TYPE_CHECKING:
    from rich.console import RenderableType

    from fluxctl.render.look import Look

app = noun("site", "Which site the box serves. SITE is the id of its profile, such as st-marys.")


@verb(
    app,
    "list",
    ("fluxctl site list", "The sites of this box, which is active, and what waits at each."),
)
def list_sites(ctx: typer.Context, json: AsJson = False, jsonl: AsLines = False) -> None:
    """List the sites that this box has a profile of."""
    answer = daemon(ctx).site_list()

    def page(look: Look) -> RenderableType:
        from fluxctl.render.site import listed

        return listed(answer, look)

    show("site.list", answer, form(json=json, jsonl=jsonl), page)


@verb(
    app,
    "location",
    ("fluxctl site location", "Which site the evidence means, and each piece of it with its age."),
    ("fluxctl site location --json | jq .position", "Where the GPS says the box is, for a script."),
)
def location(ctx: typer.Context, json: AsJson = False, jsonl: AsLines = False) -> None:
    """Where the box is, and how it knows.

    The first line says which site the evidence means: one, none, or that it contradicts itself, in which case nothing
    is opened by it; the reasons are below. Then each piece of evidence with its last value, how old that is, and for
    which sites it speaks: the position of the GPS; addresses, gateway, Wi-Fi and DNS suffix of this box; the nodes and
    endpoints that profiles name. What is missing says why. Last, what all of it says of each site.
    """
    answer = daemon(ctx).site_location()

    def page(look: Look) -> RenderableType:
        from fluxctl.render.location import located

        return located(answer, look)

    show("site.location", answer, form(json=json, jsonl=jsonl), page)


@verb(
    app,
    "activate",
    ("fluxctl site activate lakeside", "Ask for the reason, and serve that site from now on."),
    ('fluxctl site activate lakeside --reason "Tuesday" --yes', "The same for a script."),
    codes=(exits.NOT_FOUND, exits.REFUSED),
)
def activate(
    ctx: typer.Context,
    site: SiteArgument,
    *,
    reason: Reason = "",
    operator: Operator = "",
    waive_preflight: Annotated[
        bool, typer.Option("--waive-preflight", help="Open though patients may be on a scanner, this once.")
    ] = False,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Serve a site: from now on images belong to it and go to its destinations.

    The storage port is shut, and what the scanner is sending may finish; those images are still the old site's. Then
    the port opens again for the new one. What is undelivered at the old site stays on this box, sealed under the old
    site's key, and leaves when that site is active again; it goes on leaving if the old site's profile says drain.
    Before the port opens for another site than the one before, all scanners must be clean of patients (fluxctl
    preflight). --waive-preflight does without, where the box's configuration allows it. On a box that follows where it
    is, this stands against the evidence until fluxctl site follow.
    """
    client = daemon(ctx)
    ask.must_be_possible(yes=yes, json=json)
    given = ask.reason(reason, f"Why does the box go over to {site}? ", yes=yes, json=json)
    though = " though patients of another site may still be on a scanner" if waive_preflight else ""
    ask.agreed(f"Serve {site} from now on{though}?", yes=yes, json=json)
    done = client.site_activate(site, given, operator, waive_preflight=waive_preflight)
    show_done("site.activate", done, json=json)


@verb(
    app,
    "deactivate",
    ("fluxctl site deactivate", "Shut the storage port, and serve no site."),
    ('fluxctl site deactivate --reason "on the road" --yes', "The same for a script."),
    codes=(exits.REFUSED,),
)
def deactivate(
    ctx: typer.Context,
    *,
    reason: Reason = "",
    operator: Operator = "",
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Park the box: no scanner can send until a site is activated.

    Nothing leaves either, but what sites whose profile says drain have left to deliver.

    Who parked it, when and why is said by fluxctl status, and by fluxctl doctor, which does not call it broken.
    """
    client = daemon(ctx)
    ask.agreed("Shut the storage port and serve no site?", yes=yes, json=json)
    show_done("site.deactivate", client.site_deactivate(reason, operator), json=json)


@verb(
    app,
    "erase",
    ("fluxctl site erase lakeside", "Ask for the reason and the site's id, and destroy its key and its data."),
    ('fluxctl site erase lakeside --reason "contract ended" --yes', "The same for a script."),
    codes=(exits.NOT_FOUND, exits.REFUSED),
)
def erase(
    ctx: typer.Context,
    site: SiteArgument,
    *,
    reason: Reason = "",
    operator: Operator = "",
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Destroy a site's key, and with it everything that this box has of the site's patients. There is no way back.

    Refused while the site is active, and while studies of it wait here: held, in conflict, not routed yet or not
    delivered; they are named, each with the reason. The key goes first, so that what is left of the data at any moment
    cannot be read any more; if the box stops on the way, its next start does the rest. Recovery files that were
    exported before still have the key: destroy them as well, where somebody may have a copy of the disk. The profile
    stays, and the site can be served again, with a new key. A site whose profile was removed can be erased, too.
    """
    client = daemon(ctx)
    ask.must_be_possible(yes=yes, json=json)
    given = ask.reason(reason, f"Why is all data of {site} destroyed? ", yes=yes, json=json)
    if not yes:
        ask.typed(f"Type {site} to destroy its key and all its data on this box: ", site, json=json)
    show_done("site.erase", client.site_erase(site, given, operator), json=json)


@verb(
    app,
    "follow",
    ("fluxctl site follow", "Serve the site where the box is, whatever a person said before."),
    ('fluxctl site follow --reason "GPS works again" --yes', "The same for a script."),
    codes=(exits.REFUSED,),
)
def follow(
    ctx: typer.Context, reason: Reason = "", operator: Operator = "", yes: Yes = False, json: AsJson = False
) -> None:
    """Follow the evidence of where the box is again.

    On a box that follows it, a person's site activate or site deactivate is an override: it stands until this ends it.
    Then the evidence counts at once: if it means another site, the box goes over to that, and if it means none, or
    there is none at all, a site that is open is shut. See before what it means: fluxctl site location.
    """
    client = daemon(ctx)
    ask.agreed("Follow where the box is from now on?", yes=yes, json=json)
    show_done("site.follow", client.site_follow(reason, operator), json=json)


@verb(
    app,
    "departure",
    ("fluxctl site departure", "Whether the coach may leave, and what is still open here."),
    ("fluxctl site departure --json | jq .leave", "The same for a script: now, draining or not-yet."),
    codes=(exits.NOT_FOUND, exits.REFUSED, exits.TRY_AGAIN),
)
def departure(ctx: typer.Context, json: AsJson = False) -> None:
    """Say whether the coach may leave the active site, or without one what sites have left on this box.

    What is still on its way, to which destination and how long that takes at the rate of the last minutes; what
    scanners send now, and what they named within a day and have not sent; what is held for a person; and what becomes
    of the rest afterwards, as the profile says in when_inactive: it stops, or goes on leaving. It ends with 0 only if
    nothing is open, else with 6, also if what is open goes on leaving by itself.

    While the box is parked, or the evidence of where it is names no site, it says of each site what is not delivered
    or held there, and when that was known; nothing is opened for that. What nobody knows counts as open.
    """
    answer = daemon(ctx).site_departure()

    def page(look: Look) -> RenderableType:
        from fluxctl.render.departure import page as drawn

        return drawn(answer, look)

    show("site.departure", answer, form(json=json), page)
    raise typer.Exit(exits.DONE if answer.is_clear else exits.REFUSED)
