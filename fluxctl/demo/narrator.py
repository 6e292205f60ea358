"""Who tells the story: everything is remembered, and at most shown as it happens."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from rich.console import RenderableType
from rich.live import Live

from capacitord.api.demo import DemoAct
from fluxctl.output import print_text
from fluxctl.render import demo as render
from fluxctl.render.look import Look, stdout_look
from fluxctl.render.page import console, draw, harmless

FRAMES: Final = 12
"""Frames a second, at a terminal."""

Draw = Callable[[Callable[[Look], RenderableType]], None]
"""Takes what makes a frame; it is shown now, or only the last one is."""


@dataclass
class Narrator:
    """Remembers what is told. `complaints` are facts that were not as they should have been."""

    complaints: list[str] = field(default_factory=list)
    _acts: list[tuple[str, list[str]]] = field(default_factory=list)

    @property
    def acts(self) -> tuple[DemoAct, ...]:
        """Everything told so far."""
        return tuple(DemoAct(title, tuple(facts)) for title, facts in self._acts)

    def begin(self, title: str, sentence: str) -> None:
        """Begin an act, with a sentence about what it shows and why that matters."""
        self._acts.append((title, []))
        self.show(lambda _: render.heading(len(self._acts), title, sentence))

    def fact(self, text: str, mark: str = "✔", command: str = "") -> None:
        """Tell something that is so; `command` shows the same at a real box."""
        self._acts[-1][1].append(text)
        self.show(lambda _: render.fact(mark, text, command))

    def status(self, sentence: str, command: str) -> None:
        """Tell what the first line of the status says, under its own mark."""
        mark, _, text = sentence.partition(" ")
        self.fact(text, mark, command)

    def check(self, right: bool, text: str, otherwise: str) -> None:
        """Tell something that has to be so, or complain."""
        if right:
            self.fact(text)
        else:
            self.complain(otherwise)

    def complain(self, text: str) -> None:
        """Tell something that should not be so."""
        self.complaints.append(text)
        self.fact(text, "✘")

    @contextmanager
    def live(self) -> Iterator[Draw]:
        """Give a way to show something that changes."""
        yield lambda _frame: None

    def show(self, page: Callable[[Look], RenderableType]) -> None:
        """Show a page; this one shows nothing."""


class Teller(Narrator):
    """Tells it to standard output: live at a terminal, line by line elsewhere."""

    def show(self, page: Callable[[Look], RenderableType]) -> None:
        """Show a page."""
        look = stdout_look()
        print_text(draw(page(look), look))

    @contextmanager
    def live(self) -> Iterator[Draw]:
        """Give a way to show something that changes; its last state stays."""
        last: list[Callable[[Look], RenderableType]] = []
        if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
            look = stdout_look()
            # Without colours it is a terminal all the same; the frames come in what `look` allows.
            screen = console(replace(look, color=True), sys.stdout)
            screen.no_color = not look.color
            with Live(console=screen, refresh_per_second=FRAMES, transient=True, redirect_stderr=False) as live:

                def update(frame: Callable[[Look], RenderableType]) -> None:
                    last[:] = [frame]
                    live.update(harmless(frame(stdout_look()), look))

                yield update
        else:

            def remember(frame: Callable[[Look], RenderableType]) -> None:
                last[:] = [frame]

            yield remember
        for frame in last:
            self.show(frame)
