"""`fluxctl completion`."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from fluxctl.command import single, verb
from fluxctl.output import print_text
from fluxctl.shells import SCRIPTS

app = single()


class Shell(enum.StrEnum):
    """A shell that can be taught."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@verb(
    app,
    "completion",
    ("source <(fluxctl completion bash)", "For this bash; put the line into ~/.bashrc for every one."),
    ("fluxctl completion zsh > ~/.zfunc/_fluxctl", "For every zsh that has ~/.zfunc in its fpath."),
    ("fluxctl completion fish > ~/.config/fish/completions/fluxctl.fish", "For every fish."),
    asks=False,
)
def completion(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Print the function that completes fluxctl in a shell.

    It completes commands and options, and what the daemon knows now: studies (with modality and the patient's
    initials), destinations and profiles. Where the daemon is down it says nothing.
    """
    print_text(SCRIPTS[shell.value])
