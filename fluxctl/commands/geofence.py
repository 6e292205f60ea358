"""`fluxctl geofence`: where the sites are, and which one a position is in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fluxctl import exits
from fluxctl.command import noun, verb
from fluxctl.options import AsJson, AsLines
from fluxctl.output import form, show
from fluxctl.session import daemon

if TYPE_CHECKING:
    from rich.console import RenderableType

    from capacitord.api.geofence import SiteAreas
    from fluxctl.render.look import Look

app = noun(
    "geofence",
    "Where the sites are, and which one a position is in. Positions are in degrees (WGS 84), latitude first. The areas "
    "are those of the box's profiles, or with --profile of files on this machine, without the daemon.",
)

Profiles = Annotated[
    list[Path],
    typer.Option("--profile", metavar="FILE", help="The area of this profile instead; may be given several times."),
]
Accuracy = Annotated[
    float, typer.Option("--accuracy", metavar="M", min=0, max=100_000, help="A position is right within M metres.")
]


@verb(
    app,
    "test",
    ("fluxctl geofence test 41.8830 -87.6250", "How this position stands to every site, and which it would choose."),
    ("fluxctl geofence test 41.8830 -87.6250 --accuracy 20", "The same of a receiver that is right within 20 m."),
    ("fluxctl geofence test --track monday.gpx", "When each site would have opened and closed along a track."),
    codes=(exits.NOT_FOUND, exits.INVALID),
    takes_negative=True,
)
def stands(
    ctx: typer.Context,
    latitude: Annotated[str, typer.Argument(metavar="LAT", help="The latitude, or LAT,LON; south is negative.")] = "",
    longitude: Annotated[str, typer.Argument(metavar="LON", help="The longitude; west is negative.")] = "",
    *,
    track: Annotated[
        Path | None,
        typer.Option("--track", metavar="FILE", help="A GPX track instead; - for standard input."),
    ] = None,
    accuracy: Accuracy = 0.0,
    profile: Profiles = [],  # noqa: B006 - Typer copies it
    json: AsJson = False,
    jsonl: AsLines = False,
) -> None:
    """Say which site a position is in, and how far it is to the edge of each.

    Inside and outside are sure: the whole circle of 1.5 times the accuracy lies on that side. Exit 5 where the position
    chooses no site: it is in none, it is too near to an edge, or two areas overlap there.

    With --track, each stay in an area: when it was entered, when the dwell was over and the site would have opened,
    when it was left, and when the site would have closed. A stay that is shorter than the dwell opens nothing.
    Positions alone are looked at; a site that also asks for evidence of the network may open later, or not at all.
    """
    from fluxctl import geofences

    if (track is None) == (not latitude and not longitude):
        raise typer.BadParameter("give a position, LAT LON, or a track: --track FILE")
    place = None if track is not None else geofences.position(f"{latitude} {longitude}", accuracy)
    areas = _areas(ctx, profile)
    answer = geofences.tested(areas, place) if place else geofences.tracked(areas, track or Path(), accuracy)

    def page(look: Look) -> RenderableType:
        from fluxctl.render.geofence import tested, tracked

        return tested(answer, look) if answer.track is None else tracked(answer, look)

    show("geofence.test", answer, form(json=json, jsonl=jsonl), page)
    found = answer.track is not None or answer.chosen is not None
    raise typer.Exit(exits.DONE if found else exits.NOT_FOUND)


@verb(
    app,
    "check",
    ("fluxctl geofence check", "Areas that overlap, and shapes that can hardly be meant."),
    ("fluxctl geofence check dock=41.8835,-87.6262 gate=41.8809,-87.6291", "Also whether both are in one area."),
    ("fluxctl geofence check --profile st-marys.toml --profile lakeside.toml", "The same before they are imported."),
    codes=(exits.NOT_FOUND, exits.INVALID),
)
def check(
    ctx: typer.Context,
    names: Annotated[
        list[str], typer.Argument(metavar="NAME=LAT,LON", help="Positions that have to be in one area each.")
    ] = [],  # noqa: B006 - Typer copies it
    profile: Profiles = [],  # noqa: B006 - as above
    json: AsJson = False,
    jsonl: AsLines = False,
) -> None:
    """Look for overlaps between all sites, for shapes that can hardly be meant, and for gaps.

    A gap is a named position, such as where the coach stands, that is in no area; the nearest one is said, and how far
    away it is. Exit 0 if nothing needs a look, 7 if anything does.
    """
    from fluxctl import geofences

    answer = geofences.checked(_areas(ctx, profile), names)

    def page(look: Look) -> RenderableType:
        from fluxctl.render.geofence import checked

        return checked(answer, look)

    show("geofence.check", answer, form(json=json, jsonl=jsonl), page)
    raise typer.Exit(exits.DONE if answer.is_well else exits.INVALID)


@verb(
    app,
    "map",
    ("fluxctl geofence map", "All areas, and where the box is, in this terminal."),
    ("fluxctl geofence map lakeside", "The area of one site, and what is around it."),
    (
        "fluxctl geofence map --svg sites.svg --geojson sites.geojson",
        "Into files, for a browser and for maps.",
    ),
    codes=(exits.NOT_FOUND, exits.REFUSED, exits.INVALID),
)
def draw(
    ctx: typer.Context,
    site: Annotated[str, typer.Argument(metavar="SITE", help="Only the area of this site fills the map.")] = "",
    *,
    svg: Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Write it as SVG; - prints it.")] = None,
    geojson: Annotated[
        Path | None, typer.Option("--geojson", metavar="FILE", help="Write it as GeoJSON (RFC 7946); - prints it.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    at: Annotated[
        str, typer.Option("--at", metavar="LAT,LON", help="Mark this position instead of that of the box.")
    ] = "",
    accuracy: Accuracy = 0.0,
    profile: Profiles = [],  # noqa: B006 - Typer copies it
    json: AsJson = False,
    jsonl: AsLines = False,
) -> None:
    """Draw the areas of the sites and the present position: north is up, with a scale.

    With --svg or --geojson it is written to files instead, which are not replaced without --force.
    """
    from fluxctl import geofence_files, geofences

    marked = geofences.position(at, accuracy) if at else None
    files = geofence_files.Files(svg, geojson, force=force)
    areas = _areas(ctx, profile)
    centre = geofences.only(areas, site) if site else None
    answer = files.written(areas, marked or areas.position, centre)
    if answer is None:
        return

    def page(look: Look) -> RenderableType:
        from fluxctl.render.geofence import drawn, written

        return written(answer) if answer.files else drawn(answer, centre, look)

    show("geofence.map", answer, form(json=json, jsonl=jsonl), page)


def _areas(ctx: typer.Context, profiles: list[Path]) -> SiteAreas:
    from fluxctl import geofences

    return geofences.of_files(profiles) if profiles else daemon(ctx).geofence_list()
