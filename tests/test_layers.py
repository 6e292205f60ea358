"""A module imports only from lower layers, and some libraries have one importer."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = {
    "capacitord": 0,
    "capacitord.errors": -1,
    "capacitord.model": 0,
    "capacitord.api": 1,
    "capacitord.config": 1,
    "capacitord.seal.certificates": 0,
    "capacitord.seal": 1,
    "capacitord.link": 1,
    "capacitord.spool": 2,
    "capacitord.dicom": 3,
    "capacitord.location": 3,
    "capacitord.probe": 4,
    "capacitord.site": 4,
    "capacitord.supervisor": 4,
    "capacitord.demo": 4,
    "fluxctl": 5,
}
OWNERS = {
    "cryptography": {"capacitord.seal", "capacitord.seal.certificates"},
    "pynetdicom": {"capacitord.dicom", "capacitord.demo"},
    "pydicom": {"capacitord.dicom", "capacitord.demo"},
    "dicomanonymizer": {"capacitord.dicom"},
    "imagecodecs": {"capacitord.dicom"},
    "numpy": {"capacitord.dicom", "capacitord.location", "fluxctl"},
    "shapely": {"capacitord.location"},
    "apsw": {"capacitord.spool"},
    "aiohttp": {"capacitord.supervisor"},
}
FLUXCTL_MAY_IMPORT = {
    "capacitord",
    "capacitord.api",
    "capacitord.model",
    "capacitord.errors",
    "capacitord.config",
    "capacitord.location",
    "capacitord.dicom",
}
FILES = sorted(p for top in ("capacitord", "fluxctl") for p in (ROOT / top).rglob("*.py"))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room(module: str) -> str:
    return max((r for r in LAYERS if module == r or module.startswith(r + ".")), key=len)


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_point_down(path: Path) -> None:
    here = room(module_name(path))
    for name in imports(path):
        top = name.split(".")[0]
        if top in OWNERS:
            assert here in OWNERS[top], f"{here} may not import {top}"
        if top not in {"capacitord", "fluxctl"}:
            continue
        there = room(name)
        if there in {here, "capacitord"}:
            continue
        assert LAYERS[there] < LAYERS[here], f"{here} may not import {there}"
        if here == "fluxctl":
            assert there in FLUXCTL_MAY_IMPORT, f"fluxctl may not import {there}"
