"""Every command of the program, imported and laid open."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Any, NamedTuple

from fluxctl.app import command as program
from fluxctl.command import Group, load
from fluxctl.table import ENTRIES


class Found(NamedTuple):
    """A command with its full name, such as ("study", "discard")."""

    path: tuple[str, ...]
    command: Any

    @property
    def name(self) -> str:
        """The name as it is typed after fluxctl."""
        return " ".join(self.path)


def root() -> Any:
    """Return the program."""
    return program()


def top() -> Iterator[Found]:
    """Yield the commands of the first level, in the order of the help."""
    for name in ENTRIES:
        yield Found((name,), load(name))


def verbs() -> Iterator[Found]:
    """Yield every command that does something, in the order of the help."""
    for found in top():
        if isinstance(found.command, Group):
            for name, command in found.command.commands.items():
                yield Found((*found.path, name), command)
        else:
            yield found


def choices(param: Any) -> tuple[str, ...]:
    """Return the words that a parameter takes, if they are few."""
    kind = getattr(getattr(param, "type_descriptor", None), "annotation", None)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return tuple(str(choice.value) for choice in kind)
    return ()
