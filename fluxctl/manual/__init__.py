"""What is generated from the commands: the manual pages, and the table that completion reads."""

from __future__ import annotations

from pathlib import Path


def generated(top: Path) -> dict[Path, str]:
    """Return every generated file below the source tree `top`, and what it must hold."""
    from fluxctl.manual import tree  # noqa: PLC0415 - imports every command

    return {top / "fluxctl" / "tree.py": tree.module()}
