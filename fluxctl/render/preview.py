"""What stands below a picture, and what is said of one that was written to a file."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from capacitord.api.preview import Pictured
from capacitord.api.schemas import Previewed
from fluxctl.render.page import QUIET, in_one_line, stack


def caption(found: Pictured) -> RenderableType:
    """Return the line below a picture: which image and frame it is, its size, and which values are black and white."""
    return Text(found.line, style=QUIET)


def written(done: Previewed) -> RenderableType:
    """Return that a picture was written, and what it shows."""
    return stack([in_one_line(f"✔ A picture is in {done.file}"), caption(done.picture)])
