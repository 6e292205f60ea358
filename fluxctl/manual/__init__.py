"""What is generated from the commands: the manual pages, and the table that completion reads."""

from __future__ import annotations

from pathlib import Path


def generated(top: Path) -> dict[Path, str]:
    """Return every generated file below the source tree `top`, and what it must hold."""
    from fluxctl.manual import capacitord8, fluxctl1, profile5, toml5, tree  # noqa: PLC0415 - they import every command

    return {
        top / "fluxctl" / "tree.py": tree.module(),
        top / "man" / "man1" / "fluxctl.1": fluxctl1.page(),
        top / "man" / "man5" / "capacitord.toml.5": toml5.page(),
        top / "man" / "man5" / "capacitord-profile.5": profile5.page(),
        top / "man" / "man8" / "capacitord.8": capacitord8.page(),
    }
