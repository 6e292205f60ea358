"""The map of the sites as files: SVG to look at, GeoJSON for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from capacitord.api.geofence import Mapped, Position, SiteArea, SiteAreas
from capacitord.errors import Refused
from fluxctl.files import STANDARD, must_be_free, write_private
from fluxctl.render.map_svg import svg


class Files:
    """The files that are asked for. Raises `Refused` for one that is there, before anything else is done."""

    def __init__(self, svg_file: Path | None, geojson_file: Path | None, *, force: bool) -> None:
        self._svg, self._geojson, self._force = svg_file, geojson_file, force
        asked = [file for file in (svg_file, geojson_file) if file is not None]
        if len(asked) == 2 and asked[0] == asked[1]:
            raise Refused("both are the same file", where=str(asked[0]), hint="Name two.")
        for file in asked if not force else ():
            must_be_free(file, "a map", "Name another, or replace it: --force.")

    def written(self, areas: SiteAreas, position: Position | None, centre: SiteArea | None) -> Mapped | None:
        """Write the files that are asked for, and return the map; None if it went to standard output."""
        files = []
        for file, made in ((self._svg, svg), (self._geojson, _geojson)):
            if file is None:
                continue
            write_private(file, made(areas.sites, position, centre), replace=self._force)
            files.append(str(file if file == STANDARD else file.absolute()))
        answer = Mapped(areas.sites, position, tuple(files))
        return None if str(STANDARD) in files else answer


def _geojson(sites: Sequence[SiteArea], position: Position | None, _centre: SiteArea | None) -> bytes:
    return msgspec.json.format(msgspec.json.encode(collection(sites, position)), indent=1) + b"\n"


def collection(sites: Sequence[SiteArea], position: Position | None) -> dict[str, Any]:
    """Return the areas and the position as a FeatureCollection (RFC 7946 §3.3).

    Outlines run counterclockwise and holes clockwise, as §3.1.6 has it.
    """
    features = [_feature(site.id, wound(site.geometry), _told(site)) for site in sites if site.geometry is not None]
    if position is not None:
        point = {"type": "Point", "coordinates": [position.longitude, position.latitude]}
        told = {"name": "the box", "accuracy_metres": position.accuracy}
        at = {} if position.at is None else {"at": position.at.isoformat()}
        features.append(_feature("position", point, told | at))
    return {"type": "FeatureCollection", "features": features}


def _told(site: SiteArea) -> dict[str, Any]:
    return {"name": site.name, "active": site.active, "dwell_seconds": site.dwell}


def _feature(name: str, geometry: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Feature", "id": name, "geometry": geometry, "properties": properties}


def wound(geometry: dict[str, Any]) -> dict[str, Any]:
    """Return a Polygon or MultiPolygon with its rings in the directions of RFC 7946 §3.1.6."""
    found = geometry["coordinates"]
    if geometry["type"] == "Polygon":
        return {"type": "Polygon", "coordinates": _rings(found)}
    return {"type": "MultiPolygon", "coordinates": [_rings(polygon) for polygon in found]}


def _rings(polygon: list[list[list[float]]]) -> list[list[list[float]]]:
    return [ring if (_twice_the_area(ring) > 0) == (number == 0) else ring[::-1] for number, ring in enumerate(polygon)]


def _twice_the_area(ring: list[list[float]]) -> float:
    """Return twice the signed area of a ring in square degrees, positive counterclockwise."""
    # Relative to one corner, so that little is lost of a small area that is far from the origin.
    west, south = ring[0][:2]
    corners = [(position[0] - west, position[1] - south) for position in ring]
    return sum(ax * by - bx * ay for (ax, ay), (bx, by) in zip(corners, [*corners[1:], corners[0]], strict=True))
