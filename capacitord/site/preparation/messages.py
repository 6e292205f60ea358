"""What a runtime and its helper processes say to each other.

A helper speaks first (`Ready`) and is told what it may have (`Begin`). Then it is given one `Job` after the other,
each with a sealed memory file that holds the dataset as it was received, and answers each by its number: with another
memory file (`Made`), or with why there is none. In between it may be given a `Draw`, and answers with a picture
(`Drew`), or in the same way with why there is none.
"""

from __future__ import annotations

import msgspec

from capacitord.dicom.forms import Form
from capacitord.dicom.outgoing import Came, Keys, Recipe
from capacitord.model.codes import Code
from capacitord.model.reasons import Reason


class Message(msgspec.Struct, frozen=True, tag_field="kind", forbid_unknown_fields=True):
    """Base of all messages."""


class Begin(Message, frozen=True, tag="begin"):
    """What a helper may have: keys for these purposes, and never the site's own; `memory` in bytes for an image."""

    keys: Keys
    memory: int


class Follow(Message, frozen=True, tag="follow"):
    """The recipe of the jobs from now on. It may be long, so it travels alone."""

    recipe: Recipe

    def __repr__(self) -> str:
        return f"Follow({self.recipe.destination})"


class Job(Message, frozen=True, tag="job"):
    """Make of the dataset what the recipe says, in the first of `forms` that it can be written in.

    A form without `how` is the last that is tried. `recipe` is told beforehand (`Follow`), and left out. `number` is
    given by who tells a helper, to whom it says which job an answer is for.
    """

    transfer_syntax_uid: str
    sop_instance_uid: str
    length: int
    came: Came
    forms: tuple[Form, ...]
    recipe: Recipe | None = None
    number: int = 0

    def __repr__(self) -> str:
        return f"Job({self.length} bytes)"


class Draw(Message, frozen=True, tag="draw"):
    """Make a picture of one frame of the dataset, as `dicom.preview.engine.picture` does."""

    transfer_syntax_uid: str
    length: int
    frame: int
    size: int
    window: str
    number: int = 0

    def __repr__(self) -> str:
        return f"Draw({self.length} bytes)"


class Ready(Message, frozen=True, tag="ready"):
    """The helper has loaded what it needs."""


class Made(Message, frozen=True, tag="made"):
    """A memory file with the dataset comes with this. `codes` are those of a de-identified image.

    `without` says what was skipped, as the profile lets it be.
    """

    transfer_syntax_uid: str
    sop_instance_uid: str
    length: int
    number: int
    codes: tuple[Code, ...] = ()
    without: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Made({self.length} bytes)"


class AsReceived(Message, frozen=True, tag="as-received"):
    """Nothing changes: the image is to leave as it was received. `without` is that of `Made`."""

    number: int
    without: tuple[str, ...] = ()


class NotMade(Message, frozen=True, tag="not-made"):
    """The image cannot leave in any form that it may: why, in a sentence without patient data.

    `held` is which reason to hold it that is.
    """

    reason: str
    number: int
    held: Reason = Reason.NOT_PREPARED


class Drew(Message, frozen=True, tag="drew"):
    """A memory file with a picture comes with this, as a PNG file; what it shows is told beside it."""

    length: int
    rows: int
    columns: int
    frame: int
    frames: int
    window: str
    is_whole: bool
    number: int

    def __repr__(self) -> str:
        return f"Drew({self.length} bytes)"


Work = Job | Draw
"""What a helper is given, with a dataset."""

Done = Made | Drew
"""What it answers, with a memory file."""

ToHelper = Begin | Follow | Work
FromHelper = Ready | Done | AsReceived | NotMade
